"""Backup and restore of the embedded ledger, a full disk, a torn file."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from bergen_loop.domain.returns import Stage
from bergen_loop.domain.words import What
from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger import backup
from bergen_loop.ledger.backup import BackupError, InUse
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.locks import ServiceRunning, brand_lock, service_lock
from bergen_loop.ledger.store import effects, journal, returns
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import BrandRow, JournalRow
from bergen_loop.repair import restored
from bergen_loop.service import wiring as connecting
from support import worlds
from support.ledgers import empty_ledger
from support.worlds import START, World


def note(ledger: Ledger, why: str) -> None:
    with ledger.write() as session:
        journal.record(session, START, journal.Entry(What.NOTE, why, brand=None))


def notes(ledger: Ledger) -> list[str]:
    with ledger.read() as session:
        return list(session.scalars(sa.select(JournalRow.why).order_by(JournalRow.id)))


def test_a_backup_is_whole_while_the_ledger_is_written(
    sqlite_ledger: Ledger, tmp_path: Path
) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            note(sqlite_ledger, f"entry {number}")
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            assert backup.backup(sqlite_ledger, tmp_path / f"copy-{number}.db") > 0
    finally:
        stop.set()
        writer.join()
    for number in range(3):
        kept = notes(Ledger(f"sqlite:///{tmp_path}/copy-{number}.db"))
        assert kept == [f"entry {n}" for n in range(len(kept))], "in order, none missing"
    assert sorted(p.name for p in tmp_path.glob(".*partial")) == []


def test_a_backup_does_not_overwrite(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "kept.db").write_text("precious")
    with pytest.raises(BackupError, match="exists already"):
        backup.backup(sqlite_ledger, tmp_path / "kept.db")
    assert (tmp_path / "kept.db").read_text() == "precious"


def test_a_restore_brings_back_what_was(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    note(sqlite_ledger, "before")
    backup.backup(sqlite_ledger, tmp_path / "copy.db")
    note(sqlite_ledger, "after")
    backup.restore(sqlite_ledger, tmp_path / "copy.db")
    assert notes(sqlite_ledger) == ["before"]


def test_a_damaged_ledger_can_be_replaced_and_is_kept(tmp_path: Path) -> None:
    ledger = empty_ledger(tmp_path / "ledger.db")
    note(ledger, "before")
    backup.backup(ledger, tmp_path / "copy.db")
    ledger.close()
    (tmp_path / "ledger.db").write_bytes(b"no database at all" * 500)
    backup.restore(ledger, tmp_path / "copy.db")
    assert notes(ledger) == ["before"]
    assert (tmp_path / "ledger.db.damaged").exists()


def test_a_restore_waits_for_nobody_to_work(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    backup.backup(sqlite_ledger, tmp_path / "copy.db")
    with service_lock(sqlite_ledger), pytest.raises(InUse, match="a service is running"):
        backup.restore(sqlite_ledger, tmp_path / "copy.db")
    with brand_lock(sqlite_ledger, "lumen"), pytest.raises(InUse, match="a sync of lumen"):
        backup.restore(sqlite_ledger, tmp_path / "copy.db")
    with service_lock(sqlite_ledger), pytest.raises(ServiceRunning), service_lock(sqlite_ledger):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not one of bergen-loop"),
        (b"hello" * 3000, "damaged or no SQLite database"),
        (None, "there is no file"),
    ],
)
def test_what_is_no_backup_is_told_so(
    tmp_path: Path, sqlite_ledger: Ledger, content: bytes | None, message: str
) -> None:
    file = tmp_path / "given.db"
    if content is not None:
        file.write_bytes(content)
    note(sqlite_ledger, "kept")
    with pytest.raises(BackupError, match=message):
        backup.restore(sqlite_ledger, file)
    assert notes(sqlite_ledger) == ["kept"]


def test_a_torn_backup_is_told_so(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    for number in range(300):
        note(sqlite_ledger, f"entry {number} {'x' * 300}")
    backup.backup(sqlite_ledger, tmp_path / "copy.db")
    whole = (tmp_path / "copy.db").read_bytes()
    (tmp_path / "torn.db").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(BackupError, match=r"torn\.db is damaged.*use another backup"):
        backup.check(tmp_path / "torn.db")
    spoiled = bytearray(whole)
    spoiled[len(whole) // 2 : len(whole) // 2 + 4096] = b"\xff" * 4096
    (tmp_path / "spoiled.db").write_bytes(spoiled)
    with pytest.raises(BackupError, match="damaged"):
        backup.check(tmp_path / "spoiled.db")


def test_a_backup_to_a_full_disk_leaves_nothing(sqlite_ledger: Ledger, tmp_path: Path) -> None:
    """In a process of its own, which may write small files only."""
    for number in range(300):
        note(sqlite_ledger, f"entry {number} {'x' * 300}")
    script = f"""
