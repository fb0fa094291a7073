"""Reading REX11 requests, as strictly as the service does: namespaces, names and order count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from lxml import etree

from loop_sandbox.model import SHIPMENT_TYPES, TICKET_STATUSES, WAREHOUSES
from loop_sandbox.rex_names import (
    ADDRESS,
    ITEM_ELEMENTS,
    ITEMS,
    PARAMETERS,
    PRODUCT,
    PRODUCT_ELEMENTS,
    QUANTITIES,
    REPEATED,
    SCHEMA,
    SOAP,
    SUPPLIER_ELEMENTS,
    TICKET,
    TICKET_ELEMENTS,
    TNS,
)

_KNOWN_WAREHOUSES = (*WAREHOUSES, "BERGEN LOGISTICS CA")
"""With one that the schema does not have; a kind service takes it."""
Element = etree._Element  # pyright: ignore[reportPrivateUsage]


class SoapFault(Exception):
    """A request that the service refuses with a fault (HTTP 500)."""


@dataclass(slots=True)
class ParsedTicket:
    """A receivingTicket as sent."""

    fields: dict[str, str] = field(default_factory=dict[str, str])
    items: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    shipment_types: list[str] = field(default_factory=list[str])
    tracking_numbers: list[str] = field(default_factory=list[str])
    supplier: dict[str, str] | None = None


@dataclass(slots=True)
class ParsedCall:
    """An operation with its plain parameters, and the one that has structure."""

    operation: str
    values: dict[str, str]
    ticket: ParsedTicket | None = None
    products: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    upcs: list[str] = field(default_factory=list[str])


def parse_call(body: bytes, soap_action: str | None, *, by_schema: bool = False) -> ParsedCall:
    """Envelope to call; SoapFault when anything is not as the service wants it. `by_schema`
    holds it against the whole schema first, as the platform does before the service runs."""
    operation = _operation_element(_root(body))
    namespace, name = _split(operation)
    action = (soap_action or "").strip().strip('"')
    if not action or action != TNS + name:
        raise SoapFault(f"Server did not recognize the value of HTTP Header SOAPAction: {action}.")
    if namespace != TNS or name not in PARAMETERS:
        raise SoapFault(f"The operation {{{namespace}}}{name} is not known.")
    if by_schema:
        _check_schema(operation)
    parsed = ParsedCall(name, {})
    own = TICKET if name == "ReceivingTicketAdd" else TNS
    spaces = {"receivingTicket": own}
    for child, child_name in _children(operation, TNS, PARAMETERS[name], (), spaces):
        if child_name == "receivingTicket":
            parsed.ticket = _ticket(child)
        elif child_name == "products":
            parsed.products = [_product(p) for p, _ in _list(child, "StyleMasterProduct")]
        elif child_name == "UPCs":
            parsed.upcs = [_text(u) for u, _ in _list(child, "string")]
        else:
            parsed.values[child_name] = _text(child)
    return parsed


@cache
def _schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(SCHEMA))


def _check_schema(operation: Element) -> None:
    schema = _schema()
    if schema.validate(operation):
        return
    entry = next(iter(schema.error_log))
    raise SoapFault(
        "Server was unable to read request. ---> There is an error in XML document "
        f"({entry.line}, {entry.column}). ---> {entry.message}"
    )


def peek_operation(body: bytes) -> str | None:
    """The operation's name if the body can be read at all."""
    try:
        return _split(_operation_element(_root(body)))[1]
    except SoapFault:
        return None


def _root(body: bytes) -> Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise SoapFault(f"The request is not well-formed XML: {error}") from None
    if root.getroottree().docinfo.doctype:
        raise SoapFault("A document type declaration is not allowed in SOAP.")
    return root


def _operation_element(root: Element) -> Element:
    if root.tag != f"{{{SOAP}}}Envelope":
        raise SoapFault("The root element must be a SOAP 1.1 Envelope.")
    body = root.find(f"{{{SOAP}}}Body")
    operations = [] if body is None else _elements(body)
    if len(operations) != 1:
        raise SoapFault("The Body must contain exactly one operation.")
    return operations[0]


