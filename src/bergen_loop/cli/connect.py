"""`bergen-loop connect`: a brand from its keys to shadow mode, every access tried for real."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from bergen_loop.cli import questions
from bergen_loop.cli.output import console, errors, fail, print_json, say
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    open_ledger,
    person,
    settings_of,
)
from bergen_loop.config import ConfigError, Problem, ServiceSettings
from bergen_loop.config.roster import Roster
from bergen_loop.connect import configfile, loop_checks, record
from bergen_loop.connect.answers import DEFAULT_STORE, Answers, read_answers
from bergen_loop.connect.check import Check, Status
from bergen_loop.connect.checkup import Checkup, Step
from bergen_loop.connect.draft import Draft, draft, merged, start_now
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import brands as kept
from bergen_loop.ledger.store import modes, returns
from bergen_loop.ledger.store.brands import Version
from bergen_loop.people.actions import NotPossible
from bergen_loop.people.brands import Act, Brands
from bergen_loop.secrets import SecretError, SecretStores

FILE, LEDGER = "file", "ledger"

_SIGNS = {
    Status.OK: ("✓", "green"),
    Status.WARNING: ("!", "yellow"),
    Status.FAILED: ("✗", "red"),
    Status.UNKNOWN: ("?", "yellow"),
    Status.SKIPPED: ("-", "dim"),
}
_DETAILS = 25
"""How many single findings are printed; --json has all."""


def connect(
    config: ConfigOption = DEFAULT_CONFIG,
    source: Annotated[
        Path | None, typer.Option("--from", help="Take the answers from this YAML file.")
    ] = None,
    brand: Annotated[str | None, typer.Option("--brand", "-b", help="The brand's id.")] = None,
    check_only: Annotated[
        bool, typer.Option("--check-only", help="Only check a brand that is connected.")
    ] = False,
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for a webhook delivery of Loop's.", min=0)
    ] = 0,
    to: Annotated[
        str | None,
        typer.Option(
            help="ledger: the service takes it up at once (default); file: the configuration "
            "file. A brand that stands in the file stays there."
        ),
    ] = None,
    save_anyway: Annotated[
        bool, typer.Option("--save-anyway", help="Write the brand although checks failed.")
    ] = False,
    loop_url: Annotated[
        str | None, typer.Option(help="Another Loop API than the real one, such as a sandbox.")
    ] = None,
    rex11_endpoint: Annotated[
        str | None, typer.Option(help="Another REX11 than production: staging, a sandbox.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Connect a brand: ask, check every access for real, write it down in shadow mode. Running
    it again updates the brand."""
    if as_json and source is None and not check_only:
        fail("--json needs --from FILE or --check-only: questions would mix with it", 2)
    if to not in (None, FILE, LEDGER):
        fail(f"--to {to}: one of {FILE}, {LEDGER}", 2)
    session = _Session(config, wait, save_anyway, as_json, to)
    try:
        if check_only:
            session.check_only(brand)
        elif source:
            session.unattended(read_answers(source))
        else:
            session.attended(brand, _elsewhere(loop_url, rex11_endpoint))
    except ConfigError as error:
        fail(f"these settings cannot be used; nothing was written:\n{error}", 2)
    except NotPossible as error:
        fail(f"nothing was written: {error}", 2)
    except EOFError:
        fail("the questions got no answers; give them in a file: connect --from FILE", 2)
    except SecretError as error:
        fail(f"a secret cannot be kept or read: {error}")
    except OSError as error:
        fail(f"{error.filename or config}: {error.strerror}")
    session.end()


