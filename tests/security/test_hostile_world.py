"""A world whose every text attacks whoever shows it, through every command, page, export, mail and
log: text from outside is text everywhere. Commands and pages are taken from the program itself, so
that a new one is tried as well, or fails here."""

from __future__ import annotations

import csv
import email
import email.policy
import io
import json
import re
import smtplib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import pytest
import sqlalchemy as sa
import structlog
import typer.main
from fastapi import FastAPI
from fastapi.testclient import TestClient
from lxml import html
from typer.testing import CliRunner

from bergen_loop import logs
from bergen_loop.cli.main import COMMANDS, load
from bergen_loop.cli.main import app as commands
from bergen_loop.console.app import create_app
from bergen_loop.console.export import lines as csv_lines
from bergen_loop.domain.words import Need, What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention, chain, journal
from bergen_loop.ledger.tables.core import AttentionRow, JournalRow, ReturnRow
from bergen_loop.ledger.tables.operations import AlertRow, AttemptRow, EndpointRow, OutboxRow
from bergen_loop.service.registry import Registry
from bergen_loop.tell import alerts
from bergen_loop.tell.metrics import Metrics
from bergen_loop.text import json_escaped, visible, visible_lines, without_addresses
from loop_sandbox import Settings as SandboxSettings
from loop_sandbox.hostile import TEXTS
from support import worlds

STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
"""What must not reach a terminal: everything that moves, colours, clears, hides or turns."""
BRAND = "northpine"
KINDS = ("complete", "damaged", "short", "garbled", "extra", "wrong")


@dataclass
class Past:
    """What the hostile world has left behind."""

    folder: Path
    ledger: Ledger
    config: Path
    returns: list[str]

    def app(self) -> FastAPI:
        from bergen_loop.config import load_settings

        registry = Registry(load_settings(self.config), self.ledger, self.folder)
        return create_app(registry, lambda _: None, signing_in=False)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Generator[Past]:
    folder = tmp_path_factory.mktemp("hostile")
    ledger = Ledger(f"sqlite:///{folder}/ledger.db")
    ledger.migrate()
    settings = SandboxSettings(rate_limit_per_minute=10**6, hostile=True)
    with worlds.serving(settings=settings) as world:
        ctx = worlds.context(world, ledger)
        made = [world.new_return(BRAND, late_label=False) for _ in range(len(TEXTS))]
        worlds.run(world, ctx, ticks=3)
        for number, return_id in enumerate(made):
            world.receive(return_id, KINDS[number % len(KINDS)])
        worlds.run(world, ctx, ticks=6)
        config = _config(folder, world)
        _more_texts(ledger)
        with ledger.read() as session:
            kept = list(session.scalars(sa.select(ReturnRow.return_id)))
            shown = session.scalars(sa.select(ReturnRow.order_name)).all()
            assert any("<script>" in (name or "") for name in shown), "the texts have come in"
        assert set(made) <= set(kept)
        yield Past(folder, ledger, config, kept)
    ledger.close()


def _config(folder: Path, world: worlds.World) -> Path:
    known = world.sandbox.brand(BRAND)
    for name, value in (("key", known.loop_key), ("password", known.password)):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(value)
    config = folder / "bergen-loop.yaml"
    config.write_text(
        f"""\
service: {{database: "sqlite:///{folder}/ledger.db", key_file: keys}}
brands:
  {BRAND}:
    name: Northpine
    mode: live
    loop: {{api_key: "file:key", base_url: "{world.url}/loop/api"}}
    rex11:
      endpoint: {world.url}/rex11/ws/v3prod/publicapiws.asmx
      web_address: {known.web_address}
      user_name: {known.user_name}
      password: "file:password"
"""
    )
    return config


