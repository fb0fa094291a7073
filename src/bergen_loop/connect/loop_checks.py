"""Harmless calls to Loop: does the key work, what may it do, what do recent returns look like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bergen_loop.connect.check import Check, Status
from bergen_loop.connect.faults import loop_fault
from bergen_loop.domain.announce import AnnounceRules
from bergen_loop.domain.returns import Return
from bergen_loop.outside.errors import NotFound, OutsideError
from bergen_loop.outside.loop.client import LoopClient
from bergen_loop.outside.loop.models import Subscription

KEY, WEBHOOK_SCOPE = "Loop API key, scope Returns", "Loop API key, scope Developer Tools"
SHOP = "Loop API key, the same shop"
RETURNS, DESTINATIONS = "Recent returns in Loop", "Destinations"
DAYS = 14
MAX_PAGES = 4


def check_key(loop: LoopClient, now: datetime) -> Check:
    """List the last day's returns."""
    try:
        page = next(loop.list_returns(now - timedelta(days=1), now, page_size=1))
    except OutsideError as error:
        return loop_fault(KEY, error, "Returns")
    some = "with returns in it" if page.listed else "with no returns in it"
    return Check(KEY, Status.OK, f"it works: Loop lists the last day, {some}")


def check_same_shop(loop: LoopClient, return_id: str) -> Check:
    """Look up a return that is known to be the brand's."""
    try:
        loop.details(return_id)
    except NotFound:
        return Check(
            SHOP,
            Status.FAILED,
            f"it does not show return {return_id}, which this brand has: the key is another shop's",
            "Ask the brand's Loop admin for a key of this very shop; connect another shop as "
            "another brand",
        )
    except OutsideError as error:
        return loop_fault(SHOP, error, "Returns")
    return Check(SHOP, Status.OK, "it is the key of the same shop")


def check_webhook_scope(loop: LoopClient) -> tuple[Check, list[Subscription]]:
    """List the webhook subscriptions."""
    try:
        found = loop.webhooks()
    except OutsideError as error:
        return loop_fault(WEBHOOK_SCOPE, error, "Developer Tools"), []
    count = f"{len(found)} webhook subscription(s) of all integrations"
    return Check(WEBHOOK_SCOPE, Status.OK, f"it works: Loop lists {count}"), found


@dataclass(frozen=True, slots=True)
class Recent:
    """The returns of the last `DAYS` days, as far as they were read."""

    returns: tuple[Return, ...] = ()
    destination_names: Mapping[str, str] | None = None


def check_returns(loop: LoopClient, now: datetime) -> tuple[Check, Recent]:
    """Read the open, closed and expired returns created in the last `DAYS` days."""
    found: list[Return] = []
    problems: list[str] = []
    whole = False
    try:
        pages = loop.list_returns(now - timedelta(days=DAYS), now, filter="created_at")
        for number, page in enumerate(pages, start=1):
            found.extend(p.value for p in page.returns if p.value)
            problems.extend(f"{p.return_id or '?'}: {p.problem}" for p in page.returns if p.problem)
            if number == MAX_PAGES:
                break
        else:
            whole = True
    except OutsideError as error:
        return loop_fault(RETURNS, error, "Returns"), Recent()
    much = "" if whole else " (the first ones only)"
    text = f"{len(found)} return(s) in {DAYS} days{much}"
    recent = Recent(tuple(found), _destination_names(loop, now) if found else None)
    if problems:
        ask = "Send these lines to whoever maintains bergen-loop: such returns would need a person"
        text += f"; {len(problems)} cannot be understood"
        return Check(RETURNS, Status.WARNING, text, ask, tuple(problems)), recent
    return Check(RETURNS, Status.OK, text), recent


def _destination_names(loop: LoopClient, now: datetime) -> dict[str, str]:
    """Loop names destinations in its ASN report only; without it people see ids."""
    try:
        rows = loop.asn_report((now - timedelta(days=DAYS)).date(), now.date())
    except OutsideError:
        return {}
    return {
        r.destination_id: r.destination_name
        for r in rows
        if r.destination_id and r.destination_name
    }


def unmapped(returns: Sequence[Return], rules: AnnounceRules) -> dict[str, int]:
    """Destination ids of returns that the settings do not name, with how many returns."""
    seen = Counter(r.destination_id for r in returns if r.destination_id)
    return {i: n for i, n in seen.most_common() if i not in rules.destinations}


def check_destinations(recent: Recent, rules: AnnounceRules) -> Check:
    """Is it known for every destination which warehouse it is?"""
    names = recent.destination_names or {}
    seen = Counter(r.destination_id for r in recent.returns if r.destination_id)
    open_ = unmapped(recent.returns, rules)
    unmapped_goes = (
        "not mapped: its returns wait for a person"
        if rules.destinations
        else f"not mapped, so {rules.warehouse}"
    )
    details = tuple(
        f"{i} ({names.get(i, 'name unknown')}): {n} return(s), "
        + (unmapped_goes if i in open_ else (rules.destinations[i] or "not Bergen: left alone"))
        for i, n in seen.most_common()
    )
    if not seen:
        text = f"recent returns name none: all go to {rules.warehouse}"
        return Check(DESTINATIONS, Status.OK if recent.returns else Status.UNKNOWN, text)
    if not open_:
        return Check(DESTINATIONS, Status.OK, f"all {len(seen)} are mapped", details=details)
    ids = ", ".join(open_)
    return Check(
        DESTINATIONS,
        Status.WARNING,
        f"{len(open_)} of {len(seen)} not mapped ({ids}): their returns "
        + ("wait for a person" if rules.destinations else f"go to {rules.warehouse}"),
        "Ask the brand's Loop admin which of them are Bergen's warehouses; then write each under "
        "announce.destinations (the warehouse, or null for one that is not Bergen's)",
        details,
    )