class _Session:
    """One run of the command."""

    def __init__(
        self, config: Path, wait: float, save_anyway: bool, as_json: bool, to: str | None
    ) -> None:
        self.config, self.wait, self.to = config, wait, to
        self.save_anyway, self.as_json = save_anyway, as_json
        self.seen: int | None = None
        """The version in the ledger that the questions began with."""
        self.checks: dict[str, Check] = {}
        self.brand, self.mode = "", modes.SHADOW
        self.saved = False

    # -- three ways to run ---------------------------------------------------------------------

    def check_only(self, brand: str | None) -> None:
        settings = settings_of(self.config)
        if brand is None and len(settings.brands) == 1:
            brand = next(iter(settings.brands))
        if brand is None or brand not in settings.brands:
            fail(f"say which brand: --brand with one of {', '.join(settings.brands)}", 2)
        self.brand = brand
        folder = self.config.resolve().parent
        checkup = Checkup(brand, settings.brands[brand], folder)
        for steps in (checkup.loop_steps(), checkup.rex11_steps(), checkup.data_steps()):
            self._run(steps)
        url = settings.service.public_url
        with closing(open_ledger(settings)) as ledger:
            self._run(checkup.webhook_steps(ledger, url, make=False, wait=self.wait))

    def unattended(self, answers: Answers) -> None:
        self.brand = answers.brand
        old, stores, service = self._present(answers.brand)
        if answers.block.pop("mode", modes.SHADOW) != modes.SHADOW:
            self._say(("`mode` is not taken from answers: use `bergen-loop brands mode`", "yellow"))
        made = self._draft(answers, old, stores)
        checkup = self._checkup(made, stores, answers)
        for steps in (checkup.loop_steps(), checkup.rex11_steps(), checkup.data_steps()):
            self._run(steps)
        if checkup.failures() and not self.save_anyway:
            return
        if not old and start_now(made.block, datetime.now(UTC)):
            words = (
                "Returns created from now on are this connection's; older ones are left "
                "alone. To have it otherwise, set announce.start (null: all)"
            )
            self._say((words, "yellow"))
        self._save(made, answers, service, checkup, new=not old)

    def attended(self, brand: str | None, elsewhere: dict[str, Any]) -> None:
        self.brand = brand = questions.brand_id(brand)
        old, stores, service = self._present(brand)
        answers = Answers(brand, merged(elsewhere, questions.name(old, brand)))
        _heading("Loop")
        loop = self._until_good(answers, old, stores, "Loop's key", questions.loop_access)
        _heading("Warehouse")
        answers.block = merged(answers.block, questions.warehouse_system(old))
        rex11: Checkup | None = None
        if merged(old, answers.block).get("warehouse", "rex11") == "rex11":
            ask = questions.rex11_access
            rex11 = self._until_good(answers, old, stores, "REX11's values", ask)
        _heading("Options")
        answers.block = merged(answers.block, questions.options(merged(old, answers.block)))
        if draft(brand, answers.block, old, answers.store).to_keep:
            answers.store = questions.store(DEFAULT_STORE)
        answers.public_url = questions.public_url(service.public_url)
        _heading("Recent returns")
        made = self._draft(answers, old, stores)
        checkup = self._checkup(made, stores, answers)
        checkup.take_over(loop)
        if rex11 is not None:
            checkup.take_over(rex11)
        self._run(checkup.data_steps())
        if checkup.failures() and not (self.save_anyway or questions.save_anyway()):
            return
        made = self._ask_destinations(made, answers, old, checkup, stores)
        self._save(made, answers, service, checkup, new=not old)

    # -- parts ---------------------------------------------------------------------------------

    def _present(self, brand: str) -> tuple[Mapping[str, Any], SecretStores, ServiceSettings]:
        """What there is of this brand, and of the service; and where the brand is to be kept."""
        roster = Roster(self.config, needed=self.config.exists())
        service, stores = roster.service().service, roster.stores()
        in_file, in_ledger = brand in roster.in_file(), self._in_ledger(stores, brand)
        if self.to == FILE and in_ledger is not None:
            fail(
                f"brand {brand} is kept in the ledger: change it there (--to ledger), or take it "
                f"out first: bergen-loop brands remove {brand} --reason ...",
                2,
            )
        self.to = self.to or (FILE if in_file else LEDGER)
        if self.to == FILE:
            return configfile.existing_brand(self.config, brand) or {}, stores, service
        if in_file:
            fail(f"brand {brand} stands in {self.config}: change it there (--to file)", 2)
        self.seen = in_ledger.version if in_ledger else None
        return (in_ledger.content if in_ledger else {}), stores, service

    def _in_ledger(self, stores: SecretStores, brand: str) -> Version | None:
        with closing(Ledger(stores.vault.url)) as ledger, ledger.read() as session:
            found = kept.newest_of(session, brand) if kept.kept(session) else None
        return found if found and found.active else None

    def _draft(self, answers: Answers, old: Mapping[str, Any], stores: SecretStores) -> Draft:
        own = stores if self.to == LEDGER else None
        return draft(answers.brand, answers.block, old, answers.store, own)

    def _checkup(self, made: Draft, stores: SecretStores, answers: Answers) -> Checkup:
        settings = made.settings(stores, answers.source, answers.tree)
        return Checkup(made.brand, settings, self.config.resolve().parent)

    def _until_good(
        self,
        answers: Answers,
        old: Mapping[str, Any],
        stores: SecretStores,
        what: str,
        ask: Callable[[Mapping[str, Any]], dict[str, Any]],
    ) -> Checkup:
        """Ask for an access and try it at once, again and again if it fails."""
        while True:
            given = ask(merged(old, answers.block))
            answers.block = merged(answers.block, given)
            # What has not been asked yet is made up, so that this part can be checked alone.
            alone = merged({"loop": {"api_key": "x"}, "rex11": _NO_REX11}, answers.block)
            made = draft(answers.brand, alone, old, answers.store)
            try:
                checkup = self._checkup(made, stores, answers)
            except (ConfigError, SecretError) as error:
                console.print(Text(str(error), style="red"))
                continue
            self._run(checkup.loop_steps() if "loop" in given else checkup.rex11_steps())
            if not checkup.failures() or not questions.again(what):
                return checkup

    def _ask_destinations(
        self,
        made: Draft,
        answers: Answers,
        old: Mapping[str, Any],
        checkup: Checkup,
        stores: SecretStores,
    ) -> Draft:
        recent = checkup.recent
        open_ = loop_checks.unmapped(recent.returns, checkup.settings.announce_rules())
        given = questions.destinations(open_, recent.destination_names or {})
        if not given:
            return made
        answers.block = merged(answers.block, given)
        return self._draft(answers, old, stores)

    def _save(
        self,
        made: Draft,
        answers: Answers,
        service: ServiceSettings,
        checkup: Checkup,
        *,
        new: bool,
    ) -> None:
        if new and self.to == FILE:  # only people's look at its decisions makes it live
            made.block = {"name": made.block["name"], "mode": modes.SHADOW, **made.block}
        stores, key_file = record.prepare(self.config, made, answers.public_url)
        others: list[Problem] = []
        if self.to == FILE:
            others = record.keep(self.config, made, stores, person())
            where = f"is written into {self.config}"
        else:
            where = self._keep_in_ledger(made, stores)
        self.saved = True
        self._say((made.brand, "bold"), f" {where}")
        if key_file:
            words = (
                f"A key for the ledger's secrets was made: {key_file}. Keep a copy elsewhere; "
                "without it they are lost."
            )
            self._say((words, "yellow"))
        for problem in others:
            self._say(("another brand's problem:", "yellow"), f" {problem}")
        ledger = Ledger(stores.vault.url)
        with closing(ledger):
            ledger.migrate()
            url = answers.public_url or service.public_url
            self._run(checkup.webhook_steps(ledger, url, make=True, wait=self.wait))
            found = list(self.checks.values())
            if self.to == FILE:
                record.note(ledger, made, person(), found, new=new)
            with ledger.read() as read:
                row = returns.known_brand(read, made.brand)
                configured = modes.as_filed(str(made.block.get("mode", modes.SHADOW)))
                self.mode = modes.effective(row, configured)

    def _keep_in_ledger(self, made: Draft, stores: SecretStores) -> str:
        roster, ledger = Roster(self.config), Ledger(stores.vault.url)
        with closing(ledger):
            ledger.migrate()
            brands = Brands(ledger, stores, roster.folder, roster.in_file())
            words, checks = record.found(list(self.checks.values()))
            act = Act(person(), f"connected; {words}", data={"checks": checks})
            version = record.keep_in_ledger(brands, made, act, self.seen)
        return f"is kept in the ledger, version {version.version}"

    def _run(self, steps: Iterable[Step]) -> None:
        for name, run in steps:
            with errors.status(f"{name} ...") if not self.as_json else closing(_Nothing()):
                check = run()
            self.checks[check.name] = check
            if not self.as_json:
                _print(check)

    def _say(self, *parts: str | tuple[str, str]) -> None:
        if not self.as_json:
            say(*parts)

    def end(self) -> None:
        """Print the outcome; exit 1 where something failed."""
        failed = [c for c in self.checks.values() if c.failed]
        if self.as_json:
            checks = [asdict(c) for c in self.checks.values()]
            print_json({"brand": self.brand, "saved": self.saved, "checks": checks})
        elif failed:
            console.print()
            say((f"{len(failed)} check(s) failed.", "red"), " What to ask of whom is above.")
        if self.saved and not self.as_json:
            _next_steps(self.brand, self.mode)
        if failed:
            raise typer.Exit(1)


