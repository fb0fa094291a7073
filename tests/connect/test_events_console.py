"""A brand's own endpoint, kept and tried in the console."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from console_place import Service, hidden, service
from typer.testing import CliRunner

from bergen_loop.cli.main import app
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import brands as kept
from bergen_loop.people.brands import Act, Brands
from bergen_loop.tell.events import addresses
from support.receivers import SECRET, Receiver, receiving

AT = "/brands/acme/events"
KNOWN = {"hooks.example.com": "93.184.216.34", "inside.example.com": "10.0.0.7",
         "127.0.0.1": "127.0.0.1"}  # fmt: skip
NEW = {"url": "https://hooks.example.com/returns", "which": "all", "why": "they asked for it"}


@dataclass
class Place:
    """A configuration without brands, and the ledger that it names."""

    config: Path
    database: str

    def ledger(self) -> Ledger:
        return Ledger(self.database)


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Acme, kept in the ledger. Nothing but the receiver can be called."""
    monkeypatch.setenv("ACME_KEY", "a-key-of-some-length")
    monkeypatch.setenv("BERGEN_LOOP_KEY", "jUvR9i_OWDEENPbS7X7IKO0qqMK0zPNyTSsDLB9h_uU=")
    monkeypatch.setattr("bergen_loop.logs.configure", lambda **_how: None)
    monkeypatch.setattr(addresses, "resolve", _resolve)
    config, database = tmp_path / "c.yaml", f"sqlite:///{tmp_path}/ledger.db"
    config.write_text(f"service: {{database: '{database}'}}\nbrands: {{}}\n")
    place: Any = Place(config, database)
    made = service(place)
    roster = made.registry.roster
    assert roster is not None
    block = {"name": "Acme", "warehouse": "embedded", "loop": {"api_key": "env:ACME_KEY"}}
    brands = Brands(made.registry.ledger, roster.stores(), roster.folder)
    brands.add(Act("anna", "first"), "acme", block)
    made.registry.look()
    return made


def _resolve(host: str, _port: int) -> list[str]:
    if host not in KNOWN:
        raise OSError(host)
    return [KNOWN[host]]


def words(text: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


def keep(running: Service, **changes: Any) -> Any:
    form = {"seen": hidden(running.get(AT), "seen"), **NEW, **changes}
    return running.post(AT, **{k: v for k, v in form.items() if v is not None})


def newest(running: Service) -> Mapping[str, Any]:
    with running.registry.ledger.read() as session:
        found = kept.newest_of(session, "acme")
    assert found
    return found.content


def test_an_endpoint_is_kept_changed_and_taken_away_and_its_secret_is_never_shown(
    running: Service,
) -> None:
    assert "Name an address" in running.get(AT)
    assert keep(running, secret=SECRET).headers["location"] == f"{AT}?done=changed"
    endpoint = running.registry.endpoints()["acme"]
    assert (endpoint.url, endpoint.moments) == (NEW["url"], None)
    assert endpoint.secret.get_secret_value() == SECRET
    reference = newest(running)["events"]["secret"]
    assert reference.startswith("ledger:acme-events-secret")
    assert SECRET not in running.get(AT) + running.get("/brands/acme/settings")
    # Left empty it stays; of the events only those that are chosen, in one order.
    chosen = ["return.flagged", "return.processed", "nonsense"]
    assert keep(running, which="some", event=chosen).status_code == 303
    assert newest(running)["events"] == {
        "url": NEW["url"],
        "secret": reference,
        "moments": ["return.processed", "return.flagged"],
    }
    made = keep(running, make="1")
    (secret,) = re.findall(r'class="secret">(whsec_[^<]+)<', made.text)
    assert running.registry.endpoints()["acme"].secret.get_secret_value() == html.unescape(secret)
    assert secret not in running.get(AT)
    assert keep(running, do="off").status_code == 303
    assert running.registry.endpoints() == {}
    assert "events" not in newest(running)


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"url": "https://inside.example.com"}, "url", "10.0.0.7, which is not a public address"),
    ({"url": "https://127.0.0.1/x"}, "url", "127.0.0.1 is not a public address"),
    ({"url": "https://nowhere.example.com"}, "url", "leads to no address"),
    ({"url": "http://hooks.example.com"}, "url", "must be a full https:// address"),
    ({"url": "https://jo@hooks.example.com"}, "url", "without a user name"),
    ({"url": "hooks.example.com"}, "url", "write a whole address"),
    ({"url": "https://[x"}, "url", "is no web address"),
    ({"url": ""}, "url", "write a whole address"),
    ({"secret": "tooshort"}, "secret", "24 to 64 bytes"),
    ({"secret": None}, "secret", "have one made"),
    ({"which": "some"}, "moments", "choose at least one"),
    ({"why": ""}, "why", "write a reason"),
]


