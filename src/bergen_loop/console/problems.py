"""Why a call of the API was refused, in the form of RFC 9457: a code for programs, and a sentence
for people. The codes are part of the API: they are added to, and never change their meaning."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from bergen_loop.ledger.codec import storable

MEDIA_TYPE = "application/problem+json"
REFERENCE = "/api/v1/reference"
"""Where the codes are explained."""


class Code(StrEnum):
    """Why: what programs go by."""

    BODY_UNREADABLE = "body_unreadable"
    TOKEN_NEEDED = "token_needed"  # noqa: S105 - no secret
    ROLE_NOT_ALLOWED = "role_not_allowed"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    TOO_SLOW = "too_slow"
    NOT_POSSIBLE = "not_possible"
    SAME_CALL_RUNNING = "same_call_running"
    TOO_LARGE = "too_large"
    MISDIRECTED = "misdirected"
    INVALID = "invalid"
    KEY_USED_OTHERWISE = "key_used_otherwise"
    TOO_MANY_CALLS = "too_many_calls"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"

    @property
    def status(self) -> int:
        """The HTTP status it comes with."""
        return _TABLE[self][0]

    @property
    def words(self) -> str:
        """The same for every refusal of this code."""
        return _TABLE[self][1]

    @property
    def cure(self) -> str:
        """What the program, or its maker, does about it."""
        return _TABLE[self][2]


_TABLE: dict[Code, tuple[int, str, str]] = {
    Code.BODY_UNREADABLE: (400, "The body cannot be read", "Send JSON, in UTF-8."),
    Code.TOKEN_NEEDED: (
        401,
        "A valid token is needed",
        "Send `Authorization: Bearer TOKEN`. A token may have run out, or have been revoked, or "
        "its maker's account switched off.",
    ),
    Code.ROLE_NOT_ALLOWED: (
        403,
        "The token's role does not allow it",
        "Have a token made with a role that does.",
    ),
    Code.NOT_FOUND: (
        404,
        "There is nothing here, or it is not for this token",
        "The two are not told apart. Look at the brands that the token may see: /api/v1/brands.",
    ),
    Code.METHOD_NOT_ALLOWED: (405, "Not possible this way", "See this page for the method."),
    Code.TOO_SLOW: (408, "The request took too long to come in", "Send it again."),
    Code.NOT_POSSIBLE: (
        409,
        "It does not fit where the return stands",
        "Nothing was done. Read the detail, look at the return, and decide anew.",
    ),
    Code.SAME_CALL_RUNNING: (
        409,
        "The same call is under way",
        "Repeat it after Retry-After: the first answer is given then.",
    ),
    Code.TOO_LARGE: (413, "The body is too large", "Send less; nothing here takes so much."),
    Code.MISDIRECTED: (421, "Not under this name", "Call the service by its own address."),
    Code.INVALID: (
        422,
        "The request is not understood",
        "Each of `errors` says where, and what is wrong. Parameters that are not known are "
        "refused, too.",
    ),
    Code.KEY_USED_OTHERWISE: (
        422,
        "The Idempotency-Key was used for another call",
        "Nothing was done. Take a new key for each thing that is to be done.",
    ),
    Code.TOO_MANY_CALLS: (429, "Too many calls", "Wait for Retry-After."),
    Code.INTERNAL: (
        500,
        "Something went wrong here",
        "It has been logged under the request's id. Repeat it, with the same Idempotency-Key.",
    ),
    Code.UNAVAILABLE: (
        503,
        "It cannot be answered now",
        "Wait for Retry-After, and repeat it with the same Idempotency-Key.",
    ),
}

_OF_STATUS = {code.status: code for code in reversed(Code)}
"""The first of a status stands for refusals that say no more."""


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="The place: `query.limit`, `body.why`", examples=["query.limit"])
    code: str = Field(description="What is wrong, for programs", examples=["less_than_equal"])
    detail: str = Field(
        description="The same for people",
        examples=["Input should be less than or equal to 500"],
    )


class Problem(BaseModel):
    """Why a call was refused (RFC 9457)."""

    type: str = Field(
        description="Where the code is explained", examples=[f"{REFERENCE}#not_possible"]
    )
    title: str = Field(description="The same for every refusal of this code")
    status: int = Field(description="The HTTP status, again", examples=[409])
    code: Code = Field(description="For programs", examples=["not_possible"])
    detail: str = Field(
        description="For people: what is the matter this time",
        examples=["this item has been resolved already"],
    )
    request_id: str = Field(
        description="By it the request is found in the service's logs; also in X-Request-Id",
        examples=["01dd5a1f9c0e4b7e"],
    )
    errors: list[Fault] | None = Field(
        default=None, description="With `invalid`: everything that is wrong", examples=[None]
    )


class Refusal(HTTPException):
    """A refusal with a code of its own."""

    def __init__(self, code: Code, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code.status, detail, headers)
        self.code = code


def of_api(path: str) -> bool:
    """Whether what is asked for is the API's."""
    return path == "/api" or path.startswith("/api/")


def request_id(scope: Scope) -> str:
    """The id that the request has in the logs."""
    return str(scope.get("state", {}).get("request_id", ""))


def answer(
    scope: Scope,
    code: Code,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Fault] | None = None,
) -> Response:
    """The answer to a call that is refused."""
    body: dict[str, Any] = {
        "type": f"{REFERENCE}#{code}",
        "title": code.words,
        "status": code.status,
        "code": code.value,
        "detail": storable(detail),
        "request_id": request_id(scope),
    }
    if errors is not None:
        body["errors"] = storable([fault.model_dump() for fault in errors])
    return Response(json.dumps(body), code.status, dict(headers or {}), MEDIA_TYPE)


def of_http(scope: Scope, error: HTTPException) -> Response:
    """The same for what the web framework, or a check that pages share, refuses."""
    named = error.code if isinstance(error, Refusal) else _OF_STATUS.get(error.status_code)
    code = named or (Code.INTERNAL if error.status_code >= 500 else Code.INVALID)
    return answer(scope, code, str(error.detail), headers=error.headers)
