"""The XML namespaces of REX11's public service, and the SOAPAction of an operation."""

from __future__ import annotations

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
METHODS = "http://rex11.com/webmethods/"
TICKET = "http://rex11.com/swpublicapi/ReceivingTicket.xsd"
ITEMS = "http://rex11.com/swpublicapi/ReceivingTicketItems.xsd"
SUPPLIER = "http://rex11.com/swpublicapi/CustomerOrder.xsd"
PRODUCT = "http://rex11.com/swpublicapi/StyleMasterProduct.xsd"


def soap_action(operation: str) -> str:
    """The SOAPAction header's value, quotes included."""
    return f'"{METHODS}{operation}"'
