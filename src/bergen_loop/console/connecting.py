"""Connecting a brand in the browser: step by step, each tried for real as it is typed, and saved
as a draft in the ledger. Secrets go into the vault at once and are never shown again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData

from bergen_loop.config import ConfigError, Problem
from bergen_loop.config.roster import Roster
from bergen_loop.connect import record, steps, webhook_checks
from bergen_loop.connect.attempt import attempts
from bergen_loop.connect.check import Check, Status
from bergen_loop.connect.draft import draft as with_references
from bergen_loop.connect.draft import merged
from bergen_loop.connect.steps import Input, Step, Trying
from bergen_loop.console import trial
from bergen_loop.console.access import NOT_FOUND, Form, Permission, Person, needs
from bergen_loop.console.access import field as text_of
from bergen_loop.console.brand import blocks
from bergen_loop.console.mode import brand_path
from bergen_loop.console.state import Console, console_of
from bergen_loop.console.templating import page
from bergen_loop.domain.criteria import PRESETS, CriteriaError, preset
from bergen_loop.ledger.store import brands as kept
from bergen_loop.ledger.store.brands import Draft
from bergen_loop.people.actions import NotPossible
from bergen_loop.people.brands import RESERVED, Act, Brands, plain
from bergen_loop.secrets import SecretError

WARNING_SECONDS = 2.0
START = "/brands/new"

router = APIRouter()

May = Depends(needs(Permission.CONNECT))


@dataclass(slots=True)
class Shown:
    """What a step's page shows beside the draft."""

    problems: list[Problem] = field(default_factory=list[Problem])
    checks: list[Check] = field(default_factory=list[Check])
    content: dict[str, Any] = field(default_factory=dict[str, Any])
    note: str = ""
    status: int = 200


def roster_of(console: Console) -> Roster:
    """Where brands are looked for; 409 for a service whose brands do not change."""
    if console.registry.roster is None:
        raise HTTPException(409, "this service was started with brands that do not change")
    return console.registry.roster


def brands_of(console: Console) -> Brands:
    """What people may do to the brands of the ledger."""
    roster = roster_of(console)
    return Brands(console.registry.ledger, roster.stores(), roster.folder, roster.in_file())


# -- beginning ----------------------------------------------------------------------------------


@router.get(START, response_class=HTMLResponse)
def new_page(request: Request, _person: Person = May) -> HTMLResponse:
    """Name a brand, or go on with a draft."""
    return _new_page(request)


@router.post(START, response_model=None)
def begin(request: Request, form: Form, person: Person = May) -> Response:
    """Make the draft."""
    console, brand, name = console_of(request), text_of(form, "brand"), text_of(form, "name")
    brands, problems = brands_of(console), list[Problem]()
    if not steps.BRAND_ID.fullmatch(brand) or brand in RESERVED:
        message = f"{brand or 'nothing'} is no id" if brand not in RESERVED else "is reserved"
        fix = "write small letters, digits, - and _, such as acme or acme-shoes"
        problems.append(Problem("(form)", 1, 1, "brand", message, fix))
    elif brand in console.registry or brand in brands.in_file:
        message, fix = "is connected already", "choose another id, or change that brand's settings"
        problems.append(Problem("(form)", 1, 1, "brand", message, fix))
    if not name:
        problems.append(Problem("(form)", 1, 1, "name", "is needed", "write what people call it"))
    if problems:
        return _new_page(request, brand, name, problems)
    made = Draft(brand, 1, plain({"name": name}), {}, datetime.now(UTC), person.name)
    with console.registry.ledger.write() as session:
        kept.save_draft(session, made)  # where there is one already, it is gone on with
    return RedirectResponse(_path(brand, Step.LOOP), 303)


@router.post(START + "/{brand}/forget", response_model=None)
def forget(request: Request, brand: str, _form: Form, _person: Person = May) -> Response:
    """Give a draft up."""
    with console_of(request).registry.ledger.write() as session:
        kept.drop_draft(session, brand)
    return RedirectResponse(START, 303)


