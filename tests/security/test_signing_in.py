"""Passwords are guessed, many at once, from many places; nobody gets in, nobody is kept out."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st
from running_service import at_once, running
from web_support import NOW, Desk, make_desk

from bergen_loop.console import guard, passwords
from bergen_loop.console.access import COOKIE
from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Account, Deed, Grant, Role
from bergen_loop.ledger.store import tries
from bergen_loop.ledger.store.tries import Limit
from bergen_loop.ledger.tables.access import TriesRow
from bergen_loop.ledger.tables.core import JournalRow, UserRow

PASSWORD = "four unusual words bloom"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Hasher:
    """Counts what is looked at, and how much of it at once."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.looked, self.now, self.most = seconds, 0, 0, 0
        self._lock = threading.Lock()

    def verify(self, kept: str, password: str) -> bool:
        with self._lock:
            self.looked, self.now = self.looked + 1, self.now + 1
            self.most = max(self.most, self.now)
        try:
            time.sleep(self.seconds)
            return QUICK.verify(kept, password)
        finally:
            with self._lock:
                self.now -= 1

    hash = staticmethod(QUICK.hash)
    check_needs_rehash = staticmethod(QUICK.check_needs_rehash)


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> Generator[Hasher]:
    made = Hasher()
    monkeypatch.setattr(passwords, "_hasher", made)
    passwords._nobodys.cache_clear()
    yield made
    passwords._nobodys.cache_clear()


def add(desk: Desk, name: str = "mara", role: Role = Role.OPERATOR, **more: Any) -> UserRow:
    with desk.ledger.write() as session:
        account = Account(name, Grant(role, None), QUICK.hash(PASSWORD), **more)
        return people.add_user(Deed(session, NOW, "test"), account)


def browser(address: tuple[str, int], source: str | None = None) -> httpx2.Client:
    """A browser; `source` is the address that a trusted proxy says it has."""
    headers = {"x-forwarded-for": source} if source else {}
    url = f"http://{address[0]}:{address[1]}"
    return httpx2.Client(base_url=url, headers=headers, timeout=60)


def sign_in(client: Any, name: str = "mara", password: str = PASSWORD) -> Any:
    token = re.search(r'name="csrf" value="([^"]+)"', client.get("/login").text)
    assert token
    form = {"csrf": token[1], "next": "/", "name": name, "password": password}
    return client.post("/login", data=form)


def insist(client: Any, path: str, form: dict[str, str]) -> int:
    """The answer of who comes again, however crowded it is."""
    while (status := client.post(path, data=form).status_code) == 503:
        time.sleep(0.05)
    return status


def refused(desk: Desk) -> list[JournalRow]:
    with desk.ledger.read() as session:
        query = sa.select(JournalRow).where(JournalRow.happened == What.SIGN_IN_REFUSED)
        return list(session.scalars(query.order_by(JournalRow.id)))


# -- guesses at once ----------------------------------------------------------------------------


def test_of_39_guesses_at_once_five_are_looked_at(desk: Desk, hasher: Hasher) -> None:
    add(desk)
    hasher.seconds = 0.05
    with running(desk) as address:
        clients = [browser(address) for _ in range(39)]
        forms = [c.get("/login").text for c in clients]
        tokens = [re.findall(r'name="csrf" value="([^"]+)"', f)[0] for f in forms]

        def guess(n: int) -> int:
            form = {"csrf": tokens[n], "name": "mara", "password": f"guess {n}"}
            return insist(clients[n], "/login", form)

        answers = at_once(39, guess)
    assert hasher.looked == 5
    assert sorted(answers) == [403] * 5 + [429] * 34
    # Each of the five by itself; beyond them in sums, of the pair's limit and of the address's.
    told = [e.data["refused"] for e in refused(desk) if e.why == "too many tries"]
    assert sorted(told) == sorted([1, 2, 4, 8, 16, 1, 2, 4, 8])
    assert len(refused(desk)) == 5 + len(told)
    assert {(e.who, e.source) for e in refused(desk)} == {("mara", "127.0.0.1")}


def test_the_old_password_is_guarded_as_signing_in_is(desk: Desk, hasher: Hasher) -> None:
    user = add(desk)
    with running(desk) as address:
        mine = browser(address)
        assert sign_in(mine).status_code == 303
        csrf = re.findall(r'name="csrf" value="([^"]+)"', mine.get("/account").text)[0]
        new = {"password": "another unusual phrase", "again": "another unusual phrase"}
        looked = hasher.looked

        def guess(n: int) -> int:
            form = {**new, "csrf": csrf, "old": f"guess {n}"}
            return insist(mine, "/account", form)

        answers = at_once(20, guess)
        assert sorted(answers) == [409] * 5 + [429] * 15
        assert hasher.looked == looked + 5
        assert mine.get("/").status_code == 200
        assert sign_in(browser(address)).status_code == 303  # elsewhere it is as before
    assert {(e.who, e.account_id) for e in refused(desk)} == {("mara", user.id)}


