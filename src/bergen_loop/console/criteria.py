"""A brand's receipt criteria changed in the console: put together from common rules, published
with a reason, compared with what held before, rolled back.

What was typed is read in a child (`trial`) before this process looks at it, and nothing that
cannot be used is published. Brands of the configuration file are only looked at.
"""

from __future__ import annotations

import difflib
from enum import StrEnum
from typing import TypeVar, cast

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from bergen_loop.config import ConfigError
from bergen_loop.config.models import BrandSettings
from bergen_loop.connect.attempt import attempts
from bergen_loop.console import trying
from bergen_loop.console.access import NOT_FOUND, Form, Permission, Person, field, needs
from bergen_loop.console.connecting import brands_of, roster_of
from bergen_loop.console.forms import whole
from bergen_loop.console.mode import brand_path
from bergen_loop.console.state import Console, console_of
from bergen_loop.console.templating import page
from bergen_loop.console.trying import PASTED, PASTING, Publishing, Refused, Wanted, criteria_page
from bergen_loop.console.working import TEXT_LIMIT
from bergen_loop.domain.criteria import PRESETS, preset_text
from bergen_loop.domain.criteria.composing import Common, Irregular, Short, Unfit, compose
from bergen_loop.ledger.store import brands as kept
from bergen_loop.ledger.store.brands import Version
from bergen_loop.people.actions import NotPossible
from bergen_loop.people.brands import Act
from bergen_loop.secrets import SecretError

K = TypeVar("K", bound=StrEnum)

router = APIRouter()

MayCompose = Depends(needs(PASTING))
May = Depends(needs(Permission.CONNECT))


@router.post("/brands/{brand}/criteria/compose", response_class=HTMLResponse)
def compose_text(
    request: Request, form: Form, brand: str, _person: Person = MayCompose
) -> HTMLResponse:
    """Put the text of common rules into the editor; nothing is tried or changed yet."""
    registry = console_of(request).registry
    if brand not in registry:
        raise HTTPException(404, NOT_FOUND)
    common = Common(
        damaged=_choice(Irregular, field(form, "damaged")),
        other=_choice(Irregular, field(form, "other")),
        short=_choice(Short, field(form, "short")),
        days=field(form, "days")[:20],
        above=field(form, "above")[:30],
        prefix=field(form, "prefix")[:60],
    )
    wanted = trying.wanted_of(form)
    try:
        text = compose(registry.brand(brand).name, common)
    except Unfit as error:
        made = Publishing(common=common, unfit=error.problems)
        return criteria_page(request, brand, wanted, publishing=made)
    note = "The rules are in the editor below: look at them, try them, then publish them"
    made = Publishing(common=common, note=note)
    return criteria_page(request, brand, Wanted(PASTED, text, wanted.since), publishing=made)


@router.post("/brands/{brand}/criteria", response_model=None)
def publish(request: Request, form: Form, brand: str, person: Person = May) -> Response:
    """Have other criteria hold: a preset, or the text."""
    console, wanted = console_of(request), trying.wanted_of(form)
    if brand not in console.registry:
        raise HTTPException(404, NOT_FOUND)
    made = Publishing(why=field(form, "why"), seen=field(form, "seen"))
    if problem := _reason_problem(made.why):
        again = Publishing(made.why, made.seen, problem)
        return criteria_page(request, brand, wanted, publishing=again)
    chosen, refused = _chosen(wanted)
    if refused is None:
        refused = _publish(console, brand, chosen, person, made)
    if refused is not None:
        return criteria_page(request, brand, wanted, refused=refused, publishing=made)
    return RedirectResponse(f"{brand_path(brand)}/criteria?done=published", 303)


@router.get("/brands/{brand}/criteria/{version}", response_class=HTMLResponse)
def version_page(request: Request, brand: str, version: int, _person: Person = May) -> HTMLResponse:
    """Criteria that held before, against those that hold."""
    return _version_page(request, brand, version)


