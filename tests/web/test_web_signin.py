"""Accounts, passwords and sessions."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from web_support import NOW, Desk, make_desk

from bergen_loop.console import passwords, signin
from bergen_loop.console.access import COOKIE, ROLES
from bergen_loop.console.app import FIRST_ACCOUNT, BadFirstAccount
from bergen_loop.domain.words import What
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Account, Deed, Grant, Role
from bergen_loop.ledger.tables.access import TriesRow
from bergen_loop.ledger.tables.core import ApiTokenRow, JournalRow, SessionRow, UserRow

PASSWORD = "a long enough password"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own passwords are hashed quickly; the product's parameters have a test."""
    monkeypatch.setattr(passwords, "_hasher", QUICK)
    passwords._nobodys.cache_clear()


def add(desk: Desk, name: str = "mara", role: Role = Role.OPERATOR) -> None:
    with desk.ledger.write() as session:
        account = Account(name, Grant(role, None), QUICK.hash(PASSWORD))
        people.add_user(Deed(session, NOW, "test"), account)


def form_of(client: TestClient, path: str) -> dict[str, str]:
    page = client.get(path)
    assert page.status_code == 200, page.text
    main = page.text.split("<main")[1]
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', main))


def sign_in(desk: Desk, name: str = "mara", password: str = PASSWORD, **query: str) -> Any:
    client = desk.client()
    form = form_of(client, "/login" + (f"?next={query['next']}" if query else ""))
    answer = client.post("/login", data={**form, "name": name, "password": password})
    return client, answer


def journaled(desk: Desk, what: str) -> list[tuple[str, str]]:
    with desk.ledger.read() as session:
        rows = session.scalars(sa.select(JournalRow).where(JournalRow.happened == what))
        return [(r.who, r.why) for r in rows]


def user(desk: Desk, name: str = "mara") -> UserRow:
    with desk.ledger.read() as session:
        found = people.user_named(session, name)
        assert found is not None
        return found


def test_sign_in_and_out(desk: Desk) -> None:
    add(desk)
    client, answer = sign_in(desk, next="/returns")
    assert (answer.status_code, answer.headers["location"]) == (303, "/returns")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    page = client.get("/").text
    csrf = re.search(r'name="csrf" value="([^"]+)"', page)
    assert csrf
    assert client.post("/logout", data={"csrf": csrf[1]}).headers["location"] == "/login"
    assert client.get("/").status_code == 303
    assert journaled(desk, What.SIGNED_IN) == [("mara", "by password")]
    assert journaled(desk, What.SIGNED_OUT) == [("mara", "")]


def test_the_ledger_holds_neither_password_nor_cookie(desk: Desk) -> None:
    add(desk)
    client, _ = sign_in(desk)
    token = client.cookies[COOKIE]
    with desk.ledger.read() as session:
        row = session.scalars(sa.select(SessionRow)).one()
    assert row.token_hash == people.hashed(token)
    assert token not in row.token_hash
    assert PASSWORD not in (user(desk).password_hash or "")


@pytest.mark.parametrize(("name", "password"), [("mara", "wrong"), ("nobody", PASSWORD), ("", "")])
def test_wrong_names_and_passwords_are_told_apart_by_nobody(
    desk: Desk, name: str, password: str
) -> None:
    add(desk)
    _, answer = sign_in(desk, name, password)
    assert answer.status_code == 403
    assert signin.REFUSED.capitalize() in answer.text
    assert COOKIE not in answer.cookies


def test_guesses_from_elsewhere_end_after_five_for_a_quarter_of_an_hour(desk: Desk) -> None:
    add(desk)
    for _ in range(5):
        assert sign_in(desk, password="wrong")[1].status_code == 403
    _, answer = sign_in(desk)  # the right one, too early
    assert answer.status_code == 429
    assert 800 < int(answer.headers["retry-after"]) <= 901
    with desk.ledger.write() as session:
        session.execute(sa.update(TriesRow).values(since=NOW - timedelta(minutes=15)))
    assert sign_in(desk)[1].status_code == 303
    assert len(journaled(desk, What.SIGN_IN_REFUSED)) == 6


def test_an_account_without_password_cannot_sign_in_here(desk: Desk) -> None:
    with desk.ledger.write() as session:
        people.add_user(Deed(session, NOW, "x"), Account("mara", Grant(Role.ENGINEER, None)))
    for password in ("", "nobody's password"):
        assert sign_in(desk, password=password)[1].status_code == 403


