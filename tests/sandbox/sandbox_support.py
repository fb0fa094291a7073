"""A sandbox in one process with a clock that tests move, and small clients that share nothing
with the product's own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from lxml import etree
from starlette.testclient import TestClient

from loop_sandbox import ManualClock, SandboxWorld, Settings, create_app
from loop_sandbox.webhooks import Delivery

START = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
TNS = "http://rex11.com/webmethods/"
TICKET_NS = "http://rex11.com/swpublicapi/ReceivingTicket.xsd"
ITEMS_NS = "http://rex11.com/swpublicapi/ReceivingTicketItems.xsd"
ADDRESS_NS = "http://rex11.com/swpublicapi/CustomerOrder.xsd"
PRODUCT_NS = "http://rex11.com/swpublicapi/StyleMasterProduct.xsd"
SOAP_NS = "http://schemas.xmlsoap.org/soap/envelope/"
ENDPOINT = "/rex11/ws/v3prod/publicapiws.asmx"


class Box:
    """A world, its clock, the webhooks it sent, and an HTTP client for its app. Calm unless
    `unkind`: each quirk is tried by itself."""

    def __init__(
        self, returns: int = 20, seed: int = 7, *, unkind: bool = False, **settings: Any
    ) -> None:
        settings["unkind"] = unkind
        self.clock = ManualClock(START)
        self.sent: list[Delivery] = []
        self.world = SandboxWorld(
            seed, returns, clock=self.clock, settings=Settings(**settings), sender=self._send
        )
        self.http = TestClient(create_app(self.world), follow_redirects=False)
        self.brand = self.world.brands["northpine"]

    def _send(self, item: Delivery) -> str:
        self.sent.append(item)
        return "200"

    def hooks(self) -> list[Delivery]:
        self.world.webhooks.flush()
        return self.sent

    def loop(self, method: str, path: str, version: str = "2026-10", **kwargs: Any) -> Any:
        headers = {"X-Authorization": kwargs.pop("key", self.brand.loop_key)}
        return self.http.request(method, f"/loop/api/{version}{path}", headers=headers, **kwargs)

    def act(self, return_id: str, action: str, **kwargs: Any) -> Any:
        return self.loop("POST", f"/warehouse/return/{return_id}/{action}", **kwargs)

    def list(self, **query: Any) -> Any:
        return self.loop("GET", "/warehouse/return/list", params=query)

    def control(self, path: str, body: Any = None, method: str | None = None) -> Any:
        if method is None:
            method = "GET" if body is None else "POST"
        json = None if method in ("GET", "DELETE") else body
        answer = self.http.request(method, f"/control/{path}", json=json)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def soap(self, operation: str, inner: str, action: str | None = None) -> Any:
        body = (
            f'<soap:Envelope xmlns:soap="{SOAP_NS}"><soap:Body>'
            f'<{operation} xmlns="{TNS}">{inner}</{operation}>'
            "</soap:Body></soap:Envelope>"
        )
        headers = {
            "Content-Type": "text/xml; charset=utf-8",
            "SOAPAction": f'"{TNS}{operation}"' if action is None else action,
        }
        return self.http.post(ENDPOINT, content=body.encode(), headers=headers)

    def token(self) -> str:
        b = self.brand
        answer = self.soap(
            "AuthenticationTokenGet", credentials(b.web_address, b.user_name, b.password)
        )
        return text(answer, "AuthenticationTokenGetResult")

    def rex(self, operation: str, inner: str = "", name: str = "AuthenticationString") -> Any:
        answer = self.soap(operation, f"<{name}>{self.token()}</{name}>{inner}")
        assert answer.status_code == 200, answer.text
        return answer

    def add(self, po: str = "PO-1", items: str | None = None, **extra: str) -> Any:
        ticket = ticket_xml(po, items or self.item(), **extra)
        return self.rex("ReceivingTicketAdd", ticket)

    def item(self, position: int = 0, **change: str) -> str:
        p = self.brand.catalogue[position]
        values = {"Sku": p.sku, "Style": p.style, "Color": p.color, "UPC": p.upc, "Size": p.size}
        return item_xml(**{**values, **change})

    def open_return(self, **kwargs: Any) -> str:
        return self.world.new_return("northpine", late_label=False, **kwargs).id


def credentials(address: str, user: str, password: str) -> str:
    return (
        f"<WebAddress>{address}</WebAddress><UserName>{user}</UserName>"
        f"<Password>{password}</Password>"
    )


def item_xml(**change: str) -> str:
    values = {"ExpectedQuantity": "2", "ActualQuantity": "0", "DamagedQuantity": "0"}
    order = ("Sku", "Style", "Color", "UPC", "Size", *values, "ShipmentType")
    values = {**values, "ShipmentType": "OPENTOHANG", **change}
    inner = "".join(
        f'<{n} xmlns="{ITEMS_NS}">{escape(values[n])}</{n}>' for n in order if n in values
    )
    return f"<Shipmentitemslist>{inner}</Shipmentitemslist>"


def ticket_xml(
    po: str,
    items: str,
    *,
    country: str = "USA",
    warehouse: str = "BERGEN LOGISTICS NJ",
    memo: str = "A memo",
    namespace: str = TICKET_NS,
) -> str:
    return (
        f'<receivingTicket xmlns="{namespace}"><ReceivingStatus>Draft</ReceivingStatus>'
        "<ReceivingStatusCode>0</ReceivingStatusCode><CreatedDate>11/20/2026</CreatedDate>"
        f"{items}<ShipmentTypelist>OPENTOHANG</ShipmentTypelist>"
        f"<Warehouse>{warehouse}</Warehouse><Memo>{memo}</Memo><CustomerPO>{po}</CustomerPO>"
        "<TrackingNumbers>1Z1</TrackingNumbers><TrackingNumbers>1Z2</TrackingNumbers>"
        "<ExpectedDate>12/01/2026</ExpectedDate><SupplierDetails>"
        f'<CompanyName xmlns="{ADDRESS_NS}">Ada Okafor</CompanyName>'
        f'<Country xmlns="{ADDRESS_NS}">{country}</Country></SupplierDetails>'
        "<Carrier>UPS</Carrier></receivingTicket>"
    )


def tree(answer: Any) -> Any:
    return etree.fromstring(answer.content)


def texts(answer: Any, name: str) -> list[str]:
    return [x.text or "" for x in tree(answer).iter(f"{{*}}{name}")]


def text(answer: Any, name: str) -> str:
    found = texts(answer, name)
    assert len(found) == 1, (name, answer.text)
    return found[0]


def notes(answer: Any) -> list[tuple[int, str, str]]:
    return [
        (int(n[0].text), n[1].text, n[2].text) for n in tree(answer).iter(f"{{{TNS}}}Notification")
    ]
