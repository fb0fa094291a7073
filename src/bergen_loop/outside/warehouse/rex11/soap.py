"""XML in and out, without DTDs or external entities; elements are read by local name.

REX11 puts some elements of an answer into the wrong namespace, and empty elements stand for
missing values: both are settled here, once. So are answers with characters or references that XML
does not allow: they are mended and parsed again, and what was mended is known by its element.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from lxml import etree

from bergen_loop.outside.warehouse.rex11.mending import MENDED, mend

Fields: TypeAlias = Iterable[tuple[str, str | None]]
# lxml gives the class of its elements no public name.
Element: TypeAlias = etree._Element  # pyright: ignore[reportPrivateUsage]

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
METHODS = "http://rex11.com/webmethods/"
TICKET = "http://rex11.com/swpublicapi/ReceivingTicket.xsd"
ITEMS = "http://rex11.com/swpublicapi/ReceivingTicketItems.xsd"
SUPPLIER = "http://rex11.com/swpublicapi/CustomerOrder.xsd"
PRODUCT = "http://rex11.com/swpublicapi/StyleMasterProduct.xsd"

MAX_BYTES = 20 * 1024 * 1024

_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BLANK = " \t\r\n"
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"


class NotSoap(Exception):
    """The bytes are no SOAP envelope; the message says why."""


def clean(value: str) -> str:
    """The text without the characters that XML 1.0 cannot carry."""
    return _ILLEGAL.sub("", value)


def open_body(answer: bytes) -> Element:
    """The first element in the envelope's body. NotSoap if there is none."""
    if len(answer) > MAX_BYTES:
        raise NotSoap(f"the answer is over {MAX_BYTES} bytes")
    try:
        root = _parse(answer)
    except NotSoap:
        mended = mend(answer)
        if mended is None:
            raise
        root = _parse(mended)
    if local_name(root) != "Envelope":
        raise NotSoap(f"the answer is XML, but a <{local_name(root)[:60]}>, no SOAP envelope")
    body = child(root, "Body")
    content = next(iter(body), None) if body is not None else None
    if content is None:
        raise NotSoap("the answer is an envelope without content")
    return content


def _parse(answer: bytes) -> Element:
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(answer, parser)
    except (etree.LxmlError, ValueError, LookupError) as error:
        raise NotSoap(f"the answer is no XML: {str(error)[:200] or 'empty'}") from None
    if root.getroottree().docinfo.doctype:
        raise NotSoap("the answer carries a DOCTYPE, which is refused")
    return root


def local_name(element: Element) -> str:
    """The element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def children(element: Element | None, name: str) -> Iterator[Element]:
    """The direct children of that local name, whatever their namespace."""
    return element.iterchildren(f"{{*}}{name}") if element is not None else iter(())


def child(element: Element | None, name: str) -> Element | None:
    """The first direct child of that local name."""
    return None if element is None else next(element.iterchildren(f"{{*}}{name}"), None)


def text(element: Element | None, name: str) -> str | None:
    """The child's text without outer blanks; None where missing or empty."""
    return next((t for e in children(element, name) if (t := own_text(e))), None)


def own_text(element: Element) -> str | None:
    """The element's own text without outer blanks; None where empty, or said to be (`xsi:nil`)."""
    if element.get(_NIL) in ("true", "1"):
        return None
    return (element.text or "").replace(MENDED, "").strip(_BLANK) or None


def mended(element: Element | None, name: str) -> bool:
    """Whether the child's text is not quite what was sent: a character was lost or made up."""
    return any(MENDED in (e.text or "") for e in children(element, name))


def as_text(element: Element) -> str:
    """The element as XML text, for people."""
    return etree.tostring(element, encoding="unicode", with_tail=False).replace(MENDED, "")


def fault_text(content: Element) -> str:
    """What a SOAP fault says, on one line."""
    words = " ".join(" ".join(str(t) for t in content.itertext()).replace(MENDED, "").split())
    return words or "a fault without text"


def fault_blames_request(content: Element) -> bool:
    """Whether a SOAP fault says by its code that the request is wrong (`soap:Client`; SOAP 1.2
    calls it Sender): ASP.NET says so before any of the service's own code runs."""
    code = text(content, "faultcode") or text(child(content, "Code"), "Value") or ""
    return code.rpartition(":")[2].partition(".")[0].casefold() in ("client", "sender")


def envelope(content: Element) -> bytes:
    """The whole document around this content: UTF-8, with its declaration."""
    root = etree.Element(f"{{{SOAP}}}Envelope", nsmap={"soap": SOAP})
    etree.SubElement(root, f"{{{SOAP}}}Body").append(content)
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")


def add(
    parent: Element | None, namespace: str, name: str, fields: Fields | str | None = None
) -> Element:
    """A new element, appended to its parent, with a text or with fields of its own namespace: those
    that have a value. It declares its namespace as the default one where that changes.

    REX11 has refused tickets whose namespaces were bound in other ways.
    """
    element = etree.Element(f"{{{namespace}}}{name}", nsmap={None: namespace})
    if isinstance(fields, str):
        element.text = clean(fields)
    else:
        fill(element, namespace, fields or ())
    if parent is not None:
        parent.append(element)
    return element


def fill(parent: Element, namespace: str, fields: Fields) -> None:
    """Append these fields, where they have a value."""
    for name, value in fields:
        if value is not None:
            add(parent, namespace, name, value)
