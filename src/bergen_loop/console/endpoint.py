"""A brand's own endpoint: where it is told of its returns, of what, and whether it answers."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from secrets import token_bytes
from typing import Any, cast, get_args
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData

from bergen_loop.config import ConfigError, Problem
from bergen_loop.config.operations import EventSettings, EventType
from bergen_loop.console.access import NOT_FOUND, Form, Permission, Person, needs
from bergen_loop.console.access import field as text_of
from bergen_loop.console.brand_settings import act_of, changed
from bergen_loop.console.forms import whole
from bergen_loop.console.mode import brand_path
from bergen_loop.console.state import Console, console_of
from bergen_loop.console.templating import page
from bergen_loop.ledger.read import deliveries
from bergen_loop.ledger.store import brands as kept
from bergen_loop.ledger.store.brands import Version
from bergen_loop.ledger.store.outbox import Attempt
from bergen_loop.people.actions import NotPossible
from bergen_loop.secrets import SecretError
from bergen_loop.tell.events import addresses
from bergen_loop.tell.events.addresses import Forbidden
from bergen_loop.tell.events.catalogue import MOMENTS
from bergen_loop.tell.events.dispatch import Around, send_test

router = APIRouter()

May = Depends(needs(Permission.CONNECT))

TYPES: tuple[EventType, ...] = get_args(EventType)
ABOUT: dict[str, str] = {
    "return.attention": "a return, or the brand, needs a person",
    "shipment.counted": "a consolidated shipment is counted",
    "claim.opened": "goods of a shipment are missing, or came in excess",
    "claim.changed": "a claim says something else",
    "claim.withdrawn": "a claim is void",
} | {type_: f"{int(moment)} {moment.title}" for type_, moment in MOMENTS.items()}
"""What each type tells, for people."""
FIELDS = ("url", "secret", "moments", "why")


@dataclass(frozen=True, slots=True)
class Typed:
    """What the form holds. A secret that was typed is not shown again."""

    url: str = ""
    all: bool = True
    chosen: tuple[str, ...] = ()
    why: str = ""
    seen: str = ""

    @classmethod
    def of(cls, form: FormData) -> Typed:
        chosen = [v for v in form.getlist("event") if isinstance(v, str)]
        return cls(
            url=text_of(form, "url"),
            all=text_of(form, "which") != "some",
            chosen=tuple(t for t in TYPES if t in chosen),
            why=text_of(form, "why"),
            seen=text_of(form, "seen"),
        )


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a form: why it was not carried out, what a test found, a secret made."""

    problems: Mapping[str, str] = field(default_factory=dict[str, str])
    why_not: str = ""
    attempt: Attempt | None = None
    secret: str = field(default="", repr=False)
    status: int = 200


@router.get("/brands/{brand}/events", response_class=HTMLResponse)
def endpoint_page(request: Request, brand: str, _person: Person = May) -> HTMLResponse:
    """Where the brand is told, and the form that changes it."""
    return _page(request, brand)


@router.post("/brands/{brand}/events", response_model=None)
def change(request: Request, form: Form, brand: str, person: Person = May) -> Response:
    """Keep another endpoint, or none."""
    console, typed = console_of(request), Typed.of(form)
    present = _present(console, brand)
    secret = text_of(form, "secret")
    made = _made() if "make" in form and not secret else ""
    try:
        if text_of(form, "do") == "off":
            block, secrets = {k: v for k, v in present.content.items() if k != "events"}, {}
        else:
            block = _block(present, typed)
            if not (secret or made or block["events"].get("secret")):
                raise _Wrong("secret", "type the one that their system shows, or have one made")
            secrets = {"events.secret": secret or made} if secret or made else {}
        number = whole(typed.seen) or 0
        changed(console, brand, block, secrets, act_of(console, person, typed.why), number)
    except _Wrong as wrong:
        return _page(request, brand, typed, Told(wrong.problems, status=422))
    except ConfigError as error:
        return _page(request, brand, typed, Told(_at_fields(error.problems), status=422))
    except (NotPossible, SecretError) as error:
        at_why = {} if typed.why else {"why": "write a reason"}
        return _page(request, brand, typed, Told(at_why, str(error), status=409))
    console.registry.look()
    if made:
        return _page(request, brand, told=Told(secret=made))
    return RedirectResponse(f"{brand_path(brand)}/events?done=changed", 303)


