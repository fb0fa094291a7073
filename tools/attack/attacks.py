"""Attacks on a running release, over HTTP and by its command line alone.

Each says whether it got what it was after, and what was seen.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import io
import re
import socket
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from release import BRAND, Browser, Release, wait_for

MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attack came to."""

    broke: bool
    seen: str


def exhausted_by_criteria(it: Release) -> Outcome:
    """An account that may only read pastes criteria that cost more than a machine has."""
    reader = _account(it, "reader", "read_only")
    chained = "[1]" + ".map(x, [x, x])" + ".map(x, x + x)" * 24 + ".size() > 0"
    grown = "[[1, 1]]" + ".map(x, x + x)" * 14 + "[0]"
    nested = f"{grown}.all(a, {grown}.all(b, a == b))"
    seen: list[str] = []
    broke = False
    for name, condition in (("chained", chained), ("nested", nested)):
        text = f'name: t\nrules:\n  - {{name: a, when: "{condition}", then: process}}\n'
        form = {"which": "pasted", "text": text, "since": "2020-01-01"}
        at = f"/brands/{BRAND}/criteria/try"
        status, slowest, most, ended = _pressed(it, lambda f=form, p=at: reader.post(p, p, **f))
        hurt = ended is not None or slowest > 5 or most > 1000 * MB
        broke = broke or hurt or status == 200
        end = "the process ended" if ended is not None else f"health took up to {slowest:.1f} s"
        seen.append(f"{name}: {status or 'no answer'}, {end}, {most // MB} MB")
        if hurt:
            it.again()
    return Outcome(broke, "; ".join(seen))


def _pressed(
    it: Release, attack: Callable[[], httpx2.Response], seconds: float = 15
) -> tuple[int, float, int, int | None]:
    """What it answered (0: nothing), how long others waited, the most memory, how it ended."""
    status, slowest, most = 0, 0.0, 0

    def run() -> None:
        nonlocal status
        with suppress(httpx2.HTTPError):
            status = attack().status_code

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    until = time.monotonic() + seconds
    while time.monotonic() < until and it.service.ended() is None:
        began = time.monotonic()
        with suppress(httpx2.HTTPError):
            httpx2.get(f"{it.url}/health", timeout=seconds)
        slowest = max(slowest, time.monotonic() - began)
        most = max(most, it.service.memory())
        if not thread.is_alive():
            break
        time.sleep(0.05)
    return status, slowest, most, it.service.ended()


def paid_twice(it: Release) -> Outcome:
    """Loop takes a process call and is slow to show it; a person retries, in every way there
    is."""
    boss = it.boss
    slow = {"processing_min_seconds": 20, "processing_max_seconds": 20}
    it.control_post("/control/settings", hostile=False, **slow)
    made = it.control_post("/control/returns", brand=BRAND, count=3)["returns"]
    ids = [str(r["id"]) for r in made]
    wait_for(lambda: all(_effects(it, i)["tickets"] for i in ids))
    it.control_post("/control/parcels/auto", mix={"complete": 100})
    wait_for(lambda: ids == sorted(_open_items(boss).keys() & set(ids)), 90)
    before = _process_calls(it)
    said: list[str] = []
    first, second, third = (_open_items(boss)[i] for i in ids)
    form = {"do": "retry", "why": "it hangs"}
    answer = boss.http.post(
        "/attention/act", data={"csrf": boss.token("/attention"), "item": first, **form}
    )
    said.append(f"page {answer.status_code}")
    both = {"csrf": boss.token("/attention"), "item": [first, second], **form}
    said.append(f"both at once {boss.http.post('/attention/act', data=both).status_code}")
    token = boss.made_token("robot", "operator") or ""
    headers = {"authorization": f"Bearer {token}"}
    answer = boss.http.post(
        f"/api/v1/attention/{third}/retry", json={"why": "it hangs"}, headers=headers
    )
    said.append(f"API {answer.status_code}")
    time.sleep(45)  # the service's own ticks, one a second; Loop takes 20 s for a payment
    again = _process_calls(it) - before
    twice = sum(_effects(it, i)["money_moved"] > 1 for i in ids)
    it.control_post("/control/settings", processing_min_seconds=1, processing_max_seconds=1)
    seen = f"{', '.join(said)}: {again} more process calls, {twice} of 3 paid twice"
    return Outcome(again > 0, seen)


