"""Sign-in at an OpenID Connect provider: a tiny one of our own, that can be made to lie."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Generator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from web_support import NOW, Desk, make_desk

from bergen_loop.console.access import COOKIE
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Account, Deed, Grant, Role
from support.serving import Served


class Provider:
    """Hands out whatever identity it is told to."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.claims: dict[str, Any] = {
            "sub": "u1",
            "email": "jo@bergen.example",
            "email_verified": True,
        }
        self.signing: Any = self.key
        self.audience, self.lie, self.down = "console", "", False
        self.challenge = self.nonce = ""
        app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._metadata),
                Route("/jwks", self._jwks),
                Route("/token", self._token, methods=["POST"]),
            ]
        )
        self._served = Served(app)
        self.issuer = self._served.url

    def close(self) -> None:
        self._served.close()

    async def _metadata(self, _: Request) -> JSONResponse:
        if self.down:
            return JSONResponse({}, 503)
        return JSONResponse(
            {
                "issuer": self.lie or self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            }
        )

    async def _jwks(self, _: Request) -> JSONResponse:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def _token(self, request: Request) -> JSONResponse:
        form = await request.form()
        proof = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        assert base64.urlsafe_b64encode(proof).rstrip(b"=").decode() == self.challenge
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": self.audience, "iat": now, "exp": now + 60,
                  "nonce": self.nonce, **self.claims}  # fmt: skip
        token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.signing)
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": token})


@pytest.fixture
def provider() -> Generator[Provider]:
    made = Provider()
    yield made
    made.close()


GROUPS = {
    "bergen-floor": {"role": "operator"},
    "acme": {"role": "brand_support", "brands": ["acme"]},
}


def desk_with(full: Desk, provider: Provider, **oidc: Any) -> Desk:
    settings = {
        "issuer": provider.issuer,
        "client_id": "console",
        "client_secret": SecretStr("shared with the provider"),
        "label": "Bergen account",
        "groups": GROUPS,
        **oidc,
    }
    return make_desk(full.ledger, service={"auth": {"oidc": settings}})


def sign_in(desk: Desk, provider: Provider, target: str = "/returns", **change: str) -> Any:
    """The browser's whole way; `change` is done to what it comes back with."""
    client = desk.client(base_url="http://127.0.0.1:8800")
    start = client.get("/login/oidc", params={"next": target})
    assert start.status_code in (302, 403)
    if start.status_code == 403:
        return client, start
    asked = {k: v[0] for k, v in parse_qs(urlsplit(start.headers["location"]).query).items()}
    assert start.headers["location"].startswith(f"{provider.issuer}/authorize?")
    assert asked["redirect_uri"] == "http://127.0.0.1:8800/login/oidc/callback"
    assert asked["code_challenge_method"] == "S256"
    provider.challenge, provider.nonce = asked["code_challenge"], asked["nonce"]
    if "nonce" in change:
        provider.nonce = change.pop("nonce")
    back = {"code": "c", "state": asked["state"], **change}
    return client, client.get(f"/login/oidc/callback?{urlencode(back)}")


def test_a_group_gives_role_and_brands(full: Desk, provider: Provider) -> None:
    desk = desk_with(full, provider)
    provider.claims["groups"] = ["something", "acme"]
    assert "Bergen account" in desk.client().get("/login").text
    client, answer = sign_in(desk, provider)
    assert (answer.status_code, answer.headers["location"]) == (303, "/returns")
    page = client.get("/account").text
    assert "jo@bergen.example" in page
    assert "brand support" in page
    assert client.get("/returns?brand=zebra").status_code == 404
    with desk.ledger.read() as session:
        (user,) = people.users(session)
    assert (user.issuer, user.subject, user.password_hash) == (provider.issuer, "u1", None)


def test_groups_are_followed_at_every_sign_in(full: Desk, provider: Provider) -> None:
    desk = desk_with(full, provider)
    provider.claims["groups"] = ["acme"]
    first, _ = sign_in(desk, provider)
    provider.claims |= {"groups": "bergen-floor", "email": "married@bergen.example"}
    second, _ = sign_in(desk, provider)
    assert first.get("/").status_code == 303  # the access it had is gone
    assert second.get("/returns?brand=zebra").status_code == 200
    with desk.ledger.read() as session:
        (user,) = people.users(session)
    assert (user.name, user.role, user.brands) == ("jo@bergen.example", "operator", None)
    provider.claims["groups"] = []
    assert sign_in(desk, provider)[1].status_code == 403


def test_the_default_is_for_people_of_no_group(full: Desk, provider: Provider) -> None:
    desk = desk_with(full, provider)
    answer = sign_in(desk, provider)[1]
    assert answer.status_code == 403
    assert "nothing is granted to you here" in answer.text
    desk = desk_with(full, provider, default={"role": "read_only", "brands": ["acme"]})
    assert sign_in(desk, provider)[1].status_code == 303


