"""Every command that stands in the documentation runs, as it stands there.

They are taken from the pages' code blocks, and from the text. What stands for something (BRAND,
FILE) is filled in; each runs in one folder, with a brand of the sandbox, in the order of the page.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
import typer
from typer.testing import CliRunner

from bergen_loop.cli import ops
from bergen_loop.cli.main import COMMANDS, app, load
from bergen_loop.domain.criteria import preset_text
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Deed, Grant, Role
from bergen_loop.ledger.tables.core import ReturnRow
from loop_sandbox.__main__ import main as sandbox
from support import worlds

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True)
class Written:
    """A command, and where it stands."""

    page: str
    line: int
    text: str
    block: bool
    """It stands in a code block, not in the text."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def written() -> list[Written]:
    return [one for page in PAGES for one in _of_page(page)]


def _of_page(page: Path) -> Iterator[Written]:
    text, name = page.read_text(), page.relative_to(ROOT).as_posix()
    blocks = list(re.finditer(r"^```[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    for block in blocks:
        first = text[: block.start(1)].count("\n") + 1
        for number, line in enumerate(block[1].replace("\\\n", "  ").split("\n"), first):
            given = line.removeprefix("$ ")
            if given.startswith("bergen-loop "):
                for one in _several(re.split(r"\s{2,}|\s#\s", given)[0]):
                    yield Written(name, number, one, True)
    plain = text
    for block in reversed(blocks):
        hidden = re.sub(r"[^\n]", " ", block[0])
        plain = plain[: block.start()] + hidden + plain[block.end() :]
    for found in re.finditer(r"`(bergen-loop [^`]+)`", plain):
        number = plain[: found.start()].count("\n") + 1
        for one in _several(" ".join(found[1].split())):
            yield Written(name, number, one, False)


def _several(text: str) -> Iterator[str]:
    """`secrets set | list` is two commands; `[--json]` may be left out, and is not."""
    text = re.sub(r"[\[\]]", "", text)
    first, *others = [part.strip() for part in text.split("|")]
    yield first
    for other in others:
        if other.startswith("-"):
            yield f"{first.rsplit(' ', 1)[0]} {other}"
        elif len(first.split()) > 2:
            yield " ".join([*first.split()[:-1], other])
        else:
            yield f"bergen-loop {other}"


# -- filling in ---------------------------------------------------------------------------------


class Office:
    """A folder with a brand of the sandbox, and some of its returns."""

    def __init__(self, folder: Path, world: worlds.World) -> None:
        self.folder, self.world = folder, world
        brand = world.sandbox.brands["northpine"]
        other = world.sandbox.brands["lumen"].loop_key
        kept = {"key": brand.loop_key, "other": other, "password": brand.password}
        for name, secret in kept.items():
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(secret)
        self.rex11 = {
            "endpoint": f"{world.url}/rex11/ws/v3prod/publicapiws.asmx",
            "web_address": brand.web_address,
            "user_name": brand.user_name,
            "password": f"file:{folder}/password",
        }
        self.loop = {"api_key": f"file:{folder}/key", "base_url": f"{world.url}/loop/api"}
        loop = {**self.loop, "api_key": f"file:{folder}/other"}
        block = {"name": "Other", "mode": "shadow", "loop": loop, "rex11": self.rex11}
        service = {"database": f"sqlite:///{folder}/ledger.db", "key_file": "bergen-loop.key"}
        config = {"service": service, "brands": {"other": block}}
        (folder / "bergen-loop.yaml").write_text(json.dumps(config))  # JSON is YAML
        access = {
            "loop": {**self.loop, "api_key": brand.loop_key, "webhook_secret": "hook"},
            "rex11": {**self.rex11, "password": brand.password},
        }
        answers = {"brand": "acme", "store": "ledger", "name": "Acme", **access}
        for name in ("acme.yaml", "answers.yaml"):
            (folder / name).write_text(json.dumps(answers))
        (folder / "acme-criteria.yaml").write_text(preset_text("standard"))

    @contextmanager
    def ledger(self) -> Generator[Ledger]:
        ledger = Ledger(f"sqlite:///{self.folder}/ledger.db")
        yield ledger
        ledger.close()

    def number(self) -> str:
        with self.ledger() as ledger, ledger.read() as session:
            return session.scalars(sa.select(ReturnRow.return_id).limit(1)).one()

    def token(self) -> str:
        with self.ledger() as ledger, ledger.write() as session:
            return people.add_token(
                Deed(session, datetime.now(UTC), "test"), f"assistant {secrets.token_hex(4)}",
                Grant(Role.READ_ONLY, None), expires_at=None,
            )  # fmt: skip

    def filled(self, text: str) -> list[str]:
        stand = {
            "RETURN": self.number(), "BRAND": "acme", "B": "acme", "EVENT": "evt_1",
            "MAIL": "jo@customers.example", "ITEM": "1", "ITEM...": "1", "NAME": "mara",
            "WHY": "because", "DATE": "2026-10-01",
        }  # fmt: skip
        words = [stand.get(word, word) for word in shlex.split(text)]
        if "FILE" in words:
            kind = " ".join(words[1:3])
            file = {"criteria test": "acme-criteria.yaml", "secrets new-key": "other.key",
                    "audit verify": "ends.json"}.get(kind, "backup.db")  # fmt: skip
            words = [file if word == "FILE" else word for word in words]
        return words


MAY_END = {
    "connect": {2},  # it asks, and nobody answers
    "connect --check-only": {0, 1},
    "brands mode": {0, 1},  # a mode that cannot be had from the one that is
    "brands rollback": {0, 1, 2},  # there are not that many versions
    "brands release": {2},  # nothing waits for its turn
    "brands resume": {0, 1},
    "doctor": {0, 1},  # no service runs
    "status": {0, 1},
    "show": {0, 1},
    "shipments add": {0, 2},  # the brand of the pages takes no returns at bars
    "shipments show": {0, 1},  # nor has it shipments
    "attention": {0, 1},
    "attention retry": {1, 2},  # there is no item 1, or it has been resolved
    "attention ignore": {1, 2},
    "breaker reset": {0, 1},
    "events resend": {1},  # there is no such event
    "events test": {2},  # the brand of the pages has no endpoint
    "shadow report": {0, 1},
    "reconcile": {0, 1},
    "rebuild": {0, 1, 2},
    "replay": {0, 1},
    "restore": {0, 1},
    "restored": {0, 1},
    "erase": {0, 1},
    "accounts reset": {2},  # there is no such account
    "criteria check": {0, 1, 2},  # without a file it says what it needs
}
"""How a command may end that finds no work here, or something wrong: others end with 0."""


# -- running ------------------------------------------------------------------------------------


class Begun(Exception):
    """What would run until it is ended has begun."""


def begins(*_: Any, **__: Any) -> None:
    raise Begun


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Generator[Office]:
    folder = tmp_path_factory.mktemp("office")
    with worlds.serving(returns=4) as world, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "100")
        patch.setenv("EDITOR", "true")  # an editor in which nothing is changed
        for name in ("BERGEN_LOOP_KEY", "BERGEN_LOOP_DATABASE", "BERGEN_LOOP_CONFIG"):
            patch.delenv(name, raising=False)
        patch.setattr("bergen_loop.logs.configure", lambda **_: None)
        patch.setattr("bergen_loop.console.serve.run", begins)
        patch.setattr("bergen_loop.console.assistants.run", begins)
        patch.setattr("uvicorn.run", begins)
        patch.setattr(ops, "Engine", begins)
        made = Office(folder, world)
        assert run(["secrets", "new-key", "bergen-loop.key"]).exit_code == 0
        assert run(["sync", "once"]).exit_code == 0
        yield made


def run(words: list[str], stdin: str = "") -> Any:
    return CliRunner().invoke(app, words, input=stdin)


def path_of(words: list[str]) -> str:
    """The command's own words: `brands mode`."""
    command: Any = typer.main.get_group(app)
    found: list[str] = []
    for word in (w for w in words if not w.startswith("-")):
        inner = getattr(command, "commands", {})
        if word not in inner:
            break
        found.append(word)
        command = load(word) if len(found) == 1 and word in COMMANDS else inner[word]
    return " ".join(found)


def test_every_command_of_the_pages_runs(office: Office) -> None:
    done, wrong = set[tuple[str, bool]](), list[str]()
    commands = written()
    assert len(commands) > 100
    for one in commands:
        if (one.text, one.block) in done or "..." in one.text.split():
            continue
        done.add((one.text, one.block))
        if problem := _run(office, one):
            wrong.append(f"{one}: {problem}")
    assert not wrong, "\n".join(wrong)


def _run(office: Office, one: Written) -> str:
    """What is wrong with it; empty for nothing."""
    words = office.filled(one.text)[1:]
    path = path_of(words)
    if not path and words != ["--help"] and "--log-json" not in words:
        return "there is no such command"
    _before(office, path)
    words, target = (words[: words.index(">")], words[-1]) if ">" in words else (words, "")
    if path == "connect":
        words = ["0" if word == "60" else word for word in words]
    result = run(words, "a value" if path == "secrets set" else "")
    if target:
        (office.folder / target).write_text(result.stdout)
    if isinstance(result.exception, Begun):
        return ""
    told = " ".join(result.output.split())[-300:]
    if "Repeat it with --yes if it is meant" in told:
        result = run([*words, "--yes"])  # as a person says at a terminal
        told = " ".join(result.output.split())[-300:]
    if result.exception and not isinstance(result.exception, SystemExit):
        return repr(result.exception)
    if result.exit_code == 2 and words == path.split() and not one.block:
        return ""  # the text names a command, and leaves out what it is about
    return "" if result.exit_code in {0, *MAY_END.get(path, ())} else f"{result.exit_code}: {told}"


def _before(office: Office, path: str) -> None:
    """What the command finds: the brand that the pages speak of, and its files."""
    about = path.startswith(("brands", "shadow", "events", "connect", "criteria test"))
    if about and "acme" not in run(["brands", "list", "--json"]).stdout:
        made = run(["connect", "--from", "answers.yaml", "--save-anyway"])
        assert made.exit_code == 0, made.output
    if path == "backup":
        (office.folder / "backup.db").unlink(missing_ok=True)
    if path == "mcp":
        os.environ["BERGEN_LOOP_TOKEN"] = office.token()


def test_what_is_made_and_what_is_run_by_python_is_there() -> None:
    told = "\n".join(page.read_text() for page in PAGES)
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?:^|`)make ([a-z-]+)", told, re.MULTILINE))
    assert {"demo", "test"} <= targets
    assert [t for t in targets if not re.search(rf"^{t}:", makefile, re.MULTILINE)] == []
    scripts = set(re.findall(r"python ((?:tools|scripts)/[\w./]+)", told))
    for script in scripts:
        assert (ROOT / script).is_file() or (ROOT / script / "__main__.py").is_file(), script
    assert len(scripts) >= 3


def test_the_faults_that_the_sandboxs_page_shows_are_taken(office: Office) -> None:
    page = (ROOT / "docs" / "sandbox.md").read_text()
    (told,) = re.findall(r"curl -X POST (localhost:8801/.*?) -d '(.*?)'", page, re.DOTALL)
    address = told[0].replace("localhost:8801", office.world.url)
    answer = httpx2.post(address, json=json.loads(told[1]))
    assert answer.status_code == 201, answer.text
    httpx2.delete(address)


def test_the_sandboxs_command_takes_what_its_page_says() -> None:
    page = (ROOT / "docs" / "sandbox.md").read_text()
    (line,) = re.findall(r"^    python -m loop_sandbox (.+)$", page, re.MULTILINE)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Begun):
        patch.setattr("uvicorn.run", begins)
        sandbox(shlex.split(line))