@router.post("/brands/{brand}/events/test", response_class=HTMLResponse)
def test(request: Request, brand: str, _form: Form, person: Person = May) -> HTMLResponse:
    """Send a test event to the endpoint that holds, and say what it answered."""
    registry = console_of(request).registry
    endpoint = registry.brand(brand).events if brand in registry else None
    if endpoint is None:
        raise HTTPException(404, NOT_FOUND)
    around = Around(resolve=addresses.resolve)
    attempt = send_test(registry.ledger, brand, endpoint, person.name, around)
    return _page(request, brand, told=Told(attempt=attempt))


# -- parts --------------------------------------------------------------------------------------


class _Wrong(Exception):
    def __init__(self, field_: str, problem: str) -> None:
        super().__init__(problem)
        self.problems = {field_: problem}


def _made() -> str:
    return f"whsec_{b64encode(token_bytes(32)).decode()}"


def _present(console: Console, brand: str) -> Version:
    with console.registry.ledger.read() as session:
        found = kept.newest_of(session, brand)
    if found is None or not found.active or console.registry.version(brand) is None:
        raise HTTPException(404, NOT_FOUND)
    return found


def _block(present: Version, typed: Typed) -> dict[str, Any]:
    """The brand's block with what was typed in it. Raises _Wrong."""
    before = cast("dict[str, Any]", present.content.get("events") or {})
    told = before | {"url": typed.url}
    told.pop("moments", None)
    if not typed.all:
        if not typed.chosen:
            raise _Wrong("moments", "choose at least one, or all of them")
        told["moments"] = list(typed.chosen)
    _check_url(typed.url, loopback=bool(before.get("allow_loopback")))
    return {**present.content, "events": told}


def _check_url(text: str, *, loopback: bool) -> None:
    """As each delivery does it: where the address leads now. Raises _Wrong."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise _Wrong("url", "this is no web address; write https://hooks.example.com") from None
    if not host or parts.scheme not in ("https", "http"):
        raise _Wrong("url", "write a whole address, such as https://hooks.example.com/returns")
    try:
        addresses.choose(host, addresses.resolve(host, port), loopback=loopback)
    except (OSError, UnicodeError):
        raise _Wrong("url", "its name leads to no address: look at how it is spelt") from None
    except Forbidden as error:
        raise _Wrong("url", f"{error}: events go out into the world only") from None


def _at_fields(problems: list[Problem]) -> dict[str, str]:
    """By field of the form; what belongs to none of them stands under the empty name."""
    found: dict[str, str] = {}
    for one in problems:
        last = one.field.rpartition(".")[2]
        name = last if last in FIELDS else "url" if last == "events" else ""
        place = "" if name else f"{one.field}: "
        words = ". ".join(w for w in (f"{place}{one.message}", one.fix) if w)
        found[name] = f"{found[name]}; {words}" if name in found else words
    return found


def _shown(endpoint: EventSettings | None, seen: int) -> Typed:
    if endpoint is None:
        return Typed(seen=str(seen))
    chosen = tuple(endpoint.moments or ())
    return Typed(endpoint.url, endpoint.moments is None, chosen, seen=str(seen))


def _page(
    request: Request, brand: str, typed: Typed | None = None, told: Told | None = None
) -> HTMLResponse:
    registry = console_of(request).registry
    if brand not in registry:
        raise HTTPException(404, NOT_FOUND)
    told, version = told or Told(), registry.version(brand)
    endpoint = registry.brand(brand).events
    with registry.ledger.read() as session:
        fares = deliveries.endpoints(session).get(brand)
    shown = typed or _shown(endpoint, version.version if version else 0)
    return page(
        request,
        "endpoint.html",
        told.status,
        brand=brand,
        name=registry.brand(brand).name,
        filed=version is None,
        file=registry.roster.file.name if registry.roster else "the configuration file",
        endpoint=endpoint,
        fares=fares,
        types=[(type_, ABOUT[type_]) for type_ in TYPES],
        typed=replace(shown, seen=shown.seen or "0"),
        told=told,
        done=request.query_params.get("done") == "changed",
        here_path=f"{brand_path(brand)}/events",
        back=brand_path(brand),
    )