import resource, signal
from pathlib import Path
from bergen_loop.ledger.backup import BackupError, backup
from bergen_loop.ledger.database import Ledger
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    backup(Ledger({sqlite_ledger.url.render_as_string()!r}), Path({str(tmp_path)!r}) / "copy.db")
except BackupError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "the backup to" in done.stdout and "failed" in done.stdout, done.stderr
    assert list(tmp_path.glob("*copy*")) == []


# -- after a restore: nothing twice -----------------------------------------------------------


def connected(world: World, ledger: Ledger) -> BrandContext:
    settings = worlds.brand_settings(world, settle={"confirm_within": "10m"})
    ctx = connecting.connect("northpine", settings, ledger, Path())
    ctx.now = world.now
    return ctx


def test_what_was_done_after_the_backup_is_not_done_again(
    world: World, sqlite_ledger: Ledger, tmp_path: Path
) -> None:
    """Known at the backup but without RMA; and submitted after it: both got an RMA, both were
    processed, then the ledger of before comes back."""
    known = world.new_return("northpine", late_label=False, held=False)
    ctx = connected(world, sqlite_ledger)
    tick.begin(ctx)
    tick.step(ctx, "intake")
    backup.backup(sqlite_ledger, tmp_path / "copy.db")
    later = world.new_return("northpine", late_label=False, held=False)

    def go_on(ctx: BrandContext, ticks: int) -> None:
        for _ in range(ticks):
            tick.run(ctx)
            world.advance(30)

    world.sandbox.settings.update(
        {"processing_min_seconds": 300.0, "processing_max_seconds": 300.0}
    )
    go_on(ctx, 6)
    for return_id in (known, later):
        world.receive(return_id)
    go_on(ctx, 2)
    assert len(world.calls("process")) == 2
    backup.restore(sqlite_ledger, tmp_path / "copy.db")
    with sqlite_ledger.write() as session:
        assert restored.mark(session, world.now(), who="a test", source="copy.db") == ["northpine"]
    ctx = connected(world, sqlite_ledger)
    result = tick.run(ctx)
    assert "nothing is settled until" in result["settle"]["error"]
    go_on(ctx, 40)
    for return_id in (known, later):
        assert len(world.tickets(return_id)) == 1, "no second RMA"
        with sqlite_ledger.read() as session:
            row = returns.by_id(session, "northpine", return_id)
            assert row is not None and row.stage == Stage.COMPLETE
    assert len(world.calls("process")) == 2, "nothing was processed again"
    with sqlite_ledger.read() as session:
        assert session.get_one(BrandRow, "northpine").restored_at is not None


# -- a full disk ------------------------------------------------------------------------------


def test_a_full_disk_stops_before_the_call_and_loses_no_intent(
    world: World, sqlite_ledger: Ledger
) -> None:
    """Only a few pages may be added any more: in the middle of the work they are used up."""
    ctx = worlds.context(world, sqlite_ledger)
    world.sandbox.settings.update({"two_label_share": 0.0, "review_held_share": 0.0})
    catalogue = world.sandbox.brand("northpine").catalogue
    catalogue[:] = [product for product in catalogue if product.shop_barcode]
    made = [world.new_return("northpine", late_label=False) for _ in range(150)]
    tick.begin(ctx)
    tick.step(ctx, "intake")
    with sqlite_ledger.read() as session:
        pages = session.scalar(sa.text("PRAGMA page_count")) + 25
    full = True

    def squeeze(connection: Any, *_: Any) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages if full else 2**30}")

    event.listen(sqlite_ledger.engine, "begin", squeeze)
    before = len(world.calls("ReceivingTicketAdd"))
    done = tick.step(ctx, "announce")
    assert "full" in done["error"]
    assert "free space" in done["error"]
    full = False
    with sqlite_ledger.read() as session:
        rows = [r for i in made if (r := returns.by_id(session, "northpine", i))]
        tickets = [e for row in rows for e in effects.of_return(session, row.id)]
    sent = len(world.calls("ReceivingTicketAdd")) - before
    assert 0 < sent <= len(tickets) < len(made), "stopped in the middle; no call without intent"
    worlds.run(world, ctx, ticks=8, seconds=60)
    for return_id in made:
        assert len(world.tickets(return_id)) == 1
    with sqlite_ledger.read() as session:
        for return_id in made:
            row = returns.by_id(session, "northpine", return_id)
            assert row is not None and row.stage == Stage.ANNOUNCED
            assert {e.state for e in effects.of_return(session, row.id)} == {EffectState.DONE}