def _effects(it: Release, return_id: str) -> dict[str, Any]:
    none = {"tickets": {}, "money_moved": 0}
    return it.control.get("/control/effects").json()["returns"].get(return_id, none)


def _process_calls(it: Release) -> int:
    found = it.control.get("/control/calls", params={"operation": "process", "limit": 100000})
    return len(found.json()["calls"])


def _open_items(boss: Browser) -> dict[str, str]:
    """What needs a person: items by return."""
    text = boss.get("/attention.csv").text.lstrip("\ufeff")
    rows = csv.DictReader(io.StringIO(text))
    return {r["return"].lstrip("'"): r["item"].lstrip("'") for r in rows}


def guessed(it: Release) -> Outcome:
    """39 guesses at once; then the old password of the account page."""
    boss = it.boss
    mara = _account(it, "mara", "operator")
    browsers = [it.browser() for _ in range(39)]
    tokens = [b.token("/login") for b in browsers]
    gate = threading.Barrier(39)

    def guess(n: int) -> int:
        gate.wait()
        form = {"csrf": tokens[n], "name": "mara", "password": f"guess {n}"}
        for _ in range(100):
            status = browsers[n].http.post("/login", data=form).status_code
            if status != 503:
                return status
            time.sleep(0.2)
        return 503

    with ThreadPoolExecutor(39) as pool:
        answers = list(pool.map(guess, range(39)))
    looked = sum(a in (403, 303) for a in answers)
    tried = 0
    form = {"password": "another unusual phrase", "again": "another unusual phrase"}
    for n in range(30):
        answer = mara.post("/account", "/account", old=f"guess {n}", **form)
        tried += answer.status_code in (200, 409, 422)
    journal = boss.get("/audit.csv").text
    kept = len(re.findall("refused|wrong name", journal))
    seen = (
        f"{looked} of 39 looked at; old password: {tried} of 30 looked at; {kept} lines in the "
        "journal"
    )
    # Where somebody has signed in before, there are ten tries, elsewhere five.
    return Outcome(looked > 10 or tried > 10, seen)


def crowded(it: Release) -> Outcome:
    """60 that nobody knows sign in at once."""
    browsers = [it.browser() for _ in range(60)]
    tokens = [b.token("/login") for b in browsers]
    before = it.service.memory()

    def come(n: int) -> int:
        form = {"csrf": tokens[n], "name": f"nobody {n}", "password": "guess"}
        with suppress(httpx2.HTTPError):
            return browsers[n].http.post("/login", data=form).status_code
        return 0

    def all_of_them() -> httpx2.Response:
        with ThreadPoolExecutor(60) as pool:
            list(pool.map(come, range(60)))
        return httpx2.get(f"{it.url}/health", timeout=60)

    _, slowest, most, ended = _pressed(it, all_of_them, 30)
    grown = max(0, most - before) // MB
    end = ", and the process ended" if ended is not None else ""
    return Outcome(
        grown > 600 or slowest > 3 or ended is not None,
        f"{grown} MB more, others waited up to {slowest:.1f} s{end}",
    )


