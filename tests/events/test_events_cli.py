"""`bergen-loop events`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bergen_loop.cli.main import app
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import outbox
from bergen_loop.ledger.tables.operations import OutboxRow
from bergen_loop.tell.events.sending import Attempt
from support.ledgers import empty_ledger

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A brand, one event that was delivered, and one that its endpoint did not take."""
    # Other tests would find the log where this command's output was.
    monkeypatch.setattr("bergen_loop.logs.configure", lambda **_how: None)
    path = tmp_path / "c.yaml"
    database = f"sqlite:///{tmp_path}/ledger.db"
    secret = tmp_path / "key"
    secret.write_text("key")
    secret.chmod(0o600)
    path.write_text(
        f"service: {{database: '{database}'}}\n"
        "brands:\n  acme:\n    name: Acme\n    warehouse: embedded\n"
        f"    loop: {{api_key: 'file:{secret}'}}\n"
    )
    ledger = empty_ledger(tmp_path / "ledger.db")
    for number, attempt in enumerate(
        (Attempt(0.1, 204), Attempt(0.1, 503, "HTTP 503: it did not take the event", True)), 1
    ):
        with ledger.write() as session:
            row = OutboxRow(
                brand="acme", event_id=f"evt_{number}_seen", type="return.seen", body="{}",
                state="pending", created_at=NOW, next_at=NOW,
            )  # fmt: skip
            session.add(row)
            session.flush()
            outbox.record(session, row.id, attempt, NOW)
    ledger.close()
    return path


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["events", *arguments])
    return done.exit_code, done.output


def test_deliveries_are_listed_with_how_they_went(config: Path) -> None:
    code, output = run("deliveries", "-c", str(config), "--json")
    assert code == 0
    listed = json.loads(output)
    assert [(e["event"], e["state"], e["last_status"]) for e in listed["events"]] == [
        ("evt_2_seen", "pending", 503),
        ("evt_1_seen", "delivered", 204),
    ]
    (endpoint,) = listed["endpoints"]
    assert endpoint["last_error"] == "HTTP 503: it did not take the event"


@pytest.mark.parametrize(
    ("options", "events"),
    [
        (["--state", "pending"], ["evt_2_seen"]),
        (["--state", "given_up"], []),
        (["--brand", "acme", "--limit", "1"], ["evt_2_seen"]),
        (["--brand", "other"], []),
    ],
)
def test_they_can_be_narrowed(config: Path, options: list[str], events: list[str]) -> None:
    _, output = run("deliveries", "-c", str(config), "--json", *options)
    assert [e["event"] for e in json.loads(output)["events"]] == events


def test_the_table_says_why(config: Path) -> None:
    code, output = run("deliveries", "-c", str(config))
    assert code == 0
    assert "does not answer since 2026-11-24 12:00:00" in output


def test_an_unknown_state_is_refused(config: Path) -> None:
    code, output = run("deliveries", "-c", str(config), "--state", "lost")
    assert code == 2
    assert "pending, delivered, given_up" in output


def test_an_event_is_sent_again_under_its_id(config: Path, tmp_path: Path) -> None:
    code, _ = run("resend", "evt_1_seen", "-b", "acme", "-c", str(config))
    assert code == 0
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    with ledger.read() as session:
        assert outbox.brands_due(session, ["acme"], datetime.now(UTC)) == ["acme"]
        due = outbox.due(session, "acme", datetime.now(UTC), 10)
        assert "evt_1_seen" in [row.event_id for row in due]
    ledger.close()
    code, output = run("resend", "evt_9_seen", "-b", "acme", "-c", str(config))
    assert code == 1
    assert "no event evt_9_seen" in output
