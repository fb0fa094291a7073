"""What Loop's answers mean: status and body to a value or a typed error. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from bergen_loop.domain.returns import PROCESSING
from bergen_loop.outside.errors import (
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    OutsideError,
    RateLimited,
    Refused,
    Unauthorized,
    Unavailable,
    Unreadable,
)
from bergen_loop.outside.loop.json_values import (
    as_array,
    as_object,
    as_text,
    brief,
    elements,
    loads,
    loads_element,
)
from bergen_loop.outside.loop.models import (
    AsnRow,
    Listed,
    Note,
    ParsedReturn,
    Subscription,
    parse_asn_row,
    parse_note,
    parse_return,
    parse_state,
    parse_subscription,
)

_REFUSAL = re.compile(
    r"\breturn is (?P<state>[a-z_ ]{1,40}?) and (?:therefore\b|cannot be processed)", re.IGNORECASE
)
SYSTEM = "Loop"
NO_JSON = "no JSON"
"""Among an error's codes: the answer cannot be taken apart at all."""
_THING = r"(return|order|webhook|shipment|record|result)s?"
_NOT_FOUND = re.compile(
    rf"\bno {_THING} (was |were )?found\b|\b{_THING} (was |were )?not found\b", re.IGNORECASE
)
_NOT_FOUND_CODES = ("NOT_FOUND", "ORDER_NOT_FOUND")
_UNAUTHORIZED = re.compile(
    r"(this action is )?(un|not )(authori[sz]ed|authenticated)\.?|invalid (api|access) key\.?",
    re.IGNORECASE,
)
_TOO_MANY = re.compile(
    r"too many (attempts|requests|calls)|rate.?limit(ed)?\b( exceeded| reached)?|throttled",
    re.IGNORECASE,
)
_BROKEN = re.compile(
    r"\b(server|internal|unexpected|unknown) error\b|something went wrong|timed? ?out"
    r"|try again later",
    re.IGNORECASE,
)
"""Words by which a service says that it does not know itself what has happened."""
_SAYS_NO = re.compile(
    r"\b(can ?not|can't|could not|must|not (allowed|permitted|eligible|possible|valid)|invalid"
    r"|required|refused|denied|unable)\b",
    re.IGNORECASE,
)
"""Words of a `message` that certainly is a refusal; "Queued" is none."""
_AT_WORK = re.compile(r"\b(being|already|currently) (been )?process(ed|ing)\b", re.IGNORECASE)
_UNAUTHORIZED_CODES = ("NOT_AUTHORIZED", "UNAUTHORIZED", "GEN-UNAUTHORIZED")
_OTHER_SHOPS = ("grade", "assess")
"""Calls that are answered with 403 where a line is another shop's: no matter of the key."""
_ONCE = '"created_at"'
"""What stands once in a return: more of them are several, of which one lacks its end."""
_RETURNS = re.compile(r'"returns"\s*:\s*\[')
_NONE = re.compile(r'"returns"\s*:\s*\[\s*\]')
_NEXT = re.compile(r'"nextPageUrl"\s*:\s*("(?:[^"\\]|\\.)*"|null)')


@dataclass(frozen=True, slots=True)
class Where:
    """Which call an answer belongs to."""

    brand: str
    call: str
    return_id: str | None
    changes: bool
    """True for a call that changes something: then a failure may have taken effect."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end."""

    where: Where
    status: int
    text: str
    content_type: str = ""

    def error(self, kind: type[OutsideError], message: str) -> OutsideError:
        return kind(message, **self._context())

    def refused(self, message: str, code: str | None) -> Refused:
        match = _REFUSAL.search(message)
        word = match["state"].strip().casefold() if match else None
        word = PROCESSING if _AT_WORK.search(message) else word
        state = parse_state(word) or word
        return Refused(message, **self._context(), codes=(code,) if code else (), state=state)

    def _context(self) -> dict[str, Any]:
        return {
            "system": SYSTEM,
            "brand": self.where.brand,
            "call": self.where.call,
            "subject": self.where.return_id,
            "status": self.status,
            "raw": self.text,
        }

    @property
    def html(self) -> bool:
        """True for a page meant for a browser: some gateway's, not Loop's API."""
        return "html" in self.content_type.casefold() or self.text.lstrip()[:1] == "<"


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """Loop's words of what is wrong, fields named, and its code if it gave one."""

    message: str
    code: str | None
    named: bool = True
    """Whether it stands under `error` or `errors`; a `message` alone may say anything."""


