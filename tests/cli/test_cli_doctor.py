"""`doctor`: one line for each thing the service needs, and what to do where it lacks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from busy_ledger import BRANDS, NEVER, PAUSED, Busy
from cli_support import text

from bergen_loop.cli import doctor
from bergen_loop.ledger import database
from bergen_loop.ledger.tables.core import (
    AttentionRow,
    BrandRow,
    BreakerRow,
    ReturnRow,
    UserRow,
    WebhookRow,
    WorkerRow,
)


@pytest.fixture
def well(busy: Busy) -> Busy:
    """Nothing is wrong."""
    now = datetime.now(UTC)
    with busy.ledger.write() as session:
        for table in (BreakerRow, AttentionRow):
            session.execute(sa.delete(table))
        session.merge(BrandRow(brand=NEVER))
        session.flush()
        for row in session.scalars(sa.select(BrandRow)):
            row.last_sync_ok, row.last_sync_finished_at, row.last_good_sync_at = True, now, now
        session.scalars(sa.select(WorkerRow)).one().seen_at = now
    for file in busy.folder.glob("ledger*"):
        file.chmod(0o600)
    return busy


def wrong(busy: Busy) -> list[tuple[str, str, str]]:
    found: list[dict[str, Any]] = busy.json("doctor")
    return [(c["name"], c["words"], c["remedy"]) for c in found if not c["ok"]]


def test_all_is_well(well: Busy) -> None:
    done = well.run("doctor")
    assert done.exit_code == 0, done.output
    assert "all is well" in done.output
    names = {c["name"] for c in well.json("doctor")}
    assert names == {
        "configuration", "secrets", "database", "schema", "disk", "files", "clocks", "workers",
        "calls", "syncs", "webhooks",
    }  # fmt: skip


def test_a_bad_day(busy: Busy) -> None:
    done = busy.run("doctor", columns=200)
    assert done.exit_code == 1
    assert "REX11 unreachable for 4 of 8 brands" in done.output
    assert "to do: it is tried again by itself" in done.output
    assert f"{NEVER}: never synced" in done.output


def test_files_that_others_may_read(well: Busy) -> None:
    """Those of the ledger are closed whenever it is opened; the engine's are its own."""
    (well.folder / "ledger-engine.db").touch()
    (well.folder / "ledger-engine.db").chmod(0o644)
    (found,) = wrong(well)
    assert found[0] == "files"
    assert found[2] == f"chmod 600 {well.folder}/ledger-engine.db"


def test_a_secret_that_cannot_be_read(well: Busy) -> None:
    (well.folder / "key-acme").unlink()
    found = wrong(well)
    assert {name for name, *_ in found} == {"configuration"}
    assert any("brands.acme.loop.api_key" in words for _, words, _ in found)


def test_a_configuration_with_a_mistake(well: Busy) -> None:
    well.config.write_text(well.config.read_text() + "\nservce: {}\n")
    (found,) = wrong(well)
    assert found[0] == "configuration"
    assert "servce" in found[1]
    assert found[2] == "remove it, or correct its spelling. See docs/settings.md"


def test_no_database_yet_is_none_that_was_made_by_looking(well: Busy) -> None:
    file = well.folder / "other.db"
    well.config.write_text(well.config.read_text().replace("ledger.db", "other.db"))
    (found,) = wrong(well)
    assert "there is none yet" in found[1]
    assert not file.exists()


def test_an_older_schema(well: Busy) -> None:
    with well.ledger.write() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    (found,) = wrong(well)
    assert found[0] == "schema"
    assert "restart the service" in found[2]


def test_a_full_disk(well: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=1_000_000, total=10**12)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _folder: usage)
    assert [name for name, *_ in wrong(well)] == ["disk"]


def test_clocks_that_differ(well: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    late = datetime.now(UTC) - timedelta(minutes=3)
    monkeypatch.setattr(type(well.ledger), "is_sqlite", property(lambda _self: False))
    monkeypatch.setattr(database, "now", lambda _session: late)
    with well.ledger.write() as session:
        session.scalars(sa.select(WorkerRow)).one().seen_at = late
    found = [words for name, words, _ in wrong(well) if name == "clocks"]
    assert found == ["the database's and this machine's are 180 s apart"]


@pytest.mark.parametrize("key", ["", "A" * 43 + "="])
def test_second_factors_that_stand_in_the_clear(
    well: Busy, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("BERGEN_LOOP_KEY", key)
    well.config.write_text(well.config.read_text().replace(", key_file: keys", ""))
    with well.ledger.write() as session:
        for name, seed in (("ada", "2:sealed"), ("bob", "JBSWY3DPEHPK3PXP"), ("eve", None)):
            session.add(
                UserRow(name=name, role="operator", totp_secret=seed, created_at=datetime.now(UTC))
            )
    (found,) = wrong(well)
    assert found[:2] == (
        "second factors", "the seeds of 1 of 2 stand unencrypted in the ledger",
    )  # fmt: skip
    assert ("secrets new-key" in found[2]) is (not key)


def test_no_worker(well: Busy) -> None:
    with well.ledger.write() as session:
        session.execute(sa.delete(WorkerRow))
    assert [name for name, *_ in wrong(well)] == ["workers"]


def test_returns_that_come_without_a_webhook(well: Busy) -> None:
    text_ = well.config.read_text().replace(
        'api_key: "file', 'webhook_secret: "file:secret", api_key: "file'
    )
    well.config.write_text(text_)
    assert "public_url is not set: Loop is polled" in text(well.run("doctor"))
    well.config.write_text(text_.replace("{database", '{public_url: "https://x.example", database'))
    now = datetime.now(UTC)
    with well.ledger.write() as session:
        session.execute(sa.update(ReturnRow).values(seen_at=now))
        session.add(_webhook("acme", now))
    (found,) = wrong(well)
    assert found[:2] == ("webhooks", "birch: returns came in the last day, and no webhook")
    assert "webhooks acme: the latest" in text(well.run("doctor"))


def test_a_paused_brand_is_no_problem(well: Busy) -> None:
    with well.ledger.write() as session:
        session.get_one(BrandRow, PAUSED).last_good_sync_at = None
        session.get_one(BrandRow, PAUSED).last_sync_ok = False
    assert wrong(well) == []
    assert f"{len(BRANDS) - 1} brand(s) are synced" in text(well.run("doctor"))


def _webhook(brand: str, at: datetime) -> WebhookRow:
    return WebhookRow(
        brand=brand, digest="d", received_at=at, topic="return", trigger="return.created",
        return_id="1", body="{}", handled_at=at,
    )  # fmt: skip
