"""`bergen-loop brands list|show|add|edit|remove|history|rollback|export|import`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, cast

import click
import typer
from ruamel.yaml import YAML

from bergen_loop import yaml_source
from bergen_loop.cli.output import console, fail, print_json, say, table, when
from bergen_loop.cli.setup import DEFAULT_CONFIG, ConfigOption, JsonOption, open_ledger, person
from bergen_loop.config import ConfigError
from bergen_loop.config.roster import Found, Roster
from bergen_loop.connect import record
from bergen_loop.connect.attempt import attempts
from bergen_loop.connect.draft import SECRETS, Draft, draft, is_reference, merged
from bergen_loop.ledger.store import modes, returns
from bergen_loop.ledger.store.brands import Version
from bergen_loop.people import brands as people
from bergen_loop.people.actions import NotPossible
from bergen_loop.people.brands import Act, Brands, diff, plain, untried
from bergen_loop.secrets import SecretError
from bergen_loop.text import visible_lines
from bergen_loop.yaml_source import YamlMistake

BrandArgument = Annotated[str, typer.Argument(help="The brand's id.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the journal.", prompt="Why")]
Untried = Annotated[
    bool, typer.Option("--untried", help="Do not try an access that changes, as when it is down.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="FIELD=VALUE, such as announce.warehouse=EU; nothing: take out."),
]
Source = Annotated[
    Path | None, typer.Option("--file", help="Take the whole block from this YAML file.")
]
Seen = Annotated[
    int | None,
    typer.Option("--seen", help="The version this was made from: refused if there is a newer."),
]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list")(list_brands)
    app.command("show")(show)
    app.command("add")(add)
    app.command("edit")(edit)
    app.command("remove")(remove)
    app.command("history")(history)
    app.command("rollback")(roll_back)
    app.command("export")(export)
    app.command("import")(import_brands)


class _Place:
    """The ledger's brands, and those of the file."""

    def __init__(self, config: Path) -> None:
        self.roster = Roster(config, needed=config.exists() or config != DEFAULT_CONFIG)
        self.config = config
        self.ledger = open_ledger(self.roster.service())
        self.brands = Brands(
            self.ledger, self.roster.stores(), self.roster.folder, self.roster.in_file()
        )

    def found(self) -> Found:
        return self.roster.load(self.ledger)

    def act(self, why: str, *, tried: bool = True) -> Act:
        attempt = attempts(self.ledger, self.roster.folder) if tried else untried
        return Act(person(), why, attempt)

    def keep(self, made: Draft, act: Act, seen: int | None) -> Version:
        """Write it down; a key for its secrets is made if there is none."""
        brands, wanted = self.brands, any(r.startswith("ledger:") for r in made.to_keep)
        if wanted:
            stores, key = record.with_key(self.config)
            brands = Brands(self.ledger, stores, self.roster.folder, brands.in_file)
            if key:
                words = f"A key for the ledger's secrets was made: {key}. Keep a copy elsewhere; "
                say((words + "without it they are lost.", "yellow"))
        return record.keep_in_ledger(brands, made, act, seen)


@contextmanager
def _place(config: Path) -> Generator[_Place]:
    """The place; what cannot be done ends the command with what is wrong and what to do."""
    place: _Place | None = None
    try:
        place = _Place(config)
        yield place
    except ConfigError as error:
        fail(f"these settings cannot be used; nothing was changed:\n{error}", 2)
    except NotPossible as error:
        fail(str(error), 2)
    except SecretError as error:
        fail(f"a secret cannot be kept or read: {error}", 2)
    except OSError as error:
        fail(f"{error.filename or config}: {error.strerror}", 2)
    finally:
        if place is not None:
            place.ledger.close()