def test_an_account_that_is_off_cannot_sign_in(desk: Desk) -> None:
    add(desk)
    client, _ = sign_in(desk)
    with desk.ledger.write() as session:
        session.get_one(UserRow, user(desk).id).active = False
    assert client.get("/").status_code == 303
    assert sign_in(desk)[1].status_code == 403


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "x",
     "/%0d%0aset-cookie:x", "/\tx"],
)  # fmt: skip
def test_signing_in_leads_nowhere_else(target: str) -> None:
    found = signin.inside(target)
    assert found == "/" or found == "/%0d%0aset-cookie:x"
    assert signin.inside("/returns?q=%23NP1&x=1") == "/returns?q=%23NP1&x=1"


def test_the_sign_in_form_is_tied_to_its_browser(desk: Desk) -> None:
    add(desk)
    form = form_of(desk.client(), "/login")
    other = desk.client()
    answer = other.post("/login", data={**form, "name": "mara", "password": PASSWORD})
    assert answer.status_code == 403
    assert COOKIE not in answer.cookies


def age(desk: Desk, **by: timedelta) -> None:
    with desk.ledger.write() as session:
        row = session.scalars(sa.select(SessionRow)).one()
        for name, delta in by.items():
            setattr(row, name, getattr(row, name) - delta)


def test_a_session_ends_when_it_is_not_used(desk: Desk) -> None:
    add(desk)
    client, _ = sign_in(desk)
    age(desk, seen_at=timedelta(hours=1, minutes=59))
    assert client.get("/").status_code == 200  # ...which is a use
    age(desk, seen_at=timedelta(hours=2, seconds=1))
    assert client.get("/").status_code == 303


def test_a_refresh_that_nobody_asked_for_is_no_use(desk: Desk) -> None:
    add(desk)
    client, _ = sign_in(desk)
    age(desk, seen_at=timedelta(hours=1))
    assert client.get("/", headers={"x-live": "1"}).status_code == 200
    age(desk, seen_at=timedelta(hours=1, seconds=1))
    assert client.get("/").status_code == 303


def test_a_session_ends_after_its_longest_time(desk: Desk) -> None:
    add(desk)
    client, _ = sign_in(desk)
    age(desk, expires_at=timedelta(hours=11, minutes=59))
    assert client.get("/").status_code == 200
    age(desk, expires_at=timedelta(minutes=2))
    assert client.get("/").status_code == 303


def test_cookies_are_for_https_only_where_the_service_is_public(desk: Desk) -> None:
    public = make_desk(desk.ledger, service={"public_url": "https://returns.example"})
    add(public)
    client = public.client(base_url="https://returns.example")
    form = form_of(client, "/login")
    answer = client.post("/login", data={**form, "name": "mara", "password": PASSWORD})
    assert "Secure" in answer.headers["set-cookie"]
    assert "strict-transport-security" in client.get("/").headers


# -- the first account --------------------------------------------------------------------------


def test_setup_needs_the_code(desk: Desk) -> None:
    client = desk.client()
    assert client.get("/login").headers["location"] == "/setup"
    form = form_of(client, "/setup") | {"name": "mara", "password": PASSWORD, "again": PASSWORD}
    refused = client.post("/setup", data={**form, "code": "guessed"})
    assert refused.status_code == 409
    assert "the code is wrong" in refused.text.lower()
    code = desk.app.state.console.setup_code
    answer = client.post("/setup", data={**form, "code": code})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (user(desk).role, user(desk).brands) == ("engineer", None)
    assert client.get("/people").status_code == 200
    assert desk.client().get(f"/setup?code={code}").status_code == 404
    again = client.post("/setup", data={**form, "code": code, "name": "eve"})
    assert again.status_code == 404