def test_a_hundred_sign_ins_at_once_are_hashed_a_few_at_a_time_and_stop_nobody(
    desk: Desk, hasher: Hasher
) -> None:
    add(desk)
    hasher.seconds = 0.1
    with running(desk) as address:
        clients = [browser(address, f"203.0.113.{n}") for n in range(100)]
        tokens = [re.findall(r'name="csrf" value="([^"]+)"', c.get("/login").text)[0]
                  for c in clients]  # fmt: skip
        slowest = 0.0

        def come(n: int) -> int:
            nonlocal slowest
            if n == 100:
                for _ in range(5):
                    began = time.monotonic()
                    assert browser(address).get("/health").status_code == 200
                    slowest = max(slowest, time.monotonic() - began)
                return 0
            form = {"csrf": tokens[n], "name": f"somebody {n}", "password": "guess"}
            answer = clients[n].post("/login", data=form)
            if answer.status_code == 503:
                assert int(answer.headers["retry-after"]) >= 1
                assert "content-security-policy" in answer.headers
            return answer.status_code

        answers = at_once(101, come)
    assert set(answers) <= {0, 403, 503}
    assert answers.count(503) > 20
    assert hasher.most <= passwords.AT_ONCE
    assert slowest < 5  # all of them would have taken ten seconds
    with desk.ledger.read() as session:
        counts = session.scalars(sa.select(TriesRow.tries)).all()
    assert sum(counts) == 3 * answers.count(403), "who was sent away did not use up a try"


# -- by whom and from where ---------------------------------------------------------------------


def test_guesses_from_everywhere_keep_nobody_out_where_they_are_known(
    desk: Desk, hasher: Hasher
) -> None:
    add(desk)
    with running(desk) as address:
        mine = browser(address, "198.51.100.7")
        assert sign_in(mine).status_code == 303
        guesses = [
            sign_in(browser(address, f"203.0.113.{n}"), password="guess").status_code
            for n in range(70)
        ]
        assert guesses[-1] == 429, "the account rests for who comes from where it has never been"
        assert hasher.looked == 51
        assert sign_in(browser(address, "192.0.2.1")).status_code == 429
        assert mine.get("/").status_code == 200, "a session goes on"
        at_home = browser(address, "198.51.100.7")
        assert sign_in(at_home).status_code == 303, "the address is known"
        mine.cookies.delete(COOKIE)
        elsewhere = browser(address, "192.0.2.77")
        elsewhere.cookies.update(mine.cookies)
        assert sign_in(elsewhere).status_code == 303, "the browser is known, wherever it is"


def test_one_place_cannot_try_many_names(desk: Desk, hasher: Hasher) -> None:
    add(desk)
    with running(desk) as address:
        answers = [
            sign_in(browser(address, "203.0.113.9"), f"name {n}", "guess").status_code
            for n in range(40)
        ]
        assert answers == [403] * 30 + [429] * 10
        assert sign_in(browser(address, "198.51.100.7")).status_code == 303


def test_an_address_is_believed_of_known_proxies_only(desk: Desk, hasher: Hasher) -> None:
    add(desk)
    far = make_desk(desk.ledger, service={"proxies": ["192.0.2.1"]})
    with running(far) as address:
        answers = [
            sign_in(browser(address, f"203.0.113.{n}"), password="guess").status_code
            for n in range(8)
        ]
    assert answers == [403] * 5 + [429] * 3


