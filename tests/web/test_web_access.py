"""Who may see and do what: over every route there is, so that a new one cannot be forgotten."""

from __future__ import annotations

import pytest
from web_routes import address, known
from web_support import Browser, Desk, add_return, make_desk

from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.scope import OutOfScope, Scope

PUBLIC = {"/health", "/ready", "/login", "/login/code", "/setup", "/login/oidc",
          "/login/oidc/callback", "/api/v1/openapi.json", "/api/v1/reference",
          "/metrics"}  # fmt: skip
"""What has nothing of a brand; who may reach what is in tests/security/test_every_route.py."""


def test_another_brand_leaks_nowhere(full: Desk) -> None:
    """Every page, list and file, with every way of asking for the other brand."""
    browser = full.signed_in(Role.OPERATOR, ["acme"])
    api = full.token(Role.OPERATOR, ["acme"])
    for method, path in known(full):
        if method != "GET" or path in PUBLIC or path == "/live":
            continue
        client = api if path.startswith("/api/") else browser
        target = address(path, "acme")
        plain = client.get(target + ("?q=acme" if path.endswith("/search") else ""))
        assert plain.status_code in (200, 308, 403, 404, 422), (path, plain.status_code)
        assert "zebra" not in plain.text.lower(), path
        assert client.get(f"{target}?brand=zebra&q=x").status_code in (403, 404), path
        assert client.get(f"{target}?brand=acme&brand=zebra&q=x").status_code in (403, 404), path


@pytest.mark.parametrize("text", ["507", "#ZEBRA507", "1ZZEBRA507", "LR-zebra-507",
                                  "WHRTNzebra507", "zebra-TEE-S", "zebra.507@customers.example",
                                  "zebra", "1ZZEB"])  # fmt: skip
def test_another_brand_is_not_found_by_searching(full: Desk, text: str) -> None:
    theirs = full.signed_in(Role.OPERATOR, ["zebra"]).get("/returns", params={"q": text})
    # A match that is the only one opens.
    assert "/returns/zebra/507" in theirs.headers.get("location", theirs.text)
    mine = full.signed_in(Role.OPERATOR, ["acme"]).get("/returns", params={"q": text})
    assert mine.status_code == 200
    assert "/returns/" not in mine.text.split("<main")[1]
    api = full.token(Role.OPERATOR, ["acme"])
    assert api.get("/api/v1/returns/search", params={"q": text}).json()["returns"] == []


def test_items_of_another_brand_are_not_touched(full: Desk) -> None:
    from bergen_loop.ledger.store import attention

    with full.ledger.read() as session:
        theirs = [i.id for i in attention.open_items(session, "zebra")]
    browser = full.signed_in(Role.OPERATOR, ["acme"])
    chosen = "&".join(f"item={i}" for i in theirs)
    assert "You have chosen nothing" in browser.text(f"/attention/confirm?do=ignore&{chosen}")
    answer = browser.post("/attention/act", {"do": "ignore", "item": theirs, "why": "x"})
    assert "0 done" in answer.text
    api = full.token(Role.OPERATOR, ["acme"])
    for number in theirs:
        answer = api.post(f"/api/v1/attention/{number}/ignore", json={"why": "x"})
        assert answer.status_code == 404
    with full.ledger.read() as session:
        assert len(attention.open_items(session, "zebra")) == len(theirs)


def test_somebody_without_a_brand_sees_none(full: Desk) -> None:
    browser = full.signed_in(Role.OPERATOR, [])
    for path in ("/", "/returns", "/attention", "/audit", "/returns.csv", "/attention.csv"):
        text = browser.get(path).text
        assert "acme" not in text.lower()
        assert "zebra" not in text.lower()


def test_every_form_needs_its_token(full: Desk) -> None:
    browser = full.signed_in(Role.ENGINEER)
    tried = 0
    for method, path in known(full):
        if method == "GET" or path.startswith(("/api/", "/webhooks/")):
            continue
        target = address(path, "acme")
        assert method == "POST", "only POST changes anything"
        for form in ({}, {"csrf": ""}, {"csrf": "guessed"}):
            assert browser.http.post(target, data=form).status_code == 403, (path, form)
        tried += 1
    assert tried >= 9


