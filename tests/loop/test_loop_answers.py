"""What Loop answers, and what it is taken for."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from loop_api import KEY, NOW, Step, answer, fails, loop, raw_return
from structlog.testing import capture_logs

from bergen_loop.domain.returns import LoopState
from bergen_loop.outside.errors import (
    Effect,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    OutsideError,
    RateLimited,
    Refused,
    Scope,
    Unauthorized,
    Unavailable,
    Unreadable,
)
from bergen_loop.outside.loop import CallRecord, Condition, GradeItem, LoopClient
from bergen_loop.outside.loop import client as client_module
from bergen_loop.outside.loop.models import Note

PAGE = answer(text="<!doctype html><h1>hi</h1>", content_type="text/html")

ACTIONS: dict[str, Callable[[LoopClient], None]] = {
    "process": lambda c: c.process("77"),
    "flag": lambda c: c.flag("77"),
    "close": lambda c: c.close("77"),
    "cancel": lambda c: c.cancel("77"),
    "remove_lines": lambda c: c.remove_lines("77", ["901"]),
}


@pytest.mark.parametrize("act", ACTIONS.values(), ids=ACTIONS.keys())
@pytest.mark.parametrize("text", ["true", '"true"', " true\n"])
def test_success_is_true_and_nothing_else(act: Callable[[LoopClient], None], text: str) -> None:
    fake = loop(answer(text=text))
    act(fake.client())
    assert [r.outcome for r in fake.records] == ["ok"]


@pytest.mark.parametrize("act", ACTIONS.values(), ids=ACTIONS.keys())
@pytest.mark.parametrize(
    "text",
    [
        "",
        "false",
        '"false"',
        "1",
        "null",
        "[]",
        "[true]",
        "{}",
        '{"success": true}',
        '{"message": null, "errors": []}',
        '"TRUE"',
        '"\\"true\\""',
        "True",
        "true}",
        "NaN",
        "<html>true</html>",
        "[" * 3000,
    ],
)
def test_any_other_2xx_of_an_action_is_unreadable_and_not_repeated(
    act: Callable[[LoopClient], None], text: str
) -> None:
    fake = loop(answer(text=text))
    with pytest.raises(Unreadable) as caught:
        act(fake.client())
    assert (caught.value.raw, caught.value.status) == (text, 200)
    assert len(fake.sent) == 1


CANNOT = "and therefore cannot be processed."
REFUSALS: list[tuple[Any, str, str | None, str | None]] = [
    (
        {"message": f"Return is cancelled {CANNOT}"},
        f"Return is cancelled {CANNOT}",
        None,
        "cancelled",
    ),
    ({"message": f"Return is review {CANNOT}"}, f"Return is review {CANNOT}", None, "review"),
    (
        {"errors": {"message": f"Return is closed {CANNOT}", "code": "UNPROCESSABLE_RETURN"}},
        f"Return is closed {CANNOT}",
        "UNPROCESSABLE_RETURN",
        "closed",
    ),
    (
        {"errors": {"message": "Flagged.", "code": "UNPROCESSABLE_FLAGGED_RETURN"}},
        "Flagged.",
        "UNPROCESSABLE_FLAGGED_RETURN",
        None,
    ),
    (
        {"message": f"Return is needs review {CANNOT}"},
        f"Return is needs review {CANNOT}",
        None,
        "review",
    ),
    (
        {"message": "Return is flagged and therefore cannot be cancelled."},
        "Return is flagged and therefore cannot be cancelled.",
        None,
        "review",
    ),
    (
        {"message": f"Return is processing {CANNOT}"},
        f"Return is processing {CANNOT}",
        None,
        "processing",
    ),
    (
        {"message": "Return is already being processed."},
        "Return is already being processed.",
        None,
        "processing",
    ),
    (
        {"message": "This return cannot be processed."},
        "This return cannot be processed.",
        None,
        None,
    ),
    ({"errors": ["No.", "Never."]}, "No.; Never.", None, None),
    ({"errors": [{"message": "No.", "code": "X"}]}, "No.", "X", None),
    ({"errors": {"code": "X"}}, "an error without words", "X", None),
    (
        {"message": "Bad.", "errors": {"id": ["Wrong id.", "Odd."]}},
        "Bad.; id: Wrong id.; id: Odd.",
        None,
        None,
    ),
]


@pytest.mark.parametrize("status", [200, 202])
@pytest.mark.parametrize(("body", "message", "code", "state"), REFUSALS)
def test_a_refusal_comes_as_success(
    body: Any, message: str, code: str | None, state: str | None, status: int
) -> None:
    fake = loop(answer(body, status=status))
    with pytest.raises(Refused) as caught:
        fake.client().process("77")
    error = caught.value
    assert (error.message, (error.codes[0] if error.codes else None), error.state) == (
        message,
        code,
        state,
    )
    assert (error.brand, error.call, error.subject) == ("acme", "process", "77")
    assert (error.status, len(fake.sent)) == (status, 1)
    assert str(error) == f"Loop process for return 77 (brand acme): {message}"


WORDS_IN_A_200: list[tuple[Any, type[OutsideError]]] = [
    ({"message": "Return queued for processing."}, Unreadable),
    ({"message": "Success"}, Unreadable),
    ({"message": "Server Error"}, OutcomeUnknown),
    ({"errors": "Something went wrong, try again later."}, OutcomeUnknown),
    ({"message": "Too Many Attempts."}, RateLimited),
    ({"message": "This action is unauthorized."}, Unauthorized),
    ({"error": "Invalid API key"}, Unauthorized),
]


@pytest.mark.parametrize(("body", "kind"), WORDS_IN_A_200)
@pytest.mark.parametrize("call", ["process", "note"])
def test_words_in_a_200_that_are_no_refusal(body: Any, kind: type[OutsideError], call: str) -> None:
    """What may have been carried out is a doubt, and nothing is told to be refused."""
    fake = loop(answer(body))
    with pytest.raises(OutsideError) as caught:
        fake.client().process("77") if call == "process" else fake.client().add_note("77", "x")
    assert type(caught.value) is kind
    assert len(fake.sent) == 1


@pytest.mark.parametrize("body", [False, "false", [], {"0": {"content": "x"}}])
def test_notes_in_other_words(body: Any) -> None:
    found = [n.content for n in loop(answer(body)).client().notes("77")]
    assert found == (["x"] if isinstance(body, dict) else [])


def test_a_note_that_is_answered_with_no_success_is_a_doubt() -> None:
    with pytest.raises(Unreadable):
        loop(answer({"success": False})).client().add_note("77", "x")


def test_a_page_with_403_may_be_a_firewalls() -> None:
    with pytest.raises(Unauthorized, match="a web page came"):
        loop(answer(text="<h1>403</h1>", status=403)).client().process("77")


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_refusal_with_an_error_status_is_a_refusal_too(status: int) -> None:
    body = {"errors": {"message": f"Return is closed {CANNOT}", "code": "UNPROCESSABLE_RETURN"}}
    with pytest.raises(Refused) as caught:
        loop(answer(body, status=status)).client().process("77")
    assert (caught.value.state, caught.value.status) == ("closed", status)


def test_an_unexpected_error_proves_nothing_whatever_its_status() -> None:
    body = {"errors": {"message": "Something broke.", "code": "UNEXPECTED_ERROR"}}
    fake = loop(answer(body))
    with pytest.raises(OutcomeUnknown, match="may have taken effect"):
        fake.client().process("77")
    assert len(fake.sent) == 1


@pytest.mark.parametrize(
    "text",
    ["No line items qualify for removal", "Not all line items qualify for removal"],
)
def test_lines_that_cannot_be_removed(text: str) -> None:
    with pytest.raises(InvalidRequest, match=text) as caught:
        loop(answer({"message": text}, status=422)).client().remove_lines("77", ["901"])
    assert caught.value.status == 422


def test_field_messages_of_a_422_are_named() -> None:
    body = {
        "message": "The given data was invalid.",
        "errors": {"items.0.condition_category": ["must be an array."], "code": ["is odd."]},
    }
    with pytest.raises(InvalidRequest) as caught:
        loop(answer(body, status=422)).client().add_note("77", "x")
    assert caught.value.message == (
        "refused as invalid with 422: The given data was invalid.; "
        "items.0.condition_category: must be an array."
    )


CALLS: list[Callable[[LoopClient], Any]] = [lambda c: c.process("77"), lambda c: c.details("77")]
UNAUTHORIZED = {
    "error": {"code": "401", "http_code": "GEN-UNAUTHORIZED", "message": "Unauthorized."}
}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("call", CALLS)
def test_a_key_that_is_refused(call: Callable[[LoopClient], Any], status: int) -> None:
    fake = loop(answer(UNAUTHORIZED, status=status))
    with pytest.raises(Unauthorized, match=r"Unauthorized\.; check the brand's API key"):
        call(fake.client())
    assert len(fake.sent) == 1


ERRORS: list[tuple[Step, type[OutsideError], type[OutsideError], bool]] = [
    # step, error of an action, error of a read, whether the read is repeated
    (answer({}, status=404), NotFound, NotFound, False),
    (answer({"message": "bad"}, status=400), InvalidRequest, InvalidRequest, False),
    (answer({"message": "bad"}, status=422), InvalidRequest, InvalidRequest, False),
    (answer({}, status=302, location="https://evil"), Unreadable, Unreadable, False),
    (answer(text="<p>", status=301, location="/x"), Unreadable, Unreadable, False),
    (answer({}, status=408), OutcomeUnknown, Unavailable, True),
    (answer({}, status=500), OutcomeUnknown, Unavailable, True),
    (answer(text="<h1>502</h1>", status=502), OutcomeUnknown, Unavailable, True),
    (answer(text="<h1>404</h1>", status=404), NotFound, Unavailable, True),
    (PAGE, Unreadable, Unavailable, True),
    (answer(text="gibberish"), Unreadable, Unreadable, False),
    (fails(httpx2.ConnectError), Unavailable, Unavailable, True),
    (fails(httpx2.ConnectTimeout), Unavailable, Unavailable, True),
    (fails(httpx2.PoolTimeout), Unavailable, Unavailable, True),
    (fails(httpx2.ReadTimeout), OutcomeUnknown, Unavailable, True),
    (fails(httpx2.WriteTimeout), OutcomeUnknown, Unavailable, True),
    (fails(httpx2.ReadError), OutcomeUnknown, Unavailable, True),
    (fails(httpx2.WriteError), OutcomeUnknown, Unavailable, True),
    (fails(httpx2.RemoteProtocolError), OutcomeUnknown, Unavailable, True),
    (fails(httpx2.DecodingError), Unreadable, Unavailable, True),
]


@pytest.mark.parametrize(("step", "of_action", "of_read", "repeated"), ERRORS)
def test_failures(
    step: Step, of_action: type[OutsideError], of_read: type[OutsideError], repeated: bool
) -> None:
    acting, reading = loop(step), loop(step)
    with pytest.raises(OutsideError) as caught:
        acting.client().process("77")
    assert (type(caught.value), len(acting.sent)) == (of_action, 1)
    with pytest.raises(OutsideError) as caught:
        reading.client().details("77")
    assert (type(caught.value), len(reading.sent)) == (of_read, 4 if repeated else 1)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"errors": {"code": "ORDER_NOT_FOUND", "message": "No order."}}, NotFound),
        ({"errors": {"code": "NOT_FOUND", "message": "No return."}}, NotFound),
        ({"error": {"message": "No return found with this ID."}}, NotFound),
        ({"errors": {"code": "NOT_AUTHORIZED", "message": "No."}}, Unauthorized),
        ({"errors": "Unauthorized."}, Unauthorized),
        ({"errors": {"code": "UNEXPECTED_ERROR", "message": "Oh."}}, Unavailable),
        ({"message": "Whatever."}, Unreadable),
        ([], Unreadable),
        ([raw_return("1"), raw_return("2")], Unreadable),
        (raw_return("78"), Unreadable),
        (True, Unreadable),
    ],
)
def test_details_that_are_no_details(body: Any, kind: type[OutsideError]) -> None:
    with pytest.raises(kind) as caught:
        loop(answer(body)).client().details("77")
    assert type(caught.value) is kind


def test_details_of_one_return_also_in_an_array() -> None:
    raw = raw_return()
    parsed = loop(answer(raw)).client().details("77")
    assert (parsed.raw, parsed.problem, parsed.return_id) == (raw, None, "77")
    assert loop(answer([raw])).client().details(order_id="5123") == parsed


@pytest.mark.parametrize("key", [None, "notes", "data"])
def test_notes_are_read_whatever_their_shape(key: str | None) -> None:
    elements = [
        {"id": 1, "content": "Damaged", "created_at": "2026-11-01 10:00:00"},
        {"note": "Wrong", "created_at": "yesterday"},
        "bare",
        7.5,
    ]
    notes = loop(answer({key: elements} if key else elements)).client().notes("77")
    at = NOW.replace(day=1, hour=10)
    assert notes == [
        Note("Damaged", at, elements[0]),
        Note("Wrong", None, elements[1]),
        Note("bare", None, "bare"),
        Note("", None, 7.5),
    ]


def test_a_body_that_is_too_large_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_BODY", 1000)
    pieces_read = 0

    def endless(request: httpx2.Request) -> httpx2.Response:
        def pieces() -> Any:
            nonlocal pieces_read
            for _ in range(10_000):
                pieces_read += 1
                yield b"x" * 100

        return httpx2.Response(200, content=pieces())

    with pytest.raises(Unreadable, match="over 1000 bytes"):
        loop(endless).client().process("77")
    assert pieces_read < 15


def test_an_answer_that_trickles_is_given_up() -> None:
    def trickle(request: httpx2.Request) -> httpx2.Response:
        def pieces() -> Any:
            while True:
                fake.clock.sleep(29)
                yield b" "

        return httpx2.Response(200, content=pieces())

    fake = loop(trickle)
    with pytest.raises(OutcomeUnknown, match="not complete after 180 seconds"):
        fake.client().process("77")


def test_every_attempt_is_recorded() -> None:
    fake = loop(answer({}, status=503, retry_after="3"), answer(raw_return()))
    fake.client().details("77")
    common: dict[str, Any] = {
        "system": "Loop", "brand": "acme", "call": "details", "subject": "77", "seconds": 0.0,
    }  # fmt: skip
    assert fake.records == [
        CallRecord(
            **common,
            started_at=NOW,
            outcome="Unavailable",
            effect=Effect.NOT_SENT,
            scope=Scope.SYSTEM,
            status=503,
            attempt=1,
            received="{}",
        ),
        CallRecord(
            **common,
            started_at=NOW.replace(second=3),
            outcome="ok",
            status=200,
            attempt=2,
        ),
    ]


def test_a_journal_that_fails_does_not_fail_the_action() -> None:
    def broken(record: CallRecord) -> None:
        raise OSError("disk full")

    with capture_logs() as logs:
        loop(answer(True)).client(on_call=broken).process("77")
    assert [x["event"] for x in logs] == ["on_call_failed"]


def test_the_key_is_in_no_error_repr_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    echo = answer({"message": f"bad key {KEY}"}, status=401)
    for step in (echo, fails(httpx2.ReadError, f"header {KEY}"), answer(text=KEY)):
        client = loop(step).client()
        with capture_logs() as logs, pytest.raises(OutsideError) as caught:
            client.process("77")
        shown = [str(caught.value), repr(caught.value), repr(vars(caught.value)), repr(client)]
        assert KEY not in "".join([*shown, repr(vars(client)), repr(logs), caplog.text])


def test_errors_survive_pickling() -> None:
    with pytest.raises(Refused) as caught:
        loop(answer(REFUSALS[2][0])).client().process("77")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), vars(again)) == (Refused, vars(caught.value))
    assert str(again) == str(caught.value)


def test_a_return_without_notes_has_none_although_loop_says_422() -> None:
    fake = loop(answer("false", status=422))
    assert fake.client().notes("1") == []


def test_a_422_with_words_on_notes_stays_an_error() -> None:
    fake = loop(answer({"message": "nope"}, status=422))
    with pytest.raises(InvalidRequest):
        fake.client().notes("1")


def test_a_cancel_refused_in_content_is_a_refusal() -> None:
    fake = loop(answer({"content": "Return is flagged and cannot be processed."}))
    with pytest.raises(Refused) as caught:
        fake.client().cancel("1")
    assert caught.value.state == LoopState.REVIEW


NO_ACCESS: list[Any] = [
    UNAUTHORIZED,
    {"errors": "Unauthorized."},
    {"errors": ["Unauthorized"]},
    {"message": "Unauthenticated."},
    {"errors": {"code": "NOT_AUTHORIZED", "message": "You may not."}},
    {"error": {"http_code": "GEN-UNAUTHORIZED"}},
]


@pytest.mark.parametrize("status", [200, 400, 401, 403, 422])
@pytest.mark.parametrize("body", NO_ACCESS)
@pytest.mark.parametrize("call", [*CALLS, lambda c: c.add_note("77", "x")])
def test_a_refused_key_is_the_brands_access_in_every_shape(
    call: Callable[[LoopClient], Any], body: Any, status: int
) -> None:
    fake = loop(answer(body, status=status))
    with pytest.raises(Unauthorized) as caught:
        call(fake.client())
    assert (caught.value.effect, caught.value.scope) == (Effect.NOT_SENT, Scope.ACCESS)
    assert len(fake.sent) == 1
    assert fake.records[0].scope is Scope.ACCESS


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("key", ["error", "errors"])
def test_no_such_return_is_not_found_also_in_a_200(
    call: Callable[[LoopClient], Any], key: str
) -> None:
    fake = loop(answer({key: {"message": "No return found with this ID."}}))
    with pytest.raises(NotFound) as caught:
        call(fake.client())
    assert caught.value.effect is Effect.REFUSED


def graded(client: LoopClient) -> None:
    client.grade([GradeItem("901", Condition("Item condition grade", "Grade A"))])


def test_a_line_of_another_shop_is_no_matter_of_the_key() -> None:
    body = {"message": "Line item 901 does not belong to this shop."}
    with pytest.raises(Refused) as caught:
        graded(loop(answer(body, status=403)).client())
    assert caught.value.scope is Scope.CALL
    with pytest.raises(Unauthorized):
        graded(loop(answer(UNAUTHORIZED, status=403)).client())


def test_notes_of_another_return_are_not_taken() -> None:
    notes = [{"return_id": 78, "content": "Damaged"}]
    with pytest.raises(Unreadable, match="about return 78") as caught:
        loop(answer(notes)).client().notes("77")
    assert caught.value.raw
    assert len(loop(answer([{"return_id": 77, "content": "x"}])).client().notes("77")) == 1