def test_what_is_wrong_stands_at_its_field_and_what_was_typed_is_kept(running: Service) -> None:
    for typed, field, told in WRONG:
        event = [] if field == "moments" else ["claim.opened"]
        answer = keep(running, **{"secret": SECRET, "event": event, **typed})
        assert answer.status_code in (409, 422), typed
        at = dict(re.findall(r'id="wrong-(\w+)">(.*?)</span>', answer.text, re.S))
        assert told in words(at[field]).lower(), typed
        assert [name for name, text in at.items() if text] == [field], typed
        assert f'value="{typed.get("url", NEW["url"])}"' in answer.text
        assert ('value="claim.opened" checked' in answer.text) == bool(event)
        assert SECRET not in answer.text
        assert "events" not in newest(running)


def test_the_second_of_two_people_is_told_who_changed_what(running: Service) -> None:
    seen = hidden(running.get(AT), "seen")
    assert keep(running, secret=SECRET).status_code == 303
    late = keep(running, seen=seen, secret=SECRET, url="https://hooks.example.com/other")
    assert late.status_code == 409
    assert "has been changed meanwhile: version 2 was made by engineer" in words(late.text)


def test_a_test_event_is_sent_and_its_answer_told(running: Service) -> None:
    with receiving() as receiver:
        _test(running, receiver)


def _test(running: Service, receiver: Receiver) -> None:
    assert running.post(f"{AT}/test").status_code == 404  # nowhere to send it to
    roster = running.registry.roster
    assert roster is not None
    block = {**newest(running), "events": receiver_block(receiver)}
    brands = Brands(running.registry.ledger, roster.stores(), roster.folder)
    brands.change(Act("anna", "here", typed={"ledger:e": SECRET}), "acme", block, 1)
    running.registry.look()
    told = words(running.post(f"{AT}/test").text)
    assert "The endpoint took the test event: HTTP 200" in told
    assert receiver.types() == ["test"]
    assert receiver.events[0][1]["data"]["brand"] == "acme"
    receiver.status = 500
    assert "did not take the test event: HTTP 500" in words(running.post(f"{AT}/test").text)
    receiver.status = 200
    config = str(running.place.config)
    done = CliRunner().invoke(app, ["events", "test", "-b", "acme", "-c", config])
    assert (done.exit_code, "took it: HTTP 200" in done.output) == (0, True)
    assert len(receiver.events) == 3


def receiver_block(receiver: Receiver) -> dict[str, Any]:
    return {"url": receiver.url, "secret": "ledger:e", "allow_loopback": True}


@pytest.mark.parametrize("seen", ["²", "-1", "1" * 5000, "1.0", ""])
def test_what_no_page_writes_into_a_form_is_refused_and_nothing_breaks(
    running: Service, seen: str
) -> None:
    """As the number of the version that was seen, which a form carries unseen."""
    for path, fields in (
        (AT, {"url": NEW["url"], "secret": SECRET, "why": "because"}),
        ("/brands/acme/settings", {"text": "name: Other", "why": "because"}),
        ("/brands/acme/remove", {"why": "because"}),
    ):
        answer = running.post(path, seen=seen, **fields)
        assert 400 <= answer.status_code < 500, (path, answer.status_code)
    assert "events" not in newest(running)
