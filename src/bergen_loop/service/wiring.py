"""From configuration to what the flows work with."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from bergen_loop.config import BrandSettings, ConfigError, Problem
from bergen_loop.config.criteria import criteria
from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext, Counts
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import BrandRow
from bergen_loop.outside.breaker import Breakers, Guard
from bergen_loop.outside.budget import shared_limiter
from bergen_loop.outside.http import OnCall, Retries, Timeouts, Transport
from bergen_loop.outside.limiter import RateLimiter, limiter_for
from bergen_loop.outside.loop.client import LoopClient
from bergen_loop.outside.warehouse.floor.warehouse import EmbeddedWarehouse
from bergen_loop.outside.warehouse.port import WarehousePort
from bergen_loop.outside.warehouse.rex11 import AuthSigns, Rex11Config, Rex11Warehouse
from bergen_loop.outside.warehouse.rex11.close import (
    CloseStrategy,
    ConfirmFinished,
    FileDrop,
    HttpCall,
)
from bergen_loop.tell.calls import observer


def connect(brand: str, settings: BrandSettings, ledger: Ledger, folder: Path) -> BrandContext:
    """A brand's context. `folder` is where relative paths of its settings start.
    Raises ConfigError for settings or criteria that cannot be used."""
    breakers, counts = Breakers(), Counts()
    try:
        loop = _guarded_loop(brand, settings, ledger, breakers.loop, counts)
        warehouse = _warehouse(brand, settings, ledger, breakers.rex11, counts)
    except ValueError as error:
        problem = Problem(
            "(configuration)", 1, 1, f"brands.{brand}", str(error), "correct this setting"
        )
        raise ConfigError([problem]) from None
    return BrandContext(
        brand=brand,
        settings=settings,
        ledger=ledger,
        loop=loop,
        warehouse=warehouse,
        criteria=criteria(brand, settings, folder),
        breakers=breakers,
        counts=counts,
    )


def _guarded_loop(
    brand: str, settings: BrandSettings, ledger: Ledger, guard: Guard, counts: Counts
) -> LoopClient:
    key = settings.loop.api_key.get_secret_value()
    limiter = shared_limiter(ledger, key, settings.loop.calls_per_minute)
    on_call = observer(counts.add)
    return loop_client(brand, settings, limiter=limiter, guard=guard, on_call=on_call)


def _warehouse(
    brand: str, settings: BrandSettings, ledger: Ledger, guard: Guard, counts: Counts
) -> WarehousePort:
    if settings.warehouse == "embedded":
        return EmbeddedWarehouse(brand, ledger)
    on_call = observer(counts.add)
    return rex11_warehouse(brand, settings, guard=guard, on_call=on_call)


def loop_client(
    brand: str,
    settings: BrandSettings,
    retries: Retries | None = None,
    *,
    limiter: RateLimiter | None = None,
    guard: Guard | None = None,
    on_call: OnCall | None = None,
    transport: Transport | None = None,
) -> LoopClient:
    """The brand's Loop client; by default it shares the limiter of everything in this process
    that uses its key. ValueError, without the key, for one that cannot be a key."""
    key = settings.loop.api_key.get_secret_value()
    return LoopClient(
        brand=brand,
        api_key=key,
        base_url=settings.loop.base_url,
        version=settings.loop.version,
        limiter=limiter or limiter_for(key, settings.loop.calls_per_minute),
        guard=guard,
        on_call=on_call,
        timeouts=Timeouts(read=settings.loop.timeout.total_seconds()),
        retries=retries,
        transport=transport,
        time_format=settings.loop.date_format,
    )


def rex11_warehouse(
    brand: str,
    settings: BrandSettings,
    retries: Retries | None = None,
    *,
    guard: Guard | None = None,
    on_call: OnCall | None = None,
    transport: Transport | None = None,
) -> Rex11Warehouse:
    """The brand's REX11 account. ValueError for one that cannot be right."""
    rex11 = settings.rex11
    config = Rex11Config(
        endpoint=rex11.endpoint,
        web_address=rex11.web_address,
        user_name=rex11.user_name,
        password=rex11.password.get_secret_value(),
        zone=rex11.time_zone,
        timeouts=Timeouts(read=rex11.timeout.total_seconds()),
        retries=retries or Retries(),
        statuses_date_type=rex11.statuses_date_type,
        window_precision=rex11.window_precision,
        auth_signs=AuthSigns(tuple(rex11.auth_signs.patterns), frozenset(rex11.auth_signs.codes)),
        nothing_found_codes=frozenset(rex11.nothing_found_codes),
        shipment_type=rex11.shipment_type,
        confirm_no_ticket=rex11.confirm_no_ticket,
        inventory_batch=rex11.inventory_batch,
    )
    return Rex11Warehouse(
        brand,
        config,
        close_strategy=_close_strategy(settings, on_call),
        guard=guard,
        on_call=on_call,
        transport=transport,
    )


def _close_strategy(settings: BrandSettings, on_call: OnCall | None) -> CloseStrategy:
    close = settings.rex11.close
    if close.strategy == "file" and close.folder:
        return FileDrop(close.folder)
    if close.strategy == "http" and close.url:
        headers = {name: value.get_secret_value() for name, value in close.headers.items()}
        return HttpCall(close.url, close.method, headers, on_call=on_call)
    return ConfirmFinished()


def is_behind(row: BrandRow) -> bool:
    """Whether its last sync left work over that is to go on at once."""
    if row.next_due_at is None or row.last_sync_finished_at is None:
        return False
    return bool(row.last_sync_ok) and row.next_due_at - row.last_sync_finished_at <= tick.BREATH


def is_due(now: datetime, next_due_at: datetime | None, nudged_at: datetime | None) -> bool:
    """Whether a brand is to be synced now."""
    return next_due_at is None or min(next_due_at, nudged_at or next_due_at) <= now
