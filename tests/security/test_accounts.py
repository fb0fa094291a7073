"""Names that deceive, tokens that outlive, addresses that are claimed, numbers that are none."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from test_signing_in import PASSWORD, sign_in
from web_routes import address, known
from web_support import NOW, Desk, make_desk

from bergen_loop import logs
from bergen_loop.console.app import FIRST_ACCOUNT, BadFirstAccount
from bergen_loop.domain import names
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Account, Deed, Grant, Role
from bergen_loop.ledger.tables.core import ApiTokenRow, JournalRow, UserRow

# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["bergen-loop", "Bergen-Loop", "bergen loop", "token nightly", "Token x", "T0ken x",
     "root (command line)", "root command line", "Command-Line", "somebody (no sign-in)",
     "Mara no sign-in", "Somebody", "jo\u200bhn", "jo  hn", "ｊohn",
     "m\u0430ra", "jоhn", "j\u043ehn doe", "jo\u202ehn", "a<b>", "service", "x", "y" * 81],
)  # fmt: skip
def test_names_that_deceive_are_refused(full: Desk, name: str) -> None:
    assert names.problem(name)
    boss = full.signed_in(Role.ENGINEER, name="boss")
    for path in ("/people", "/tokens"):
        form = {"name": name, "role": "read_only", "all_brands": "1", "days": "1"}
        assert boss.post(path, form).status_code == 409


@pytest.mark.parametrize(
    "name", ["mara", "Jo Smith", "O'Neil", "jo@bergen.example", "Zoë Müller", "Мария Иванова",
             "山田 太郎", "Łukasz", "acme's own", "ci-2", "Anna-Lena 3"],
)  # fmt: skip
def test_names_of_people_are_taken(name: str) -> None:
    assert names.problem(name) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [("mara", "Mara"), ("mara", "mаrа"), ("Ilse", "llse"), ("paul", "pau1"),
     ("jo smith", "josmith"), ("Modern", "Modem"), ("Zoë", "Zoe"), ("oleg", "0leg"),
     ("ОСА", "OCA"), ("vvill", "will")],
)  # fmt: skip
def test_names_that_look_alike_are_one(desk: Desk, one: str, other: str) -> None:
    assert names.skeleton(one) == names.skeleton(other)
    with desk.ledger.write() as session:
        deed, grant = Deed(session, NOW, "x"), Grant(Role.READ_ONLY, None)
        people.add_user(deed, Account(one, grant))
        with pytest.raises(people.Taken):
            people.add_user(deed, Account(other, grant))
        people.add_token(deed, one, grant, expires_at=None)
        with pytest.raises(people.Taken):
            people.add_token(deed, other, grant, expires_at=None)


@pytest.mark.parametrize(("one", "other"), [("op 1", "op 2"), ("anna", "hanna"), ("op6", "op8")])
def test_names_that_differ_are_two(one: str, other: str) -> None:
    assert names.skeleton(one) != names.skeleton(other)


@given(st.text(max_size=90))
def test_any_text_is_judged(text: str) -> None:
    if names.problem(text) is None:
        assert text.isprintable() and names.skeleton(text) != names.skeleton("bergen-loop")
        assert not f"{text} ".startswith("token ")


# -- tokens, and the floor ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{}, {"active": "1", "role": "operator"}, {"active": "1", "brands": "acme", "all_brands": ""}],
    ids=["switched off", "no engineer any more", "not of all brands any more"],
)
def test_tokens_end_with_their_makers_account(desk: Desk, change: dict[str, str]) -> None:
    maker, boss = desk.signed_in(Role.ENGINEER, name="maker"), desk.signed_in(Role.ENGINEER)
    form = {"name": "nightly", "role": "read_only", "all_brands": "1", "days": "9"}
    value = maker.post("/tokens", form).text.partition('class="secret">')[2].partition("<")[0]
    header = {"authorization": f"Bearer {value}"}
    assert desk.client().get("/api/v1/brands", headers=header).status_code == 200
    with desk.ledger.read() as session:
        number = people.user_named(session, "maker").id  # type: ignore[union-attr]
    boss.post(f"/people/{number}", {"role": "engineer", "all_brands": "1", **change})
    assert desk.client().get("/api/v1/brands", headers=header).status_code == 401
    with desk.ledger.read() as session:
        assert session.scalars(sa.select(ApiTokenRow)).one().revoked_at
    boss.post(f"/people/{number}", {"role": "engineer", "all_brands": "1", "active": "1"})
    assert desk.client().get("/api/v1/brands", headers=header).status_code == 401


def test_a_token_is_refused_while_its_maker_is_off_whoever_switched_it(desk: Desk) -> None:
    with desk.ledger.write() as session:
        deed = Deed(session, NOW, "maker")
        user = people.add_user(deed, Account("maker", Grant(Role.ENGINEER, None)))
        value = people.add_token(
            deed, "nightly", Grant(Role.READ_ONLY, None), account=user.id,
            expires_at=datetime.now(UTC) + timedelta(days=1),
        )  # fmt: skip
        user.active = False
    header = {"authorization": f"Bearer {value}"}
    assert desk.client().get("/api/v1/brands", headers=header).status_code == 401


def test_the_floor_counts_and_sees_nothing_else(full: Desk) -> None:
    worker = full.signed_in(Role.FLOOR, ["acme"])
    assert worker.get("/").headers["location"] == "/floor/"
    for path in ("/floor/", "/floor/api/me", "/floor/api/find?code=1", "/account"):
        assert worker.get(path).status_code == 200
    page = worker.get("/returns")
    assert page.status_code == 403
    for word in ('href="/returns"', 'href="/attention"', 'name="q"', 'id="waiting"'):
        assert word not in page.text
    assert full.token(Role.FLOOR).get("/api/v1/brands").status_code == 403


# -- who did it, and from where -----------------------------------------------------------------


def test_what_people_did_tells_their_account_and_address(full: Desk) -> None:
    browser = full.signed_in(Role.OPERATOR, name="mara")
    browser.post("/returns/acme/107/note", {"note": "looked at"})
    browser.get("/returns.csv")
    api = full.token(Role.OPERATOR)
    api.post("/api/v1/returns/acme/107/notes", json={"text": "by a program"})
    with full.ledger.read() as session:
        number = people.user_named(session, "mara").id  # type: ignore[union-attr]
        rows = session.scalars(sa.select(JournalRow).where(JournalRow.source.is_not(None))).all()
        others = session.scalars(sa.select(JournalRow).where(JournalRow.who == "bergen-loop"))
        assert {(e.account_id, e.source) for e in others} == {(None, None)}
    assert {(e.who, e.account_id, e.source) for e in rows if e.who == "mara"} == {
        ("mara", number, "testclient")
    }
    assert any(e.who.startswith("token ") and e.source == "testclient" for e in rows)
    assert "testclient" in full.signed_in(Role.ENGINEER).get("/audit.csv").text


# -- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_answer_leads_to_the_host_that_a_request_claims(full: Desk, method: str) -> None:
    browser = full.signed_in(Role.ENGINEER)
    for m, path in known(full):
        if m != method or path in ("/live", "/logout"):
            continue
        for target in (address(path, "acme"), address(path, "acme").rstrip("/") + "/"):
            data = {"csrf": browser.csrf} if method == "POST" else None
            headers = {"host": "evil.example", "x-forwarded-host": "evil.example"}
            answer = browser.http.request(method, target, data=data, headers=headers)
            where = answer.headers.get("location", "/")
            assert where.startswith("/") and not where.startswith("//"), (target, where)
            assert "evil.example" not in answer.text


def test_cookies_of_a_public_console_are_bound_to_its_host(desk: Desk) -> None:
    public = make_desk(desk.ledger, service={"public_url": "https://returns.example"})
    client = public.client(base_url="https://returns.example")
    with desk.ledger.write() as session:
        from test_signing_in import QUICK

        account = Account("mara", Grant(Role.OPERATOR, None), QUICK.hash(PASSWORD))
        people.add_user(Deed(session, NOW, "x"), account)
    answer = sign_in(client)
    assert answer.status_code == 303
    set_cookies = answer.headers.get_list("set-cookie")
    assert len(set_cookies) == 2
    for cookie in set_cookies:
        assert cookie.startswith("__Host-")
        assert "Secure" in cookie and "HttpOnly" in cookie and "Path=/" in cookie
        assert "domain" not in cookie.lower()
    plain = {"bergen_loop_session": client.cookies["__Host-bergen_loop_session"]}
    other = public.client(base_url="https://returns.example", cookies=plain)
    assert other.get("/").status_code == 303, "one that another host could set is not taken"
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    ("service", "headers", "status"),
    [
        ({}, {}, 200),
        ({}, {"x-forwarded-for": "127.0.0.1"}, 403),
        ({}, {"x-real-ip": "127.0.0.1"}, 403),
        ({}, {"via": "1.1 proxy"}, 403),
        ({}, {"x-forwarded-proto": "https"}, 403),
        ({"public_url": "https://returns.example"}, {}, 403),
        ({"public_url": "https://returns.example"}, {"authorization": "Bearer x"}, 403),
    ],
)
def test_metrics_need_their_token_once_others_may_come(
    desk: Desk, service: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    made = make_desk(desk.ledger, service=service)
    client = made.client(client=("127.0.0.1", 5))
    assert client.get("/metrics", headers=headers).status_code == status


# -- the first account --------------------------------------------------------------------------


def test_the_first_accounts_variable_is_forgotten(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FIRST_ACCOUNT, f"mara:{PASSWORD}")
    made = make_desk(desk.ledger)
    assert FIRST_ACCOUNT not in os.environ
    client = made.client()
    assert sign_in(client).status_code == 303
    assert client.get("/").headers["location"] == "/account", "others know it: it is changed first"
    monkeypatch.setenv(FIRST_ACCOUNT, "mara:password1234")
    with pytest.raises(BadFirstAccount):
        make_desk(desk.ledger)
    assert FIRST_ACCOUNT not in os.environ


# -- what is no number, and what fails ----------------------------------------------------------

_NUMBERS = ["1e23", "99999999999999999999999", "-1", "0", "1.5", "١", "9223372036854775808", "%00",
            "%ED%A0%80", "0x1"]  # fmt: skip


@pytest.mark.parametrize("number", _NUMBERS)
def test_what_is_no_rows_number_is_refused_in_words(full: Desk, number: str) -> None:
    browser, api = full.signed_in(Role.ENGINEER), full.token(Role.ENGINEER)
    tried = 0
    for method, path in known(full):
        if not any(n in path for n in ("{number}", "{photo_id}", "{item_id}")):
            continue
        target = path
        for name in ("{number}", "{photo_id}", "{item_id}"):
            target = target.replace(name, number)
        if path.startswith("/api/v1/"):
            answer = api.request(method, target, json={"why": "x"})
        elif method == "GET":
            answer = browser.get(target)
        else:
            answer = browser.post(target, {"role": "read_only", "all_brands": "1"})
        assert answer.status_code in (404, 422), (target, answer.status_code)
        assert "content-security-policy" in answer.headers
        tried += 1
    assert tried >= 5


def test_a_failure_has_every_header_and_tells_nothing(
    full: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bergen_loop.console import health

    def fails(_request: object) -> None:
        raise RuntimeError("jo@customers.example and \x1b[31m what a peer said")

    monkeypatch.setattr(health, "registry_of", fails)
    logs.configure(json=True)
    answer = full.client().get("/ready")
    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    log = "".join(capsys.readouterr())
    assert "a request failed" in log
    told = answer.text + log
    assert "customers.example" not in told and "peer" not in told and "\x1b[31m what" not in told
    with full.ledger.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(UserRow)) == 0
