"""The questions of `bergen-loop connect`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from rich.prompt import Confirm, Prompt

from bergen_loop.cli.output import console, line, say
from bergen_loop.config.fields import HttpUrl
from bergen_loop.connect.answers import BRAND_ID
from bergen_loop.connect.draft import is_reference
from bergen_loop.domain.criteria import PRESETS
from bergen_loop.outside.warehouse.rex11.config import WAREHOUSES, warehouse_name
from bergen_loop.people.brands import RESERVED
from bergen_loop.secrets import SCHEMES

Block = dict[str, Any]
SHORT = tuple(w.removeprefix("BERGEN LOGISTICS ") for w in WAREHOUSES)
NOT_BERGEN = "none"


def brand_id(default: str | None) -> str:
    """The id of the brand in the configuration."""
    while True:
        given = _text("Brand id (small letters, digits, - and _)", default)
        if BRAND_ID.fullmatch(given) and given not in RESERVED:
            return given
        words = "The console's own pages have this name: choose another one"
        say((words if given in RESERVED else "Write it like acme or acme-shoes", "red"))
        default = None


def loop_access(old: Mapping[str, Any]) -> Block:
    """Key and webhook secret."""
    part = _part(old, "loop")
    key = _secret("Loop API key (scopes Returns and Developer Tools)", part.get("api_key"))
    hook = _secret("Loop webhook secret (Enter: none)", part.get("webhook_secret"), needed=False)
    return {"loop": {"api_key": key, "webhook_secret": hook}}


def rex11_access(old: Mapping[str, Any]) -> Block:
    """REX11's three values."""
    part = _part(old, "rex11")
    return {
        "rex11": {
            "web_address": _text("REX11 WebAddress", part.get("web_address")),
            "user_name": _text("REX11 UserName", part.get("user_name")),
            "password": _secret("REX11 Password", part.get("password")),
        }
    }


def warehouse_system(old: Mapping[str, Any]) -> Block:
    """REX11, or this service's own floor page."""
    known = str(old.get("warehouse") or "rex11")
    chosen = _choice("Warehouse system", ("rex11", "embedded"), known)
    return {"warehouse": chosen} if chosen != known else {}


def options(old: Mapping[str, Any]) -> Block:
    """Warehouse, supplier, start, criteria."""
    announce = _part(old, "announce")
    chosen: Block = {"warehouse": _warehouse(str(announce.get("warehouse") or SHORT[0]))}
    if "supplier" not in announce and old.get("warehouse") != "embedded":
        chosen |= _supplier(str(old.get("name") or ""))
    if "start" not in announce:
        chosen["start"] = _start()
    known = str(old.get("criteria") or "standard")
    names = (*PRESETS, known) if known not in PRESETS else PRESETS
    return {"announce": chosen, "criteria": _choice("Receipt criteria", names, known)}


def name(old: Mapping[str, Any], brand: str) -> Block:
    """What people call the brand."""
    return {"name": _text("Brand name", str(old.get("name") or brand.title()))}


def store(default: str) -> str:
    """Where secrets are to be kept."""
    return _choice("Where to keep secrets", SCHEMES, default)


def public_url(present: str | None) -> str | None:
    """The service's address for Loop; None where it is to stay as it is."""
    if present:
        return None
    question = "Public https address of this service (Enter: none, poll only)"
    return _text(question, "", TypeAdapter(HttpUrl)) or None


def destinations(unmapped: Mapping[str, int], names: Mapping[str, str]) -> Block:
    """Which warehouse each unmapped destination of recent returns is."""
    mapped: dict[str, str | None] = {}
    for id_, count in unmapped.items():
        label = f"Destination {id_} ({names.get(id_, 'name unknown')}), {count} recent return(s)"
        answer = _warehouse("?", label, (NOT_BERGEN, "?"))
        if answer != "?":
            mapped[id_] = None if answer == NOT_BERGEN else answer
    return {"announce": {"destinations": mapped}} if mapped else {}


def again(what: str) -> bool:
    """Whether to enter something again."""
    return Confirm.ask(line(f"Enter {what} again?"), default=True, console=console)


def save_anyway() -> bool:
    """Whether to write the brand down although checks failed."""
    return Confirm.ask("Save the brand all the same?", default=False, console=console)


def _start() -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    question = "From which time on are returns this connection's? Older ones are left alone (UTC)"
    return _text(question, now, TypeAdapter(datetime))


def _supplier(name: str) -> Block:
    """Who sends what comes back, on every RMA: REX11 refuses one without these three."""
    company = _text("Supplier on every RMA: company", name or None)
    state = _text("Supplier: state, such as NJ (Enter: leave the supplier out)", "")
    if not state:
        words = (
            "REX11 is known to refuse RMAs without a supplier: add announce.supplier before the "
            "brand's first return"
        )
        say((words, "yellow"))
        return {}
    country = _text("Supplier: country", "USA")
    return {"supplier": {"company_name": company, "state": state, "country": country}}


def _part(block: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = block.get(key)
    return cast("Mapping[str, Any]", part) if isinstance(part, Mapping) else {}


def _text(question: str, default: str | None, kind: TypeAdapter[Any] | None = None) -> str:
    """A text; with `kind`, one that can be read as such: what cannot is asked for again."""
    while True:
        given = (Prompt.ask(line(question), default=default, console=console) or "").strip()
        if not given and default != "":
            say(("This is needed", "red"))
            continue
        try:
            if given and kind is not None:
                kind.validate_python(given)
            return given
        except ValidationError as error:
            wrong = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            say((f"{given}: {wrong}", "red"))


def _warehouse(default: str, what: str = "Bergen warehouse", others: tuple[str, ...] = ()) -> str:
    """A warehouse by its short name, or a newer one by its full name; or one of `others`."""
    full = {warehouse_name(short): short for short in SHORT}
    default = full.get(default, default)
    choices = "/".join((*SHORT, *others))
    while True:
        given = _text(f"{what} [{choices}], or a newer one by its full name", default)
        if given.casefold() in others:
            return given.casefold()
        try:
            name = warehouse_name(given)
        except ValueError as error:
            say((str(error), "red"))
            continue
        if name not in full:
            words = (
                f"{name} is not among the warehouses REX11's schema lists: make sure that Bergen "
                "spells it so"
            )
            say((words, "yellow"))
        return full.get(name, name)


def _choice(question: str, choices: tuple[str, ...], default: str) -> str:
    return Prompt.ask(
        line(question),
        choices=list(choices),
        default=default,
        console=console,
        case_sensitive=False,
    )


def _secret(question: str, present: object, *, needed: bool = True) -> str:
    """A secret, not shown while it is typed; Enter keeps the one there is."""
    kept = present if is_reference(present) else None
    hint = f" (Enter: keep {kept})" if kept else ""
    while True:
        given = Prompt.ask(
            line(question + hint), password=True, default="", console=console, show_default=False
        ).strip()
        if given or kept or not needed:
            return given or str(kept or "")
        say(("This is needed", "red"))