@pytest.mark.parametrize(
    ("change", "at", "why"),
    [
        ({"password": "short", "again": "short"}, "password", "at least 12 characters"),
        ({"again": "another password"}, "again", "the two passwords differ"),
        (
            {"password": "aaaaaaaaaaaaaa", "again": "aaaaaaaaaaaaaa"},
            "password",
            "repeats a few characters",
        ),
        ({"name": "x"}, "name", "2 to 80 characters"),
        ({"name": PASSWORD}, "password", "the name is no password"),
        ({"code": "guessed"}, "code", "the code is wrong"),
    ],
)
def test_setup_says_at_its_field_what_is_wrong(
    desk: Desk, change: dict[str, str], at: str, why: str
) -> None:
    client = desk.client()
    form = form_of(client, "/setup") | {"name": "mara", "password": PASSWORD, "again": PASSWORD}
    form["code"] = desk.app.state.console.setup_code
    answer = client.post("/setup", data={**form, **change})
    assert answer.status_code == 409
    [(field, said)] = re.findall(r'class="wrong" id="wrong-(\w+)">([^<]+)', answer.text)
    assert (field, why in said.lower()) == (at, True)


def test_the_first_account_by_an_environment_variable(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FIRST_ACCOUNT, f"mara:{PASSWORD}:with a colon")
    made = make_desk(desk.ledger)
    assert sign_in(made, password=f"{PASSWORD}:with a colon")[1].status_code == 303
    monkeypatch.setenv(FIRST_ACCOUNT, f"eve:{PASSWORD}")
    make_desk(desk.ledger)
    with desk.ledger.read() as session:
        assert [u.name for u in people.users(session)] == ["mara"]