@router.post("/brands/{brand}/criteria/{version}", response_model=None)
def roll_back(
    request: Request, form: Form, brand: str, version: int, person: Person = May
) -> Response:
    """Have them hold again; the other settings stay as they are."""
    console = console_of(request)
    wanted = _numbered(console, brand, version)
    made = Publishing(why=field(form, "why"), seen=field(form, "seen"))
    if problem := _reason_problem(made.why):
        return _version_page(request, brand, version, Refused(422, problem), made)
    chosen = str(wanted.content.get("criteria") or _DEFAULT)
    refused = trying.mistakes_of(chosen) if "\n" in chosen else None
    refused = refused or _publish(console, brand, chosen, person, made)
    if refused is not None:
        return _version_page(request, brand, version, refused, made)
    return RedirectResponse(f"{brand_path(brand)}/criteria?done=back", 303)


# -- parts --------------------------------------------------------------------------------------

_DEFAULT = cast("str", BrandSettings.model_fields["criteria"].default)


def _choice(kinds: type[K], text: str) -> K:
    return next((k for k in kinds if k.value == text), next(iter(kinds)))


def _reason_problem(why: str) -> str:
    if not why:
        return "publishing needs a reason: write one, for the journal"
    if len(why) > TEXT_LIMIT:
        return f"the reason has {len(why)} characters, more than {TEXT_LIMIT}"
    return ""


def _chosen(wanted: Wanted) -> tuple[str, Refused | None]:
    """What the settings are to say: a preset by its name, else the text, which can be used."""
    if wanted.which in PRESETS:
        return wanted.which, None
    if wanted.which != PASTED:
        return "", Refused(422, "these hold already: choose a preset, or change the text")
    text = wanted.text.rstrip("\n") + "\n"
    for preset in PRESETS:
        if text == preset_text(preset).rstrip("\n") + "\n":
            return preset, None
    return text, trying.mistakes_of(wanted.text)


def _publish(
    console: Console, brand: str, chosen: str, person: Person, made: Publishing
) -> Refused | None:
    """Why not; None where they hold now."""
    roster = roster_of(console)
    brands, registry = brands_of(console), console.registry
    try:
        seen = whole(made.seen) or 0
        act = Act(person.name, made.why, attempts(registry.ledger, roster.folder))
        block = dict(brands.present(brand).content)
        if str(block.get("criteria") or _DEFAULT) == chosen:
            return Refused(409, "these criteria hold already: nothing would be changed")
        brands.change(act, brand, block | {"criteria": chosen}, seen)
    except ConfigError as error:
        return Refused(422, "; ".join(str(p) for p in error.problems))
    except (NotPossible, SecretError) as error:
        return Refused(409, str(error))
    registry.look()
    console.sync_soon(brand)
    return None


def _numbered(console: Console, brand: str, number: int) -> Version:
    with console.registry.ledger.read() as session:
        found = kept.history(session, brand)
    wanted = next((v for v in found if v.version == number), None)
    if wanted is None or brand not in console.registry:
        raise HTTPException(404, NOT_FOUND)
    return wanted


def _version_page(
    request: Request,
    brand: str,
    number: int,
    refused: Refused | None = None,
    made: Publishing | None = None,
) -> HTMLResponse:
    console = console_of(request)
    wanted, registry = _numbered(console, brand, number), console.registry
    named = str(wanted.content.get("criteria") or _DEFAULT)
    then = preset_text(named) if named in PRESETS else named
    now = trying.holding(registry, brand)
    version = registry.version(brand)
    problems = [f"line {m.line}: {m.message}" for m in refused.mistakes] if refused else []
    return page(
        request,
        "criteria_version.html",
        refused.status if refused else 200,
        name=registry.brand(brand).name,
        wanted=wanted,
        diff=list(difflib.unified_diff(now.splitlines(), then.splitlines(), lineterm="", n=3))[2:],
        filed=version is None,
        made=made or Publishing(),
        problem="; ".join([*problems, *filter(None, [refused.problem if refused else ""])]),
        seen=(made.seen if made else "") or (version.version if version else 0),
        back=f"{brand_path(brand)}/criteria",
        brand_back=brand_path(brand),
    )