def error_body(body: object) -> ErrorBody | None:
    """The error in a body, in any of the shapes Loop uses (`message`, `error`, `errors`);
    None if it holds none."""
    fields = as_object(body)
    if fields is None:
        return None
    found = [fields[key] for key in ("error", "errors") if fields.get(key)]
    if not found and not fields.get("message"):
        return None
    texts = [t for x in (fields.get("message"), *found) for t in _texts(x)]
    codes = [c for x in (*found, fields) for c in _codes(x)]
    message = "; ".join(dict.fromkeys(texts)) or "an error without words"
    return ErrorBody(message[:1000], next(iter(codes), None), named=bool(found))


def _texts(value: object, depth: int = 0) -> list[str]:
    text = as_text(value)
    if text is not None:
        return [text]
    if depth > 3:
        return []
    fields, array = as_object(value), as_array(value)
    if array is not None:
        return [t for x in array[:20] for t in _texts(x, depth + 1)]
    if fields is None:
        return []
    if "message" in fields:
        return _texts(fields["message"], depth + 1)
    return [
        f"{name}: {t}"
        for name, x in list(fields.items())[:20]
        if name not in ("code", "http_code")
        for t in _texts(x, depth + 1)
    ]


def _codes(value: object) -> list[str]:
    """Codes in words; Loop's `code` may be just the HTTP status, its `http_code` then is not."""
    elements = as_array(value) or [value]
    codes = [
        as_text(fields.get(name))
        for x in elements[:20]
        if (fields := as_object(x)) is not None
        for name in ("code", "http_code")
    ]
    return [c for c in codes if c and not c.isdigit()]


def check_status(answer: Answer) -> Answer:
    """The answer, where it is a 2xx one; raises the typed error for any other."""
    status = answer.status
    if 200 <= status < 300 or no_notes(answer):
        return answer
    if status == 429:
        raise answer.error(
            RateLimited, "the key's calls per minute are used up; try again in a minute"
        )
    if status in (401, 403):
        raise _denied(answer)
    if 300 <= status < 400:
        raise answer.error(
            Unreadable, f"answered with a redirect ({status}), not followed; check the base URL"
        )
    if status >= 500 or status == 408 or (answer.html and not answer.where.changes):
        raise _failed(answer, f"Loop answered {status}{_said(answer)}")
    if status == 404:
        raise answer.error(NotFound, f"not found{_said(answer)}")
    if 400 <= status < 500:
        raise _invalid(answer)
    raise answer.error(Unreadable, f"answered with an unexpected status {status}")


def no_notes(answer: Answer) -> bool:
    """Loop answers 422 with `"false"` for a return that has no notes yet."""
    said = answer.text.strip().strip('"')
    return answer.where.call == "notes" and answer.status == 422 and said == "false"


def _failed(answer: Answer, message: str) -> OutsideError:
    if answer.where.changes:
        return answer.error(OutcomeUnknown, f"{message}; it may have taken effect all the same")
    return answer.error(Unavailable, message)


def _denied(answer: Answer) -> OutsideError:
    """A 401 or 403."""
    error = error_body(_json_or_none(answer.text))
    said = error is not None and _says_unauthorized(error)
    if answer.html:
        return _unauthorized(answer, "a web page came, which may be a firewall's before Loop")
    if answer.status == 403 and answer.where.call in _OTHER_SHOPS and not said:
        words = error.message if error else "refused with 403: is a line of another shop?"
        return answer.refused(words, error.code if error else None)
    return _unauthorized(answer, error.message if error else None)


def _unauthorized(answer: Answer, words: str | None) -> OutsideError:
    said = f": {words}" if words else ""
    return answer.error(
        Unauthorized,
        f"the key was refused with {answer.status}{said}; "
        "check the brand's API key and that it has the scope for this call",
    )