def _more_texts(ledger: Ledger) -> None:
    """Where the world's texts do not come by themselves: what an older release kept, what people
    wrote, what peers answered."""
    now = datetime.now(UTC)
    with ledger.write() as session:
        pk = session.scalars(sa.select(ReturnRow.id)).first()
        for number, text in enumerate(TEXTS):
            text = text.replace("\x00", "")
            journal.record(
                session,
                now,
                journal.Entry(What.NOTE, text, brand=BRAND, return_pk=pk, who=text[:100]),
            )
            session.add(
                JournalRow(
                    at=now, brand=BRAND, return_pk=pk, who=text, what=text, why=text, data={}
                )
            )  # of an older release, whole
            attention.raise_item(
                session,
                now,
                attention.Matter(
                    brand=BRAND, kind=Need.ACCESS, about=str(number), reason=text, tried=text
                ),
            )
            outbox = OutboxRow(
                brand=BRAND, event_id=f"evt_{number}", type="return.seen", body="{}",
                created_at=now, state="pending", attempts=1, next_at=now + timedelta(days=1),
            )  # fmt: skip
            session.add(outbox)
            session.flush()
            session.add(AttemptRow(event_pk=outbox.id, at=now, milliseconds=1, error=text))
        worst = "\n".join(t.replace("\x00", "") for t in TEXTS[:15])
        session.merge(EndpointRow(brand=BRAND, failures=9, failing_since=now, last_error=worst))
        chain.seal(session, now, BRAND)


# -- commands -----------------------------------------------------------------------------------

NOT_RUN = {
    "serve": "runs until it is ended",
    "worker": "runs until it is ended",
    "sandbox": "the world itself",
    "connect": "asks questions; its checks are tried with --check-only",
    "restore": "replaces the ledger that the other tests look at",
    "restored": "holds back what the other tests look at",
    "secrets set": "takes a secret; shows no text from outside",
    "accounts reset": "gives a password; shows no text from outside",
    "brands edit": "opens an editor",
    "mcp": "speaks a protocol, and to no terminal",
}
NASTY = "[red]x[/nothing] \x1b[2J \u202e <script>alert(1)</script>"
ARGUMENTS: dict[str, list[list[str]]] = {
    "sync once": [[]],
    "sync run": [["--ticks", "1"]],
    "status": [[]],
    "show": [],  # each return, below
    "attention": [[]],
    "attention list": [[], ["--all"]],
    "attention retry": [["1", "--reason", "x"]],
    "attention ignore": [["2", "--reason", NASTY]],
    "attention undo": [["2", "--reason", NASTY]],
    "attention assign": [["3", "--to", NASTY]],
    "attention snooze": [["3", "--hours", "1"]],
    "shipments": [[]],
    "shipments add": [[BRAND, NASTY]],
    "shipments show": [[BRAND, NASTY]],
    "claims": [[], ["--all"]],
    "claims close": [["1", "--reason", NASTY]],
    "doctor": [[]],
    "brands check": [["CONFIG"]],
    "brands mode": [[BRAND]],
    "brands list": [[]],
    "brands show": [[BRAND]],
    "brands add": [[BRAND, "--reason", NASTY]],
    "brands remove": [["other", "--reason", NASTY]],
    "brands pace": [[BRAND]],
    "brands release": [[BRAND, "no-such", "--yes", "--reason", NASTY]],
    "brands pause": [[BRAND, "--reason", NASTY]],
    "brands resume": [[BRAND, "--yes", "--reason", NASTY]],
    "brands history": [[BRAND]],
    "brands rollback": [["other", "1", "--reason", NASTY]],
    "brands export": [[]],
    "brands import": [["CONFIG", "--reason", NASTY]],
    "criteria presets": [[]],
    "criteria show": [["standard"]],
    "criteria check": [["standard"]],
    "criteria test": [["strict", "--since", "2026-01-01", "--html", "PAGE", "--export", "OUT"]],
    "shadow report": [["-b", BRAND]],
    "secrets list": [[]],
    "secrets new-key": [["KEYS"]],
    "secrets rotate": [[]],
    "workers": [[]],
    "accounts list": [[]],
    "backup": [["BACKUP"]],
    "erase": [["--return", NASTY, "--yes"]],
    "breaker list": [[]],
    "breaker reset": [[BRAND]],
    "events deliveries": [[]],
    "events resend": [["evt_1", "-b", BRAND]],
    "events test": [["-b", BRAND]],
    "audit seal": [[]],
    "audit verify": [[]],
    "reconcile": [[]],
    "rebuild": [[]],
    "replay": [[]],
}


