"""A password alone is not enough where a second factor is set up."""

from __future__ import annotations

import base64
import re
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from cryptography.fernet import Fernet
from running_service import at_once
from test_signing_in import PASSWORD, QUICK, add, refused, sign_in
from web_support import Desk, make_desk

from bergen_loop.console import passwords, totp
from bergen_loop.domain.words import What
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.tables.access import TriesRow
from bergen_loop.ledger.tables.core import JournalRow, SessionRow, UserRow
from bergen_loop.secrets.keys import ENVIRONMENT, KeySource
from bergen_loop.secrets.vault import Vault


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    monkeypatch.setattr(passwords, "_hasher", QUICK)
    passwords._nobodys.cache_clear()
    yield
    passwords._nobodys.cache_clear()


def csrf(client: Any, path: str) -> str:
    return re.findall(r'name="csrf" value="([^"]+)"', client.get(path).text)[0]


def code_of(secret: str, shift: int = 0) -> str:
    return totp.code_at(secret, int(datetime.now(UTC).timestamp()) // totp.STEP + shift)


def set_up(client: Any) -> tuple[str, list[str]]:
    """The secret, and the recovery codes."""
    token = csrf(client, "/account")
    page = client.post("/account/second-factor", data={"csrf": token, "old": PASSWORD})
    assert page.status_code == 200
    secret = re.findall(r'class="secret">([A-Z2-7]+)<', page.text)[0]
    assert "data:image/svg+xml" in page.text
    done = client.post("/account/second-factor", data={"csrf": token, "code": code_of(secret)})
    assert done.status_code == 200
    return secret, re.findall(r'class="secret">([^<]+)<', done.text)


def give(client: Any, code: str) -> Any:
    token = csrf(client, "/login/code")
    return client.post("/login/code", data={"csrf": token, "next": "/returns", "code": code})


def user(desk: Desk, name: str = "mara") -> UserRow:
    with desk.ledger.read() as session:
        found = people.user_named(session, name)
        assert found is not None
        return found


def enrolled(desk: Desk) -> tuple[Any, str, list[str]]:
    add(desk)
    client = desk.client()
    assert sign_in(client).status_code == 303
    secret, codes = set_up(client)
    with desk.ledger.write() as session:
        # As if the code of the set-up were of long ago.
        session.get_one(UserRow, user(desk).id).totp_step = 1
    return client, secret, codes


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"),
     (2000000000, "279037"), (20000000000, "353130")],
)  # fmt: skip
def test_codes_are_those_of_the_standard(seconds: int, code: str) -> None:
    """RFC 6238, appendix B, the last six digits."""
    secret = base64.b32encode(b"12345678901234567890").decode()
    assert totp.code_at(secret, seconds // totp.STEP) == code
    now = datetime.fromtimestamp(seconds, UTC)
    assert totp.step_of(secret, code, now, None) == seconds // totp.STEP
    assert totp.step_of(secret, code, now, seconds // totp.STEP) is None


def test_a_code_of_another_minute_is_none() -> None:
    secret, now = totp.new_secret(), datetime.now(UTC)
    step = int(now.timestamp()) // totp.STEP
    for shift in range(-5, 6):
        found = totp.step_of(secret, totp.code_at(secret, step + shift), now, None)
        assert (found is not None) == (abs(shift) <= totp.DRIFT)
    for nonsense in ("", "12345", "abcdef", "١٢٣٤٥٦", "1234567", "000000 or 1"):
        assert totp.step_of(secret, nonsense, now, None) is None


def test_with_a_second_factor_the_password_opens_nothing(desk: Desk) -> None:
    mine, secret, _ = enrolled(desk)
    assert mine.get("/").status_code == 200
    other = desk.client()
    answer = sign_in(other)
    assert answer.headers["location"] == "/login/code?next=%2F"
    for path in ("/", "/returns", "/account", "/floor/"):
        assert other.get(path).headers["location"].startswith("/login?next=")
    assert give(other, "000000").status_code == 403
    assert other.get("/").status_code == 303
    half = other.cookies["bergen_loop_session"]
    done = give(other, code_of(secret))
    assert (done.status_code, done.headers["location"]) == (303, "/returns")
    assert other.cookies["bergen_loop_session"] != half, "a new session, not the half one"
    assert other.get("/").status_code == 200
    with desk.ledger.read() as session:
        how = session.scalars(
            sa.select(JournalRow.why).where(JournalRow.happened == What.SIGNED_IN)
        ).all()
    assert how[-1] == "by password and second factor"


def test_a_code_is_taken_once(desk: Desk) -> None:
    _, secret, _ = enrolled(desk)
    code = code_of(secret)
    first, second = desk.client(), desk.client()
    sign_in(first)
    sign_in(second)
    assert give(first, code).status_code == 303
    assert give(second, code).status_code == 403


def test_a_recovery_code_opens_once_and_is_kept_as_its_hash(desk: Desk) -> None:
    _, _, codes = enrolled(desk)
    assert len(set(codes)) == totp.RECOVERY_CODES
    kept = user(desk).recovery_codes
    assert kept == [people.hashed(c) for c in codes]
    for expected in (303, 403):
        client = desk.client()
        sign_in(client)
        assert give(client, f" {codes[3].upper()} ").status_code == expected
    assert len(user(desk).recovery_codes or []) == totp.RECOVERY_CODES - 1
    with desk.ledger.read() as session:
        used = session.scalars(
            sa.select(JournalRow).where(JournalRow.happened == What.RECOVERY_CODE_USED)
        ).one()
    assert (used.who, used.account_id, used.why) == ("mara", user(desk).id, "9 left")


def test_codes_are_not_guessed(desk: Desk) -> None:
    _, secret, _ = enrolled(desk)
    answers: list[int] = []
    for _ in range(12):
        client = desk.client()
        sign_in(client)
        answers.append(give(client, "000000").status_code)
    assert answers == [403] * 10 + [429] * 2
    client = desk.client()
    sign_in(client)
    assert give(client, code_of(secret)).status_code == 429
    assert len(refused(desk)) == 10 + 2
    with desk.ledger.write() as session:
        session.execute(sa.delete(TriesRow))
    assert give(client, code_of(secret)).status_code == 303


def test_half_a_sign_in_ends_after_minutes(desk: Desk) -> None:
    _, secret, _ = enrolled(desk)
    client = desk.client()
    sign_in(client)
    token = csrf(client, "/login/code")
    with desk.ledger.write() as session:
        session.execute(
            sa.update(SessionRow)
            .where(SessionRow.awaits_code.is_(True))
            .values(expires_at=datetime.now(UTC))
        )
    form = {"csrf": token, "code": code_of(secret)}
    assert client.post("/login/code", data=form).headers["location"] == "/login"
    assert client.get("/").status_code == 303


def test_setting_it_up_needs_the_password_and_the_first_code(desk: Desk) -> None:
    add(desk)
    client = desk.client()
    sign_in(client)
    token = csrf(client, "/account")
    path = "/account/second-factor"
    assert client.post(path, data={"csrf": token, "old": "wrong"}).status_code == 409
    assert client.post(path, data={"csrf": token, "code": "123456"}).status_code == 409
    assert client.post(path, data={"csrf": token, "old": PASSWORD}).status_code == 200
    assert client.post(path, data={"csrf": token, "code": "000000"}).status_code == 409
    assert user(desk).totp_secret is None
    assert sign_in(desk.client()).headers["location"] == "/"


def test_who_has_only_a_session_cannot_try_all_codes_of_a_new_secret(desk: Desk) -> None:
    """What they would get is the recovery codes."""
    add(desk)
    client, path = desk.client(), "/account/second-factor"
    assert sign_in(client).status_code == 303
    token = re.findall(r'name="csrf" value="([^"]+)"', client.get("/account").text)[0]
    page = client.post(path, data={"csrf": token, "old": PASSWORD}).text
    right = code_of(re.findall(r'class="secret">([A-Z2-7]+)<', page)[0])
    wrong = f"{(int(right) + 500_000) % 1_000_000:06}"
    tries = [client.post(path, data={"csrf": token, "code": wrong}).status_code for _ in range(12)]
    assert tries == [409] * 10 + [429] * 2
    assert client.post(path, data={"csrf": token, "code": right}).status_code == 429


def test_of_one_code_at_once_one_is_taken(desk: Desk) -> None:
    _, secret, _ = enrolled(desk)
    code, others = code_of(secret), [desk.client() for _ in range(6)]
    for other in others:
        sign_in(other)
    assert sorted(at_once(6, lambda n: give(others[n], code).status_code)) == [303] + [403] * 5


def test_changing_and_removing_it_needs_it(desk: Desk) -> None:
    client, secret, _ = enrolled(desk)
    token = csrf(client, "/account")
    change, remove = "/account/second-factor", "/account/second-factor/remove"
    for path in (change, remove):
        form = {"csrf": token, "old": PASSWORD, "code" if path == remove else "present_code": "1"}
        assert client.post(path, data=form).status_code == 409
    assert user(desk).totp_secret == secret
    form = {"csrf": token, "old": PASSWORD, "code": code_of(secret)}
    assert client.post(remove, data=form).status_code == 303
    assert user(desk).totp_secret is None
    assert sign_in(desk.client()).headers["location"] == "/"


@pytest.mark.parametrize("role", list(Role))
def test_where_it_is_required_who_may_act_sets_it_up_first(desk: Desk, role: Role) -> None:
    strict = make_desk(desk.ledger, service={"auth": {"second_factor": "required"}})
    add(strict, role=role)
    client = strict.client()
    sign_in(client)
    acts = role in (Role.OPERATOR, Role.ENGINEER)
    first = client.get("/floor/" if role is Role.FLOOR else "/returns")
    assert (first.headers.get("location") == "/account") == acts
    if acts:
        assert "set up a second factor" in client.get("/account").text.lower()
        set_up(client)
        assert client.get("/returns").status_code == 200
        form = {"csrf": csrf(client, "/account"), "old": PASSWORD, "code": "1"}
        assert client.post("/account/second-factor/remove", data=form).status_code == 409


def test_an_engineer_takes_a_lost_one_away_and_it_is_journaled(desk: Desk) -> None:
    client, _, _ = enrolled(desk)
    boss = desk.signed_in(Role.ENGINEER, name="boss")
    assert "and second factor" in boss.get("/people").text
    boss.post(f"/people/{user(desk).id}", {"reset_factor": "1"})
    assert client.get("/").status_code == 303, "its sessions end"
    assert (user(desk).totp_secret, user(desk).recovery_codes) == (None, None)
    with desk.ledger.read() as session:
        entry = session.scalars(
            sa.select(JournalRow).where(JournalRow.happened == What.SECOND_FACTOR_REMOVED)
        ).one()
    assert (entry.who, entry.why) == ("boss", "of mara")
    assert entry.account_id == user(desk, "boss").id
    assert entry.source == "testclient"


# -- how the seed is kept -----------------------------------------------------------------------


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    """There is a key for the ledger's secrets."""
    made = Fernet.generate_key().decode()
    monkeypatch.setenv(ENVIRONMENT, made)
    return made


def gets_in(desk: Desk, code: str, name: str = "mara") -> int:
    client = desk.client()
    sign_in(client, name)
    return give(client, code).status_code


def test_the_seed_is_encrypted_and_its_accounts_alone(desk: Desk, key: str) -> None:
    _, secret, _ = enrolled(desk)
    kept = user(desk).totp_secret
    assert kept and secret not in kept and kept.startswith("2:")
    assert gets_in(desk, code_of(secret)) == 303
    other = add(desk, "otto")
    with desk.ledger.write() as session:  # by whoever can write to the database
        session.get_one(UserRow, other.id).totp_secret = kept
    assert gets_in(desk, code_of(secret), "otto") == 503


def test_one_that_waits_for_its_first_code_is_encrypted_too(desk: Desk, key: str) -> None:
    add(desk)
    client = desk.client()
    sign_in(client)
    form = {"csrf": csrf(client, "/account"), "old": PASSWORD}
    page = client.post("/account/second-factor", data=form).text
    secret = re.findall(r'class="secret">([A-Z2-7]+)<', page)[0]
    assert secret not in str(user(desk).totp_new)


def test_a_seed_from_before_is_read_and_encrypted_at_its_next_use(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with structlog.testing.capture_logs() as logs:
        _, secret, _ = enrolled(desk)  # there is no key yet
    assert user(desk).totp_secret == secret
    assert "a second factor is kept unencrypted" in str(logs)
    assert secret not in str(logs)
    monkeypatch.setenv(ENVIRONMENT, Fernet.generate_key().decode())
    assert gets_in(desk, "000000") == 403
    assert user(desk).totp_secret == secret
    assert gets_in(desk, code_of(secret)) == 303
    kept = str(user(desk).totp_secret)
    assert kept.startswith("2:")
    assert gets_in(desk, code_of(secret, 1)) == 303
    assert user(desk).totp_secret == kept


def test_a_rotation_takes_the_seeds_along(
    desk: Desk, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret, _ = enrolled(desk)
    url = desk.ledger.url.render_as_string(hide_password=False)
    new = Fernet.generate_key().decode()
    monkeypatch.setenv(ENVIRONMENT, f"{new} {key}")
    assert Vault(url, KeySource()).rotate(who="me") == 1
    monkeypatch.setenv(ENVIRONMENT, new)
    assert gets_in(desk, code_of(secret)) == 303


def test_without_its_key_a_recovery_code_still_opens(
    desk: Desk, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret, codes = enrolled(desk)
    monkeypatch.setenv(ENVIRONMENT, Fernet.generate_key().decode())
    with structlog.testing.capture_logs() as logs:
        assert gets_in(desk, code_of(secret)) == 503
    assert "bergen-loop accounts reset" in str(logs)
    assert gets_in(desk, codes[0]) == 303


def test_neither_secret_nor_codes_are_in_the_journal_or_shown_again(desk: Desk) -> None:
    client, secret, codes = enrolled(desk)
    with desk.ledger.read() as session:
        told = str([(e.why, e.data) for e in session.scalars(sa.select(JournalRow))])
    for word in (secret, *codes):
        assert word not in told
        assert word not in client.get("/account").text
