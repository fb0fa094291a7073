"""A brand's settings: their history, changes and roll-backs, its removal, and the health of its
connection. Brands of the configuration file are only looked at here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, cast

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from ruamel.yaml import YAML
from starlette.datastructures import FormData

from bergen_loop import yaml_source
from bergen_loop.config import ConfigError, Problem
from bergen_loop.connect import record, steps
from bergen_loop.connect.attempt import attempts
from bergen_loop.connect.check import Check
from bergen_loop.connect.checkup import Checkup
from bergen_loop.connect.draft import SECRETS, is_reference, merged
from bergen_loop.connect.draft import draft as with_references
from bergen_loop.console.access import NOT_FOUND, Form, Permission, Person, needs
from bergen_loop.console.access import field as text_of
from bergen_loop.console.brand import blocks
from bergen_loop.console.connecting import brands_of, roster_of, unread
from bergen_loop.console.forms import whole
from bergen_loop.console.mode import brand_path
from bergen_loop.console.state import Console, console_of
from bergen_loop.console.templating import page
from bergen_loop.console.working import TEXT_LIMIT
from bergen_loop.ledger.store import brands as kept
from bergen_loop.ledger.store.brands import Version
from bergen_loop.people.actions import NotPossible
from bergen_loop.people.brands import Act, Change, diff, plain
from bergen_loop.secrets import SecretError
from bergen_loop.yaml_source import YamlMistake

router = APIRouter()

May = Depends(needs(Permission.CONNECT))
LABELS = {
    "loop.api_key": "Loop API key",
    "loop.webhook_secret": "Loop webhook secret",
    "rex11.password": "REX11 password",
}


@dataclass(slots=True)
class Refused:
    """Why a form was not carried out, and what was typed."""

    problems: list[Problem] = field(default_factory=list[Problem])
    why_not: str = ""
    text: str = ""
    why: str = ""
    seen: str = ""


@router.get("/brands/{brand}/settings", response_class=HTMLResponse)
def settings_page(request: Request, brand: str, _person: Person = May) -> HTMLResponse:
    """What holds, what held before, and the form that changes it."""
    return _page(request, brand)


@router.post("/brands/{brand}/settings", response_model=None)
def change(request: Request, form: Form, brand: str, person: Person = May) -> Response:
    """Change the settings: the whole block as YAML, and secrets typed apart from it."""
    console = console_of(request)
    text = str(form.get("text") or "").replace("\r\n", "\n")
    refused = Refused(text=text, why=text_of(form, "why"), seen=text_of(form, "seen"))
    typed = {name: text_of(form, name) for name in LABELS if text_of(form, name)}
    try:
        seen = whole(refused.seen) or 0
        block = _with_fields(_block(text), _newest(console, brand), form)
        refused.text = text = _yaml(block) if block != _block(text) else text
        present = _newest(console, brand)
        refused.text = _masked(block, text, present)
        if mistakes := unread(block):
            raise ConfigError(mistakes)
        made = changed(console, brand, block, typed, act_of(console, person, refused.why), seen)
    except ConfigError as error:
        refused.problems = error.problems
        return _page(request, brand, refused)
    except (NotPossible, SecretError) as error:
        refused.why_not = str(error)
        return _page(request, brand, refused)
    console.registry.look()
    console.sync_soon(brand)
    return RedirectResponse(f"{brand_path(brand)}/settings?done={made.version}", 303)


@router.get("/brands/{brand}/settings/{version}", response_class=HTMLResponse)
def version_page(request: Request, brand: str, version: int, _person: Person = May) -> HTMLResponse:
    """An earlier version, against what holds; the form that rolls back to it."""
    return _version_page(request, brand, version)


@router.post("/brands/{brand}/settings/{version}", response_model=None)
def roll_back(
    request: Request, form: Form, brand: str, version: int, person: Person = May
) -> Response:
    """Have an earlier version again."""
    console, why, seen = console_of(request), text_of(form, "why"), text_of(form, "seen")
    try:
        act = act_of(console, person, why)
        number = whole(seen) or 0
        made = brands_of(console).roll_back(act, brand, version, number)
    except ConfigError as error:
        return _version_page(request, brand, version, Refused(error.problems, why=why))
    except (NotPossible, SecretError) as error:
        return _version_page(request, brand, version, Refused(why_not=str(error), why=why))
    console.registry.look()
    console.sync_soon(brand)
    return RedirectResponse(f"{brand_path(brand)}/settings?done={made.version}", 303)


@router.get("/brands/{brand}/remove", response_class=HTMLResponse)
def ask_removal(request: Request, brand: str, _person: Person = May) -> HTMLResponse:
    """What removing leads to, and the form that does it."""
    return _removal(request, brand)


@router.post("/brands/{brand}/remove", response_model=None)
def remove(request: Request, form: Form, brand: str, person: Person = May) -> Response:
    """Do nothing more for the brand."""
    console, why, seen = console_of(request), text_of(form, "why"), text_of(form, "seen")
    try:
        number = whole(seen) or 0
        anyway = "anyway" in form
        brands_of(console).remove(act_of(console, person, why), brand, number, anyway=anyway)
    except NotPossible as error:
        return _removal(request, brand, Refused(why_not=str(error), why=why))
    console.registry.look()
    return RedirectResponse("/brands/new?removed=1", 303)


@router.get("/brands/{brand}/checks", response_class=HTMLResponse)
def checks_page(request: Request, brand: str, _person: Person = May) -> HTMLResponse:
    """The health of a connection: begins with a button, for it calls Loop and the warehouse."""
    return _checks_page(request, brand, [])


@router.post("/brands/{brand}/checks", response_class=HTMLResponse)
def run_checks(request: Request, brand: str, _form: Form, _person: Person = May) -> HTMLResponse:
    """Every check of connecting again; nothing is changed by it."""
    registry = console_of(request).registry
    if brand not in registry:
        raise HTTPException(404, NOT_FOUND)
    folder = roster_of(console_of(request)).folder
    found: list[Check] = []
    url = registry.settings.service.public_url
    checkup = Checkup(brand, registry.brand(brand), folder)
    for runs in (
        checkup.loop_steps(),
        checkup.rex11_steps(),
        checkup.data_steps(),
        checkup.webhook_steps(registry.ledger, url, make=False, wait=0),
    ):
        found += [run() for _, run in runs]
    return _checks_page(request, brand, found)


# -- parts --------------------------------------------------------------------------------------


def act_of(console: Console, person: Person, why: str) -> Act:
    if len(why) > TEXT_LIMIT:
        raise NotPossible(f"the reason has {len(why)} characters, more than {TEXT_LIMIT}")
    return Act(person.name, why, attempts(console.registry.ledger, roster_of(console).folder))


def _block(text: str) -> dict[str, Any]:
    """What was typed. ConfigError with its line."""
    try:
        tree = yaml_source.load(text)
    except YamlMistake as error:
        where = f"line {error.line}, column {error.column}"
        mistake = Problem("(text)", error.line, error.column, where, error.message, error.remedy)
        raise ConfigError([mistake]) from None
    if not isinstance(tree, Mapping):
        fix = "write `name:`, `loop:` and so on"
        raise ConfigError([Problem("(text)", 1, 1, "(text)", "is no mapping", fix)])
    return cast("dict[str, Any]", plain(tree))


def _with_fields(block: dict[str, Any], present: Version | None, form: FormData) -> dict[str, Any]:
    """The text with the fields that were set to something else than they showed; for others the
    text holds."""
    if "fields" not in form:
        return block
    before = cast("dict[str, Any]", plain(present.content)) if present else {}
    given = {name: value for name, value in form.items() if isinstance(value, str)}
    after = steps.typed_in(before, steps.BOX_FREE, given)
    set_ = [f for f in steps.BOX_FREE if steps.value_of(after, f) != steps.value_of(before, f)]
    return steps.typed_in(block, set_, given)


def changed(
    console: Console, brand: str, block: dict[str, Any], typed: Mapping[str, str], act: Act,
    seen: int,
) -> Version:  # fmt: skip
    """Secrets typed apart get references of their own in the block."""
    given: dict[str, Any] = {}
    for name, secret in typed.items():
        section, key = name.split(".")
        given = merged(given, {section: {key: secret}})
    if given:
        stores, _ = record.with_key(roster_of(console).file)
        made = with_references(brand, given, block, "ledger", stores)
        act = Act(act.who, act.why, act.attempt, made.to_keep)
        block = made.block
    return brands_of(console).change(act, brand, block, seen)


def _masked(block: dict[str, Any], text: str, present: Version | None) -> str:
    """The text as it is shown again: without a secret that was typed into it in the clear."""
    clear, shown = False, merged(block, {})
    before = cast("dict[str, dict[str, Any]]", present.content if present else {})
    for section, name in SECRETS:
        part = cast("dict[str, Any]", shown.get(section) or {})
        if name in part and not is_reference(part[name]):
            part[name] = (before.get(section) or {}).get(name, "")
            clear = True
    return _yaml(shown) if clear else text


def _yaml(block: Mapping[str, Any]) -> str:
    yaml, out = YAML(typ="safe", pure=True), StringIO()
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    yaml.width = 4096
    yaml.dump(dict(block), out)  # pyright: ignore[reportUnknownMemberType]
    return out.getvalue()


def _shown_block(text: str) -> dict[str, Any]:
    try:
        return _block(text) if text else {}
    except ConfigError:
        return {}


def _history(console: Console, brand: str) -> list[Version]:
    with console.registry.ledger.read() as session:
        return kept.history(session, brand)


def _newest(console: Console, brand: str) -> Version | None:
    return next(iter(_history(console, brand)), None)


def _name(console: Console, brand: str, found: list[Version]) -> str:
    if brand in console.registry:
        return console.registry.brand(brand).name
    if not found:
        raise HTTPException(404, NOT_FOUND)
    return str(found[0].content.get("name") or brand)


def _page(request: Request, brand: str, refused: Refused | None = None) -> HTMLResponse:
    console = console_of(request)
    found = _history(console, brand)
    name, registry = _name(console, brand, found), console.registry
    newest = found[0] if found else None
    filed = brand in registry and registry.version(brand) is None
    shown = refused or Refused(text=_yaml(newest.content) if newest else "")
    rows: list[tuple[Version, list[Change]]] = [
        (one, diff(before.content if before else {}, one.content))
        for one, before in zip(found, [*found[1:], None], strict=False)
    ]
    return page(
        request,
        "brand_settings.html",
        422 if refused else 200,
        brand=brand,
        name=name,
        filed=filed,
        file=registry.roster.file.name if registry.roster else "the configuration file",
        newest=newest,
        rows=rows,
        blocks=blocks(registry.brand(brand)) if filed else [],
        shown=shown,
        refused=refused is not None,
        labels=LABELS,
        fields=[(one, steps.value_of(_shown_block(shown.text), one)) for one in steps.BOX_FREE],
        seen=shown.seen or (newest.version if newest else 0),
        done=request.query_params.get("done", ""),
        here_path=f"{brand_path(brand)}/settings",
        back=brand_path(brand),
    )


def _version_page(
    request: Request, brand: str, number: int, refused: Refused | None = None
) -> HTMLResponse:
    console = console_of(request)
    found = _history(console, brand)
    wanted = next((v for v in found if v.version == number), None)
    if wanted is None:
        raise HTTPException(404, NOT_FOUND)
    return page(
        request,
        "brand_version.html",
        409 if refused else 200,
        brand=brand,
        name=_name(console, brand, found),
        wanted=wanted,
        newest=found[0],
        changes=diff(found[0].content, wanted.content),
        text=_yaml(wanted.content),
        shown=refused or Refused(),
        back=f"{brand_path(brand)}/settings",
    )


def _removal(request: Request, brand: str, refused: Refused | None = None) -> HTMLResponse:
    console = console_of(request)
    found = _history(console, brand)
    if not found or not found[0].active:
        raise HTTPException(404, NOT_FOUND)
    return page(
        request,
        "brand_remove.html",
        409 if refused else 200,
        name=_name(console, brand, found),
        newest=found[0],
        shown=refused or Refused(),
        back=f"{brand_path(brand)}/settings",
        to=f"{brand_path(brand)}/remove",
    )


def _checks_page(request: Request, brand: str, found: list[Check]) -> HTMLResponse:
    registry = console_of(request).registry
    if brand not in registry:
        raise HTTPException(404, NOT_FOUND)
    return page(
        request,
        "brand_checks.html",
        name=registry.brand(brand).name,
        checks=found,
        back=brand_path(brand),
    )