def test_an_account_of_the_same_name_is_not_taken_over(full: Desk, provider: Provider) -> None:
    desk = desk_with(full, provider, default={"role": "read_only"})
    with desk.ledger.write() as session:
        account = Account("jo@bergen.example", Grant(Role.ENGINEER, None), "x")
        people.add_user(Deed(session, NOW, "x"), account)
    client, _ = sign_in(desk, provider)
    page = client.get("/account").text
    assert "jo@bergen.example (" in page
    assert "read only" in page


def test_an_account_that_is_off_stays_out(full: Desk, provider: Provider) -> None:
    desk = desk_with(full, provider, default={"role": "read_only"})
    sign_in(desk, provider)
    with desk.ledger.write() as session:
        people.users(session)[0].active = False
    answer = sign_in(desk, provider)[1]
    assert answer.status_code == 403
    assert "switched off" in answer.text


@pytest.mark.parametrize("trick", ["state", "nonce", "audience", "key", "expired", "issuer", "sub"])
def test_what_does_not_fit_is_refused(full: Desk, provider: Provider, trick: str) -> None:
    desk = desk_with(full, provider, default={"role": "engineer"})
    change: dict[str, str] = {}
    if trick in ("state", "nonce"):
        change = {trick: "another"}
    elif trick == "audience":
        provider.audience = "another"
    elif trick == "key":
        provider.signing = RSAKey.generate_key(2048, {"kid": "one"})
    elif trick == "expired":
        provider.claims["exp"] = int(time.time()) - 3600
    elif trick == "issuer":
        provider.claims["iss"] = "https://evil.example"
    else:
        provider.claims["sub"] = ""
    client, answer = sign_in(desk, provider, **change)
    assert answer.status_code == 403
    assert COOKIE not in client.cookies
    with desk.ledger.read() as session:
        assert people.users(session) == []


def test_a_provider_under_another_name_is_refused(full: Desk, provider: Provider) -> None:
    desk = desk_with(full, provider, default={"role": "engineer"})
    provider.lie = "https://evil.example"
    assert sign_in(desk, provider)[1].status_code == 403


def test_a_provider_that_is_down_is_told_plainly(full: Desk, provider: Provider) -> None:
    desk = desk_with(full, provider)
    provider.down = True
    answer = sign_in(desk, provider)[1]
    assert answer.status_code == 403
    assert "try again" in answer.text


def test_a_callback_nobody_started_is_refused(full: Desk, provider: Provider) -> None:
    client = desk_with(full, provider).client()
    assert client.get("/login/oidc/callback?code=c&state=s").status_code == 403
    assert client.get("/login/oidc/callback").status_code == 403
    assert client.get("/login/oidc/callback?error=access_denied&state=s").status_code == 403


@pytest.mark.parametrize("groups", [7, {"acme": True}, ["acme", 7], [["acme"]], True])
def test_groups_in_a_form_that_is_none_are_refused_in_words(
    full: Desk, provider: Provider, groups: Any
) -> None:
    desk = desk_with(full, provider, default={"role": "engineer"})
    provider.claims["groups"] = groups
    answer = sign_in(desk, provider)[1]
    assert answer.status_code == 403
    assert "in a form that is not understood" in answer.text
    assert "content-security-policy" in answer.headers
    with desk.ledger.read() as session:
        assert people.users(session) == []


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"email_verified": True}, "jo@bergen.example"),
        ({"email_verified": False}, "u1"),
        ({"email_verified": "true"}, "u1"),
        ({"email_verified": None}, "u1"),
        ({"email": ["x"], "email_verified": True}, "u1"),
        ({"email_verified": False, "preferred_username": "jo"}, "jo"),
        ({"email_verified": False, "preferred_username": "jo@bergen.example"},
         "jo@bergen.example ("),
        ({"email_verified": False, "name": "Jo Smith"}, "Jo Smith"),
        ({"email_verified": False, "name": "token nightly"}, "person "),
        ({"email_verified": False, "name": "eve (command line)"}, "person "),
        ({"email_verified": False, "name": "Bergen account"}, "person "),
    ],
)  # fmt: skip
def test_a_name_is_proven_or_marked(
    full: Desk, provider: Provider, claims: dict[str, Any], name: str
) -> None:
    desk = desk_with(full, provider, default={"role": "read_only"})
    provider.claims |= claims
    assert sign_in(desk, provider)[1].status_code == 303
    with desk.ledger.read() as session:
        (user,) = people.users(session)
    assert user.name == name or (name[-1] in "( " and user.name.startswith(name))


def test_the_provider_sends_the_browser_to_our_own_address(full: Desk, provider: Provider) -> None:
    desk = desk_with(full, provider, default={"role": "read_only"})
    client = desk.client(base_url="http://evil.example")
    asked = parse_qs(urlsplit(client.get("/login/oidc").headers["location"]).query)
    assert asked["redirect_uri"] == ["http://127.0.0.1:8800/login/oidc/callback"]


def test_without_a_provider_there_is_nothing_to_start(full: Desk) -> None:
    client = full.client()
    assert client.get("/login/oidc").headers["location"] == "/login"
    assert client.get("/login/oidc/callback").headers["location"] == "/login"
