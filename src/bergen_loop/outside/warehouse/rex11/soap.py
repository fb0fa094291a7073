"""XML in and out, without DTDs or external entities; elements are read by local name.

REX11 puts some elements of an answer into the wrong namespace, and empty elements stand for
missing values: both are settled here, once. So are answers with characters or references that XML
does not allow: they are mended and parsed again, and what was mended is known by its element.
Control characters (scanners write `&#x1D;` into comments), entities of HTML, a bare `&`, a wrong
encoding in the declaration, a blank line before it: only characters are mended, never structure. An
answer that is cut off or nested wrongly stays unreadable. Every mended place carries the mark
MENDED, by which a reader knows that this value is not exactly what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from html.entities import html5
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from lxml import etree

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


def by_name(element: Element) -> dict[str, list[Element]]:
    """All direct children by their local name."""
    found: dict[str, list[Element]] = {}
    for one in element.iterchildren("*"):
        found.setdefault(local_name(one), []).append(one)
    return found


def mended(element: Element | None, name: str) -> bool:
    """Whether the child's text is not quite what was sent: a character was lost or made up."""
    return any(MENDED in (e.text or "") for e in children(element, name))


def is_plain(element: Element) -> bool:
    """Whether it has a text as it was sent, and nothing else."""
    return not len(element) and MENDED not in (element.text or "")


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


# -- times: REX11's are warehouse-local, without a zone; inside, everything is aware UTC ---------

_FORM = re.compile(
    r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})"
    r"(?:\s+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(?:\s*([AP])M)?)?",
    re.IGNORECASE,
)
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:]{5,8}(?:\.[0-9]+)?(?:Z|[+-][0-9:]{5})?)?"
)
_MINUTE = timedelta(minutes=1)
_FIRST, _LAST = 2000, 2200
"""Years: what is before or after is a value that systems write for "no date" (1/1/0001, 1/1/1900,
12/30/1899, 12/31/9999)."""


def read_time(text: str | None, zone: ZoneInfo) -> datetime | None:
    """`5/23/2016 12:32:50 PM`, `05/23/2016 12:47:13`, `5/10/2016` or `2016-05-23T12:47:13` ->
    aware UTC; None for everything that is no date of the calendar of these two centuries.

    A date alone is its midnight. In the hour that a clock change repeats the earlier reading is
    taken; in the hour it skips, the offset before the change.
    """
    try:
        time = _wall((text or "").strip())
        if time is None or not _FIRST <= time.year < _LAST:
            return None
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _wall(text: str) -> datetime | None:
    if _ISO.fullmatch(text):
        return datetime.fromisoformat(text)
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    month, day, year, hour, minute, second = (int(g or 0) for g in match.groups()[:6])
    if half := match[7]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half.upper() == "P" else 0)
    return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001


def local_date(day: date) -> str:
    """`MM/DD/YYYY`, as tickets and queries want a day."""
    return f"{day.month:02}/{day.day:02}/{day.year:04}"


def query_window(
    since: datetime, until: datetime, zone: ZoneInfo, precision: Literal["minute", "day"] = "minute"
) -> tuple[str, str]:
    """Start and end of a by-date query covering at least [since, until].

    `MM/DD/YYYY HH:MI` (24-hour), or whole days, the day after the last included since it is not
    documented whether an end date counts as its midnight. Rounded outwards; next to the hour
    that a clock change repeats, widened so that both of its readings are in.
    """
    if since.tzinfo is None or until.tzinfo is None:
        raise ValueError("the window's times must be aware (UTC)")
    if since > until:
        raise ValueError(f"the window is reversed: {since.isoformat()} > {until.isoformat()}")
    since, until = since.astimezone(UTC), until.astimezone(UTC)
    first = _outward(since.replace(second=0, microsecond=0), zone, -1)
    end = until.replace(second=0, microsecond=0)
    last = _outward(end if end == until else end + _MINUTE, zone, +1)
    if precision == "day":
        return local_date(first.date()), local_date(last.date() + timedelta(days=1))
    return f"{local_date(first.date())} {first:%H:%M}", f"{local_date(last.date())} {last:%H:%M}"


def _outward(time: datetime, zone: ZoneInfo, direction: Literal[-1, 1]) -> datetime:
    """The wall-clock time, moved over the whole repeated hour if it may be read twice."""
    wall = time.astimezone(zone).replace(tzinfo=None)
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    repeated = (first - second) if first and second else timedelta()
    return wall + direction * max(repeated, timedelta())


# -- a second reading of answers that are not quite XML ----------------------------------------

MENDED = "\uf8f3"
"""A private-use character, of no meaning to anyone else; never part of a value."""

_DECLARATION = re.compile(r"^\s*<\?xml\b[^>]*\?>\s*")
_SPOILED = re.compile(
    r"&(?P<entity>[A-Za-z][A-Za-z0-9]{0,40};|\#[0-9]{1,20};|\#x[0-9A-Fa-f]{1,20};)"
    r"|(?P<bare>&)"
    r"|(?P<illegal>[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff])"
    r"|(?P<joined>[\"'](?=xmlns[:=]))"
)
_KNOWN = ("amp;", "lt;", "gt;", "quot;", "apos;")


def mend(answer: bytes) -> bytes | None:
    """The answer with its characters mended, as UTF-8; None if there is nothing to be done."""
    text = _decoded(answer)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    body = _DECLARATION.sub("", text.replace(MENDED, ""), count=1).lstrip()
    if not body.startswith("<"):
        return None
    return "".join(_pieces(body)).encode()


def _decoded(answer: bytes) -> str:
    """As UTF-16 if its bytes are, else as UTF-8, whatever the declaration says."""
    if answer[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return answer.decode("utf-16", "replace").replace("\ufffd", MENDED)
    try:
        return answer.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Here a replaced byte is a lost character; elsewhere U+FFFD is what was sent.
        return answer.decode("utf-8-sig", "replace").replace("\ufffd", "\x00")


def _pieces(body: str) -> Iterator[str]:
    """The text mended, CDATA sections by rules of their own: there an ampersand is one."""
    at = 0
    while (start := body.find("<![CDATA[", at)) >= 0:
        end = body.find("]]>", start)
        if end < 0:
            break
        yield _SPOILED.sub(_mended, body[at:start])
        yield "".join(c if _legal(ord(c)) else MENDED for c in body[start:end])
        at = end
    yield _SPOILED.sub(_mended, body[at:])


def _mended(match: re.Match[str]) -> str:
    if entity := match["entity"]:
        return _entity(entity)
    if match["bare"]:
        return f"{MENDED}&amp;"
    if match["joined"]:
        return f"{match['joined']} "
    return MENDED


def _entity(name: str) -> str:
    if name in _KNOWN:
        return f"&{name}"
    if name.startswith("#"):
        digits = name[1:-1]
        number = int(digits[1:], 16) if digits[0] == "x" else int(digits)
        return f"&{name}" if _legal(number) else MENDED
    meant = html5.get(name)
    if meant is None:
        return f"{MENDED}&amp;{name}"
    return MENDED + meant.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _legal(number: int) -> bool:
    return (
        number in (0x9, 0xA, 0xD)
        or 0x20 <= number <= 0xD7FF
        or 0xE000 <= number <= 0xFFFD
        or 0x10000 <= number <= 0x10FFFF
    )