class _Nothing:
    def close(self) -> None:
        """Nothing to end."""


_NO_REX11 = {"web_address": "x", "user_name": "x", "password": "x"}


def _elsewhere(loop_url: str | None, rex11_endpoint: str | None) -> dict[str, Any]:
    block: dict[str, Any] = {}
    if loop_url:
        block["loop"] = {"base_url": loop_url}
    if rex11_endpoint:
        block["rex11"] = {"endpoint": rex11_endpoint}
    return block


def _print(check: Check) -> None:
    say(_SIGNS[check.status], " ", (check.name, "bold"), f": {check.found}")
    for detail in check.details[:_DETAILS]:
        say(f"    {detail}")
    if len(check.details) > _DETAILS:
        say(f"    ... and {len(check.details) - _DETAILS} more (--json lists all)")
    if check.ask:
        say(f"    → {check.ask}")


def _heading(words: str) -> None:
    console.print()
    say((words, "bold"))


def _next_steps(brand: str, mode: str) -> None:
    console.print()
    if mode != modes.SHADOW:
        say(
            (f"{brand} stays {mode}.", "bold green"),
            " A running service takes the change up by itself.",
        )
        return
    say(
        (f"Shadow mode is on for {brand}", "bold green"),
        ": RMAs are made in Bergen, receipts are judged, and nothing is done in Loop.",
    )
    console.print(
        "Next:\n"
        "  1. Start the service, if it does not run: bergen-loop serve\n"
        f"  2. Watch it: bergen-loop status, bergen-loop shadow report --brand {brand}\n"
        f"  3. When its decisions are right: bergen-loop brands mode {brand} live --reason '...'",
    )