def _says_unauthorized(error: ErrorBody) -> bool:
    return error.code in _UNAUTHORIZED_CODES or bool(_UNAUTHORIZED.fullmatch(error.message))


def _named_error(answer: Answer, error: ErrorBody) -> OutsideError | None:
    """What an error means by its own words or code, whatever status it came with."""
    if _says_unauthorized(error):
        return _unauthorized(answer, error.message)
    if error.code in _NOT_FOUND_CODES or _NOT_FOUND.search(error.message):
        return answer.error(NotFound, error.message)
    if _TOO_MANY.search(error.message):
        return answer.error(RateLimited, error.message)
    unprocessable = (error.code or "").startswith("UNPROCESSABLE_")
    said = any(words.search(error.message) for words in (_REFUSAL, _AT_WORK))
    if unprocessable or (answer.where.changes and said):
        return answer.refused(error.message, error.code)
    return None


def _invalid(answer: Answer) -> OutsideError:
    """A 4xx. A refusal is a refusal also if it ever comes with the status it should have."""
    error = error_body(_json_or_none(answer.text))
    if error and (named := _named_error(answer, error)):
        return named
    return answer.error(InvalidRequest, f"refused as invalid with {answer.status}{_said(answer)}")


def _said(answer: Answer) -> str:
    error = error_body(_json_or_none(answer.text))
    return f": {error.message}" if error else ""


def _json_or_none(text: str) -> object:
    try:
        return loads(text)
    except ValueError:
        return None


def _json(answer: Answer) -> object:
    """The body of a 2xx answer."""
    try:
        return loads(answer.text)
    except ValueError as exc:
        if answer.html and not answer.where.changes:
            raise _failed(answer, "a web page came instead of data (a gateway's?)") from exc
        error = answer.error(Unreadable, f"the answer is not JSON ({exc})")
        error.codes = (NO_JSON,)
        raise error from exc


def _error_in_2xx(answer: Answer, error: ErrorBody) -> OutsideError:
    """The error that a body reports in spite of its status."""
    if error.code == "UNEXPECTED_ERROR" or _BROKEN.search(error.message):
        # Loop itself does not know what happened, so this is no proof that nothing did.
        return _failed(answer, error.message)
    if named := _named_error(answer, error):
        return named
    if answer.where.changes and (error.named or error.code or _SAYS_NO.search(error.message)):
        return answer.refused(error.message, error.code)
    if answer.where.changes:
        words = f"{brief(error.message, 200)} says neither that it was done nor that it was refused"
        return answer.error(Unreadable, words)
    return answer.error(Unreadable, f"an error came instead of data: {error.message}")


def read_done(answer: Answer) -> None:
    """An action that is done or queued: `true` or `"true"`, and nothing else."""
    body = _json(answer)
    if body is True or body == "true":
        return
    error = error_body(body) or _refusal_in_content(body)
    if error:
        raise _error_in_2xx(answer, error)
    raise answer.error(
        Unreadable, f"{brief(body)} says neither that it was done nor that it was refused"
    )


def _refusal_in_content(body: object) -> ErrorBody | None:
    """Cancelling a flagged return is refused as `{"content": "Return is flagged and ..."}`."""
    text = as_text((as_object(body) or {}).get("content"))
    return ErrorBody(text[:1000], None) if text and _REFUSAL.search(text) else None


def read_accepted(answer: Answer) -> Any:
    """A change whose success body is not documented: any JSON, or no body, without an error.
    Returns the JSON (None if there was no body)."""
    if not answer.text.strip():
        return None
    body = _json(answer)
    error = error_body(body)
    if error:
        raise _error_in_2xx(answer, error)
    if body is False or (as_object(body) or {}).get("success") is False:
        raise answer.error(Unreadable, "answered `false`, without a reason")
    return body


