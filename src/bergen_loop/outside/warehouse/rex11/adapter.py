"""REX11 as the warehouse of the flows.

REX11 has no operation that closes or cancels a ticket: the warehouse finishes it by bringing it
to AddedToInventory or Cancelled. How an installation closes is therefore a strategy, chosen by
configuration.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

import structlog

from bergen_loop.domain.codes import normal_code, normal_upc
from bergen_loop.domain.rma import (
    CloseEvidence,
    Product,
    ProductImport,
    TicketChange,
    TicketStatus,
    WarehouseProduct,
)
from bergen_loop.outside.errors import (
    NotFound,
    OutsideError,
    Refused,
    Scope,
    Unauthorized,
    Unavailable,
)
from bergen_loop.outside.http import (
    Answer,
    Around,
    Connection,
    Limits,
    Request,
    secret_parts,
)
from bergen_loop.outside.warehouse.rex11.call import Call
from bergen_loop.outside.warehouse.rex11.client import Rex11Client
from bergen_loop.outside.warehouse.rex11.config import Rex11Config, check_url
from bergen_loop.outside.warehouse.rex11.requests import upc_doubt
from bergen_loop.outside.warehouse.rex11.responses import InventoryItem, read_quantity

_GTIN_SIZES = (8, 12, 13, 14)
_TRIED, _MOST_PARTS = 4, 24
"""Parts of a batch of codes that are asked for before it is taken for a matter of the service, and
at most."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("bergen_loop.rex11")


