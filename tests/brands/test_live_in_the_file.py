"""A file's `live` lets no brand out of shadow without a signature; a new brand begins so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bergen_loop.config.roster import Roster
from bergen_loop.domain.words import Need
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention, modes, returns
from bergen_loop.ledger.tables.core import AttentionRow
from bergen_loop.ledger.transaction import transaction
from bergen_loop.people import actions
from bergen_loop.people.golive import Door

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


class Filed:
    """A brand of a file, whose ticks begin; and what people see of it."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.ledger, self.file, self.ticks = ledger, folder / "bergen-loop.yaml", 0
        self.says("live")

    def says(self, mode: str) -> None:
        self.file.write_text(
            f"brands: {{acme: {{name: Acme, mode: {mode}, warehouse: embedded, "
            "loop: {api_key: 'env:ACME_KEY'}}}\n"
        )

    @property
    def configured(self) -> str:
        return Roster(self.file).load(self.ledger).settings.brands["acme"].mode

    def tick(self) -> str:
        """The mode it works in."""
        self.ticks += 1
        now = NOW + timedelta(minutes=self.ticks)
        with self.ledger.write() as session:
            row = returns.brand_row(session, "acme")
            return modes.take_effect(session, now, row, self.configured)

    def lives(self) -> str:
        with self.ledger.read() as session:
            row = returns.known_brand(session, "acme")
            return modes.effective(row, self.configured)

    def asks(self, mode: str | None) -> bool:
        """Whether setting this mode asks for a signature."""
        with self.ledger.read() as session:
            return Door("acme", self.configured, "v").leads_live(session, mode)

    def set(self, mode: str | None) -> None:
        with transaction(self.ledger, "acme", NOW, "anna") as tx:
            modes.set_mode(tx, mode, configured=self.configured, why="because")

    def watched(self) -> None:
        """It has been in shadow, and its file says live from now on."""
        self.says("shadow")
        assert self.tick() == "shadow"
        self.says("live")

    def items(self) -> list[AttentionRow]:
        with self.ledger.read() as session:
            return [i for i in attention.open_items(session) if i.kind == Need.GO_LIVE]


@pytest.fixture
def filed(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Filed:
    monkeypatch.setenv("ACME_KEY", "a-key-of-some-length")
    return Filed(ledger, tmp_path)


def test_a_brand_that_has_been_in_shadow_waits_there_with_one_item_until_somebody_signs(
    filed: Filed,
) -> None:
    filed.watched()
    assert filed.lives() == "shadow"
    assert [filed.tick() for _ in range(3)] == ["shadow"] * 3
    (item,) = filed.items()
    assert "until somebody has signed" in item.reason
    assert filed.asks("live")
    filed.set("live")
    assert (filed.tick(), filed.lives(), filed.items()) == ("live", "live", [])
    # As configured it is live as well from now on, for it is: nothing is asked anew.
    filed.set(None)
    assert (filed.tick(), filed.lives()) == ("live", "live")


def test_a_new_brand_is_what_its_file_says(filed: Filed) -> None:
    """Nothing waits that could be paid at once."""
    assert filed.lives() == "live"
    assert not filed.asks("live")
    assert ([filed.tick() for _ in range(2)], filed.items()) == (["live", "live"], [])


def test_a_brand_that_the_release_before_worked_live_goes_on_without_a_break(
    filed: Filed,
) -> None:
    with filed.ledger.write() as session:
        returns.brand_row(session, "acme").acted_mode = "live"
    assert filed.lives() == "live"
    assert [filed.tick() for _ in range(2)] == ["live", "live"]
    assert filed.items() == []


def test_shadow_in_the_file_takes_the_signature_back(filed: Filed) -> None:
    filed.tick()
    filed.says("shadow")
    assert filed.tick() == "shadow"
    filed.says("live")
    assert (filed.tick(), len(filed.items())) == ("shadow", 1)
    filed.says("shadow")
    assert (filed.tick(), filed.items()) == ("shadow", [])


def test_a_pause_of_a_live_brand_takes_nothing_back_and_a_hand_is_asked(filed: Filed) -> None:
    filed.tick()
    filed.set("paused")
    assert filed.tick() == "paused"
    assert filed.asks(None)
    assert filed.asks("live")
    filed.set("shadow")
    filed.tick()
    assert not filed.asks(None)
    filed.set(None)
    assert filed.tick() == "shadow"


def test_who_ignores_the_item_is_not_asked_again(filed: Filed) -> None:
    filed.watched()
    filed.tick()
    (item,) = filed.items()
    with transaction(filed.ledger, "acme", NOW, "anna") as tx:
        actions.ignore(tx, tx.session.get_one(AttentionRow, item.id), "shadow is meant")
    assert (filed.tick(), filed.items()) == ("shadow", [])


def test_a_brand_that_says_nothing_of_live_is_asked_nothing(filed: Filed) -> None:
    filed.says("shadow")
    assert (filed.tick(), filed.items()) == ("shadow", [])
