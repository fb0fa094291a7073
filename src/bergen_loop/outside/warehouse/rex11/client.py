"""The REX11 client: one method per operation, with the token, the repeats and the records.

Raises OutsideError only (and ValueError for an impossible query window). Calls that only read
are repeated a few times; ReceivingTicketAdd and StyleMasterProductAdd are sent once, and a second
time only where REX11 answered that it refused the token. What an expired token looks like is
documented nowhere, so a read that is refused is asked once more with a new one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import TypeVar

import structlog

from bergen_loop.domain.rma import (
    Product,
    ProductImport,
    Receipt,
    RmaRequest,
    TicketChange,
    TicketStatus,
)
from bergen_loop.outside.errors import (
    NotFound,
    OutcomeUnknown,
    Refused,
    Scope,
    Unauthorized,
    Unavailable,
    Unreadable,
)
from bergen_loop.outside.http import Around, Connection, Limits, Request
from bergen_loop.outside.warehouse.rex11 import requests, responses
from bergen_loop.outside.warehouse.rex11.call import Call
from bergen_loop.outside.warehouse.rex11.config import AuthSigns, Rex11Config
from bergen_loop.outside.warehouse.rex11.requests import (
    check_code,
    check_products,
    check_rma,
    check_upc,
)
from bergen_loop.outside.warehouse.rex11.responses import Asked, InventoryItem
from bergen_loop.outside.warehouse.rex11.soap import MAX_BYTES, METHODS, query_window

T = TypeVar("T")
Build = Callable[[str], bytes]
"""A token -> the whole envelope."""
Parse = Callable[[bytes, Call], T]

HTTP_OK = 200
_NO_SIGNS = AuthSigns(patterns=())

log: structlog.stdlib.BoundLogger = structlog.get_logger("bergen_loop.rex11")


class Rex11Client:
    """One brand's account. Thread-safe. Repeats and token fetches are attempts like others."""

    def __init__(self, brand: str, config: Rex11Config, around: Around | None = None) -> None:
        self.brand = brand
        self.config = config
        self._zone = config.zone_info()
        self._connection = Connection(
            "REX11",
            # Uncompressed, so that the cap on size holds before anything is unpacked.
            Limits(MAX_BYTES, False, config.timeouts, config.retries),
            around,
            secrets=(config.password,),
        )
        self._token: str | None = None
        self._token_lock = threading.Lock()

    def authentication_token_get(self, refused: str | None = None) -> str:
        """The token, asked for if there is none yet; another one than was refused, as far as the
        service gives one. Unauthorized if the credentials are wrong. Of several threads that find
        the same token refused, one asks for a new one and the others take it."""
        with self._token_lock:
            if self._token in (None, refused):
                self._token = None
                c = self.config
                envelope = requests.authentication_token_get(c.web_address, c.user_name, c.password)
                # Wrong credentials show as an empty token; a fault here says nothing about them.
                call = replace(self._call("AuthenticationTokenGet"), signs=_NO_SIGNS)
                self._token = self._send(
                    call, "", lambda _: envelope, responses.authentication_token_get
                )
            return self._token

    def style_master_product_add(self, products: Sequence[Product]) -> None:
        """Ask for products to be imported, which happens later."""
        upcs = ", ".join(p.upc for p in products)
        call = self._call("StyleMasterProductAdd", upcs[:200], changes=True)
        call = replace(call, sent=len(products))
        check_products(products, call)
        self._perform(
            call,
            lambda token: requests.style_master_product_add(token, products),
            responses.style_master_product_add,
        )

    def get_style_master_product_add_status(self, upc: str) -> ProductImport:
        """How far one product's import is."""
        call = self._code_call("GetStyleMasterProductAddStatus", "UPC", upc)
        check_upc(upc, call)
        return self._perform(
            call,
            lambda token: requests.get_style_master_product_add_status(token, upc),
            responses.get_style_master_product_add_status,
        )

    def receiving_ticket_add(self, rma: RmaRequest) -> str:
        """Create a ticket; its id. Not idempotent, never repeated after a doubt."""
        call = self._call("ReceivingTicketAdd", rma.customer_po, changes=True)
        call = replace(call, sent=len(rma.items))
        check_rma(rma, call)
        build = partial(
            requests.receiving_ticket_add, rma=rma, shipment_type=self.config.shipment_type
        )
        return self._perform(
            call, build, responses.receiving_ticket_add, partial(self._not_made, call)
        )

    def _not_made(self, call: Call, token: str) -> None:
        """Before an add is repeated, for its token was refused: REX11 shows no ticket with its PO.
        OutcomeUnknown where it does: it was made all the same, or long ago."""
        po = call.subject or ""
        look = self._code_call("GetReceivingTicketsByPO", "CustomerPO", po)
        build = partial(requests.get_receiving_tickets_by_po, customer_po=po)
        if found := self._send(look, token, build, responses.get_receiving_tickets_by_po):
            message = f"the token was refused, and yet there is ticket {found[0]} with PO {po}"
            raise call.error(OutcomeUnknown, message, scope=Scope.CALL)

    def get_receiving_ticket_add_status(self, ticket_id: str) -> TicketChange:
        """The status of one ticket."""
        return self._perform(
            self._code_call("GetReceivingTicketAddStatus", "ticket id", ticket_id),
            lambda token: requests.get_receiving_ticket_add_status(token, ticket_id),
            responses.get_receiving_ticket_add_status,
        )

    def get_receiving_tickets_by_po(self, customer_po: str) -> list[str]:
        """Ids of the tickets with this PO; empty when none. On "none" hangs whether an RMA is
        made again, so that is asked twice, the second time with a new token (configurable)."""
        call = self._code_call("GetReceivingTicketsByPO", "CustomerPO", customer_po)
        build = partial(requests.get_receiving_tickets_by_po, customer_po=customer_po)
        found = self._perform(call, build, responses.get_receiving_tickets_by_po)
        if found or not self.config.confirm_no_ticket:
            return found
        token = self.authentication_token_get(refused=self.authentication_token_get())
        return self._send(call, token, build, responses.get_receiving_tickets_by_po)

    def get_receiving_statuses_by_date(
        self, since: datetime, until: datetime
    ) -> list[TicketChange]:
        """Statuses of the tickets in the window (aware times), which is rounded outwards."""
        start, end = query_window(since, until, self._zone, self.config.window_precision)
        return self._perform(
            self._call("GetReceivingStatusesByDate", f"{start} - {end}", routine=True),
            lambda token: requests.get_receiving_statuses_by_date(token, start, end),
            responses.get_receiving_statuses_by_date,
        )

    def get_receiving_statuses_by_date_configurable(
        self, since: datetime, until: datetime, date_type: int
    ) -> list[TicketChange]:
        """The same, by the date that `date_type` stands for (its meaning is undocumented)."""
        start, end = query_window(since, until, self._zone, self.config.window_precision)
        return self._perform(
            self._call("GetReceivingStatusesByDateConfigurable", f"{start} - {end}", routine=True),
            lambda token: requests.get_receiving_statuses_by_date_configurable(
                token, start, end, date_type
            ),
            responses.get_receiving_statuses_by_date,
        )

    def get_receiving_tickets_by_status_and_create_date(
        self, status: TicketStatus, start: date, end: date
    ) -> list[str]:
        """Ids of the tickets in this status, created on these (warehouse-local) days."""
        return self._perform(
            self._call("GetReceivingTicketsByStatusAndCreateDate", status.value),
            lambda token: requests.get_receiving_tickets_by_status_and_create_date(
                token, status, start, end
            ),
            responses.get_receiving_tickets_by_status_and_create_date,
        )

    def get_receiving_ticket_object_by_ticket_no(
        self, ticket_id: str, customer_po: str | None = None
    ) -> Receipt:
        """The ticket with its counts. NotFound if there is none. Unreadable for an answer that
        is about another ticket or PO, and for a page that is no answer of the service's at all:
        both are asked about once more first."""
        call = self._code_call("GetReceivingTicketObjectByTicketNo", "ticket id", ticket_id)
        asked = Asked(ticket_id, customer_po)

        read = partial(
            self._perform,
            call,
            partial(requests.get_receiving_ticket_object_by_ticket_no, ticket_id=ticket_id),
            partial(
                responses.get_receiving_ticket_object_by_ticket_no, asked=asked, zone=self._zone
            ),
        )
        try:
            return read()
        except Unreadable:
            return read()
        except Unavailable as error:
            if error.status != HTTP_OK:
                raise
            raise call.error(Unreadable, error.message, (error.raw or "").encode()) from None

    def get_inventory_by_upcs(self, upcs: Sequence[str]) -> list[InventoryItem]:
        """Inventory lines of these UPCs, in one call."""
        return self._perform(
            self._call("GetInventoryByUPCs", f"{len(upcs)} UPCs"),
            lambda token: requests.get_inventory_by_upcs(token, upcs),
            responses.get_inventory_by_upcs,
        )

    def _call(
        self,
        operation: str,
        subject: str | None = None,
        *,
        changes: bool = False,
        routine: bool = False,
    ) -> Call:
        return Call(
            brand=self.brand,
            operation=operation,
            subject=subject,
            changes=changes,
            routine=routine,
            secrets=(self.config.password,),
            signs=self.config.auth_signs,
            nothing_found_codes=self.config.nothing_found_codes,
        )

    def _code_call(self, operation: str, name: str, code: str) -> Call:
        """A call that asks for one code, checked."""
        call = self._call(operation, code)
        check_code(name, code, call)
        return call

    def _perform(
        self,
        call: Call,
        build: Build,
        parse: Parse[T],
        before_again: Callable[[str], None] | None = None,
    ) -> T:
        """The call with a token, and once more with a new one if that is refused, or if a read
        is refused for what may be the token; after `before_again`, which takes the new one."""
        token = self.authentication_token_get()
        try:
            return self._send(call, token, build, parse, final=False)
        except Unauthorized as error:
            if error.raw is None:  # no answer: it was not even sent
                raise
            log.info("rex11.token_refused", brand=self.brand, operation=call.operation)
        except Refused as error:
            if call.changes or isinstance(error, NotFound):
                raise
            log.info(
                "rex11.read_refused",
                brand=self.brand,
                operation=call.operation,
                problem=error.message,
            )
        token = self.authentication_token_get(refused=token)
        if before_again is not None:
            before_again(token)
        return self._send(call, token, build, parse)

    def _send(
        self, call: Call, token: str, build: Build, parse: Parse[T], *, final: bool = True
    ) -> T:
        call = replace(call, secrets=(*call.secrets, token)) if token else call

        request = Request(
            brand=call.brand,
            call=call.operation,
            subject=call.subject,
            method="POST",
            url=self.config.endpoint,
            headers={
                "Content-Type": "text/xml; charset=utf-8",
                "SOAPAction": f'"{METHODS}{call.operation}"',
            },
            content=build(token),
            changes=call.changes,
            routine=call.routine,
            secrets=call.secrets,
            final=final,
            private=not token,  # it is the token that is asked for
        )
        return self._connection.call(
            request,
            lambda came: parse(responses.check_status(came.status, came.body, call), call),
        )