def texts_acted(it: Release) -> Outcome:
    """Markup, escapes, formulas and HTML in every text of 23 returns, through the terminal and
    the exports."""
    boss = it.boss
    it.control_post("/control/settings", hostile=True)
    made = it.control_post("/control/returns", brand=BRAND, count=23)["returns"]
    it.control_post("/control/settings", hostile=False)
    ids = [str(r["id"]) for r in made]
    wait_for(lambda: ids[-1] in boss.get("/returns.csv").text)
    crashed, escapes = 0, 0
    for number in (*range(0, 23, 3), 1):
        done = it.run("show", ids[number])
        crashed += done.returncode not in (0, 1) or b"Traceback" in done.stderr
        escapes += bool(re.search(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", done.stdout))
    rows = list(csv.reader(io.StringIO(boss.get("/returns.csv").text)))
    formulas = sum(cell[:1] in ("=", "+", "@", "\t", "\r") for row in rows for cell in row)
    forged = sum(line.startswith("2026-01-01T00:00:00Z") for line in it.said().splitlines())
    pages = boss.get("/returns").text
    pages += "".join(boss.get(f"/returns/{BRAND}/{i}").text for i in ids[:23:4])
    live = pages.count("<img src=x") + pages.count("<script>alert") + pages.count("<svg/onload")
    seen = (
        f"of 9 `show`: {crashed} crashed, {escapes} with control characters; {formulas} formulas "
        f"in CSV; {live} live in pages; {forged} forged lines in the log"
    )
    return Outcome(bool(crashed + escapes + formulas + live + forged), seen)


def told_too_much(it: Release) -> Outcome:
    """REX11 and a brand's endpoint answer with errors that repeat our request, password and token
    in it, with markup and escapes; then the database refuses what is written."""
    boss = it.boss
    it.way.tells_too_much = True
    it.mail.mails.clear()
    it.control_post("/control/returns", brand=BRAND, count=2)
    with suppress(TimeoutError):
        wait_for(lambda: any("ndpoint" in m or "events" in m for m in it.mail.mails), 60)
    it.way.tells_too_much = False
    with sqlite3.connect(it.folder / "ledger.db", timeout=30) as base:
        refusing = "begin select raise(abort, 'no'); end"
        base.execute(f"create trigger refuses before insert on returns {refusing}")
    made = it.control_post("/control/returns", brand=BRAND, count=1)["returns"]
    time.sleep(6)
    with sqlite3.connect(it.folder / "ledger.db", timeout=30) as base:
        base.execute("drop trigger refuses")
    secrets = {it.secrets["rex11_password"]}
    for said in it.way.told:
        secrets |= set(re.findall(r"AuthenticationString>([^<]+)<", said))
    customer = f"customer{int(made[0]['id']) - 40000000}@example.com"
    where = {
        "log": it.said(),
        "mail": "\n".join(it.mail.mails),
        "journal": boss.get("/audit.csv").text,
        "attention": boss.get("/attention.csv").text,
    }
    leaks = [n for n, text in where.items() if any(t in text for t in secrets)]
    theirs = [n for n, text in where.items() if "Unhandled" in text]
    quoted = [n for n in ("log", "mail", "attention") if customer in where[n]]
    live = sum("<b>x</b>" in m or "\x1b" in m for m in it.mail.mails)
    seen = (
        f"secrets in: {', '.join(leaks) or 'nothing'}; words of theirs in: "
        f"{', '.join(theirs) or 'nothing'}; a customer's address from a database error in: "
        f"{', '.join(quoted) or 'nothing'}; {live} of {len(it.mail.mails)} mails live"
    )
    return Outcome(bool(leaks or live or quoted or {"log", "mail"} & set(theirs)), seen)


# -- what was weak ------------------------------------------------------------------------------


def held_open(it: Release) -> Outcome:
    """300 connections that begin a request and say no more."""
    address = ("127.0.0.1", it.port)
    held: list[socket.socket] = []
    for _ in range(300):
        with suppress(OSError):
            one = socket.create_connection(address, timeout=5)
            one.sendall(b"GET /health HTTP/1.1\r\n")
            held.append(one)
    began = time.monotonic()
    served = 0
    for _ in range(5):
        with suppress(httpx2.HTTPError):
            served += httpx2.get(f"{it.url}/health", timeout=5).status_code == 200
    slowest = time.monotonic() - began
    time.sleep(12)
    still = 0
    for one in held:
        one.settimeout(0.01)
        with suppress(OSError):
            try:
                one.recv(1000)
            except TimeoutError:
                still += 1
        one.close()
    return Outcome(
        still > 0 or served < 5,
        f"{served} of 5 others served in {slowest:.1f} s; {still} of {len(held)} held after 12 s",
    )


def files_of_all(it: Release) -> Outcome:
    """Files of the ledger that others of the machine may read."""
    open_ones = [p.name for p in it.folder.glob("*.db*") if stat.S_IMODE(p.stat().st_mode) & 0o077]
    return Outcome(bool(open_ones), ", ".join(sorted(open_ones)) or "none is readable for others")


def looked_alike(it: Release) -> Outcome:
    """Accounts whose names look like the service, like a token or like another account."""
    names = ("b\u043ess", "token robot", "root command line", "bergen-loop", "boss\u200b")
    took = [n for n in names if it.boss.made_account(n, "read_only")]
    return Outcome(bool(took), f"taken: {', '.join(map(ascii, took)) or 'none'}")


def told_apart(it: Release) -> Outcome:
    """Which brands there are, asked of the webhook endpoint by somebody without a secret."""
    there = httpx2.post(f"{it.url}/webhooks/loop/{BRAND}", content=b"{}")
    absent = httpx2.post(f"{it.url}/webhooks/loop/nobody", content=b"{}")
    same = (there.status_code, there.text) == (absent.status_code, absent.text)
    return Outcome(not same, f"there {there.status_code}, not there {absent.status_code}")


def numbers_that_are_none(it: Release) -> Outcome:
    """Numbers and ids that are none."""
    boss = it.boss
    answers: dict[str, int] = {}
    for path in ("/people/1e23", "/people/99999999999999999999999", "/tokens/-1/revoke"):
        answers[path] = _status(lambda p=path: boss.post(p, "/account"))
    body = b'{"topic":"return","trigger":"return.created","id":"\\ud800"}'
    key = it.secrets["loop_webhook_secret"].encode()
    signed = base64.b64encode(hmac.new(key, body, hashlib.sha256).digest()).decode()
    url, headers = f"{it.url}/webhooks/loop/{BRAND}", {"x-loop-signature": signed}
    answers["webhook \\ud800"] = _status(lambda: httpx2.post(url, content=body, headers=headers))
    answers["?after=1e400"] = _status(lambda: boss.get("/attention?after=1e400"))
    return Outcome(
        any(s >= 500 or s == 0 for s in answers.values()),
        ", ".join(f"{k}: {v}" for k, v in answers.items()),
    )


def _status(ask: Callable[[], httpx2.Response]) -> int:
    try:
        return ask().status_code
    except httpx2.HTTPError:
        return 0  # hung up


def led_elsewhere(it: Release) -> Outcome:
    """A request that claims another host."""
    answers: list[str] = []
    for path in ("/floor", "/returns/", "/login?next=//evil.example", "/people/"):
        got = httpx2.get(f"{it.url}{path}", headers={"host": "evil.example"})
        answers.append(got.headers.get("location", ""))
    led = [a for a in answers if "evil.example" in urlsplit(a).netloc]
    return Outcome(bool(led), f"redirected to {led[0]}" if led else "nothing leads there")


def outlived(it: Release) -> Outcome:
    """A token whose maker's account is switched off."""
    token = _account(it, "leaver", "engineer").made_token("left behind", "operator")
    headers = {"authorization": f"Bearer {token}"}
    before = httpx2.get(f"{it.url}/api/v1/brands", headers=headers).status_code
    page = it.boss.get("/people").text
    number = re.findall(r"/people/(\d+)", page[page.find("leaver") :])[0]
    it.boss.post(f"/people/{number}", "/people", role="engineer", all_brands="1")
    after = httpx2.get(f"{it.url}/api/v1/brands", headers=headers).status_code
    return Outcome(before == after == 200, f"before {before}, after {after}")


def measured_by_anybody(it: Release) -> Outcome:
    """Figures of all brands without a token, through a proxy on the machine that says nothing of
    whom it speaks for."""
    answer = httpx2.get(f"{it.url}/metrics")
    return Outcome(answer.status_code == 200, f"/metrics: {answer.status_code}")


def forgot_its_journal(it: Release) -> Outcome:
    """A line of the journal is changed in the database; does a command tell?"""
    it.run("audit", "seal")
    with sqlite3.connect(it.folder / "ledger.db", timeout=30) as base:
        base.execute(
            "update journal set why = 'something else' "
            "where id = (select id from journal where brand is not null order by id limit 1)"
        )
    done = it.run("audit", "verify")
    text = (done.stdout + done.stderr).decode(errors="replace")
    told = done.returncode not in (0, 2)
    return Outcome(not told, f"exit {done.returncode}: {' '.join(text.split())[:90]}")


def _account(it: Release, name: str, role: str) -> Browser:
    """A browser in which a new account is signed in."""
    issued = it.boss.made_account(name, role) or ""
    theirs = it.browser()
    theirs.sign_in(name, issued)
    theirs.settle_in(name, issued)
    return theirs


ATTACKS: list[Callable[[Release], Outcome]] = [
    files_of_all, told_apart, led_elsewhere, measured_by_anybody, numbers_that_are_none,
    looked_alike, outlived, paid_twice, told_too_much, guessed, crowded, held_open,
    texts_acted, exhausted_by_criteria, forgot_its_journal,
]  # fmt: skip
