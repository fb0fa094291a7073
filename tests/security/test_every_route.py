"""Every route x every kind of visitor x a foreign brand, enumerated from the app itself.

A route without a rule here fails, and so does a rule without a route.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from web_routes import address, known, routes
from web_support import Browser, Desk

from bergen_loop.console.access import Permission, Person, signed_in, token_holder
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.scope import Scope

P = Permission
OPEN, SIGNED_IN = "open to anybody", "whoever is signed in"

RULES: dict[tuple[str, str], Permission | str] = {
    # nobody needs to be known; each has a guard of its own
    ("GET", "/health"): OPEN,
    ("GET", "/ready"): OPEN,
    ("GET", "/metrics"): OPEN,
    ("POST", "/webhooks/loop/{brand}"): OPEN,
    ("GET", "/photos/{address}"): OPEN,
    ("GET", "/api/v1/openapi.json"): OPEN,
    ("GET", "/api/v1/reference"): OPEN,
    ("GET", "/login"): OPEN,
    ("POST", "/login"): OPEN,
    ("GET", "/login/code"): OPEN,
    ("POST", "/login/code"): OPEN,
    ("GET", "/login/oidc"): OPEN,
    ("GET", "/login/oidc/callback"): OPEN,
    ("GET", "/setup"): OPEN,
    ("POST", "/setup"): OPEN,
    # one's own
    ("GET", "/account"): SIGNED_IN,
    ("POST", "/account"): SIGNED_IN,
    ("POST", "/account/sessions"): SIGNED_IN,
    ("POST", "/account/second-factor"): SIGNED_IN,
    ("POST", "/account/second-factor/remove"): SIGNED_IN,
    ("POST", "/logout"): SIGNED_IN,
    # looking
    ("GET", "/"): P.VIEW,
    ("GET", "/brands.csv"): P.VIEW,
    ("GET", "/returns"): P.VIEW,
    ("GET", "/returns.csv"): P.VIEW,
    ("GET", "/attention"): P.VIEW,
    ("GET", "/attention.csv"): P.VIEW,
    ("GET", "/live"): P.VIEW,
    ("GET", "/incidents"): P.VIEW,
    ("GET", "/trends"): P.VIEW,
    ("POST", "/favourites"): P.VIEW,
    ("GET", "/trends/{what}.csv"): P.VIEW,
    ("GET", "/deliveries"): P.VIEW,
    ("GET", "/deliveries/{kind}/{number}"): P.VIEW,
    ("POST", "/deliveries/events/{number}/resend"): P.ACT,
    ("POST", "/incidents/try"): P.ACT,
    ("GET", "/brands/{brand}"): P.VIEW,
    ("GET", "/brands/{brand}/shadow"): P.VIEW,
    ("GET", "/brands/{brand}/shadow/report"): P.VIEW,
    ("GET", "/brands/{brand}/shadow.csv"): P.VIEW,
    ("GET", "/brands/{brand}/criteria"): P.VIEW,
    ("POST", "/brands/{brand}/criteria"): P.CONNECT,
    ("POST", "/brands/{brand}/criteria/compose"): P.ACT,
    ("GET", "/brands/{brand}/criteria/{version}"): P.CONNECT,
    ("POST", "/brands/{brand}/criteria/{version}"): P.CONNECT,
    ("GET", "/brands/{brand}/criteria/try"): P.VIEW,
    ("POST", "/brands/{brand}/criteria/try"): P.VIEW,
    ("GET", "/returns/{brand}/{return_id}"): P.VIEW,
    ("GET", "/returns/{brand}/{return_id}/photos/{number}"): P.VIEW,
    ("GET", "/returns/{brand}/{return_id}/files/{number}"): P.VIEW,
    ("GET", "/returns/{brand}/{return_id}/grades"): P.NOTE,
    ("GET", "/returns/{brand}/{return_id}/correct"): P.ACT,
    ("POST", "/returns/{brand}/{return_id}/correct"): P.ACT,
    ("GET", "/shipments"): P.VIEW,
    ("GET", "/shipments/{brand}/{shipment}"): P.VIEW,
    ("GET", "/claims"): P.VIEW,
    ("GET", "/claims.csv"): P.VIEW,
    ("POST", "/shipments"): P.ACT,
    ("POST", "/claims/{number}/close"): P.ACT,
    # doing; `note` stands for the actions, each of which has its own right: see test_web_access
    ("GET", "/returns/{brand}/{return_id}/{action}"): P.NOTE,
    ("POST", "/returns/{brand}/{return_id}/{action}"): P.NOTE,
    ("GET", "/attention/confirm"): P.ACT,
    ("POST", "/attention/act"): P.ACT,
    ("GET", "/brands/{brand}/mode/{to}"): P.ACT,
    ("POST", "/brands/{brand}/mode/{to}"): P.ACT,
    ("GET", "/brands/{brand}/pace"): P.ACT,
    ("POST", "/brands/{brand}/pace"): P.ACT,
    # the floor
    ("GET", "/floor"): P.COUNT,
    ("GET", "/floor/"): P.COUNT,
    ("GET", "/floor/{name}"): P.COUNT,
    ("GET", "/floor/api/me"): P.COUNT,
    ("GET", "/floor/api/find"): P.COUNT,
    ("GET", "/floor/api/expected"): P.COUNT,
    ("POST", "/floor/api/count"): P.COUNT,
    ("GET", "/floor/api/photos/{photo_id}"): P.COUNT,
    # people
    ("GET", "/audit"): P.AUDIT,
    ("GET", "/audit.csv"): P.AUDIT,
    ("GET", "/people"): P.MANAGE,
    ("POST", "/people"): P.MANAGE,
    ("POST", "/people/{number}"): P.MANAGE,
    ("GET", "/tokens"): P.MANAGE,
    ("POST", "/tokens"): P.MANAGE,
    ("POST", "/tokens/{number}/revoke"): P.MANAGE,
    # connecting brands, and their settings
    ("GET", "/brands/new"): P.CONNECT,
    ("POST", "/brands/new"): P.CONNECT,
    ("POST", "/brands/new/{brand}/forget"): P.CONNECT,
    ("GET", "/brands/new/{brand}/{step}"): P.CONNECT,
    ("POST", "/brands/new/{brand}/{step}"): P.CONNECT,
    ("POST", "/brands/new/{brand}/{step}/check"): P.CONNECT,
    ("GET", "/brands/{brand}/settings"): P.CONNECT,
    ("POST", "/brands/{brand}/settings"): P.CONNECT,
    ("GET", "/brands/{brand}/settings/{version}"): P.CONNECT,
    ("POST", "/brands/{brand}/settings/{version}"): P.CONNECT,
    ("GET", "/brands/{brand}/events"): P.CONNECT,
    ("POST", "/brands/{brand}/events"): P.CONNECT,
    ("POST", "/brands/{brand}/events/test"): P.CONNECT,
    ("GET", "/brands/{brand}/remove"): P.CONNECT,
    ("POST", "/brands/{brand}/remove"): P.CONNECT,
    ("GET", "/brands/{brand}/checks"): P.CONNECT,
    ("POST", "/brands/{brand}/checks"): P.CONNECT,
    # programs
    ("GET", "/api/v1/brands"): P.VIEW,
    ("GET", "/api/v1/brands/{brand}"): P.VIEW,
    ("GET", "/api/v1/returns"): P.VIEW,
    ("GET", "/api/v1/returns/search"): P.VIEW,
    ("GET", "/api/v1/returns/{brand}/{return_id}"): P.VIEW,
    ("GET", "/api/v1/attention"): P.VIEW,
    ("GET", "/api/v1/shipments"): P.VIEW,
    ("GET", "/api/v1/shipments/{brand}/{shipment}"): P.VIEW,
    ("GET", "/api/v1/claims"): P.VIEW,
    ("POST", "/api/v1/returns/{brand}/{return_id}/resync"): P.NOTE,
    ("POST", "/api/v1/returns/{brand}/{return_id}/notes"): P.NOTE,
    ("POST", "/api/v1/mcp"): P.VIEW,  # each tool has its own right: see test_web_assistants
    ("POST", "/api/v1/attention/{item_id}/retry"): P.ACT,
    ("POST", "/api/v1/attention/{item_id}/ignore"): P.ACT,
    ("POST", "/api/v1/attention/{item_id}/undo"): P.ACT,
    ("POST", "/api/v1/attention/{item_id}/assign"): P.ACT,
    ("POST", "/api/v1/attention/{item_id}/snooze"): P.ACT,
}

WORDS = {
    Role.FLOOR: {P.COUNT},
    Role.READ_ONLY: {P.VIEW},
    Role.BRAND_SUPPORT: {P.VIEW, P.NOTE},
    Role.OPERATOR: {P.COUNT, P.VIEW, P.NOTE, P.ACT, P.AUDIT},
    Role.ENGINEER: set(P),
}
"""What each role is meant to be allowed, written down a second time."""


def test_every_route_has_a_rule_and_every_rule_a_route(full: Desk) -> None:
    assert set(known(full)) == set(RULES)


def test_every_role_is_what_it_is_meant_to_be() -> None:
    for role in Role:
        assert {p for p in P if Person("x", role, Scope(None)).can(p)} == WORDS[role]
        for everywhere in (P.MANAGE, P.CONNECT):
            assert not Person("x", role, Scope.of(["acme"])).can(everywhere)


def test_a_rule_is_kept_by_the_route_itself(full: Desk) -> None:
    """The dependency, not only what came of it: an empty page would look as if it refused."""
    for method, path, route in routes(full):
        rule = RULES[(method, path)]
        calls = set(_calls(route))
        if rule is OPEN:
            assert not calls & {signed_in, token_holder}, (method, path)
        else:
            assert (token_holder if path.startswith("/api/v1/") else signed_in) in calls


def test_who_is_not_known_gets_nowhere(full: Desk) -> None:
    for method, path in known(full):
        if RULES[(method, path)] is OPEN:
            continue
        answer = full.client().request(method, address(path, "acme"))
        if method == "GET" and not path.startswith("/api/"):
            assert answer.status_code == 303, (method, path)
            assert answer.headers["location"].startswith("/login?next=")
        else:
            assert answer.status_code == 401, (method, path)


@pytest.mark.parametrize("brands", [["acme"], None, []], ids=["of a brand", "of all", "of none"])
@pytest.mark.parametrize("role", list(Role))
def test_every_visitor_gets_what_the_rule_says_and_no_more(
    full: Desk, role: Role, brands: list[str] | None
) -> None:
    person, visit = Person("x", role, Scope.of(brands)), _visits(full, role, brands)
    tried = 0
    for (method, path), rule in RULES.items():
        may = rule in (OPEN, SIGNED_IN) or person.can(rule)  # type: ignore[arg-type]
        if rule is OPEN or (path == "/live" and may):
            continue  # a stream that lasts
        # Where all brands are alike to the visitor, one of them does for both.
        for brand, number in (("acme", "107"), ("zebra", "507"))[: 2 if brands else 1]:
            target = address(path, brand).replace("107", number)
            answer = visit(method, path, target)
            told = (role, brands, method, target, answer.status_code)
            hidden = "{brand}" in path and brand not in person.scope
            if hidden:
                assert answer.status_code in (403, 404), told
                assert brand not in answer.text.replace(target, "").lower(), told
            elif not may:
                out = 303 if path == "/" else 403
                assert answer.status_code == out, told
            else:
                assert answer.status_code not in (401, 403) and answer.status_code < 500, told
            if brands == ["acme"]:
                assert "zebra" not in answer.text.replace(target, "").lower(), told
            tried += 1
    assert tried > (160 if brands else 80)


def test_a_brand_that_is_asked_for_beside_the_path_is_hidden_too(full: Desk) -> None:
    for role in (Role.READ_ONLY, Role.ENGINEER):
        visit = _visits(full, role, ["acme"])
        for (method, path), rule in RULES.items():
            if method != "GET" or rule in (OPEN, SIGNED_IN) or path == "/live":
                continue
            for query in ("?brand=zebra&q=x", "?brand=acme&brand=zebra&q=x"):
                answer = visit(method, path, address(path, "acme") + query)
                assert answer.status_code in (403, 404), (role, path, query)


def test_a_session_is_no_token_and_a_token_is_no_session(full: Desk) -> None:
    browser, api = full.signed_in(Role.ENGINEER), full.token(Role.ENGINEER)
    for (method, path), rule in RULES.items():
        if rule is OPEN:
            continue
        wrong: Any = browser.http if path.startswith("/api/v1/") else api
        assert wrong.request(method, address(path, "acme")).status_code == 401, (method, path)


def _visits(
    desk: Desk, role: Role, brands: list[str] | None
) -> Callable[[str, str, str], Any]:  # fmt: skip
    desk.token()  # the first one is the one that is revoked
    browser, api = desk.signed_in(role, brands), desk.token(role, brands)

    def visit(method: str, path: str, target: str) -> Any:
        if path.startswith("/api/v1/"):
            body = {"text": "x"} if path.endswith("notes") else {"why": "x"}
            if path.endswith("/search"):
                target += "&q=x" if "?" in target else "?q=x"
            return api.request(method, target, json=None if method == "GET" else body)
        if method == "GET":
            return browser.get(target + ("?code=1" if path == "/floor/api/find" else ""))
        who: Browser = desk.signed_in(role, brands) if path == "/logout" else browser
        return who.post(target, {"why": "x", "note": "x", "role": "read_only"})

    return visit


def _calls(route: Any) -> list[Any]:
    found, todo = [], [route.dependant] if getattr(route, "dependant", None) else []
    while todo:
        one = todo.pop()
        found.append(one.call)
        todo += one.dependencies
    return found
