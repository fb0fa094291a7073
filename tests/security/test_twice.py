"""Ways to a second payment: several people at once, tokens, other people's keys."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from running_service import at_once
from test_web_working import hidden
from web_support import Desk, add_return, row_of

from bergen_loop.domain.returns import Stage
from bergen_loop.domain.words import Need
from bergen_loop.flow import shipments
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.store import effects
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import AttentionRow, DecisionRow, EffectRow, WebhookRow
from bergen_loop.ledger.transaction import transaction


def test_of_several_people_who_decide_at_once_one_has_decided(desk: Desk) -> None:
    add_return(desk.ledger, "acme", "1", Stage.RECEIVED, held="look")
    people = [desk.signed_in(name=f"person {n}") for n in range(6)]
    paths = [f"/returns/acme/1/{'process' if n % 2 else 'flag'}" for n in range(6)]
    seen = [hidden(p.get(path).text, "seen") for p, path in zip(people, paths, strict=True)]

    def decide(n: int) -> int:
        return people[n].post(paths[n], {"why": "sure", "seen": seen[n]}).status_code

    assert sorted(at_once(6, decide)) == [303] + [409] * 5
    with desk.ledger.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(DecisionRow)) == 1


def test_what_loop_has_accepted_is_sent_again_by_nobody_who_comes_any_way(desk: Desk) -> None:
    """Pages, the API and assistants, all at once, for each kind of item about a settling call."""
    pk = add_return(desk.ledger, "acme", "1", Stage.CONFIRMING)
    with desk.ledger.write() as session:
        effect = effects.settlements_of(session, [pk])[pk]
        effect.state = EffectState.ACCEPTED
        for need in (Need.NOT_CONFIRMED, Need.PROCESSING_FAILED, Need.REFUSED):
            session.add(_item(need, pk))
    boss, token = desk.signed_in(Role.ENGINEER), desk.token(Role.OPERATOR)
    with desk.ledger.read() as session:
        numbers = [i.id for i in session.scalars(sa.select(AttentionRow)) if i.return_pk == pk]

    def retry(n: int) -> int:
        number = numbers[n % len(numbers)]
        if n % 2:
            form = {"do": "retry", "why": "it hangs", "item": str(number)}
            return boss.post("/attention/act", form).status_code
        path = f"/api/v1/attention/{number}/retry"
        headers = {"idempotency-key": f"key-{n}"}
        return token.post(path, json={"why": "it hangs"}, headers=headers).status_code

    assert set(at_once(8, retry)) <= {200, 409}
    for action in ("process", "flag"):
        form = {"why": "x", "seen": "0", "note": "x"}
        assert boss.post(f"/returns/acme/1/{action}", form).status_code == 409
    with desk.ledger.read() as session:
        states = session.scalars(sa.select(EffectRow.state).where(EffectRow.return_pk == pk)).all()
    assert states == [EffectState.ACCEPTED]
    assert row_of(desk.ledger, "acme", "1").stage == Stage.CONFIRMING


def test_an_idempotency_key_is_its_tokens_alone(desk: Desk) -> None:
    add_return(desk.ledger, "acme", "1", Stage.RECEIVED)
    add_return(desk.ledger, "zebra", "2", Stage.RECEIVED)
    mine, theirs = desk.token(Role.OPERATOR, ["acme"]), desk.token(Role.OPERATOR, ["zebra"])
    body, headers = {"text": "x"}, {"idempotency-key": "one-and-the-same"}
    path = "/api/v1/returns/acme/1/notes"
    assert mine.post(path, json=body, headers=headers).status_code == 200
    again = theirs.post(path, json=body, headers=headers)
    assert (again.status_code, "idempotency-replayed" in again.headers) == (404, False)
    other = theirs.post("/api/v1/returns/zebra/2/notes", json=body, headers=headers)
    assert (other.status_code, "idempotency-replayed" in other.headers) == (200, False)


def test_a_kept_webhook_that_nests_too_deep_here_asks_a_person(desk: Desk) -> None:
    """What was read at the door may be too deep further in, where more stands on the stack."""
    now = datetime.now(UTC)
    with transaction(desk.ledger, "acme", now, "test") as tx:
        shipments.take_webhook(tx, WebhookRow(brand="acme", body="[" * 100_000))
    with desk.ledger.read() as session:
        kinds = session.scalars(sa.select(AttentionRow.kind)).all()
    assert Need.SHIPMENT_UNREADABLE in kinds


def _item(need: Need, pk: int) -> AttentionRow:
    return AttentionRow(
        brand="acme", return_pk=pk, kind=need.value, subject=need.value, reason="x", tried="x",
        opened_at=datetime.now(UTC),
    )  # fmt: skip
