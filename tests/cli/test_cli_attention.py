"""`attention`: by cause, with what it is worth; retried and ignored with a reason."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from busy_ledger import LONG_ORDER, LONG_RETURN, UPC, Busy, item, items
from cli_support import text

from bergen_loop.cli import asking
from bergen_loop.domain.words import EffectKind, Need, What
from bergen_loop.ledger.store.effects import EffectState, Intent
from bergen_loop.ledger.tables.core import EffectRow, JournalRow, ReturnRow
from bergen_loop.ledger.transaction import FencedTransaction


def journal(busy: Busy) -> list[tuple[str, str]]:
    with busy.ledger.read() as session:
        query = sa.select(JournalRow).where(JournalRow.who.contains("(command line)"))
        return [(j.happened or "", j.why) for j in session.scalars(query)]


def refused_by_loop(busy: Busy, number: int) -> None:
    """Give an item's return the call that Loop refused."""
    one = item(busy.ledger, number)
    with busy.ledger.write() as session:
        intent = Intent(EffectKind.PROCESS, f"settle:{one.subject}", one.return_pk, {})
        effect = FencedTransaction(session, "acme", one.opened_at).intend(intent)
        effect.state = EffectState.REFUSED


def test_what_one_deed_would_mend_is_one_cause_the_most_money_first(busy: Busy) -> None:
    found = busy.json("attention")
    assert [(c["kind"], c["subject"], len(c["items"])) for c in found] == [
        ("refused", None, 3),
        ("unknown_product", UPC, 1),
        ("access", "loop", 1),
    ]
    refused, product, access = found
    assert refused["worth"] == {"USD": "2400.00", "EUR": "2400.00"}
    assert refused["worth_unknown"] == 1
    assert (len(product["returns"]), product["worth"]) == (14, {"USD": "1239.00"})
    assert access["returns"] is None


def test_a_cause_says_how_many_what_they_are_worth_and_since_when(busy: Busy) -> None:
    shown = text(busy.run("attention"))
    assert f"unknown product: {UPC} 14 returns · 1,239.00 USD · since 2 d · birch" in shown
    assert "3 returns · 2,400.00 EUR, 2,400.00 USD, 1 of unknown value · since 5 h" in shown
    assert "#1004 (return 70000004), #1005 (return 70000005) and 9 more" in shown
    assert f"{LONG_ORDER} (return {LONG_RETURN})" in shown
    assert "5 item(s) of 3 cause(s)" in shown


def test_a_return_that_has_its_rma_waits_for_no_product(busy: Busy) -> None:
    with busy.ledger.write() as session:
        session.execute(
            sa.update(ReturnRow).where(ReturnRow.return_id == "70000001").values(stage="announced")
        )
    product = next(c for c in busy.json("attention") if c["kind"] == "unknown_product")
    assert len(product["returns"]) == 13


def test_nothing_is_said_as_such(busy: Busy) -> None:
    assert text(busy.run("attention", "-b", "gorse")) == "Nothing needs a person."


def test_the_list_names_order_and_return_and_tells_of_resolved_ones(busy: Busy) -> None:
    number = items(busy.ledger, Need.ACCESS)[0]
    assert busy.run("attention", "ignore", str(number), "--reason", "known").exit_code == 0
    listed = busy.json("attention", "list")
    assert number not in [i["id"] for i in listed]
    assert (LONG_ORDER, LONG_RETURN) in [(i["order_name"], i["return_id"]) for i in listed]
    everything = busy.run("attention", "list", "--all").output
    assert "ignored: known" in text(busy.run("attention", "list", "--all"))
    assert LONG_RETURN in everything
    assert "there are more" in busy.run("attention", "list", "--limit", "1").output


def test_an_item_is_ignored_with_a_reason_in_ones_own_name(busy: Busy) -> None:
    number = items(busy.ledger, Need.UNKNOWN_PRODUCT)[0]
    done = busy.run("attention", "ignore", str(number), "--reason", "discontinued")
    assert done.exit_code == 0, done.output
    found = item(busy.ledger, number)
    assert found.resolution == "ignored: discontinued"
    assert found.resolved_by
    assert found.resolved_by.endswith("(command line)")
    assert journal(busy) == [(What.RESOLVED.value, "ignored: discontinued")]