@pytest.mark.parametrize("value", ["mara", "mara:", "mara:short", ":long enough password"])
def test_a_bad_first_account_stops_the_start(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(FIRST_ACCOUNT, value)
    with pytest.raises(BadFirstAccount, match="must be NAME:PASSWORD") as caught:
        make_desk(desk.ledger)
    assert "long enough" not in str(caught.value)


# -- accounts and tokens ------------------------------------------------------------------------


def test_an_engineer_makes_changes_and_stops_accounts(desk: Desk) -> None:
    boss = desk.signed_in(Role.ENGINEER, name="boss")
    page = boss.post("/people", {"name": "jo", "role": "brand_support", "brands": "acme"}).text
    shown = re.search(r'class="secret">([^<]+)<', page)
    assert shown
    client, answer = sign_in(desk, "jo", shown[1])
    assert answer.status_code == 303
    assert client.get("/returns").headers["location"] == "/account"
    new = {"old": shown[1], "password": PASSWORD, "again": PASSWORD}
    assert client.post("/account", data={**form_of(client, "/account"), **new}).status_code == 303
    assert client.get("/returns?brand=zebra").status_code == 404
    number = user(desk, "jo").id
    boss.post(f"/people/{number}", {"role": "operator", "all_brands": "1", "active": "1"})
    assert client.get("/").status_code == 303  # what may be done has changed: sign in again
    assert (user(desk, "jo").role, user(desk, "jo").brands) == ("operator", None)
    page = boss.post(f"/people/{number}", {"new_password": "1"}).text
    assert "The password of <b>jo</b>" in page
    assert sign_in(desk, "jo", PASSWORD)[1].status_code == 403
    boss.post(f"/people/{number}", {"role": "operator", "all_brands": "1"})
    assert user(desk, "jo").active is False
    changed = journaled(desk, What.ACCOUNT_CHANGED)
    assert ("boss", "jo: operator, all brands, switched off") in changed


@pytest.mark.parametrize(
    ("form", "at", "why"),
    [
        ({"name": "jo", "role": "king", "all_brands": "1"}, "role", "Choose one of these roles"),
        ({"name": "jo", "role": "operator", "brands": "gone"}, "brands", "no such brand here"),
        ({"name": "boss", "role": "operator", "all_brands": "1"}, "name", "is taken"),
        ({"name": "bergen-loop", "role": "operator"}, "name", "kept for the service"),
        ({"name": "", "role": "operator", "all_brands": "1"}, "name", "2 to 80 characters"),
    ],
)
def test_what_is_wrong_with_an_account_is_said_at_the_field(
    desk: Desk, form: dict[str, str], at: str, why: str
) -> None:
    boss = desk.signed_in(Role.ENGINEER, name="boss")
    for path in ("/people", "/tokens"):
        answer = boss.post(path, {"days": "90", **form})
        if why == "is taken" and path == "/tokens":
            continue  # tokens have names of their own
        assert answer.status_code == 409
        said = re.findall(r'class="wrong" id="wrong-(\w+)[^>]*>([^<]+)', answer.text)
        assert [name for name, _ in said] == [at]
        assert why in html.unescape(said[0][1])
        assert f'name="name" value="{form["name"]}"' in answer.text


def test_a_change_that_cannot_be_made_keeps_what_was_typed(desk: Desk) -> None:
    add(desk)
    number = user(desk).id
    boss = desk.signed_in(Role.ENGINEER, name="boss")
    answer = boss.post(f"/people/{number}", {"role": "floor", "brands": ["zebra", "gone"]})
    assert answer.status_code == 409
    form = answer.text.split(f'action="/people/{number}"')[1].split("</form>")[0]
    assert re.findall(r'value="([^"]+)" checked', form) == ["floor", "zebra"]
    assert "Gone: no such brand here" in form and user(desk).role == Role.OPERATOR


def test_the_second_of_two_who_change_an_account_is_told_who_did_what(desk: Desk) -> None:
    add(desk)
    number = user(desk).id
    ida = desk.signed_in(Role.ENGINEER, name="ida")
    boss = desk.signed_in(Role.ENGINEER, name="boss")

    def seen(page: str) -> str:
        return re.findall(r'name="seen" value="(\w+)"', page.split(f"/people/{number}")[1])[0]

    first = seen(boss.get("/people").text)
    ida.post(f"/people/{number}", {"role": "read_only", "brands": "zebra", "seen": first})
    wanted = {"role": "engineer", "all_brands": "1", "active": "1", "seen": first}
    answer = boss.post(f"/people/{number}", wanted)
    assert answer.status_code == 409
    assert "Ida has changed it meanwhile, to read only, zebra, switched off" in answer.text
    assert (user(desk).role, user(desk).active) == (Role.READ_ONLY, False)
    boss.post(f"/people/{number}", wanted | {"seen": seen(answer.text)})
    assert (user(desk).role, user(desk).active) == (Role.ENGINEER, True)


def test_accounts_and_tokens_begin_with_no_brand_and_roles_are_explained(desk: Desk) -> None:
    boss = desk.signed_in(Role.ENGINEER, name="boss")
    for path in ("/people", "/tokens"):
        form = boss.get(path).text.split("<h2>New ")[1]
        for words in ROLES.values():
            assert words.split(";")[0].split(",")[0] in html.unescape(form)
        assert re.findall(r'value="([^"]+)" checked', form) == ["read_only"]
        boss.post(path, {"name": "jo", "role": "operator", "days": "1"})
    assert user(desk, "jo").brands == []
    with desk.ledger.read() as session:
        assert session.scalars(sa.select(ApiTokenRow.brands)).all() == [[]]


def test_nobody_changes_their_own_account(desk: Desk) -> None:
    boss = desk.signed_in(Role.ENGINEER, name="boss")
    answer = boss.post(f"/people/{user(desk, 'boss').id}", {"role": "read_only"})
    assert answer.status_code == 409
    assert boss.post("/people/999", {"role": "operator", "all_brands": "1"}).status_code == 404


def test_changing_ones_password(desk: Desk) -> None:
    add(desk)
    client, _ = sign_in(desk)
    other, _ = sign_in(desk)
    form = form_of(client, "/account")
    new = {"password": "another long password", "again": "another long password"}
    answer = client.post("/account", data={**form, **new, "old": "wrong"})
    assert answer.status_code == 409
    assert re.findall(r'class="wrong" id="wrong-(\w+)">([^<]+)', answer.text) == [
        ("old", "The present password is wrong.")
    ]
    assert client.post("/account", data={**form, **new, "old": PASSWORD}).status_code == 303
    assert client.get("/").status_code == 200
    assert other.get("/").status_code == 303
    assert sign_in(desk)[1].status_code == 403
    assert sign_in(desk, password="another long password")[1].status_code == 303


def test_tokens_are_shown_once_and_can_be_revoked(desk: Desk) -> None:
    boss = desk.signed_in(Role.ENGINEER, name="boss")
    page = boss.post(
        "/tokens", {"name": "acme's own", "role": "read_only", "brands": "acme", "days": "30"}
    ).text
    shown = re.search(r'class="secret">(blt_[^<]+)<', page)
    assert shown
    assert shown[1] not in boss.get("/tokens").text
    api = TestClient(desk.app, headers={"authorization": f"Bearer {shown[1]}"})
    assert [b["brand"] for b in api.get("/api/v1/brands").json()] == ["acme"]
    with desk.ledger.read() as session:
        row = session.scalars(sa.select(ApiTokenRow)).one()
    assert row.token_hash == people.hashed(shown[1])
    assert row.used_at is not None
    boss.post(f"/tokens/{row.id}/revoke")
    assert api.get("/api/v1/brands").status_code == 401
    assert ("boss", "acme's own") in journaled(desk, What.TOKEN_REVOKED)


def test_a_token_runs_out(desk: Desk) -> None:
    with desk.ledger.write() as session:
        value = people.add_token(
            Deed(session, NOW, "x"), "short", Grant(Role.READ_ONLY, None),
            expires_at=datetime.now(UTC) - timedelta(seconds=1),
        )  # fmt: skip
    answer = desk.client().get("/api/v1/brands", headers={"authorization": f"Bearer {value}"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("days", ["0", "731", "x", ""])
def test_tokens_do_not_last_for_ever(desk: Desk, days: str) -> None:
    form = {"name": "long", "role": "read_only", "all_brands": "1", "days": days}
    answer = desk.signed_in(Role.ENGINEER).post("/tokens", form)
    assert answer.status_code == 409


def test_what_was_typed_for_a_token_stays_and_the_mistake_stands_at_its_field(desk: Desk) -> None:
    form = {"name": "connector", "role": "operator", "brands": "acme", "days": "9999"}
    page = desk.signed_in(Role.ENGINEER).post("/tokens", form).text
    at = dict(re.findall(r'id="wrong-(\w+)">([^<]*)<', page))
    assert at == {"name": "", "days": "A token is valid for 1 to 730 days."}
    assert 'value="connector"' in page
    assert 'value="9999"' in page
    assert 'name="role" value="operator" checked' in page
    assert 'name="brands" value="acme" checked' in page
    assert 'name="all_brands" value="1" checked' not in page


def test_a_session_is_no_token_and_a_token_no_session(full: Desk) -> None:
    assert full.signed_in(Role.ENGINEER).get("/api/v1/brands").status_code == 401
    assert full.token(Role.ENGINEER).get("/returns").status_code == 401


# -- passwords ----------------------------------------------------------------------------------


def test_passwords_are_argon2id_and_renewed_when_parameters_grow(desk: Desk) -> None:
    strong = PasswordHasher()
    assert strong.hash(PASSWORD).startswith("$argon2id$")
    assert not passwords.matches("wrong", QUICK.hash(PASSWORD))
    assert not passwords.matches(PASSWORD, None)
    assert not passwords.matches(PASSWORD, "no hash at all")
    add(desk)
    before = user(desk).password_hash
    passwords._hasher = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
    assert sign_in(desk)[1].status_code == 303
    assert user(desk).password_hash != before
    assert not passwords.outdated(user(desk).password_hash or "")


def test_ones_sessions_are_listed_and_the_others_are_ended(desk: Desk) -> None:
    here, there = desk.signed_in(name="mara"), desk.signed_in(name="mara")
    other = desk.signed_in(name="otto")
    with desk.ledger.write() as session:
        rows = session.scalars(sa.select(SessionRow).order_by(SessionRow.created_at)).all()
        rows[1].browser, rows[1].source = "<b>Firefox</b> 150", "203.0.113.9"
    page = here.get("/account").text
    assert page.count("last used") == 2
    assert page.count("<b>here</b>") == 1
    assert "&lt;b&gt;Firefox&lt;/b&gt; 150" in page and "from 203.0.113.9" in page
    assert here.post("/account/sessions").status_code == 303
    page = here.get("/account").text
    assert page.count("last used") == 1 and "Sign out the others" not in page
    assert there.get("/").status_code == 303
    assert other.get("/").status_code == 200
    with desk.ledger.read() as session:
        ended = sa.select(JournalRow).where(JournalRow.happened == What.SIGNED_OUT)
        entry = session.scalars(ended).one()
    assert (entry.who, entry.why) == ("mara", "1 other session(s)")


def test_ending_ones_other_sessions_takes_the_password(desk: Desk) -> None:
    add(desk)
    here, _ = sign_in(desk)
    there, _ = sign_in(desk)
    form = form_of(here, "/account")
    refused = here.post("/account/sessions", data={**form, "old": "guessed"})
    assert refused.status_code == 409
    assert 'id="wrong-others_old">The present password is wrong.' in refused.text
    assert there.get("/").status_code == 200
    assert here.post("/account/sessions", data={**form, "old": PASSWORD}).status_code == 303
    assert (here.get("/").status_code, there.get("/").status_code) == (200, 303)