def _new_page(
    request: Request, brand: str = "", name: str = "", problems: list[Problem] | None = None
) -> HTMLResponse:
    console = console_of(request)
    roster = roster_of(console)
    with console.registry.ledger.read() as session:
        found = kept.drafts(session)
        removed = [v for v in kept.newest(session) if not v.active]
    return page(
        request,
        "connect_new.html",
        422 if problems else 200,
        drafts=found,
        removed=removed,
        brand=brand,
        name=name,
        problems={p.field: p for p in problems or ()},
        steps=list(Step),
        file=roster.file.name,
        path=_path,
    )


# -- the steps ----------------------------------------------------------------------------------


@router.get(START + "/{brand}/{step}", response_class=HTMLResponse)
def step_page(request: Request, brand: str, step: Step, _person: Person = May) -> HTMLResponse:
    """A step, as far as it is filled in."""
    made = _draft(request, brand)
    shown = Shown(checks=_checks(made, step), content=dict(made.content))
    return _step_page(request, made, step, shown)


@router.post(START + "/{brand}/{step}/check", response_model=None)
def check(request: Request, form: Form, brand: str, step: Step, _person: Person = May) -> Response:
    """Try what is typed, without keeping it: the page with what was found. Nothing where the
    draft has just become a brand: the last field was left by the button that connects it."""
    made = _found(request, brand)
    if made is None:
        return Response(status_code=204)
    shown, _ = _tried(console_of(request), made, step, form)
    return _step_page(request, made, step, shown)


@router.post(START + "/{brand}/{step}", response_model=None)
def save(request: Request, form: Form, brand: str, step: Step, person: Person = May) -> Response:
    """Keep what is typed, try it, and go on where it works."""
    console, made = console_of(request), _draft(request, brand)
    if text_of(form, "seen") != str(made.version):
        shown = Shown(content=_typed(made, step, form), status=409, note=(
            f"{made.changed_by} has saved this draft meanwhile, "
            f"at {made.changed_at:%Y-%m-%d %H:%M} UTC. What you typed stands below, "
            "but for secrets; look at it, then save again"
        ))  # fmt: skip
        return _step_page(request, made, step, shown)
    shown, progress = _tried(console, made, step, form)
    problems = _keep_secrets(console, made, step, form, person, shown)
    if not problems:
        done = dict(made.progress) | ({} if shown.problems else {step.value: progress})
        now = Draft(brand, made.version + 1, shown.content, done, datetime.now(UTC), person.name)
        with console.registry.ledger.write() as session:
            saved = kept.save_draft(session, now)
        made = now if saved else made
    shown.problems += problems
    failed = any(c.failed for c in shown.checks)
    if shown.problems or (failed and text_of(form, "do") != "anyway"):
        shown.status = 422
        return _step_page(request, made, step, shown)
    if step.next is not None:
        return RedirectResponse(_path(brand, step.next), 303)
    return _connect(request, made, step, shown, person)


def _connect(request: Request, made: Draft, step: Step, shown: Shown, person: Person) -> Response:
    """The last step: the brand as version 1, in shadow, taken up by every worker."""
    console = console_of(request)
    roster, registry = roster_of(console), console.registry
    words, checks = record.found(shown.checks)
    act = Act(person.name, f"connected in the console; {words}",
              attempts(registry.ledger, roster.folder), data={"checks": checks})  # fmt: skip
    try:
        if mistakes := unread(made.content):
            raise ConfigError(mistakes)
        brands_of(console).add(act, made.brand, made.content)
    except ConfigError as error:
        shown.problems, shown.status = error.problems, 422
        return _step_page(request, made, step, shown)
    except NotPossible as error:
        shown.note, shown.status = str(error), 409
        return _step_page(request, made, step, shown)
    with registry.ledger.write() as session:
        kept.drop_draft(session, made.brand)
    registry.look()
    console.sync_soon(made.brand)
    without = "" if _subscribed(console, made.brand) else "&webhooks=none"
    return RedirectResponse(f"{brand_path(made.brand)}?done=connected{without}", 303)