def read_removed(answer: Answer) -> None:
    """A deletion. A `message` is as good as none here; only an error is an error."""
    fields = as_object(_json(answer)) if answer.text.strip() else None
    if fields and (fields.get("error") or fields.get("errors")):
        error = error_body(fields)
        if error:
            raise _error_in_2xx(answer, error)


@dataclass(frozen=True, slots=True)
class ListAnswer:
    """One page of the list as it came. `paginated` is False for the bare array."""

    returns: tuple[Listed, ...]
    paginated: bool
    next_url: object = None
    has_next_url: bool = False


_page = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])


def read_list(answer: Answer) -> ListAnswer:
    """A page of returns: the documented object, or the bare array of the unpaginated form. An
    element that is no JSON spoils only itself where the elements can be told apart."""
    try:
        return _taken_apart(answer.text)
    except (msgspec.MsgspecError, KeyError, RecursionError):
        pass  # no such page, or one with something in it that takes a closer look
    try:
        body = loads(answer.text)
    except ValueError:
        body = _mended(answer.text) or _json(answer)
    array = as_array(body)
    if array is not None:
        return ListAnswer(tuple(map(Listed.of, array)), paginated=False)
    fields = as_object(body)
    array = as_array(fields.get("returns")) if fields else None
    if fields is None or array is None:
        raise _no_data(answer, body, "a list of returns")
    return ListAnswer(
        tuple(map(Listed.of, array)),
        paginated=True,
        next_url=fields.get("nextPageUrl"),
        has_next_url="nextPageUrl" in fields,
    )


def _taken_apart(text: str) -> ListAnswer:
    """A page's elements, unread. MsgspecError, KeyError or RecursionError where it has none."""
    if text.lstrip()[:1] == "[":
        return ListAnswer(_listed(_array.decode(text)), paginated=False)
    if any(text.count(name) > 1 for name in ('"returns"', '"nextPageUrl"')):
        raise KeyError(text[:20])  # which of two counts is nothing to be guessed
    fields = _page.decode(text)
    following = fields.get("nextPageUrl")
    return ListAnswer(
        _listed(_array.decode(fields["returns"])),
        paginated=True,
        next_url=_json_or_none(bytes(following).decode()) if following is not None else None,
        has_next_url=following is not None,
    )


def _listed(array: list[msgspec.Raw]) -> tuple[Listed, ...]:
    return tuple(Listed(bytes(one)) for one in array)


def read_single(answer: Answer) -> ListAnswer:
    """A page of at most one return, which is kept as it came where it is no JSON at all: so the
    walk can go on behind it. Where not even that is to be seen, the answer was cut off, or is none
    of Loop's: nothing is made of it."""
    try:
        return read_list(answer)
    except Unreadable as error:
        following = _NEXT.search(answer.text)
        if NO_JSON not in error.codes or following is None:
            raise
    empty = _NONE.search(answer.text)
    return ListAnswer(
        () if empty else (Listed.of(f"(no JSON) {answer.text}"),),
        paginated=True,
        next_url=_json_or_none(following[1]),
        has_next_url=True,
    )


def _mended(text: str) -> list[object] | dict[str, Any] | None:
    """A page that is no JSON because of some of its elements: those as text, the others as they
    are. None where even the elements cannot be told apart."""
    bare = text.lstrip()[:1] == "["
    begin = _RETURNS.search(text)
    if not bare and begin is None:
        return None
    try:
        start = text.index("[") if bare or begin is None else begin.end() - 1
        found, end = elements(text, start)
    except ValueError:
        return None
    returns, rest = [loads_element(x) for x in found], text[end:]
    one_in_several = any(isinstance(x, str) and x.count(_ONCE) > 1 for x in returns)
    if one_in_several or not any(as_object(x) for x in returns):
        return None
    if bare:
        return returns
    page: dict[str, Any] = {"returns": returns}
    if following := _NEXT.search(rest) or _NEXT.search(text[:start]):
        page["nextPageUrl"] = _json_or_none(following[1])
    return page


def json_object(answer: Answer, wanted: str) -> dict[str, Any]:
    """The body, which has to be an object and no error."""
    body = _json(answer)
    fields = as_object(body)
    if fields is None or error_body(fields):
        raise _no_data(answer, body, wanted)
    return fields