def list_brands(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List all brands: where their settings stand, their mode, what is wrong with them."""
    with _place(config) as place:
        found = place.found()
        names = sorted({*found.settings.brands, *found.broken})
        with place.ledger.read() as session:
            rows = returns.brand_rows(session)
    listed: list[dict[str, Any]] = []
    for brand in names:
        settings, version = found.settings.brands.get(brand), found.versions.get(brand)
        listed.append(
            {
                "brand": brand,
                "name": settings.name if settings else None,
                "kept_in": "ledger" if version else "file",
                "version": version.version if version else None,
                "mode": modes.effective(rows.get(brand), settings.mode) if settings else None,
                "changed_at": version.made_at if version else None,
                "changed_by": version.made_by if version else None,
                "problems": [str(p) for p in found.broken.get(brand, [])],
                "also_in_ledger": brand in found.doubled,
            }
        )
    if as_json:
        print_json(listed)
        return
    if not listed:
        console.print("There is no brand yet: `bergen-loop connect` connects one.")
        return
    shown = [
        (
            one["brand"],
            one["name"],
            f"ledger, v{one['version']}" if one["version"] else "file",
            one["mode"] or "cannot be used: " + "; ".join(one["problems"]),
            when(one["changed_at"]),
            one["changed_by"],
        )
        for one in listed
    ]
    columns = ["brand", "name", "settings in", "mode", "changed (UTC)", "by"]
    console.print(table("Brands", columns, shown))


def show(
    brand: BrandArgument,
    version: Annotated[int | None, typer.Option(help="An earlier version.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show a brand's settings, secrets by reference only."""
    with _place(config) as place:
        found = place.brands
        kept = found.present(brand) if version is None else found.version(brand, version)
    if as_json:
        print_json(_plain(kept) | {"settings": kept.content})
        return
    say(
        f"# {brand}, version {kept.version} by {kept.made_by}, {when(kept.made_at)} UTC: "
        f"{kept.reason}",
        whole=True,
    )
    sys.stdout.write(visible_lines(_yaml(kept.content)))


def add(
    brand: BrandArgument,
    reason: Reason,
    source: Source = None,
    sets: Sets = None,
    untried_: Untried = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Add a brand from its block, in shadow. `bergen-loop connect` asks for the values instead."""
    if source is None and not sets:
        fail("give its settings with --file or --set, or let `bergen-loop connect` ask for them", 2)
    with _place(config) as place:
        block = _with(_read(source) if source else {}, sets)
        act = place.act(reason, tried=not untried_)
        made = place.keep(draft(brand, block, {}, "ledger", place.brands.stores), act, None)
    _said(made, "is kept in the ledger, in shadow")


def edit(
    brand: BrandArgument,
    reason: Reason,
    source: Source = None,
    sets: Sets = None,
    seen: Seen = None,
    untried_: Untried = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Change a brand's settings: in $EDITOR, field by field with --set, or whole with --file.
    They take effect at the brand's next tick, if they can be used."""
    with _place(config) as place:
        before = place.brands.present(brand)
        seen = before.version if seen is None else seen
        act = place.act(reason, tried=not untried_)

        def change(block: Mapping[str, Any]) -> Version:
            kept = place.brands.stores
            made = Draft(brand, *_kept(draft(brand, block, before.content, "ledger", kept), block))
            return place.keep(made, act, seen)

        if source is None and not sets:
            made = _edited(before, change)
        else:
            made = change(_with(_read(source) if source else before.content, sets))
    if made.version == before.version:
        console.print("nothing differs; nothing was changed")
        return
    _said(made, "is changed")
    _print_diff(before.content, made.content)


def remove(
    brand: BrandArgument,
    reason: Reason,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Although it is not known what became of calls.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Do nothing more for a brand; its returns and history stay. `rollback` brings it back."""
    with _place(config) as place:
        newest = place.brands.history(brand)[0]
        made = place.brands.remove(place.act(reason), brand, newest.version, anyway=anyway)
    _said(made, "is removed; ask its Loop admin to delete the webhooks that lead here")


def history(
    brand: BrandArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show all versions of a brand's settings: who changed what, and why."""
    with _place(config) as place:
        found = place.brands.history(brand)
    steps = [
        (one, diff(before.content if before else {}, one.content))
        for one, before in zip(found, [*found[1:], None], strict=True)
    ]
    if as_json:
        print_json(
            [
                _plain(one)
                | {
                    "changes": [
                        {"field": c.field, "before": c.before, "after": c.after} for c in changes
                    ]
                }
                for one, changes in steps
            ]
        )
        return
    rows = [
        (
            one.version,
            when(one.made_at),
            one.made_by,
            one.reason,
            "removed" if not one.active else "\n".join(map(str, changes)),
        )
        for one, changes in steps
    ]
    console.print(table(brand, ["version", "made (UTC)", "by", "why", "changes"], rows))


def roll_back(
    brand: BrandArgument,
    version: Annotated[int, typer.Argument(help="The version whose settings are to hold again.")],
    reason: Reason,
    untried_: Untried = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Have an earlier version's settings again, as a new version."""
    with _place(config) as place:
        before = place.brands.history(brand)[0]
        act = place.act(reason, tried=not untried_)
        made = place.brands.roll_back(act, brand, version, before.version)
    _said(made, f"has the settings of version {version} again")
    _print_diff(before.content, made.content)


def export(
    brands: Annotated[list[str] | None, typer.Argument(help="Only these.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Print brands of the ledger as blocks of a configuration file, secrets by reference."""
    with _place(config) as place:
        found = place.brands.export(brands or ())
    if as_json:
        print_json({"brands": found})
    else:
        sys.stdout.write(_yaml({"brands": found}))


def import_brands(
    file: Annotated[Path, typer.Argument(help="YAML as `export` prints it, or a configuration.")],
    reason: Reason,
    untried_: Untried = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Add the brands of a file to the ledger, or change them. Each by itself: one that cannot be
    used does not keep the others out. The mode is not imported: new brands begin in shadow."""
    done: dict[str, dict[str, Any]] = {}
    with _place(config) as place:
        blocks = _read(file).get("brands")
        if not isinstance(blocks, Mapping) or not blocks:
            fail(f"{file} has no brands under `brands:`", 2)
        act = place.act(reason, tried=not untried_)
        for brand, block in cast("Mapping[str, Any]", blocks).items():
            done[str(brand)] = _imported(place, act, str(brand), block)
    if as_json:
        print_json(done)
    else:
        for brand, one in done.items():
            words = one["problem"] or f"version {one['version']}"
            say(f"{brand}: {words}", whole=True)
    if any(one["problem"] for one in done.values()):
        raise typer.Exit(1)


# -- parts --------------------------------------------------------------------------------------


def _imported(place: _Place, act: Act, brand: str, block: Any) -> dict[str, Any]:
    if not isinstance(block, Mapping):
        return {"version": None, "problem": "its block is no mapping; write its settings under it"}
    content = {k: v for k, v in cast("Mapping[str, Any]", block).items() if k != "mode"}
    try:
        return {"version": place.brands.take_in(act, brand, content).version, "problem": None}
    except (ConfigError, NotPossible, SecretError) as error:
        return {"version": None, "problem": str(error)}


def _kept(made: Draft, block: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The block as it was given, whole, with references in place of secrets: what is not in it
    any more is taken out."""
    whole = merged(block, {})
    for section, name in SECRETS:
        part = whole.get(section)
        if isinstance(part, dict) and name in part:
            if name in made.block[section]:
                part[name] = made.block[section][name]
            else:
                cast("dict[str, Any]", part).pop(name)
    return whole, made.to_keep


def _with(block: Mapping[str, Any], sets: list[str] | None) -> dict[str, Any]:
    """The block with FIELD=VALUE put into it; VALUE is read as YAML."""
    changed = merged(block, {})
    for one in sets or ():
        name, equals, text = one.partition("=")
        path = name.strip().split(".")
        if not equals or not all(path):
            fail(f"--set {name}: write FIELD=VALUE, such as announce.warehouse=EU", 2)
        if tuple(path) in SECRETS and text and not is_reference(text):
            fail(
                f"--set {name}: a secret is never an argument, which others of this machine can "
                "see. Keep it with `bergen-loop secrets set NAME`, then give ledger:NAME",
                2,
            )
        part = changed
        for key in path[:-1]:
            inner = part.get(key)
            part[key] = inner if isinstance(inner, dict) else {}
            part = cast("dict[str, Any]", part[key])
        if not text:
            part.pop(path[-1], None)
        else:
            part[path[-1]] = _value(name, text)
    return changed


def _value(name: str, text: str) -> Any:
    try:
        return plain(yaml_source.load(text))
    except YamlMistake as error:
        fail(f"--set {name}: {error.message}. {error.remedy}", 2)


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parsed(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError:
        fail(f"{path} is not UTF-8 text", 2)


def _parsed(text: str, source: str) -> dict[str, Any]:
    try:
        tree = yaml_source.load(text)
    except YamlMistake as error:
        raise NotPossible(f"{source}:{error.line}: {error.message}. {error.remedy}") from None
    if not isinstance(tree, Mapping):
        raise NotPossible(f"{source} is no mapping: write `name:`, `loop:` and so on")
    return plain(tree)


_HEAD = """\
# Settings of {brand}, version {version}. Save and leave to have them checked and tried; they take
# effect at the brand's next tick. A secret typed in place of its reference goes into the ledger,
# encrypted. Leave without a change to change nothing.
"""


def _edited(before: Version, change: Callable[[Mapping[str, Any]], Version]) -> Version:
    """Have the settings edited until they can be used, or are given up: what was typed is kept
    in the editor together with what is wrong with it."""
    head = _HEAD.format(brand=before.brand, version=before.version)
    text, wrong = _yaml(before.content), ""
    while True:
        said = "".join(f"#!! {line}\n" for line in wrong.splitlines())
        try:
            edited = click.edit(head + said + text, extension=".yaml", require_save=False) or ""
        except click.ClickException as error:
            fail(f"{error.format_message()}; set EDITOR, or use --set or --file", 2)
        body = "".join(x for x in edited.splitlines(keepends=True) if not x.startswith("#"))
        if not body.strip() or (wrong and body == text):
            fail(f"given up; nothing was changed. What was wrong:\n{wrong or 'nothing was left'}")
        try:
            return change(_parsed(body, "(edited)"))
        except people.Outdated:
            raise
        except (ConfigError, NotPossible, SecretError) as error:
            wrong, text = str(error), body


def _yaml(block: Mapping[str, Any]) -> str:
    yaml, out = YAML(typ="safe", pure=True), StringIO()
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    yaml.width = 4096
    yaml.allow_unicode = True
    yaml.dump(dict(block), out)  # pyright: ignore[reportUnknownMemberType]
    return out.getvalue()


def _plain(version: Version) -> dict[str, Any]:
    return {
        "brand": version.brand,
        "version": version.version,
        "state": version.state.value,
        "made_at": version.made_at,
        "made_by": version.made_by,
        "reason": version.reason,
    }


def _said(made: Version, words: str) -> None:
    say(
        (made.brand, "bold"),
        f" {words} (version {made.version}). A running service takes it up by itself.",
    )


def _print_diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    for change in diff(before, after):
        say(f"  {change}", whole=True)