def _subscribed(console: Console, brand: str) -> bool:
    """Have Loop's webhooks delivered here, where that is wanted; False where Loop refuses."""
    registry = console.registry
    url = registry.settings.service.public_url
    if url is None or brand not in registry:
        return True
    context = registry.context(brand)
    if context.settings.loop.webhook_secret is None:
        return True
    return not webhook_checks.make_subscriptions(context, [], url).failed


# -- parts --------------------------------------------------------------------------------------


def _path(brand: str, step: Step) -> str:
    return f"{START}/{quote(brand, safe='')}/{step.value}"


def _found(request: Request, brand: str) -> Draft | None:
    with console_of(request).registry.ledger.read() as session:
        return kept.draft_of(session, brand)


def _draft(request: Request, brand: str) -> Draft:
    found = _found(request, brand)
    if found is None:
        raise HTTPException(404, NOT_FOUND)
    return found


def _inputs(made: Draft, step: Step) -> list[Input]:
    products = cast("dict[str, Any]", made.progress.get(Step.PRODUCTS.value) or {})
    return steps.inputs(step, dict(made.content), products.get("unmapped"))


def _given(form: FormData) -> dict[str, str]:
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _typed(made: Draft, step: Step, form: FormData) -> dict[str, Any]:
    """The draft with what is typed put into it, secrets left out."""
    return steps.typed_in(dict(made.content), _inputs(made, step), _given(form))


def _tried(
    console: Console, made: Draft, step: Step, form: FormData
) -> tuple[Shown, dict[str, Any]]:
    """Try a step with what is typed; what the draft is to remember of it."""
    asked, given = _inputs(made, step), _given(form)
    try:
        content = cast("dict[str, Any]", plain(_typed(made, step, form)))
    except ConfigError as error:
        return Shown(error.problems, content=dict(made.content)), {}
    roster = roster_of(console)
    stores = roster.stores()
    secret = with_references(made.brand, steps.secrets_in(asked, given), {}, "ledger", stores)
    trial_of = merged(content, {k: v for k, v in secret.block.items() if k != "mode"})
    problems = steps.missing(asked, trial_of)
    stores = stores.knowing(secret.to_keep)
    settings, wrong = steps.settings_of(made.brand, trial_of, stores, step)
    problems += _of_step(wrong, asked, step) or ([] if problems else wrong)
    shown = Shown(problems, content=content)
    if settings is None or problems:
        return shown, {}
    if step is Step.CRITERIA and "\n" in settings.criteria:
        shown.checks, mistakes = _pasted(settings.criteria)
        shown.problems += mistakes
        return shown, _remembered(shown.checks, {})
    with_ = Trying(
        console.registry.ledger, roster.folder, console.registry.settings.service.public_url
    )
    tried = steps.attempt(step, made.brand, settings, with_)
    shown.checks = tried.checks
    return shown, _remembered(tried.checks, tried.unmapped)


def _of_step(problems: list[Problem], asked: list[Input], step: Step) -> list[Problem]:
    """Those of this step's fields; at the last step all, for nothing comes after it."""
    names = {one.name for one in asked}
    return [
        p
        for p in problems
        if step is Step.START
        or any(n == p.field or n.startswith(f"{p.field}.") or p.field.startswith(f"{n}.")
               for n in names)
    ]  # fmt: skip


