"""Calling people: once when a cause has come, once when it has gone.

Evaluated by the engine every minute, on one machine. What is open, and whether people were
told, is in the ledger: a restart, another machine or a mail server that is down for an hour
neither repeats a message nor swallows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic import SecretStr

from bergen_loop.config import Settings
from bergen_loop.ledger.database import Ledger, Session
from bergen_loop.ledger.read import snapshot
from bergen_loop.ledger.store import alerts as kept
from bergen_loop.ledger.store import cursors
from bergen_loop.ledger.tables.operations import AlertRow
from bergen_loop.outside.breaker import TITLES
from bergen_loop.tell import rules
from bergen_loop.tell.rules import FLAGS, KINDS, Finding
from bergen_loop.text import shortened, visible, visible_lines

FLAG_RATE_EVERY = timedelta(hours=1)
_KINDS = {kind.name: kind for kind in KINDS}
ALL_BRANDS = ""
MOST = 8000
"""Characters of one message: a cause of hundreds of brands must not make it one that no mail
server takes."""

log = structlog.get_logger()

Send = Callable[[str, str], bool]
"""Sends (title, text) to everyone; whether it certainly went out."""


def evaluate(ledger: Ledger, settings: Settings, now: datetime, send: Send | None = None) -> int:
    """One round: note what has come and gone, then tell people. The number of open alerts."""
    alerts = settings.service.alerts
    with ledger.read() as session:
        figures = snapshot.take(session, list(settings.brands), now)
        found = rules.findings(rules.look(session, settings, figures))
    with ledger.write() as session:
        _note(session, found, now, lambda row: row.kind != FLAGS.name)
        if alerts.flag_rate and _flags_due(session, now):
            shares = _flag_rates(session, settings, now)
            _note(session, shares, now, lambda row: row.kind == FLAGS.name)
    return _tell(ledger, settings, now, send or sender(alerts.urls))


# -- noting -------------------------------------------------------------------------------------


def _note(
    session: Session,
    found: Sequence[Finding],
    now: datetime,
    mine: Callable[[AlertRow], bool],
) -> None:
    """Open what is new, refresh what is still there, resolve what has gone."""
    rows = {
        (row.kind, row.open_key): row
        for row in kept.unfinished(session)
        if row.resolved_at is None and mine(row)
    }
    for finding in found:
        row = rows.pop((finding.kind.name, finding.key), None)
        if row is None:
            row = kept.open_one(session, now, finding.kind.name, finding.key, finding.brand)
        row.detail = finding.detail
        seen: list[str] = row.data.get("brands", [])
        row.data = {
            "hold_seconds": finding.hold.total_seconds(),
            "subject": finding.key,
            "brands": sorted({*seen, *finding.brands}),
        }
    for row in rows.values():
        kept.resolve(row, now)


def _flags_due(session: Session, now: datetime) -> bool:
    looked = cursors.get(session, ALL_BRANDS, FLAGS.name)
    if looked is not None and now - looked < FLAG_RATE_EVERY:
        return False
    cursors.set(session, ALL_BRANDS, FLAGS.name, now)
    return True


def _flag_rates(session: Session, settings: Settings, now: datetime) -> list[Finding]:
    looked = (rules.flag_rate(session, brand, now) for brand in settings.brands)
    return [finding for finding in looked if finding is not None]


# -- telling ------------------------------------------------------------------------------------


def _tell(ledger: Ledger, settings: Settings, now: datetime, send: Send) -> int:
    with ledger.read() as session:
        rows = kept.unfinished(session)
    fresh = [r for r in rows if r.resolved_at is None and r.sent_at is None and _ripe(r, now)]
    gone = [r for r in rows if r.resolved_at is not None and r.recovery_sent_at is None]
    for kind in KINDS:
        _tell_come(ledger, settings, now, send, [r for r in fresh if r.kind == kind.name])
        _tell_gone(ledger, now, send, [r for r in gone if r.kind == kind.name])
    return sum(1 for row in rows if row.resolved_at is None)


def _ripe(row: AlertRow, now: datetime) -> bool:
    hold: dict[str, Any] = row.data
    return now - row.since >= timedelta(seconds=float(hold.get("hold_seconds", 0)))


def _tell_come(
    ledger: Ledger, settings: Settings, now: datetime, send: Send, rows: Sequence[AlertRow]
) -> None:
    """One message for all brands that have one kind: a cause common to all is one alarm."""
    if not rows:
        return
    kind = rows[0].kind
    lines = [f"{_of(row)}{visible(shortened(row.detail))}" for row in rows]
    lines += ["", f"Severity: {_KINDS[kind].severity}"]
    if settings.service.public_url:
        lines.append(f"Where: {settings.service.public_url.rstrip('/')}{_KINDS[kind].path}")
    text = "\n".join([*lines, f"What to do: {settings.service.alerts.guide}#{kind}"])
    for row in rows:
        log.warning("alert", kind=kind, brand=row.brand, detail=row.detail)
    if send(f"bergen-loop: {_KINDS[kind].title} ({_brands(rows)})", text):
        with ledger.write() as session:
            kept.told(session, rows, now)


def _tell_gone(ledger: Ledger, now: datetime, send: Send, rows: Sequence[AlertRow]) -> None:
    if not rows:
        return
    kind = rows[0].kind
    text = "\n".join(f"{_of(row)}over; it began {row.since:%Y-%m-%d %H:%M} UTC" for row in rows)
    for row in rows:
        log.info("alert over", kind=kind, brand=row.brand)
    if send(f"bergen-loop: recovered: {_KINDS[kind].title} ({_brands(rows)})", text):
        with ledger.write() as session:
            kept.told_gone(session, rows, now)


def _brands(rows: Sequence[AlertRow]) -> str:
    if len(rows) == 1 or rows[0].brand is None:
        return ", ".join(_subject(row) for row in rows)
    return f"{len(rows)} brands"


def _of(row: AlertRow) -> str:
    """Whose line it is; an incident's sentence says it by itself."""
    if row.brand:
        return f"{row.brand}: "
    return f"{_subject(row)}: " if row.resolved_at else ""


def _subject(row: AlertRow) -> str:
    """The brand, or the system that an incident is about."""
    name = row.brand or str(row.data.get("subject", ""))
    return TITLES.get(name, name)


def sender(urls: Sequence[SecretStr]) -> Send:
    """Send by Apprise, each address for itself: it counts as sent when one of them took it. With
    no address at all an alert is only logged and kept."""

    def send(title: str, text: str) -> bool:
        sent = [_to_one(url.get_secret_value(), title, text) for url in urls]
        # An address is a secret: it is named by its place in the list.
        failed = [number for number, ok in enumerate(sent, 1) if not ok]
        if failed:
            log.error("alert not sent", addresses=failed, title=title, again=not any(sent))
        return any(sent) or not sent

    return send


def _to_one(url: str, title: str, text: str) -> bool:
    """The one way to mail and chat: plain text. Declared as such, so that a service that takes
    HTML or Markdown gets it escaped."""
    import apprise  # it takes long to load, and is seldom needed

    sender: Any = apprise.Apprise()  # its types are partly unknown
    return bool(
        sender.add(url)
        and sender.notify(
            title=visible(title),
            body=visible_lines(shortened(text, MOST)),
            body_format=apprise.NotifyFormat.TEXT,
        )
    )
