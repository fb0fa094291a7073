"""Documents and a scripted REX11 shared by the tests of its client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import cast

import httpx2
from lxml import etree

from bergen_loop.domain.rma import Product, RmaItem, RmaRequest, Supplier
from bergen_loop.outside.http import Around
from bergen_loop.outside.warehouse.rex11 import CallRecord, Retries, Rex11Client, Rex11Config
from bergen_loop.outside.warehouse.rex11.call import Call
from support.wires import answering

ENDPOINT = "https://rex11.test/ws/publicapiws.asmx"
PASSWORD = "pa55&word"  # escaped in XML, so both spellings must be kept out of errors
TICKET_NS = "http://rex11.com/swpublicapi/ReceivingTicket.xsd"
ITEMS_NS = "http://rex11.com/swpublicapi/ReceivingTicketItems.xsd"

RMA = RmaRequest(
    customer_po="LOOP-acme-4711-1",
    warehouse="BERGEN LOGISTICS NJ2",
    items=(
        RmaItem(
            sku="ACME-RED-M",
            upc="0012345678905",
            expected=2,
            description="Dress & belt",
            style="4B141",
            color="Red",
            size="AU 4/US 0",
            unit_cost=Decimal("12.50"),
            msrp=Decimal(189),
            reason_code="TOO_SMALL",
            comments="Kept the <bag>",
        ),
        RmaItem(sku=None, upc="28615", expected=1),
    ),
    created_on=date(2026, 3, 8),
    expected_on=date(2026, 3, 18),
    authorized_number="AUTH-9",
    memo="Loop return 4711",
    carrier="FEDEX",
    tracking_numbers=("1Z999", "1Z998"),
    supplier=Supplier(
        company_name="Jane Doe",
        address1="1 Main St",
        address2="Apt 2",
        city="Newark",
        state="NJ",
        zip="07102",
        country="United States",
        non_us_region="-",
        phone="555",
        fax="556",
        email="jane@example.com",
    ),
)

PRODUCT = Product("850000000017", "NP-1", "4471", "Moss", "M", "Dress", Decimal("89.50"))


def c14n(document: str | bytes) -> str:
    """Canonical form, blanks between elements aside."""
    raw = document.encode() if isinstance(document, str) else document
    tree = etree.fromstring(raw, etree.XMLParser(remove_blank_text=True))
    return etree.tostring(tree, method="c14n").decode()


def envelope(content: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xmlns:xsd="http://www.w3.org/2001/XMLSchema">'
        f"<soap:Body>{content}</soap:Body></soap:Envelope>"
    ).encode()


def answer(operation: str, result: str) -> bytes:
    return envelope(
        f'<{operation}Response xmlns="http://rex11.com/webmethods/">'
        f"<{operation}Result>{result}</{operation}Result></{operation}Response>"
    )


def notifications(*triples: tuple[object, str, str]) -> str:
    return (
        "<Notifications>"
        + "".join(
            f"<Notification><ErrorCode>{code}</ErrorCode><Severity>{severity}</Severity>"
            f"<Message>{message}</Message></Notification>"
            for code, severity, message in triples
        )
        + "</Notifications>"
    )


def fault(words: str, code: str = "soap:Server") -> bytes:
    return envelope(
        f"<soap:Fault><faultcode>{code}</faultcode>"
        f"<faultstring>{words}</faultstring><detail/></soap:Fault>"
    )


SAVED = notifications((0, "Success", "Data saved successfully."))
TOKEN_REFUSED = notifications((1, "Error", "Authentication token has expired"))
ADDED = answer("ReceivingTicketAdd", f"{SAVED}<ReceivingTicketId>WHRTN1044588</ReceivingTicketId>")


def call(operation: str, *, changes: bool = False, **more: object) -> Call:
    return Call("acme", operation, "SUBJ", changes, **more)  # type: ignore[arg-type]


def config(**changes: object) -> Rex11Config:
    settings: dict[str, object] = {
        "web_address": "acme.rex11.test",
        "user_name": "acme-api",
        "password": PASSWORD,
        "endpoint": ENDPOINT,
        "retries": Retries(attempts=3),
    }
    return Rex11Config(**{**settings, **changes})  # type: ignore[arg-type]


Reply = bytes | tuple[int, bytes] | Exception | Callable[[httpx2.Request], httpx2.Response]


class Rex11:
    """Answers each operation from its script; the last reply of a script repeats."""

    def __init__(self, **scripts: Reply | Sequence[Reply]) -> None:
        self.scripts = {
            name: list(one) if isinstance(one, list) else [cast("Reply", one)]
            for name, one in scripts.items()
        }
        self.requests: list[httpx2.Request] = []
        self.tokens = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        operation = request.headers["SOAPAction"].strip('"').rpartition("/")[2]
        if operation == "AuthenticationTokenGet" and operation not in self.scripts:
            self.tokens += 1
            token = f"TOKEN-{self.tokens}"
            return httpx2.Response(200, content=raw_token(token))
        script = self.scripts[operation]
        reply = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, bytes):
            return httpx2.Response(200, content=reply)
        if isinstance(reply, tuple):
            return httpx2.Response(reply[0], content=reply[1])
        return reply(request)

    def operations(self) -> list[str]:
        return [r.headers["SOAPAction"].strip('"').rpartition("/")[2] for r in self.requests]

    def client(
        self,
        on_call: Callable[[CallRecord], None] | None = None,
        waits: list[float] | None = None,
        **changes: object,
    ) -> Rex11Client:
        return Rex11Client(
            "acme",
            config(**changes),
            around=Around(
                transport=answering(self),
                on_call=on_call,
                sleep=(waits if waits is not None else []).append,
            ),
        )


def raw_token(token: str) -> bytes:
    return envelope(
        '<AuthenticationTokenGetResponse xmlns="http://rex11.com/webmethods/">'
        f"<AuthenticationTokenGetResult>{token}</AuthenticationTokenGetResult>"
        "</AuthenticationTokenGetResponse>"
    )