def unread(block: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with criteria that stand as a text in settings, read in a process of its own
    before this one looks at them."""
    text = block.get("criteria")
    return _pasted(text)[1] if isinstance(text, str) and "\n" in text else []


def _pasted(text: str) -> tuple[list[Check], list[Problem]]:
    """A text of one's own, in a process of its own: its mistakes with line and column."""
    try:
        found = trial.apart(text, [], WARNING_SECONDS)
    except CriteriaError as error:
        return [], [
            Problem("(text)", p.line, p.column, "criteria.text",
                    f"line {p.line}, column {p.column}, {p.field}: {p.message}", p.remedy)
            for p in error.problems
        ]  # fmt: skip
    except trial.TrialFailed as failed:
        return [], [Problem("(text)", 1, 1, "criteria.text", str(failed), "write fewer rules")]
    serious = found.warnings or []
    if not serious:
        return [Check(steps.CRITERIA, Status.OK, "the text can be used")], []
    words = tuple(w.sentence for w in serious)
    ask = "Ask the brand's manager whether this is meant"
    text = f"the text can be used; {len(serious)} warning(s)"
    return [Check(steps.CRITERIA, Status.WARNING, text, ask, words)], []


def _keep_secrets(
    console: Console, made: Draft, step: Step, form: FormData, person: Person, shown: Shown
) -> list[Problem]:
    """Put typed secrets into the vault, and their references into what is saved."""
    typed = steps.secrets_in(_inputs(made, step), _given(form))
    if not typed:
        return []
    first = next(i for i in _inputs(made, step) if i.kind == "secret" and _given(form).get(i.name))
    try:
        stores, key = record.with_key(roster_of(console).file)
        references = with_references(made.brand, typed, dict(made.content), "ledger", stores)
        for reference, secret in references.to_keep.items():
            stores.put(reference, secret, who=person.name)
    except (SecretError, ConfigError) as error:
        return [Problem("(form)", 1, 1, first.name, f"it cannot be kept: {error}", "")]
    except OSError as error:
        message = f"no key for secrets can be written: {error.strerror}"
        fix = "set BERGEN_LOOP_KEY where the service is started"
        return [Problem("(form)", 1, 1, first.name, message, fix)]
    if key:
        shown.note = (
            f"A key for the ledger's secrets was made: {key.name}. Keep a copy of it elsewhere; "
            "without it they are lost"
        )
    for section, fields in typed.items():
        for name in fields:
            shown.content = merged(
                shown.content, {section: {name: references.block[section][name]}}
            )
    return []


def _remembered(checks: list[Check], unmapped: Mapping[str, str]) -> dict[str, Any]:
    return {"checks": [asdict(c) for c in checks], "unmapped": dict(unmapped)}


def _checks(made: Draft, step: Step) -> list[Check]:
    """What was found when the step was saved."""
    saved = cast("dict[str, list[dict[str, Any]]]", made.progress.get(step.value) or {})
    return [
        Check(c["name"], Status(c["status"]), c["found"], c["ask"], tuple(c["details"]))
        for c in saved.get("checks") or []
    ]


def _step_page(request: Request, made: Draft, step: Step, shown: Shown) -> HTMLResponse:
    console = console_of(request)
    asked = _inputs(made, step)
    at_field: dict[str, list[Problem]] = {}
    names = [one.name for one in asked]
    for problem in shown.problems:
        name = next((n for n in names if problem.field in (n, f"brands.{made.brand}.{n}")), None)
        name = name or next((n for n in names if n.startswith(f"{problem.field}.")), problem.field)
        at_field.setdefault(name, []).append(problem)
    for one in shown.checks:
        name = steps.AT_FIELD.get(one.name)
        if one.failed and name in names and name not in at_field:
            problem = Problem("(tried)", 1, 1, str(name), one.found, one.ask)
            at_field.setdefault(str(name), []).append(problem)
    if step is Step.START and not steps.value_of(shown.content, asked[0]):
        shown.content = merged(shown.content, {"announce": {"start": steps.now_text()}})
    settings = None
    if step is Step.START:
        stores = roster_of(console).stores()
        settings, _ = steps.settings_of(made.brand, shown.content, stores, step)
    return page(
        request,
        "connect_step.html",
        shown.status,
        made=made,
        step=step,
        steps=list(Step),
        done=[s for s in Step if s.value in made.progress],
        inputs=asked,
        values={one.name: steps.value_of(shown.content, one) for one in asked},
        secret_kept={
            one.name: steps.kept_secret(shown.content, one) for one in asked if one.kind == "secret"
        },
        at_field=at_field,
        aside_open=any(
            one.aside and (one.name in at_field or steps.value_of(shown.content, one))
            for one in asked
        ),
        elsewhere=[p for n, of in at_field.items() if n not in names for p in of],
        checks=shown.checks,
        note=shown.note,
        failed=any(c.failed for c in shown.checks),
        public_url=console.registry.settings.service.public_url,
        summary=blocks(settings) if settings else [],
        path=_path,
        presets=[(p, preset(p).description) for p in PRESETS] if step is Step.CRITERIA else [],
    )