def test_a_form_from_another_site_is_refused_even_with_its_token(full: Desk) -> None:
    browser = full.signed_in(Role.ENGINEER)
    headers = {"sec-fetch-site": "cross-site"}
    answer = browser.post("/returns/acme/107/note", {"note": "x"}, headers=headers)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("role", "actions"),
    [
        (Role.READ_ONLY, set[str]()),
        (Role.BRAND_SUPPORT, {"note", "resync"}),
        (Role.OPERATOR, {"note", "resync", "process", "flag"}),
        (Role.ENGINEER, {"note", "resync", "process", "flag"}),
    ],
)
def test_actions_by_role(full: Desk, role: Role, actions: set[str]) -> None:
    browser = full.signed_in(role)
    page = browser.get("/returns/acme/103").text
    for action in ("note", "resync", "process", "flag"):
        allowed = action in actions
        assert (f'href="/returns/acme/103/{action}"' in page) == allowed
        answer = browser.get(f"/returns/acme/103/{action}")
        assert answer.status_code == (200 if allowed else 403)
        if not allowed:
            assert browser.post(f"/returns/acme/103/{action}", {"why": "x"}).status_code == 403
    assert browser.get("/returns/acme/103/burn").status_code == 404


def test_accounts_are_for_who_sees_every_brand(full: Desk) -> None:
    """Who sees some brands only could give themselves the others."""
    assert full.signed_in(Role.ENGINEER, ["acme"]).get("/people").status_code == 403
    assert full.signed_in(Role.ENGINEER).get("/people").status_code == 200


def test_scope() -> None:
    some, every, none = Scope.of(["a", "b"]), Scope(None), Scope()
    assert "a" in some
    assert "c" not in some
    assert None not in some
    assert None in every
    assert "a" not in none
    assert some.narrowed("a") == Scope.of(["a"])
    assert some.narrowed(None) == some
    assert some.among(["c", "b", "a"]) == ["b", "a"]
    with pytest.raises(OutOfScope):
        some.narrowed("c")
    with pytest.raises(OutOfScope):
        none.narrowed("a")


def test_no_sign_in_answers_to_this_machine_only(full: Desk) -> None:
    desk = make_desk(full.ledger, signing_in=False)
    local = desk.client(base_url="http://127.0.0.1:8800")
    page = local.get("/")
    assert page.status_code == 200
    assert "Nobody signs in here" in page.text
    assert local.get("/login").headers["location"] == "/"
    assert desk.client(base_url="http://evil.example").get("/").status_code == 421
    assert local.post("/returns/acme/107/note", data={"note": "x"}).status_code == 403
    token = desk.app.state.console.open_csrf
    answer = local.post("/returns/acme/107/note", data={"note": "x", "csrf": token})
    assert answer.status_code == 303


def test_no_sign_in_is_refused_on_other_addresses(full: Desk) -> None:
    from bergen_loop.console.serve import NotLocal, run

    with pytest.raises(NotLocal, match=r"not on 0\.0\.0\.0"):
        run(full.registry, "0.0.0.0", 1, signing_in=False)


def test_webhooks_need_no_session_but_a_signature(full: Desk) -> None:
    answer = full.client().post("/webhooks/loop/acme", content=b"{}")
    assert answer.status_code == 401
    assert answer.text == "wrong signature"


def test_security_headers_everywhere(full: Desk) -> None:
    browser: Browser = full.signed_in()
    for path in ("/", "/health", "/static/console.css", "/nothing", "/api/v1/brands"):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
    assert browser.get("/").headers["cache-control"] == "no-store"


def test_pages_have_no_inline_script_or_style(full: Desk) -> None:
    import re

    browser = full.signed_in(Role.ENGINEER)
    for method, path in known(full):
        if method != "GET" or path.startswith(("/api/", "/live")) or path.endswith(".csv"):
            continue
        page = browser.get(address(path, "acme")).text
        assert not re.search(r"<script(?![^>]*\bsrc=)", page), path
        assert not re.search(r"\s(on[a-z]+|style|hx-on[^=]*)=", page), path


def test_large_bodies_are_refused(full: Desk) -> None:
    browser = full.signed_in()
    answer = browser.post("/returns/acme/107/note", {"note": "x" * 300_000})
    assert answer.status_code == 413
    api = full.token()
    answer = api.post("/api/v1/attention/1/retry", content=b"x" * 300_000)
    assert answer.status_code == 413


def test_many_returns_of_a_scoped_person_are_merged_in_order(desk: Desk) -> None:
    from datetime import timedelta

    from web_support import NOW

    for n in range(30):
        brand = ("acme", "zebra")[n % 2]
        add_return(desk.ledger, brand, str(n), at=NOW - timedelta(minutes=n))
    page = desk.signed_in(Role.OPERATOR, ["acme", "zebra"]).get("/returns").text
    found = [row.split("<")[0] for row in page.split('data-label="Return">')[1:]]
    assert found == [str(n) for n in range(30)]
