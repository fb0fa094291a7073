"""The client against a scripted REX11: tokens, repeats, classification, records."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import httpx2
import pytest
from rex11_support import (
    ADDED,
    ENDPOINT,
    PASSWORD,
    PRODUCT,
    RMA,
    SAVED,
    TOKEN_REFUSED,
    Rex11,
    answer,
    c14n,
    config,
    fault,
    notifications,
    raw_token,
)
from structlog.testing import capture_logs

from bergen_loop.domain.rma import Product, ProductImport, RmaItem, Supplier, TicketStatus
from bergen_loop.outside.errors import (
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    OutsideError,
    Refused,
    Scope,
    Unauthorized,
    Unavailable,
    Unreadable,
)
from bergen_loop.outside.warehouse.rex11 import CallRecord, Rex11Client, Timeouts, requests
from bergen_loop.outside.warehouse.rex11.config import AuthSigns, Retries
from bergen_loop.outside.warehouse.rex11.soap import MAX_BYTES

BY_PO = "GetReceivingTicketsByPO"
READ = "GetReceivingTicketObjectByTicketNo"
FOUND = answer(BY_PO, "<ReceivingTicketsByPO><string>WHRTN1</string></ReceivingTicketsByPO>")
NONE = answer(BY_PO, "<ReceivingTicketsByPO/>")
REFUSED = {op: answer(op, TOKEN_REFUSED) for op in (BY_PO, "ReceivingTicketAdd")}
SINCE, UNTIL = datetime(2026, 6, 1, 14, tzinfo=UTC), datetime(2026, 6, 1, 18, tzinfo=UTC)


def test_one_exchange_to_the_letter() -> None:
    rex = Rex11(ReceivingTicketAdd=ADDED)
    assert rex.client().receiving_ticket_add(RMA) == "WHRTN1044588"
    login, add = rex.requests
    assert c14n(login.content) == c14n(
        requests.authentication_token_get("acme.rex11.test", "acme-api", PASSWORD)
    )
    assert add.method == "POST"
    assert str(add.url) == ENDPOINT
    assert add.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert add.headers["SOAPAction"] == '"http://rex11.com/webmethods/ReceivingTicketAdd"'
    assert add.content == requests.receiving_ticket_add("TOKEN-1", RMA)


def test_the_token_is_got_once_and_shared_by_threads() -> None:
    rex = Rex11(GetReceivingTicketsByPO=FOUND)
    client = rex.client()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(client.get_receiving_tickets_by_po, ["PO"] * 24)) == [["WHRTN1"]] * 24
    assert rex.tokens == 1


def test_an_expired_token_is_renewed_once_and_the_call_repeated_once() -> None:
    rex = Rex11(
        ReceivingTicketAdd=[REFUSED["ReceivingTicketAdd"], ADDED], GetReceivingTicketsByPO=NONE
    )
    assert rex.client().receiving_ticket_add(RMA) == "WHRTN1044588"
    once = ["AuthenticationTokenGet", "ReceivingTicketAdd"]
    assert rex.operations() == [*once, "AuthenticationTokenGet", BY_PO, "ReceivingTicketAdd"]
    tokens = [r.content.count(b"TOKEN-1") + 2 * r.content.count(b"TOKEN-2") for r in rex.requests]
    assert tokens == [0, 1, 0, 2, 2]


def test_an_add_whose_token_was_refused_is_not_repeated_where_its_po_has_a_ticket() -> None:
    rex = Rex11(
        ReceivingTicketAdd=[REFUSED["ReceivingTicketAdd"], ADDED], GetReceivingTicketsByPO=FOUND
    )
    with pytest.raises(OutcomeUnknown, match="and yet there is ticket WHRTN1"):
        rex.client().receiving_ticket_add(RMA)
    assert rex.operations().count("ReceivingTicketAdd") == 1


@pytest.mark.parametrize("refused", [REFUSED[BY_PO], fault("Invalid token"), (401, b"")])
def test_a_token_refused_again_is_unauthorized(refused: bytes | tuple[int, bytes]) -> None:
    rex = Rex11(GetReceivingTicketsByPO=refused)
    with pytest.raises(Unauthorized, match="WebAddress, UserName and Password"):
        rex.client().get_receiving_tickets_by_po("PO")
    assert rex.operations() == ["AuthenticationTokenGet", BY_PO] * 2


def test_threads_with_the_same_expired_token_renew_it_once() -> None:
    barrier = threading.Barrier(4, timeout=10)

    def old_token_refused(request: httpx2.Request) -> httpx2.Response:
        if b"TOKEN-1" not in request.content:
            return httpx2.Response(200, content=FOUND)
        barrier.wait()
        return httpx2.Response(200, content=REFUSED[BY_PO])

    rex = Rex11(GetReceivingTicketsByPO=old_token_refused)
    client = rex.client()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(client.get_receiving_tickets_by_po, ["PO"] * 4)) == [["WHRTN1"]] * 4
    assert rex.tokens == 2


def test_an_account_that_is_disabled_is_access_and_no_refusal_of_the_call() -> None:
    disabled = answer(BY_PO, notifications((9, "Error", "This account has been disabled.")))
    with pytest.raises(Unauthorized) as caught:
        Rex11(GetReceivingTicketsByPO=disabled).client().get_receiving_tickets_by_po("PO")
    assert caught.value.scope is Scope.ACCESS


def test_bad_credentials_are_asked_about_once() -> None:
    rex = Rex11(AuthenticationTokenGet=raw_token(""))
    with pytest.raises(Unauthorized, match="wrong credentials") as caught:
        rex.client().receiving_ticket_add(RMA)
    assert caught.value.call == "AuthenticationTokenGet"
    assert rex.operations() == ["AuthenticationTokenGet"]


def test_how_a_refused_token_looks_is_configurable() -> None:
    odd = answer(BY_PO, notifications((77, "Error", "Sitzung abgelaufen")))
    for signs in (AuthSigns(patterns=("sitzung",)), AuthSigns((), frozenset({77}))):
        rex = Rex11(GetReceivingTicketsByPO=[odd, FOUND])
        assert rex.client(auth_signs=signs).get_receiving_tickets_by_po("PO") == ["WHRTN1"]
        assert rex.tokens == 2
    rex = Rex11(GetReceivingTicketsByPO=odd)
    with pytest.raises(Refused):
        rex.client().get_receiving_tickets_by_po("PO")


TIMEOUT, RESET = httpx2.ReadTimeout("slow"), httpx2.ReadError("reset by peer")
CUT = httpx2.RemoteProtocolError("Server disconnected")
HTML = (200, b"<html><body>Maintenance</body></html>")
FAULT = (500, fault("Server was unable to process request"))


@pytest.mark.parametrize(
    "trouble",
    [TIMEOUT, httpx2.WriteTimeout("slow"), RESET, httpx2.WriteError("pipe"), CUT, HTML, FAULT,
     (503, b""), (500, fault("Authentication failed")), (200, b""), (302, b"")],
)  # fmt: skip
@pytest.mark.parametrize("operation", ["ReceivingTicketAdd", "StyleMasterProductAdd"])
def test_a_change_in_doubt_is_never_repeated(
    operation: str, trouble: Exception | tuple[int, bytes]
) -> None:
    rex = Rex11(**{operation: trouble})
    client = rex.client()
    with pytest.raises(OutcomeUnknown) as caught:
        if operation == "ReceivingTicketAdd":
            client.receiving_ticket_add(RMA)
        else:
            client.style_master_product_add([PRODUCT])
    assert rex.operations() == ["AuthenticationTokenGet", operation]
    expected = None if isinstance(trouble, Exception) else trouble[1].decode()
    assert caught.value.raw == expected


@pytest.mark.parametrize(
    "trouble",
    [httpx2.ConnectError("refused"), httpx2.ConnectTimeout("slow"), httpx2.PoolTimeout("full")],
)
def test_a_change_that_was_never_sent_is_unavailable(trouble: Exception) -> None:
    rex = Rex11(ReceivingTicketAdd=trouble)
    with pytest.raises(Unavailable, match="nothing was sent"):
        rex.client().receiving_ticket_add(RMA)
    assert rex.operations() == ["AuthenticationTokenGet", "ReceivingTicketAdd"]


def test_an_add_without_id_or_error_is_unreadable_and_not_repeated() -> None:
    rex = Rex11(ReceivingTicketAdd=answer("ReceivingTicketAdd", SAVED))
    with pytest.raises(Unreadable):
        rex.client().receiving_ticket_add(RMA)
    assert rex.operations() == ["AuthenticationTokenGet", "ReceivingTicketAdd"]


def test_an_add_is_not_sent_without_a_token() -> None:
    rex = Rex11(AuthenticationTokenGet=TIMEOUT)
    with pytest.raises(Unavailable):
        rex.client().receiving_ticket_add(RMA)
    assert rex.operations() == ["AuthenticationTokenGet"] * 3


@pytest.mark.parametrize(
    "trouble",
    [TIMEOUT, RESET, CUT, HTML, FAULT, (503, b""), httpx2.ConnectError("refused")],
)
def test_a_read_is_repeated_a_few_times(trouble: Exception | tuple[int, bytes]) -> None:
    waits: list[float] = []
    rex = Rex11(GetReceivingTicketsByPO=[trouble, trouble, FOUND])
    assert rex.client(waits=waits).get_receiving_tickets_by_po("PO") == ["WHRTN1"]
    assert 0.5 <= waits[0] <= 1.0
    assert 1.0 <= waits[1] <= 1.5
    rex = Rex11(GetReceivingTicketsByPO=trouble)
    with pytest.raises(Unavailable):
        rex.client().get_receiving_tickets_by_po("PO")
    assert rex.operations().count(BY_PO) == 3
    rex = Rex11(GetReceivingTicketsByPO=trouble)
    with pytest.raises(Unavailable):
        rex.client(retries=Retries(attempts=1)).get_receiving_tickets_by_po("PO")
    assert rex.operations().count(BY_PO) == 1


def test_too_many_calls_are_made_again_after_longer_pauses() -> None:
    waits: list[float] = []
    rex = Rex11(GetReceivingTicketsByPO=[(429, b""), (429, b""), FOUND])
    assert rex.client(waits=waits).get_receiving_tickets_by_po("PO") == ["WHRTN1"]
    assert 2.0 <= waits[0] <= 2.5
    assert 4.0 <= waits[1] <= 4.5


def test_a_refused_read_is_asked_once_more_with_a_new_token_before_it_is_believed() -> None:
    odd = answer(BY_PO, notifications((9, "Error", "Sitzung abgelaufen")))
    rex = Rex11(GetReceivingTicketsByPO=[odd, FOUND])
    assert rex.client().get_receiving_tickets_by_po("PO") == ["WHRTN1"]
    assert b"TOKEN-2" in rex.requests[-1].content
    rex = Rex11(GetReceivingTicketsByPO=odd)
    with pytest.raises(Refused, match="Sitzung"):
        rex.client().get_receiving_tickets_by_po("PO")
    assert rex.operations() == ["AuthenticationTokenGet", BY_PO] * 2


def test_a_refused_change_and_an_unknown_ticket_are_believed_at_once() -> None:
    no = answer("ReceivingTicketAdd", notifications((12, "DataNotValid", "Country is not valid")))
    gone = notifications((41, "InvalidAsnError", "Invalid ASN Ticket number"))
    rex = Rex11(ReceivingTicketAdd=no, **{READ: answer(READ, gone)})
    with pytest.raises(Refused):
        rex.client().receiving_ticket_add(RMA)
    with pytest.raises(NotFound):
        rex.client().get_receiving_ticket_object_by_ticket_no("WHRTN1")
    assert rex.operations() == [
        "AuthenticationTokenGet", "ReceivingTicketAdd", "AuthenticationTokenGet", READ
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    ["Session has expired, please log in again", "Your session is no longer valid",
     "Token expired", "Please sign in", "User not logged in", "Authentication failed"],
)  # fmt: skip
def test_an_expired_session_means_a_new_token_for_reads_and_changes(words: str) -> None:
    for operation, good in ((BY_PO, FOUND), ("ReceivingTicketAdd", ADDED)):
        expired = answer(operation, notifications((1, "Error", words)))
        rex = Rex11(**{BY_PO: NONE, operation: [expired, good]})
        client = rex.client()
        if operation == BY_PO:
            assert client.get_receiving_tickets_by_po("PO") == ["WHRTN1"]
        else:
            assert client.receiving_ticket_add(RMA) == "WHRTN1044588"
        assert rex.tokens == rex.operations().count(operation) == 2


@pytest.mark.parametrize(
    "words",
    ["Timeout expired. The timeout period elapsed prior to completion of the operation",
     "Unable to make the session state request to the session state server",
     "Login failed for user 'rex11'", "'&lt;' is an unexpected token. The expected token is '='."],
)  # fmt: skip
def test_troubles_of_the_servers_own_are_no_trouble_of_the_account(words: str) -> None:
    rex = Rex11(GetReceivingTicketsByPO=(500, fault(words)))
    with pytest.raises(Unavailable, match="SOAP fault"):
        rex.client().get_receiving_tickets_by_po("PO")
    assert rex.tokens == 1


def whole_ticket(po: str) -> bytes:
    content = f"<ReceivingStatus>AddedToInventory</ReceivingStatus><CustomerPO>{po}</CustomerPO>"
    return answer(
        READ,
        f"<ReceivingTicketByTicketNo><ReceivingTicket>{content}</ReceivingTicket>"
        "</ReceivingTicketByTicketNo>",
    )


@pytest.mark.parametrize("odd", [whole_ticket("LR-2"), answer(BY_PO, "")])
def test_an_answer_about_something_else_is_asked_for_again_then_told(odd: bytes) -> None:
    rex = Rex11(**{READ: [odd, whole_ticket("lr-1")]})
    receipt = rex.client().get_receiving_ticket_object_by_ticket_no("WHRTN1", "LR-1")
    assert (receipt.ticket_id, receipt.customer_po) == ("WHRTN1", "lr-1")
    rex = Rex11(**{READ: odd})
    with pytest.raises(Unreadable) as caught:
        rex.client().get_receiving_ticket_object_by_ticket_no("WHRTN1", "LR-1")
    assert caught.value.raw == odd.decode()
    assert rex.operations().count(READ) == 2


def test_a_page_instead_of_a_ticket_is_unreadable_with_the_page() -> None:
    page = "<html><body>Runtime Error</body></html>"
    rex = Rex11(**{READ: (200, page.encode())})
    with pytest.raises(Unreadable) as caught:
        rex.client().get_receiving_ticket_object_by_ticket_no("WHRTN1")
    assert caught.value.raw == page
    rex = Rex11(**{READ: (503, page.encode())})
    with pytest.raises(Unavailable):
        rex.client().get_receiving_ticket_object_by_ticket_no("WHRTN1")


def test_a_request_the_schema_refuses_is_never_sent_again() -> None:
    words = "Instance validation error: 'BERGEN LOGISTICS MARS' is not a valid value"
    rex = Rex11(ReceivingTicketAdd=(500, fault(words, "soap:Client")))
    with pytest.raises(InvalidRequest, match="MARS"):
        rex.client().receiving_ticket_add(replace(RMA, warehouse="BERGEN LOGISTICS MARS"))
    assert rex.operations() == ["AuthenticationTokenGet", "ReceivingTicketAdd"]


def test_no_ticket_is_confirmed_with_a_new_token() -> None:
    rex = Rex11(GetReceivingTicketsByPO=[NONE, FOUND])
    assert rex.client().get_receiving_tickets_by_po("PO") == ["WHRTN1"]
    assert b"TOKEN-2" in rex.requests[-1].content
    rex = Rex11(GetReceivingTicketsByPO=NONE)
    assert rex.client().get_receiving_tickets_by_po("PO") == []
    assert rex.operations() == ["AuthenticationTokenGet", BY_PO] * 2
    rex = Rex11(GetReceivingTicketsByPO=NONE)
    assert rex.client(confirm_no_ticket=False).get_receiving_tickets_by_po("PO") == []
    assert rex.operations() == ["AuthenticationTokenGet", BY_PO]


def test_an_oversized_answer_is_not_read_to_its_end() -> None:
    read = 0

    def endless(_: httpx2.Request) -> httpx2.Response:
        def chunks():
            nonlocal read
            while True:
                read += 1
                yield b" " * 1024 * 1024

        return httpx2.Response(200, content=chunks())

    rex = Rex11(ReceivingTicketAdd=endless)
    with pytest.raises(Unreadable, match="bytes"):
        rex.client().receiving_ticket_add(RMA)
    assert read <= MAX_BYTES // (1024 * 1024) + 2


def test_a_dripping_answer_ends_at_the_deadline() -> None:
    def drip(_: httpx2.Request) -> httpx2.Response:
        def chunks():
            while True:
                yield b" "

        return httpx2.Response(200, content=chunks())

    rex = Rex11(ReceivingTicketAdd=drip)
    with pytest.raises(OutcomeUnknown, match=r"not complete after 0\.02 seconds"):
        rex.client(timeouts=Timeouts(answer=0.02)).receiving_ticket_add(RMA)


def test_over_a_real_socket_a_refused_connection_was_never_sent() -> None:
    client = Rex11Client(
        "acme", config(endpoint="http://127.0.0.1:9/ws", retries=Retries(attempts=1))
    )
    with pytest.raises(Unavailable, match="nothing was sent"):
        client.receiving_ticket_add(RMA)


def item(**changes: object) -> dict[str, object]:
    return {"items": (RMA.items[1], replace(RMA.items[0], **changes))}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"customer_po": " "}, "no CustomerPO"),
        ({"customer_po": "A\x00B"}, "its CustomerPO 'A.x00B' holds a control character"),
        ({"customer_po": "A\ufffeB"}, "holds a character XML cannot carry"),
        ({"warehouse": " "}, "names no warehouse"),
        ({"items": ()}, "no items"),
        ({"items": (RmaItem(None, " ", 1),)}, "item 1 has neither SKU nor UPC"),
        ({"items": (RmaItem("S", "1", 0),)}, r"item 1 \(SKU S\) expects 0 units"),
        (item(expected=2**31), "expects 2147483648 units"),
        (item(unit_cost=Decimal("NaN")), "unit cost NaN"),
        (item(msrp=Decimal(-1)), "MSRP -1"),
        (
            item(sku="AB\x0b-100"),
            r"item 2 .*, Dress & belt\) has the SKU 'AB\\x0b-100', which holds",
        ),
        (item(upc="8859\n0995"), "UPC '8859.n0995', which holds a control character"),
        (item(upc="8.85E+11"), "UPC '8.85E\\+11', which is a number in a form spreadsheets write"),
        (item(upc="885909950805.0"), "in a form spreadsheets write"),
        (item(upc="8" * 501), "has 501 characters, over 500"),
        (item(color="Re\ud800d"), "color 'Re.ud800d', which holds a character XML"),
        (item(size="M\x7f"), "size .* control character"),
        ({"supplier": Supplier(company_name="Acme")}, "its supplier has no state and country"),
        ({"supplier": Supplier(company_name=" ", state="NJ", country="USA")}, "no company name"),
    ],
)
def test_an_impossible_rma_is_not_sent(changes: dict[str, object], words: str) -> None:
    rex = Rex11()
    with pytest.raises(InvalidRequest, match=words):
        rex.client().receiving_ticket_add(replace(RMA, **changes))
    assert not rex.requests


@pytest.mark.parametrize("upc", ["12E5", "8E11", "A.5E+1", "885909950805", " 885909950805 ", "É-1"])
def test_a_code_that_only_looks_odd_is_sent(upc: str) -> None:
    rex = Rex11(ReceivingTicketAdd=ADDED)
    rma = replace(RMA, items=(RmaItem(" AB 100 ", upc, 1),), supplier=None)
    assert rex.client().receiving_ticket_add(rma) == "WHRTN1044588"
    assert f">{upc.strip()}</UPC>" in rex.requests[-1].content.decode()
    assert ">AB 100</Sku>" in rex.requests[-1].content.decode()


def test_a_supplier_abroad_has_a_region_in_place_of_a_state() -> None:
    rex = Rex11(ReceivingTicketAdd=ADDED)
    abroad = Supplier(company_name="Acme", non_us_region="Ontario", country="Canada")
    assert rex.client().receiving_ticket_add(replace(RMA, supplier=abroad)) == "WHRTN1044588"


@pytest.mark.parametrize(
    ("product", "words"),
    [
        (Product("28615"), r"product 1 lacks description, color, size and price"),
        (replace(PRODUCT, size=" "), r"product 1 \(SKU NP-1, Dress\) lacks size, without"),
        (replace(PRODUCT, price=None, color=None), "lacks color and price"),
        (replace(PRODUCT, price=Decimal("Infinity")), "the price Infinity"),
        (replace(PRODUCT, upc=" "), "has no UPC"),
        (replace(PRODUCT, upc="8.85E+11"), "spreadsheets"),
        (replace(PRODUCT, style="A\tB"), "style 'A.tB', which holds a control character"),
    ],
)
def test_a_product_is_sent_whole_or_not_at_all(product: Product, words: str) -> None:
    rex = Rex11()
    with pytest.raises(InvalidRequest, match=words):
        rex.client().style_master_product_add([product])
    assert not rex.requests


@pytest.mark.parametrize("code", ["", " ", " PO", "P\x07O", "P\tO", "P" * 501])
def test_a_code_that_would_be_sent_as_another_is_not_sent(code: str) -> None:
    rex = Rex11()
    for method in (
        rex.client().get_receiving_tickets_by_po,
        rex.client().get_receiving_ticket_object_by_ticket_no,
        rex.client().get_receiving_ticket_add_status,
        rex.client().get_style_master_product_add_status,
    ):
        with pytest.raises(InvalidRequest):
            method(code)
    with pytest.raises(InvalidRequest):
        rex.client().style_master_product_add([])
    with pytest.raises(InvalidRequest, match="spreadsheets"):
        rex.client().get_style_master_product_add_status("8.85E+11")
    assert not rex.requests


def test_the_other_operations_send_what_they_should() -> None:
    by_date, by_type = "GetReceivingStatusesByDate", "GetReceivingStatusesByDateConfigurable"
    by_status = "GetReceivingTicketsByStatusAndCreateDate"
    rex = Rex11(
        GetReceivingStatusesByDate=answer(by_date, ""),
        GetReceivingStatusesByDateConfigurable=answer(by_type, ""),
        GetReceivingTicketsByStatusAndCreateDate=answer(
            by_status, "<ReceivingTickets><string>WHRTN7</string></ReceivingTickets>"
        ),
        GetStyleMasterProductAddStatus=answer(
            "GetStyleMasterProductAddStatus", notifications((3, "PendingImport", "wait"))
        ),
        StyleMasterProductAdd=answer("StyleMasterProductAdd", SAVED),
        GetReceivingTicketAddStatus=answer(
            "GetReceivingTicketAddStatus",
            "<ReceivingTicketStatus><TicketId>WHRTN7</TicketId>"
            "<TicketStatus>Draft</TicketStatus></ReceivingTicketStatus>",
        ),
    )
    client = rex.client()
    assert client.get_receiving_statuses_by_date(SINCE, UNTIL) == []
    assert client.get_receiving_statuses_by_date_configurable(SINCE, UNTIL, 3) == []
    days = SINCE.date(), UNTIL.date()
    found = client.get_receiving_tickets_by_status_and_create_date(TicketStatus.DRAFT, *days)
    assert found == ["WHRTN7"]
    assert client.get_style_master_product_add_status("28615") is ProductImport.PENDING
    client.style_master_product_add([PRODUCT])
    assert client.get_receiving_ticket_add_status("WHRTN7").status is TicketStatus.DRAFT
    start, end = "06/01/2026 10:00", "06/01/2026 14:00"
    assert [r.content for r in rex.requests[1:]] == [
        requests.get_receiving_statuses_by_date("TOKEN-1", start, end),
        requests.get_receiving_statuses_by_date_configurable("TOKEN-1", start, end, 3),
        requests.get_receiving_tickets_by_status_and_create_date(
            "TOKEN-1", TicketStatus.DRAFT, *days
        ),
        requests.get_style_master_product_add_status("TOKEN-1", "28615"),
        requests.style_master_product_add("TOKEN-1", [PRODUCT]),
        requests.get_receiving_ticket_add_status("TOKEN-1", "WHRTN7"),
    ]


def test_every_exchange_is_recorded() -> None:
    records: list[CallRecord] = []
    rex = Rex11(
        GetReceivingTicketsByPO=[(503, b""), FOUND], ReceivingTicketAdd=httpx2.ReadTimeout("slow")
    )
    client = rex.client(on_call=records.append)
    client.get_receiving_tickets_by_po("PO-7")
    with pytest.raises(OutcomeUnknown):
        client.receiving_ticket_add(RMA)
    assert [(r.brand, r.call, r.subject, r.outcome) for r in records] == [
        ("acme", "AuthenticationTokenGet", None, "ok"),
        ("acme", BY_PO, "PO-7", "Unavailable"),
        ("acme", BY_PO, "PO-7", "ok"),
        ("acme", "ReceivingTicketAdd", RMA.customer_po, "OutcomeUnknown"),
    ]
    assert all(r.started_at.tzinfo is UTC and r.seconds >= 0 for r in records)


def test_a_broken_journal_does_not_lose_a_new_ticket() -> None:
    def broken(_: CallRecord) -> None:
        raise RuntimeError("disk full")

    rex = Rex11(ReceivingTicketAdd=ADDED)
    assert rex.client(on_call=broken).receiving_ticket_add(RMA) == "WHRTN1044588"


def test_neither_password_nor_token_is_logged_or_raised() -> None:
    def echo(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(500, content=fault("<![CDATA[" + request.content.decode() + "]]>"))

    rex = Rex11(AuthenticationTokenGet=[echo, raw_token("TOKEN-SECRET")], ReceivingTicketAdd=echo)
    with capture_logs() as logs, pytest.raises(OutsideError) as caught:
        rex.client().receiving_ticket_add(RMA)
    error = caught.value
    shown = f"{logs!r} {error} {error!r} {error.raw} {config()!r}"
    assert error.raw
    assert RMA.customer_po in error.raw
    for secret in (PASSWORD, PASSWORD.replace("&", "&amp;"), "TOKEN-SECRET"):
        assert secret not in shown
    assert error.__context__ is None or not hasattr(error.__context__, "request")
    assert logs == []


def test_a_redirect_is_not_followed() -> None:
    def elsewhere(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(307, headers={"Location": "https://evil.test/"})

    rex = Rex11(ReceivingTicketAdd=elsewhere)
    with pytest.raises(OutcomeUnknown):
        rex.client().receiving_ticket_add(RMA)
    assert {r.url.host for r in rex.requests} == {"rex11.test"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"endpoint": "http://rex11.test/"}, "endpoint is plain http"),
        ({"endpoint": "ftp://rex11.test/"}, "endpoint must be a full https"),
        ({"endpoint": "sync.rex11.com"}, "endpoint must be a full https"),
        ({"endpoint": "https://u:p@rex11.test/"}, "must not hold a user name"),
        ({"endpoint": "https://rex11.test:port/"}, "endpoint is no web address"),
        ({"password": ""}, "password is empty"),
        ({"zone": "Bergen/Nowhere"}, "zone 'Bergen/Nowhere' is no known time zone"),
        ({"zone": "../etc/passwd"}, "is no known time zone"),
        ({"inventory_batch": 0}, "inventory_batch is 0"),
        ({"window_precision": "hour"}, "window_precision is 'hour'"),
        ({"shipment_type": "BOX"}, "shipment_type is 'BOX': one of NA, GOH"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        config(**changes)


def test_wrong_timeouts_retries_and_patterns_are_named() -> None:
    with pytest.raises(ValueError, match="timeouts"):
        Timeouts(read=0)
    with pytest.raises(ValueError, match=r"retries\.attempts is 0"):
        Retries(attempts=0)
    with pytest.raises(ValueError, match="no wait"):
        Retries(first_wait=-1)
    with pytest.raises(ValueError, match="no regular expression"):
        AuthSigns(patterns=("(",))


def test_plain_http_is_for_loopback_or_by_leave() -> None:
    assert config(endpoint="http://127.0.0.1:8080/x").endpoint == "http://127.0.0.1:8080/x"
    assert config(endpoint="http://sandbox:8080/x", allow_plain_http=True).allow_plain_http