def _elements(parent: Element) -> list[Element]:
    return [x for x in parent if isinstance(x.tag, str)]


def _split(element: Element) -> tuple[str, str]:
    name = etree.QName(element)
    return name.namespace or "", name.localname


def _text(element: Element) -> str:
    return (element.text or "").strip()


def _children(
    parent: Element,
    namespace: str,
    order: Sequence[str],
    repeated: Sequence[str],
    spaces: dict[str, str] | None = None,
) -> list[tuple[Element, str]]:
    """Children, checked for namespace, name, order and repetition."""
    where = _split(parent)[1]
    found: list[tuple[Element, str]] = []
    last = -1
    for child in _elements(parent):
        space, name = _split(child)
        wanted = (spaces or {}).get(name, namespace)
        if name not in order or space != wanted:
            raise SoapFault(f"Unexpected element {{{space}}}{name} in {where}.")
        at = order.index(name)
        if at < last or (at == last and name not in repeated):
            raise SoapFault(f"Element {name} in {where} is out of order.")
        last = at
        found.append((child, name))
    return found


def _list(parent: Element, name: str) -> list[tuple[Element, str]]:
    return _children(parent, TNS, (name,), (name,))


def _plain(parent: Element, namespace: str, order: Sequence[str]) -> dict[str, str]:
    return {name: _text(child) for child, name in _children(parent, namespace, order, ())}


def _product(element: Element) -> dict[str, str]:
    # The schema has an order; a kind service does not mind.
    values: dict[str, str] = {}
    for child in _elements(element):
        space, name = _split(child)
        if space != PRODUCT or name not in PRODUCT_ELEMENTS or name in values:
            raise SoapFault(f"Unexpected element {{{space}}}{name} in StyleMasterProduct.")
        values[name] = _text(child)
    _number(values, "Price", "StyleMasterProduct")
    return values


def _ticket(element: Element) -> ParsedTicket:
    ticket = ParsedTicket()
    for child, name in _children(element, TICKET, TICKET_ELEMENTS, REPEATED):
        if name == "Shipmentitemslist":
            ticket.items.append(_item(child))
        elif name == "ShipmentTypelist":
            ticket.shipment_types.append(_choice(name, _text(child), SHIPMENT_TYPES))
        elif name == "TrackingNumbers":
            ticket.tracking_numbers.append(_text(child))
        elif name == "SupplierDetails":
            ticket.supplier = _plain(child, ADDRESS, SUPPLIER_ELEMENTS)
        else:
            ticket.fields[name] = _text(child)
    _choice("Warehouse", ticket.fields.get("Warehouse", ""), _KNOWN_WAREHOUSES)
    _choice("ReceivingStatus", ticket.fields.get("ReceivingStatus", ""), tuple(TICKET_STATUSES))
    _whole(ticket.fields, "ReceivingStatusCode", "receivingTicket")
    return ticket


def _item(element: Element) -> dict[str, str]:
    values = _plain(element, ITEMS, ITEM_ELEMENTS)
    for name in QUANTITIES:
        if name not in values:
            raise SoapFault(f"Element {name} is required in Shipmentitemslist.")
        _whole(values, name, "Shipmentitemslist")
    if "ShipmentType" in values:
        _choice("ShipmentType", values["ShipmentType"], SHIPMENT_TYPES)
    for name in ("UnitCost", "ProductMSRP"):
        _number(values, name, "Shipmentitemslist")
    return values


def _choice(name: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise SoapFault(f"Instance validation error: '{value}' is not a valid value for {name}.")
    return value


def _whole(values: dict[str, str], name: str, where: str) -> None:
    value = values.get(name, "")
    if not value.removeprefix("-").isdigit():
        raise SoapFault(f"Input string was not in a correct format: {name} in {where}.")


def _number(values: dict[str, str], name: str, where: str) -> None:
    if values.get(name):
        try:
            float(values[name])
        except ValueError:
            raise SoapFault(
                f"Input string was not in a correct format: {name} in {where}."
            ) from None
