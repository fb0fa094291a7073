"""A brand's week, told to its people once a week by mail or chat: what was paid, what is held, what
was flagged and why, and which products came short or damaged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation

import structlog

from bergen_loop.config import BrandSettings, Settings
from bergen_loop.config.operations import WeeklySettings
from bergen_loop.domain.returns import Moment
from bergen_loop.ledger.database import Ledger, Session
from bergen_loop.ledger.read.month import Month, held, month, settled
from bergen_loop.ledger.store import cursors
from bergen_loop.tell.alerts import Send, sender
from bergen_loop.text import shortened, visible

WEEK = timedelta(days=7)
CURSOR = "weekly"
NAMED = 10
"""Rules and products that are named."""

log = structlog.get_logger()


def tell_due(ledger: Ledger, settings: Settings, now: datetime, send: Send | None = None) -> int:
    """Tell the brands whose time has come; those that could not be told are tried again with the
    next round. How many were told."""
    told = 0
    for brand, one in settings.brands.items():
        if one.weekly is None or not _due(ledger, brand, one.weekly, now):
            continue
        with ledger.read() as session:
            text = words(session, brand, one, now, settings.service.public_url)
        title = f"{one.name}: returns in the week to {now:%B} {now.day}"
        if (send or sender(one.weekly.urls))(title, text):
            with ledger.write() as session:
                cursors.set(session, brand, CURSOR, now)
            log.info("week told", brand=brand)
            told += 1
    return told


def _due(ledger: Ledger, brand: str, weekly: WeeklySettings, now: datetime) -> bool:
    """On its day from its hour on (UTC), once."""
    if now.weekday() != weekly.weekday or now.hour < weekly.hour:
        return False
    with ledger.read() as session:
        last = cursors.get(session, brand, CURSOR)
    return last is None or now - last > timedelta(days=1)


def words(
    session: Session, brand: str, settings: BrandSettings, now: datetime, url: str | None
) -> str:
    """The message."""
    found = month(session, [brand], now, days=7)
    processed, flagged = settled(session, brand, now - WEEK)
    waiting = held(session, brand)
    received = sum(found.moments[Moment.RECEIVED].values())
    lines = [
        f"{received} received by the warehouse.",
        f"{len(processed)} processed in Loop{_money(processed)}.",
        f"{len(flagged)} flagged in Loop{_money(flagged)}.",
        f"{len(waiting)} held until a person has decided{_money(waiting)}.",
        *(f"Half were settled within {_span(t.median_hours)} of the receipt."
          for t in found.took),
        *_lists(found),
    ]  # fmt: skip
    if url:
        lines += ["", f"{url.rstrip('/')}/trends?brand={brand}"]
    return "\n".join(lines)


def _lists(found: Month) -> list[str]:
    lines: list[str] = []
    if found.rules:
        lines += ["", "Flagged by:"]
        lines += [f"- {_plain(rule)}: {number}" for _, rule, number in found.rules[:NAMED]]
    if found.skus:
        lines += ["", "Short or damaged:"]
        lines += [
            f"- {_plain(s.sku)}: {s.short} short, {s.damaged} damaged" for s in found.skus[:NAMED]
        ]
    return lines


def _plain(text: str) -> str:
    return visible(shortened(text, 100))


def _money(rows: Sequence[tuple[str | None, str | None]]) -> str:
    """` (3,120.00 USD)`, by currency; what is not known is said to be so."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    unknown = 0
    for total, currency in rows:
        try:
            sums[_plain(currency or "?")] += Decimal(total or "")
        except InvalidOperation:
            unknown += 1
    amounts = [f"{amount:,.2f} {currency}" for currency, amount in sorted(sums.items()) if amount]
    amounts += [f"{unknown} of unknown value"] if unknown else []
    return f" ({', '.join(amounts)})" if amounts else ""


def _span(hours: float) -> str:
    return f"{hours:.1f} hours" if hours < 72 else f"{hours / 24:.1f} days"