def test_items_are_retried_each_for_itself(busy: Busy) -> None:
    one, other = items(busy.ledger, Need.UNKNOWN_PRODUCT)[0], items(busy.ledger, Need.ACCESS)[0]
    busy.run("attention", "ignore", str(other), "--reason", "first")
    done = busy.run("attention", "retry", str(other), str(one), "--reason", "imported now")
    assert done.exit_code == 1
    assert f"{other}: not possible: it has been resolved already, by " in text(done)
    assert item(busy.ledger, one).resolution == "retry: imported now"


def test_what_may_move_money_is_retried_one_at_a_time_only(busy: Busy) -> None:
    several = [str(n) for n in items(busy.ledger, Need.REFUSED)]
    done = busy.run("attention", "retry", *several, "--reason", "x", "--yes")
    assert done.exit_code == 2
    assert "may end in a call that moves money" in text(done)
    assert not journal(busy)


@pytest.mark.parametrize("answer", ["n\n", "y\n", None])
def test_what_may_move_money_is_asked_first(
    busy: Busy, monkeypatch: pytest.MonkeyPatch, answer: str | None
) -> None:
    number = items(busy.ledger, Need.REFUSED)[0]
    refused_by_loop(busy, number)
    monkeypatch.setattr(asking, "interactive", lambda: answer is not None)
    given = ("attention", "retry", str(number), "--reason", "looked in Loop")
    done = busy.run(*given, stdin=answer)
    assert "2,400.00 USD" in text(done)
    assert done.exit_code == {"n\n": 1, "y\n": 0, None: 2}[answer], done.output
    with busy.ledger.read() as session:
        effect = session.scalars(sa.select(EffectRow)).one()
        assert effect.state == ("not_sent" if answer == "y\n" else "refused")
    assert bool(item(busy.ledger, number).resolved_at) is (answer == "y\n")


@pytest.mark.parametrize("what", ["retry", "ignore"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("1", "--reason", " "), "say why, for the journal"),
        (("1", "999", "--reason", "x"), "no item 999"),
    ],
)
def test_what_is_not_understood_changes_nothing(
    busy: Busy, what: str, arguments: tuple[str, ...], words: str
) -> None:
    done = busy.run("attention", what, *arguments)
    assert done.exit_code == 2
    assert words in text(done)
    assert not journal(busy)


def test_one_command_has_every_suspended_system_called_again(busy: Busy) -> None:
    assert busy.run("breaker", "reset").exit_code == 2
    assert busy.run("breaker", "reset", "acme", "--all").exit_code == 2
    done = busy.run("breaker", "reset", "acme", "gorse")
    assert "acme: REX11 will be called again gorse: nothing was suspended" in text(done)
    done = busy.run("breaker", "reset", "--all")
    assert "elm: Loop process will be called again" in text(done)
    assert "none" in busy.run("breaker", "list").output
    assert text(busy.run("breaker", "reset", "--all")) == "nothing was suspended"


def test_items_are_taken_on_put_off_ignored_and_put_back(busy: Busy) -> None:
    number = str(items(busy.ledger, Need.ACCESS)[0])
    assert f"{number}: mara has it" in text(busy.run("attention", "assign", number, "--to", "mara"))
    put_off = busy.run("attention", "snooze", number, "--hours", "48")
    assert f"{number}: is put off for 48 h" in text(put_off)
    told = text(busy.run("attention"))
    assert f"item {number} (mara has it; put off until " in told
    busy.run("attention", "snooze", number, "--hours", "0")
    busy.run("attention", "assign", number, "--to", " ")
    assert f"({number}" not in text(busy.run("attention"))
    busy.run("attention", "ignore", number, "--reason", "known")
    back = busy.run("attention", "undo", number, "--reason", "not known after all")
    assert f"{number}: is on the list again" in text(back)
    assert busy.run("attention", "undo", number, "--reason", "x").exit_code == 1
