"""From configuration to what the flows work with."""

from __future__ import annotations

from dataclasses import replace
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
from bergen_loop.outside.http import Around, OnCall, Retries, Timeouts, limiter_for
from bergen_loop.outside.loop.client import LoopClient, LoopConfig
from bergen_loop.outside.warehouse.floor.warehouse import EmbeddedWarehouse
from bergen_loop.outside.warehouse.port import WarehousePort
from bergen_loop.outside.warehouse.rex11 import AuthSigns, Rex11Config, Rex11Warehouse
from bergen_loop.outside.warehouse.rex11.adapter import (
    CloseStrategy,
    ConfirmFinished,
    FileDrop,
    HttpCall,
)
from bergen_loop.tell.calls import Calls, observer


def connect(brand: str, settings: BrandSettings, ledger: Ledger, folder: Path) -> BrandContext:
    """A brand's context. `folder` is where relative paths of its settings start.
    Raises ConfigError for settings or criteria that cannot be used."""
    breakers, counts, calls = Breakers(), Counts(), Calls(settings.calls)
    on_call = observer(counts.add, calls.add)
    try:
        loop = _guarded_loop(brand, settings, ledger, breakers.loop, on_call)
        warehouse = _warehouse(brand, settings, ledger, breakers.rex11, on_call)
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
        calls=calls,
    )


def _guarded_loop(
    brand: str, settings: BrandSettings, ledger: Ledger, guard: Guard, on_call: OnCall
) -> LoopClient:
    key = settings.loop.api_key.get_secret_value()
    limiter = shared_limiter(ledger, key, settings.loop.calls_per_minute)
    return loop_client(brand, settings, around=Around(limiter, guard, on_call))


def _warehouse(
    brand: str, settings: BrandSettings, ledger: Ledger, guard: Guard, on_call: OnCall
) -> WarehousePort:
    if settings.warehouse == "embedded":
        return EmbeddedWarehouse(brand, ledger)
    return rex11_warehouse(brand, settings, around=Around(guard=guard, on_call=on_call))


def loop_client(
    brand: str,
    settings: BrandSettings,
    retries: Retries | None = None,
    around: Around | None = None,
) -> LoopClient:
    """The brand's Loop client; by default it shares the limiter of everything in this process
    that uses its key. ValueError, without the key, for one that cannot be a key."""
    loop, around = settings.loop, around or Around()
    key = loop.api_key.get_secret_value()
    config = LoopConfig(
        base_url=loop.base_url,
        version=loop.version,
        timeouts=Timeouts(read=loop.timeout.total_seconds()),
        time_format=loop.date_format,
    )
    if retries is not None:
        config = replace(config, retries=retries)
    limiter = around.limiter or limiter_for(key, loop.calls_per_minute)
    return LoopClient(brand, key, config, replace(around, limiter=limiter))


def rex11_warehouse(
    brand: str,
    settings: BrandSettings,
    retries: Retries | None = None,
    around: Around | None = None,
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
    told = Around(on_call=around.on_call) if around else None
    return Rex11Warehouse(brand, config, around, close_strategy=_close_strategy(settings, told))


def _close_strategy(settings: BrandSettings, around: Around | None) -> CloseStrategy:
    close = settings.rex11.close
    if close.strategy == "file" and close.folder:
        return FileDrop(close.folder)
    if close.strategy == "http" and close.url:
        headers = {name: value.get_secret_value() for name, value in close.headers.items()}
        return HttpCall(close.url, close.method, headers, around)
    return ConfirmFinished()


def is_behind(row: BrandRow) -> bool:
    """Whether its last sync left work over that is to go on at once."""
    if row.next_due_at is None or row.last_sync_finished_at is None:
        return False
    return bool(row.last_sync_ok) and row.next_due_at - row.last_sync_finished_at <= tick.BREATH


def is_due(now: datetime, next_due_at: datetime | None, nudged_at: datetime | None) -> bool:
    """Whether a brand is to be synced now."""
    return next_due_at is None or min(next_due_at, nudged_at or next_due_at) <= now