REFUSED = {"brands add", "brands remove", "brands rollback", "brands import", "brands show",
           "brands history", "brands resume", "brands release", "erase", "shipments add",
           "shipments show",
           "events test"}  # fmt: skip
"""Asked for what there is not (a brand that is paused): the refusal quotes what was asked."""


def _leaves(name: str, command: Any) -> Iterator[tuple[str, click.Command]]:
    inner = getattr(command, "commands", None)
    if inner is None or getattr(command, "invoke_without_command", False):
        yield name, command
    for more, one in (inner or {}).items():
        yield from _leaves(f"{name} {more}", one)


LEAVES = {
    leaf: command
    for name in typer.main.get_group(commands).commands
    for leaf, command in _leaves(name, load(name) if name in COMMANDS else None)
}


def test_every_command_is_tried_or_left_out_for_a_reason() -> None:
    assert LEAVES.keys() == NOT_RUN.keys() | ARGUMENTS.keys()
    assert not NOT_RUN.keys() & ARGUMENTS.keys()


@pytest.fixture
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has its own test."""
    monkeypatch.delenv("BERGEN_LOOP_KEY", raising=False)
    monkeypatch.setattr("bergen_loop.logs.configure", lambda **_how: None)


def _run(past: Past, name: str, arguments: list[str]) -> str:
    files = {"CONFIG": past.config, "PAGE": past.folder / "page.html", "OUT": past.folder / "o",
             "KEYS": past.folder / "keys", "BACKUP": past.folder / "backup.db"}  # fmt: skip
    files["BACKUP"].unlink(missing_ok=True)
    given = [str(files.get(a, a)) for a in arguments]
    takes_config = any(p.name == "config" for p in LEAVES[name].params)
    if takes_config:
        given += ["-c", str(past.config)]
    done = CliRunner().invoke(commands, [*name.split(), *given], env={"COLUMNS": "120"})
    assert done.exception is None or isinstance(done.exception, SystemExit), (name, done.exception)
    assert done.exit_code in (0, 1) or name in REFUSED, done.output
    return done.output


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("name", [n for n in ARGUMENTS if n != "show"])
def test_no_command_lets_a_text_steer_the_terminal(past: Past, name: str) -> None:
    for arguments in ARGUMENTS[name]:
        assert not STEERING.search(_run(past, name, arguments))
        if any(p.name == "as_json" for p in LEAVES[name].params):
            shown = _run(past, name, [*arguments, "--json"])
            assert not STEERING.search(shown)
            if not shown.startswith("error: ") or name not in REFUSED:
                json.loads(shown)
    if name == "criteria test":
        _harmless((past.folder / "page.html").read_text())


@pytest.mark.usefixtures("_quiet")
def test_show_shows_the_texts_as_they_are(past: Past) -> None:
    everything = ""
    for return_id in past.returns:
        shown = _run(past, "show", [return_id])
        assert not STEERING.search(shown)
        assert f"Return {return_id}" in shown
        plain = _run(past, "show", [return_id, "--json"])
        assert not STEERING.search(plain)
        assert json.loads(plain)
        everything += shown
    squeezed = re.sub(r"[\s│]+", "", everything)
    for text in ("[boldred]x[/]", "␛]0;owned", "<imgsrc=xonerror=alert(1)>", "=HYPERLINK("):
        assert text in squeezed, text


@pytest.mark.usefixtures("_quiet")
def test_a_brand_is_checked_in_a_hostile_world(past: Past) -> None:
    done = CliRunner().invoke(
        commands, ["connect", "--check-only", "-b", BRAND, "-c", str(past.config)]
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert not STEERING.search(done.output)


@pytest.mark.parametrize("text", TEXTS)
def test_a_terminal_gets_every_text_as_one_harmless_line(text: str) -> None:
    from rich.text import Text

    from bergen_loop.cli.output import Terminal, line, table

    for renderable in (text, line((text, "bold")), Text(text), table(text, [text], [[text]])):
        terminal = Terminal()
        terminal.file = io.StringIO()
        terminal.print(renderable, soft_wrap=True)
        assert not STEERING.search(terminal.file.getvalue())
    terminal.file = io.StringIO()
    terminal.print(line(text), soft_wrap=True)
    assert terminal.file.getvalue() == visible(text) + "\n"


# -- pages and exports --------------------------------------------------------------------------


def _routes(app: FastAPI) -> list[str]:
    def walk(found: Any) -> Iterator[str]:
        for route in found:
            if hasattr(route, "methods"):
                if "GET" in (route.methods or ()):
                    yield route.path
            elif hasattr(route, "effective_route_contexts"):
                yield from walk(route.effective_route_contexts())

    return list(walk(app.routes))


def _harmless(page: str) -> None:
    """Parsed as a browser does, nothing of the texts has become markup."""
    tree = html.document_fromstring(page)
    for element in tree.iter():
        if not isinstance(element.tag, str):
            continue
        assert not (element.tag == "img" and element.get("src") == "x"), "markup of a text"
        assert element.tag != "script" or "alert" not in (element.text or "")
        for name, value in element.attrib.items():
            assert not str(name).startswith("on") or "alert" not in str(value), name
            if name in ("href", "src", "action", "formaction", "hx-get", "hx-post"):
                where = str(value).strip().lower()
                assert not where.startswith(("javascript:", "data:", "vbscript:")), where
                assert "evil.example" not in where.split("?")[0], where
    assert not tree.xpath("//svg[@onload]")


def test_no_page_lets_a_text_become_markup(past: Past) -> None:
    app = past.app()
    client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
    with past.ledger.read() as session:
        items = list(session.scalars(sa.select(AttentionRow.id)))
    seen = 0
    assert len(_routes(app)) > 30
    for path in _routes(app):
        for address in _addresses(path, past, [str(i) for i in items[:40]]):
            if "/live" in address:
                continue  # never ends; its words are ours
            answer = client.get(address, headers={"accept": "text/html,*/*"})
            assert answer.status_code < 500, (address, answer.text[:300])
            seen += answer.status_code == 200
            kind = answer.headers.get("content-type", "")
            assert answer.status_code != 200 or kind, address
            if kind.startswith("text/html") and answer.text:
                _harmless(answer.text)
            elif kind.startswith("text/csv"):
                _no_formula(answer.text)
            elif kind.startswith("application/json"):
                answer.json()
            for value in answer.headers.values():
                assert not STEERING.search(value)
    assert seen > len(past.returns) + 10


def _addresses(path: str, past: Past, items: list[str]) -> Iterator[str]:
    if "{return_id}" in path:
        for return_id in past.returns:
            yield _filled(path, {"brand": BRAND, "return_id": return_id}, items[0])
        return
    yield _filled(path, {"brand": BRAND}, items[0])
    if "{" not in path:
        for text in ("<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "\x1b[2J"):
            for name in ("q", "brand", "kind", "who", "next", "item", "before"):
                yield f"{path}?{name}={quote(text)}"


def _filled(path: str, values: dict[str, str], other: str) -> str:
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda m: values.get(m[1], other), path)


@pytest.mark.parametrize("text", [t for t in TEXTS if "<img" in t or "<svg" in t or "<script" in t])
def test_a_page_that_let_them_through_would_be_found(text: str) -> None:
    with pytest.raises(AssertionError):
        _harmless(f"<html><body><p>{text}</p></body></html>")


def _no_formula(text: str) -> None:
    for row in csv.reader(io.StringIO(text.lstrip("\ufeff"))):
        for cell in row:
            if re.fullmatch(r"[+-]?\d+([.,]\d+)*", cell):
                continue
            assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n")), cell


@pytest.mark.parametrize("text", TEXTS)
def test_a_spreadsheet_takes_no_text_for_a_formula(text: str) -> None:
    shown = "".join(csv_lines(["a", "b"], [[text, f"  {text}"]]))
    _no_formula(shown)
    assert len(list(csv.reader(io.StringIO(shown)))) == 2, "one row of texts stays one row"


def test_metrics_stay_in_their_format(past: Past) -> None:
    from bergen_loop.config import load_settings

    page = Metrics(
        lambda: load_settings(past.config), past.ledger, lambda: datetime.now(UTC)
    ).page()
    for one in page.decode().splitlines():
        assert re.match(r"# (HELP|TYPE) \w+|[a-z_]+(\{.*\})? [0-9.eE+-]+|[a-z_]+(\{.*\})? NaN", one)


# -- mail, chat and logs ------------------------------------------------------------------------


class _Smtp:
    """A mail server that keeps what it is given."""

    sent: list[str] = []  # noqa: RUF012

    def __init__(self, *_given: Any, **_more: Any) -> None:
        self.esmtp_features: dict[str, str] = {}

    def __getattr__(self, _name: str) -> Any:
        return lambda *_given, **_more: (250, b"ok")

    def sendmail(self, _from: str, _to: Any, message: str, *_given: Any, **_more: Any) -> None:
        self.sent.append(message)


def test_alert_mail_has_no_live_markup(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    from bergen_loop.config import load_settings

    monkeypatch.setattr(smtplib, "SMTP", _Smtp)
    monkeypatch.setattr(smtplib, "SMTP_SSL", _Smtp)
    _Smtp.sent.clear()
    now = datetime.now(UTC)
    with past.ledger.write() as session:
        session.execute(sa.delete(AlertRow))
        for number, text in enumerate(TEXTS):
            session.add(
                AlertRow(kind="events-failing", brand=f"b{number}", open_key=f"b{number}",
                         detail=text.replace("\x00", ""), data={}, since=now)
            )  # fmt: skip
        session.execute(sa.update(EndpointRow).values(failing_since=now - timedelta(days=1)))

    def send(title: str, text: str) -> bool:
        return alerts._to_one("mailto://user:pw@mail.example?to=oncall@mail.example", title, text)

    rows = past.ledger
    with rows.read() as session:
        found = list(session.scalars(sa.select(AlertRow).order_by(AlertRow.id)))
    alerts._tell_come(past.ledger, load_settings(past.config), now, send, found)
    (message,) = _Smtp.sent
    parsed = email.message_from_string(message, policy=email.policy.default)
    assert set(parsed.keys()) & {"X-Injected"} == set()
    parts = [p for p in parsed.walk() if not p.is_multipart()]
    assert parts
    for part in parts:
        body = part.get_content()
        assert not STEERING.search(body.replace("\r\n", "\n"))
        if part.get_content_type() == "text/html":
            _harmless(body)
            assert "<b>bold" not in body
    assert "bergen-loop" in str(parsed["Subject"])


@pytest.mark.parametrize("as_json", [True, False], ids=["for machines", "for people"])
def test_no_text_forges_a_line_of_the_log(
    as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(json=as_json)
    log = structlog.get_logger()
    for text in TEXTS:
        log.warning(text, brand=text, nested={"deep": [text]}, error=ValueError(text))
        try:
            raise RuntimeError(text)
        except RuntimeError:
            log.exception("failed inside")
    shown = capsys.readouterr().err
    assert not STEERING.search(shown)
    assert not re.search("^2026-01-01T00:00:00Z", shown, re.MULTILINE)
    if as_json:
        assert len([json.loads(one) for one in shown.splitlines()]) == 2 * len(TEXTS)
    assert "X-Injected" not in "".join(
        one for one in shown.splitlines() if one.startswith("X-Injected")
    )
    assert max(map(len, shown.splitlines())) < 20_000


@pytest.mark.parametrize("text", TEXTS)
def test_the_ways_out_keep_a_text_readable(text: str) -> None:
    assert len(visible(text)) == len(text)
    assert not STEERING.search(visible(text))
    assert not re.search("[\n\t]", visible(text))
    assert not STEERING.search(visible_lines(text))
    document = json.dumps({"a": text}, ensure_ascii=False)
    assert json.loads(json_escaped(document)) == {"a": text}


def test_addresses_are_found_whatever_stands_around_them() -> None:
    for text, without in (
        ("ada@example.com", "#"),
        ("<ada.l+x@mail.example.com>, b_%c@d.ee!", "<#>, #!"),
        ("a@b c@d.e@f.g @h.i", "a@b #@f.g @h.i"),
        ("ünï@exämple.com", "#"),
        ("no address", "no address"),
    ):
        assert without_addresses(text, "#") == without