@pytest.mark.parametrize(
    ("host", "source"),
    [("203.0.113.9", "203.0.113.9"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
     ("::ffff:203.0.113.9", "::ffff:203.0.113.9"), ("testclient", "testclient")],
)  # fmt: skip
def test_of_ipv6_a_household_is_one_source(host: str, source: str) -> None:
    from fastapi import Request

    request = Request({"type": "http", "client": (host, 1), "headers": []})
    assert guard.source_of(request) == source


def test_what_was_typed_as_a_name_is_not_kept(desk: Desk, hasher: Hasher) -> None:
    add(desk)
    assert sign_in(desk.client(), "my secret passphrase", "x").status_code == 403
    with desk.ledger.read() as session:
        for table in (JournalRow, TriesRow):
            for row in session.scalars(sa.select(table)):
                assert "my secret passphrase" not in str(vars(row))
    assert [(e.who, e.account_id) for e in refused(desk)] == [(guard.NOBODY, None)]


def test_a_good_try_forgets_ones_own_and_leaves_what_others_count(
    desk: Desk, hasher: Hasher
) -> None:
    add(desk)
    for _ in range(3):
        for _ in range(4):
            assert sign_in(desk.client(), password="guess").status_code == 403
        assert sign_in(desk.client()).status_code == 303
    with desk.ledger.read() as session:
        assert max(session.scalars(sa.select(TriesRow.tries))) <= 12


def test_limits_hold_on_every_database(ledger: Ledger) -> None:
    limits = [Limit("a", 30, timedelta(minutes=15), shared=True), Limit("b", 5, timedelta(hours=1))]

    def count(_n: int) -> bool:
        with ledger.write() as session:
            return tries.reserve(session, datetime.now(UTC), limits) is None

    assert sum(at_once(20, count)) == 5
    with ledger.write() as session:
        later = datetime.now(UTC) + timedelta(hours=1)
        assert tries.reserve(session, later, limits) is None
        tries.sweep(session, later + timedelta(hours=23))
        assert session.scalar(sa.select(sa.func.count()).select_from(TriesRow)) == 2
        tries.sweep(session, later + tries.KEPT)
        assert session.scalar(sa.select(sa.func.count()).select_from(TriesRow)) == 0


# -- what may be a password ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    ["password1234", "qwertyuiop123", "iloveyou12345", "Bergenloop12", "mara12345678",
     "Passw0rd!2026", "abcabcabcabcabc", "1qaz2wsx3edc", "letmeinletmein"],
)  # fmt: skip
def test_passwords_that_are_guessed_first_are_refused(password: str) -> None:
    assert passwords.Rules(8).problem(password, "mara")
    assert passwords.Rules(8).problem(PASSWORD, "mara") is None


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode("utf-8", "surrogatepass")).hexdigest().upper()


@given(
    known=st.sets(st.text(min_size=1, max_size=4), min_size=1, max_size=40),
    other=st.text(min_size=1, max_size=4),
    end=st.sampled_from([":1", ":27345\r", "", "\r"]),
)
def test_a_password_is_found_in_a_list_of_breached_ones_exactly_if_it_is_there(
    tmp_path_factory: pytest.TempPathFactory, known: set[str], other: str, end: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "breached.txt"
    file.write_bytes("".join(f"{h}{end}\n" for h in sorted(map(sha1, known))).encode())
    listed = passwords.Breached(file)
    assert all(map(listed.holds, known))
    assert listed.holds(other) is (other in known)


def test_a_breached_password_is_refused_and_so_is_every_one_without_the_list(
    tmp_path: Path,
) -> None:
    file = tmp_path / "list.txt"
    file.write_text(f"{sha1(PASSWORD)}:3\n")
    rules = passwords.Rules(8, passwords.Breached(file))
    assert "known from a breach" in (rules.problem(PASSWORD, "mara") or "")
    assert rules.problem(PASSWORD + " too", "mara") is None
    file.unlink()
    assert "cannot be read" in (rules.problem(PASSWORD + " too", "mara") or "")


@pytest.mark.parametrize("text", ["", "password\n", None])
def test_a_service_does_not_start_with_another_file_for_a_list_of_breached_passwords(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "list.txt"
    if text is not None:
        file.write_text(text)
    with pytest.raises(passwords.BadList, match=r"service\.auth\.breached_passwords.*list\.txt"):
        passwords.Breached(file)


def test_judging_a_password_takes_no_time_however_long_it_is() -> None:
    began = time.monotonic()
    for text in ("1a2S3d4F" * 128, "@$1!0+" * 170, "password" * 128, "ab" * 512):
        passwords.Rules(8).problem(text, "x" * 80)
    assert time.monotonic() - began < 2


def test_an_issued_password_opens_nothing_but_its_change(desk: Desk, hasher: Hasher) -> None:
    boss = desk.signed_in(Role.ENGINEER, name="boss")
    page = boss.post("/people", {"name": "jo", "role": "engineer", "all_brands": "1"}).text
    issued = re.findall(r'class="secret">([^<]+)<', page)[0]
    jo = desk.client()
    assert sign_in(jo, "jo", issued).status_code == 303
    for path in ("/", "/returns", "/people", "/audit.csv", "/floor/"):
        assert jo.get(path).headers["location"] == "/account"
    page = jo.get("/account").text
    assert "choose one of your own" in page
    csrf = re.findall(r'name="csrf" value="([^"]+)"', page)[0]
    assert jo.post("/tokens", data={"csrf": csrf}).headers["location"] == "/account"
    with desk.ledger.write() as session:
        user = people.user_named(session, "jo")
        assert user and user.issued_at
        user.issued_at -= people.ISSUED_FOR
    assert sign_in(desk.client(), "jo", issued).status_code == 403, "unused it runs out"
    same = {"csrf": csrf, "old": issued, "password": issued, "again": issued}
    assert jo.post("/account", data=same).status_code == 409
    new = {**same, "password": PASSWORD, "again": PASSWORD}
    assert jo.post("/account", data=new).status_code == 303
    assert jo.get("/people").status_code == 200