def _no_data(answer: Answer, body: object, wanted: str) -> OutsideError:
    error = error_body(body)
    if error:
        return _error_in_2xx(answer, error)
    return answer.error(Unreadable, f"{wanted} was expected, not {brief(body)}")


def next_cursor(
    page: ListAnswer, seen: Collection[str], page_size: int
) -> tuple[str | None, str | None]:
    """The cursor of the next page, or why there is none: (cursor, None) to go on, (None, None)
    at the proper end, (None, reason) where the walk ends although more may be there.

    Only the cursor is taken from `nextPageUrl`; the URL itself may drop parameters, and
    following it would send the key wherever the answer says.
    """
    if not page.paginated:
        return None, None
    if not page.has_next_url and len(page.returns) >= page_size:
        return None, "a full page came without nextPageUrl"
    if not page.next_url or as_text(page.next_url) == "null":
        return None, None  # PHP has `false` and `""` for it too
    cursor = _cursor_of(page.next_url)
    if cursor is not None and cursor not in seen:
        return cursor, None
    if not page.returns:
        return None, None  # an empty page behind the last one, which leads nowhere
    if cursor is None:
        return None, f"nextPageUrl {brief(page.next_url, 120)} has no cursor"
    return None, "nextPageUrl repeats a cursor"


def _cursor_of(url: object) -> str | None:
    if not isinstance(url, str):
        return None
    try:
        values = parse_qs(urlsplit(url).query).get("cursor", [])
    except ValueError:
        return None
    return values[-1] if values and values[-1].isprintable() else None


def read_details(answer: Answer) -> ParsedReturn:
    """One return: the object, or an array that holds just this one."""
    body = _json(answer)
    array = as_array(body)
    if array is not None and len(array) != 1:
        raise answer.error(
            Unreadable, f"{len(array)} returns came where one was asked for; ask by return id"
        )
    fields = as_object(array[0] if array else body)
    if fields is None or "id" not in fields:
        raise _no_data(answer, body, "a return")
    parsed = parse_return(fields)
    asked = answer.where.return_id
    if asked is not None and parsed.return_id is not None and parsed.return_id != asked:
        raise answer.error(Unreadable, f"the answer is about return {parsed.return_id}")
    return parsed


def read_asn(answer: Answer) -> tuple[AsnRow, ...]:
    body = _json(answer)
    array = as_array(body)
    if array is None:
        raise _no_data(answer, body, "a list of rows")
    return tuple(parse_asn_row(x) for x in array)


def read_notes(answer: Answer) -> list[Note]:
    """The notes. The shape is not documented: a bare array, or one under `notes` or `data`."""
    if no_notes(answer) or _json(answer) in (False, "false"):
        return []
    notes = _array_in(answer, "notes")
    for note in notes:
        about = as_text((as_object(note) or {}).get("return_id"))
        if about is not None and about != answer.where.return_id:
            raise answer.error(Unreadable, f"the answer is about return {about}")
    return [parse_note(x) for x in notes]


def read_subscriptions(answer: Answer) -> list[Subscription]:
    """The webhook subscriptions: a bare array, or one under `webhooks` or `data`."""
    result: list[Subscription] = []
    for one in _array_in(answer, "webhooks"):
        subscription = parse_subscription(one)
        if subscription is None:
            raise answer.error(Unreadable, f"the webhook {brief(one)} has no id")
        result.append(subscription)
    return result


def _array_in(answer: Answer, name: str) -> list[Any]:
    body = _json(answer)
    fields = as_object(body) or {}
    for candidate in (body, fields.get(name), fields.get("data")):
        array = as_array(candidate)
        if array is not None:
            return array
    raise _no_data(answer, body, f"a list of {name}")


def read_subscription(answer: Answer) -> Subscription | None:
    """The subscription just made or changed, if the answer shows it."""
    body = read_accepted(answer)
    fields = as_object(body) or {}
    candidates = (body, fields.get("webhook"), fields.get("data"))
    return next((s for x in candidates if (s := parse_subscription(x))), None)