class Rex11Warehouse(Rex11Client):
    """`WarehousePort` for one brand's REX11 account. Thread-safe."""

    create_rma = Rex11Client.receiving_ticket_add
    find_rmas = Rex11Client.get_receiving_tickets_by_po
    receipt = Rex11Client.get_receiving_ticket_object_by_ticket_no

    def __init__(
        self,
        brand: str,
        config: Rex11Config,
        around: Around | None = None,
        *,
        close_strategy: CloseStrategy | None = None,
    ) -> None:
        super().__init__(brand, config, around)
        self._strategy: CloseStrategy = close_strategy or ConfirmFinished()

    def products(self, upcs: Sequence[str]) -> dict[str, WarehouseProduct]:
        """Those with an inventory line, by GetInventoryByUPCs in batches of the config's size.
        A GTIN is asked for in every number of leading zeros it may have there. A batch REX11
        refuses proves nothing about its UPCs, so none of it is returned."""
        wanted = [u for u in dict.fromkeys(upcs) if normal_upc(u) and not upc_doubt(u)]
        found: dict[str, WarehouseProduct] = {}
        for start in range(0, len(wanted), self.config.inventory_batch):
            batch = wanted[start : start + self.config.inventory_batch]
            lines = self._lines(batch)
            for upc in batch:
                if product := as_product(upc, lines):
                    found[upc] = product
        return found

    def product_import(self, upc: str) -> ProductImport:
        """By GetStyleMasterProductAddStatus. An import that failed may have failed because the
        product is there (REX11 says so in words), so then the inventory is asked. A GTIN that is
        not known as it is spelled is asked for with other leading zeros."""
        state = self.get_style_master_product_add_status(upc)
        if state is ProductImport.UNKNOWN:
            others = map(self.get_style_master_product_add_status, spellings(upc)[1:])
            state = next((s for s in others if s is not ProductImport.UNKNOWN), state)
        if state is ProductImport.FAILED and self.products([upc]):
            return ProductImport.KNOWN
        return state

    def add_products(self, products: Sequence[Product]) -> None:
        """By StyleMasterProductAdd; nothing is sent for no products."""
        if products:
            self.style_master_product_add(products)

    def changed_tickets(self, since: datetime, until: datetime) -> list[TicketChange]:
        """By GetReceivingStatusesByDate, or ...Configurable where a date type is configured.
        The window is rounded outwards to whole minutes (or days) of warehouse time."""
        date_type = self.config.statuses_date_type
        if date_type is None:
            return self.get_receiving_statuses_by_date(since, until)
        return self.get_receiving_statuses_by_date_configurable(since, until, date_type)

    def close_rma(
        self, ticket_id: str, last_status: TicketStatus | None, observed_at: datetime | None
    ) -> CloseEvidence:
        """By the configured strategy, since REX11 has no call that closes a ticket; once the
        warehouse has finished it: until then its parcel may be under way."""
        finished = ConfirmFinished().close(self.brand, ticket_id, last_status, observed_at)
        if not finished.closed:
            return finished
        return self._strategy.close(self.brand, ticket_id, last_status, observed_at)

    def _lines(self, batch: Sequence[str]) -> list[InventoryItem]:
        """The inventory of a batch. Where a code in it brings about a fault, or an answer without
        sense, it is found by halves, and the others are known; where no part gets an answer, it
        is no matter of codes: raises OutsideError."""
        parts, lines, asked = [batch], list[InventoryItem](), 0
        answered, failed = False, None
        while parts and asked < _MOST_PARTS:
            part, asked = parts.pop(), asked + 1
            try:
                lines += self._inventory(part)
                answered = True
            except OutsideError as error:
                failed = error
                if error.scope is not Scope.CALL or (asked == _TRIED and not answered):
                    raise
                if len(part) > 1:
                    parts += [part[: len(part) // 2], part[len(part) // 2 :]]
        if failed is not None and not answered:
            raise failed
        return lines

    def _inventory(self, upcs: Sequence[str]) -> list[InventoryItem]:
        """Asked for in every spelling; where REX11 refuses that, as the shop spells them."""
        stripped = [upc.strip() for upc in upcs]
        every = list(dict.fromkeys(s for upc in upcs for s in spellings(upc)))
        for asked in (every, stripped) if every != stripped else (every,):
            try:
                return self.get_inventory_by_upcs(asked)
            except Refused as error:
                log.warning("rex11.inventory_refused", brand=self.brand, problem=str(error))
        return []


def spellings(upc: str) -> list[str]:
    """The UPC as it is, without leading zeros, and filled up to each length of a GTIN: shops and
    warehouses differ in the zeros they keep. Codes too short or long for one have one spelling."""
    given = upc.strip()
    bare = given.lstrip("0")
    if not (given.isascii() and given.isdigit() and 8 <= len(given) <= 14 and bare):
        return [given]
    filled = [bare.zfill(size) for size in _GTIN_SIZES if size >= len(bare)]
    return list(dict.fromkeys([given, bare, *filled]))


def as_product(upc: str, lines: Sequence[InventoryItem]) -> WarehouseProduct | None:
    """What the lines of this UPC (one for each warehouse) say of it together; None if there are
    none. Lines spelled exactly alike come before those that differ in leading zeros."""
    exact = [x for x in lines if normal_code(x.upc) == normal_code(upc)]
    mine = exact or [x for x in lines if x.upc and normal_upc(x.upc) == normal_upc(upc)]
    if not mine:
        return None
    units = [read_quantity(x.actual_quantity, "ActualQuantity")[0] for x in mine]
    return WarehouseProduct(
        upc=mine[0].upc or upc,
        sku=_agreed(mine, lambda x: x.sku),
        style=_agreed(mine, lambda x: x.style),
        color=_agreed(mine, lambda x: x.color),
        size=_agreed(mine, lambda x: x.size),
        description=_agreed(mine, lambda x: x.description),
        price=_price(_agreed(mine, lambda x: x.price)),
        on_hand=None if None in units else sum(u for u in units if u),
    )


def _agreed(
    lines: Sequence[InventoryItem], field: Callable[[InventoryItem], str | None]
) -> str | None:
    """The value of the lines that have one; None where they differ."""
    values = [value for x in lines if (value := field(x))]
    return values[0] if len({normal_code(value) for value in values}) == 1 else None


def _price(text: str | None) -> Decimal | None:
    try:
        price = Decimal(text or "")
    except InvalidOperation:
        return None
    return price if price.is_finite() and price >= 0 else None


# -- closing an RMA ----------------------------------------------------------------------------

_MAX_BYTES = 1_000_000

Clock = Callable[[], datetime]


class CloseStrategy(Protocol):
    """One way to close an RMA. `closed` is True only where that is certain; errors are
    WarehouseErrors. Called again for the same ticket it does no harm."""

    def close(
        self,
        brand: str,
        ticket_id: str,
        last_status: TicketStatus | None,
        observed_at: datetime | None,
    ) -> CloseEvidence:
        """Close the RMA, or say why it counts as closed, or as not closed."""
        ...


class ConfirmFinished:
    """Default: closed as soon as the warehouse has finished the ticket. Asks and sends nothing."""

    def close(
        self,
        brand: str,
        ticket_id: str,
        last_status: TicketStatus | None,
        observed_at: datetime | None,
    ) -> CloseEvidence:
        """By the status last seen."""
        when = (
            f" at {observed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
            if observed_at
            else " at an unrecorded time"
        )
        if last_status is None:
            return CloseEvidence(False, f"No status of ticket {ticket_id} is known yet", None)
        seen = f"REX11 showed ticket {ticket_id} as {last_status.value}{when}"
        if last_status.finished:
            return CloseEvidence(True, seen, observed_at)
        return CloseEvidence(False, f"{seen}: the warehouse has not finished it", observed_at)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class FileDrop:
    """For installations that take closes as files: `<brand>_<ticket>.json` in `folder`, holding
    ticket, brand and time. A file appears whole or not at all; one that is there stays."""

    def __init__(self, folder: Path, clock: Clock = _utc_now) -> None:
        self._folder = folder
        self._clock = clock

    def close(
        self,
        brand: str,
        ticket_id: str,
        last_status: TicketStatus | None,
        observed_at: datetime | None,
    ) -> CloseEvidence:
        """Drop the file. Unavailable if it cannot be written."""
        now = self._clock()
        # An underscore is escaped too, so that two pairs never share a name.
        brand_part, ticket_part = (
            quote(part, safe="").replace("_", "%5F") for part in (brand, ticket_id)
        )
        target = self._folder / f"{brand_part}_{ticket_part}.json"
        try:
            fresh = self._write(target, _close_notice(brand, ticket_id, now))
        except OSError as error:
            call = Call(brand, "FileDrop", ticket_id)
            message = f"{target.name} was not written to the close folder: {error.strerror}"
            raise call.error(Unavailable, message) from error
        if fresh:
            return CloseEvidence(True, f"Close file {target.name} dropped", now)
        return CloseEvidence(True, f"Close file {target.name} was there already", now)

    def _write(self, target: Path, content: bytes) -> bool:
        if target.exists():
            return False
        temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(target.parent)
        return True


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class HttpCall:
    """For installations with a close endpoint of their own.

    `url` may hold `{ticket}` and `{brand}` after the host, which is fixed; they are put in
    percent-encoded. POST, PUT and PATCH send the JSON {ticket, brand, time}. Any 2xx is a
    close. The endpoint must bear being called again for the same ticket.
    """

    def __init__(
        self,
        url: str,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        around: Around | None = None,
        *,
        allow_plain_http: bool = False,
    ) -> None:
        self._method = method.upper()
        if self._method not in ("POST", "PUT", "PATCH", "DELETE"):
            raise ValueError(f"close method {method!r} is none of POST, PUT, PATCH, DELETE")
        check_url("close url", url, allow_plain_http=allow_plain_http)
        parts = urlsplit(url)
        filled = url.replace("{ticket}", "").replace("{brand}", "")
        if "{" in parts.netloc or "{" in filled or "}" in filled:
            raise ValueError("close url: only {ticket} and {brand} are filled in, after the host")
        self._url = url
        self._secrets = secret_parts(headers or {})
        self._connection = Connection(
            "REX11", Limits(_MAX_BYTES), around, headers=headers, secrets=self._secrets
        )
        self._clock = (around or Around()).now

    def close(
        self,
        brand: str,
        ticket_id: str,
        last_status: TicketStatus | None,
        observed_at: datetime | None,
    ) -> CloseEvidence:
        """Call the endpoint. Closed on any 2xx; everything else is a OutsideError."""
        now = self._clock()
        call = Call(brand, "HttpCall", ticket_id, changes=True, secrets=self._secrets)
        content = self._content(brand, ticket_id, now)
        kind = {"Content-Type": "application/json"} if content is not None else {}
        request = Request(
            brand=brand,
            call=call.operation,
            subject=ticket_id,
            method=self._method,
            url=self._address(call),
            headers=kind,
            content=content,
            changes=True,
        )
        status = self._connection.call(request, lambda answer: _read_close(answer, call))
        return CloseEvidence(
            True, f"The close endpoint answered {status} for ticket {ticket_id}", now
        )

    def _address(self, call: Call) -> str:
        # One pass each on disjoint text: an encoded value holds no braces.
        ticket, brand = quote(call.subject or "", safe=""), quote(call.brand, safe="")
        return self._url.replace("{ticket}", ticket).replace("{brand}", brand)

    def _content(self, brand: str, ticket_id: str, now: datetime) -> bytes | None:
        return None if self._method == "DELETE" else _close_notice(brand, ticket_id, now)


def _read_close(answer: Answer, call: Call) -> int:
    """The status of an answer that says yes."""
    if 200 <= answer.status < 300:
        return answer.status
    message = f"the close endpoint answered HTTP {answer.status}"
    if answer.status in (401, 403):
        raise call.error(Unauthorized, f"{message}; check its headers", answer.body)
    if answer.status in (404, 410):
        raise call.error(NotFound, message, answer.body)
    if 400 <= answer.status < 500 and answer.status not in (408, 429):
        raise call.error(Refused, message, answer.body)
    raise call.no_answer(message, answer.body)


def _close_notice(brand: str, ticket_id: str, now: datetime) -> bytes:
    notice = {"ticket": ticket_id, "brand": brand, "time": now.isoformat()}
    return (json.dumps(notice, ensure_ascii=False) + "\n").encode()
