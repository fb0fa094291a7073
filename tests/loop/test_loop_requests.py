"""Every request as a whole, as Loop gets it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from loop_api import KEY, answer, loop, raw_return

from bergen_loop import __version__
from bergen_loop.outside.errors import InvalidRequest, Unreadable
from bergen_loop.outside.loop import (
    AssessItem,
    Condition,
    DispositionOutcome,
    GradeItem,
    LoopClient,
    Subscription,
)

BASE = "https://api.loopreturns.com/api/2026-10"
SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
RANGE = "from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z"
HOOK = {
    "topic": "return",
    "trigger": "return.created",
    "url": "https://hooks.example/loop",
    "status": "active",
}

CALLS: list[tuple[Callable[[LoopClient], Any], Any, str, str, Any]] = [
    (lambda c: c.process("77"), True, "POST", "/warehouse/return/77/process", None),
    (lambda c: c.flag("77"), True, "POST", "/warehouse/return/77/flag", None),
    (lambda c: c.close("77"), True, "POST", "/warehouse/return/77/close", None),
    (lambda c: c.cancel("77"), True, "POST", "/warehouse/return/77/cancel", None),
    (
        lambda c: c.process("a b?#%é"),
        True,
        "POST",
        "/warehouse/return/a%20b%3F%23%25%C3%A9/process",
        None,
    ),
    (
        lambda c: c.remove_lines("77", ["1", "2", "1"]),
        "true",
        "POST",
        "/warehouse/return/77/remove?line_item_id=1,2",
        None,
    ),
    (
        lambda c: c.add_note("77", "2 x TEE damaged"),
        {"id": 1},
        "POST",
        "/warehouse/return/77/note",
        {"content": "2 x TEE damaged"},
    ),
    (lambda c: c.notes("77"), [], "GET", "/warehouse/return/77/notes", None),
    (
        lambda c: c.details("77"),
        raw_return(),
        "GET",
        "/warehouse/return/details?return_id=77",
        None,
    ),
    (
        lambda c: c.details(order_name="#1001 & co", currency_type="presentment"),
        raw_return(),
        "GET",
        "/warehouse/return/details?order_name=%231001+%26+co&currency_type=presentment",
        None,
    ),
    (
        lambda c: list(c.list_returns(SINCE, UNTIL)),
        {"returns": [], "nextPageUrl": None},
        "GET",
        f"/warehouse/return/list?{RANGE}&filter=updated_at&paginate=true&pageSize=750",
        None,
    ),
    (
        lambda c: list(
            c.list_returns(SINCE, UNTIL, filter="created_at", state="review", page_size=10)
        ),
        {"returns": [], "nextPageUrl": None},
        "GET",
        f"/warehouse/return/list?{RANGE}&filter=created_at&state=review&paginate=true&pageSize=10",
        None,
    ),
    (
        lambda c: c.asn_report(date(2026, 11, 1), datetime(2026, 11, 8, 23, 0, tzinfo=UTC)),
        [],
        "GET",
        "/warehouse/reporting/asn?from=2026-11-01&to=2026-11-08",
        None,
    ),
    (lambda c: c.webhooks(), [], "GET", "/webhooks", None),
    (
        lambda c: c.create_webhook("return", "return.created", "https://hooks.example/loop"),
        {"id": 5} | HOOK,
        "POST",
        "/webhooks",
        HOOK,
    ),
    (
        lambda c: c.update_webhook(
            "5", "return", "return.created", "https://hooks.example/loop", "inactive"
        ),
        True,
        "PUT",
        "/webhooks/5",
        HOOK | {"status": "inactive"},
    ),
    (lambda c: c.delete_webhook("5"), True, "DELETE", "/webhooks/5", None),
]


@pytest.mark.parametrize(("call", "reply", "method", "target", "body"), CALLS)
def test_the_whole_request(
    call: Callable[[LoopClient], Any], reply: Any, method: str, target: str, body: Any
) -> None:
    fake = loop(answer(reply))
    client = fake.client()
    call(client)
    (sent,) = fake.sent
    assert (sent.method, sent.url, sent.body) == (method, BASE + target, body)
    headers = dict(sent.headers)
    assert headers.pop("x-authorization") == KEY
    length = headers.pop("content-length", None)
    assert (length is None) == (method in ("GET", "DELETE"))
    assert headers.pop("content-type", None) == ("application/json" if body else None)
    assert headers == {
        "host": "api.loopreturns.com",
        "accept": "application/json",
        "accept-encoding": headers["accept-encoding"],
        "user-agent": f"bergen-loop/{__version__}",
    }


CONDITION = Condition("Item condition grade", "Grade A", grade="A")


@pytest.mark.parametrize(
    ("version", "category"),
    [
        ("2026-10", {"subject": "Item condition grade", "title": "Grade A", "grade": "A"}),
        ("2027-01", {"subject": "Item condition grade", "title": "Grade A", "grade": "A"}),
        ("2026-07", "Grade A"),
        ("v1", "Grade A"),
    ],
)
def test_grading_by_version(version: str, category: Any) -> None:
    fake = loop(answer({"ok": 1}))
    item = GradeItem(
        "901",
        CONDITION,
        description="as new",
        return_processor="floor@bergen.example",
        note="box dented",
        images=("https://img.example/1.jpg",),
        inspected_at=datetime(2026, 11, 2, 10, 0, tzinfo=timezone(timedelta(hours=-5))),
    )
    assert fake.client(version=version).grade([item]) == [{"ok": 1}]
    (sent,) = fake.sent
    assert sent.url == f"https://api.loopreturns.com/api/{version}/dispositioning/grade"
    assert sent.body == {
        "items": [
            {
                "line_item_id": "901",
                "description": "as new",
                "condition_category": category,
                "return_processor": "floor@bergen.example",
                "note": "box dented",
                "images": ["https://img.example/1.jpg"],
                "inspected_at": "2026-11-02 15:00:00",
            }
        ]
    }


def test_assessing_sends_thirty_a_call_and_only_what_is_given() -> None:
    fake = loop(answer(True))
    items = [AssessItem(str(n), DispositionOutcome.RECYCLE) for n in range(61)]
    assert fake.client().assess(items) == [True, True, True]
    assert [len(x.body["items"]) for x in fake.sent] == [30, 30, 1]
    assert fake.sent[2].body == {
        "items": [{"line_item_id": "60", "disposition_outcome": "recycle"}]
    }


def test_a_later_batch_that_fails_says_what_was_accepted() -> None:
    fake = loop(answer(True), answer(text="<html>", status=200))
    items = [AssessItem(str(n), DispositionOutcome.DONATE) for n in range(31)]
    with pytest.raises(Unreadable, match="the first 30 items were accepted before"):
        fake.client().assess(items)


REFUSED_HERE: list[tuple[Callable[[LoopClient], Any], str]] = [
    (lambda c: c.process(""), "is empty"),
    (lambda c: c.process("  "), "is empty"),
    (lambda c: c.process(".."), "is a path step"),
    (lambda c: c.flag("7/7"), "contains a slash"),
    (lambda c: c.close("7\n7"), "control character"),
    (lambda c: c.cancel("7\x007"), "control character"),
    (lambda c: c.cancel("7\ud8007"), "control character"),
    (lambda c: c.details("7/7"), "contains a slash"),
    (lambda c: c.details(), "exactly one"),
    (lambda c: c.details("7", order_id="8"), "exactly one"),
    (lambda c: c.details(order_id=" "), "order_id is empty"),
    (lambda c: c.details(order_name="\ud800"), "lone surrogate"),
    (lambda c: c.add_note("77", ""), "the note is empty"),
    (lambda c: c.add_note("77", " "), "the note is empty"),
    (lambda c: c.add_note("77", "x" * 255), "has 255 characters; Loop takes 254"),
    (lambda c: c.add_note("77", "\ud800"), "lone surrogate"),
    (lambda c: c.remove_lines("77", []), "at least one line item id"),
    (lambda c: c.remove_lines("77", "12"), "give a list"),
    (lambda c: c.remove_lines("77", ["1,2"]), "cannot be sent in a list"),
    (lambda c: c.list_returns(datetime(2026, 1, 1), UNTIL), "need a time zone"),  # noqa: DTZ001
    (lambda c: c.list_returns(UNTIL, SINCE), "is after until"),
    (lambda c: c.list_returns(SINCE, UNTIL, page_size=751), "use 1 to 750"),
    (lambda c: c.list_returns(SINCE, UNTIL, page_size=0), "use 1 to 750"),
    (lambda c: c.list_returns(SINCE, UNTIL, state="needs review"), "use one of open, closed"),
    (lambda c: c.asn_report(date(2026, 2, 2), date(2026, 2, 1)), "is after to"),
    (lambda c: c.grade([]), "nothing to grade"),
    (lambda c: c.grade([GradeItem("1", CONDITION)] * 2), "line item 1 is given twice"),
    (lambda c: c.grade([GradeItem("1", CONDITION, description="x" * 256)]), "255 characters"),
    (lambda c: c.grade([GradeItem("1", CONDITION, return_processor="ann")]), "must be an email"),
    (lambda c: c.grade([GradeItem("1", CONDITION, images=("\ud800",))]), "lone surrogate"),
    (lambda c: c.grade([GradeItem("1", Condition("s", " "))]), "a subject and a title"),
    (
        lambda c: c.grade([GradeItem("1", CONDITION, inspected_at=datetime(2026, 1, 1))]),  # noqa: DTZ001
        "has no time zone",
    ),
    (lambda c: c.assess([AssessItem("1", "burn")]), "use one of back_to_stock"),  # type: ignore[arg-type]
    (lambda c: c.create_webhook("", "t", "u"), "topic is empty"),
    (lambda c: c.create_webhook("t", "t", "u", "on"), "use active or inactive"),  # type: ignore[arg-type]
    (lambda c: c.delete_webhook("a/b"), "contains a slash"),
]


@pytest.mark.parametrize(("call", "says"), REFUSED_HERE)
def test_what_loop_would_refuse_is_not_sent(call: Callable[[LoopClient], Any], says: str) -> None:
    fake = loop(answer(True))
    with pytest.raises(InvalidRequest, match=says) as caught:
        call(fake.client())
    assert (caught.value.status, caught.value.brand, fake.sent) == (None, "acme", [])


def test_a_note_of_254_characters_is_sent() -> None:
    fake = loop(answer(True))
    fake.client().add_note("77", "é" * 254)
    assert fake.sent[0].body == {"content": "é" * 254}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"api_key": ""}, "API key of brand acme is empty"),
        ({"api_key": "se cret"}, "contains blanks"),
        ({"api_key": "secret\n"}, "contains blanks"),
        ({"version": "latest"}, "pin one as YYYY-MM"),
        ({"version": "../x"}, "pin one as YYYY-MM"),
        ({"base_url": "api.loopreturns.com"}, "must be like https://host/api"),
        ({"base_url": "ftp://x/api"}, "must be like https://host/api"),
        ({"base_url": "https://x/api?y=1"}, "must be like https://host/api"),
        ({"base_url": "https://u:p@x/api"}, "must not contain a user"),
        ({"base_url": "http://api.loopreturns.com/api"}, "must be https"),
    ],
)
def test_wrong_settings_are_refused_without_quoting_the_key(
    options: dict[str, str], says: str
) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        loop(answer(True)).client(**options)
    assert "secret" not in str(caught.value)


def test_another_base_url_for_a_sandbox() -> None:
    fake = loop(answer(True))
    fake.client(base_url="http://sandbox:8000/api/").process("7")
    assert fake.sent[0].url == "http://sandbox:8000/api/2026-10/warehouse/return/7/process"


def test_webhook_answers() -> None:
    shown = {"id": 5, **HOOK}
    expected = Subscription(
        id="5",
        topic="return",
        trigger="return.created",
        url="https://hooks.example/loop",
        status="active",
        raw=shown,
    )
    assert loop(answer([shown])).client().webhooks() == [expected]
    assert loop(answer({"webhooks": [shown]})).client().webhooks() == [expected]
    created = loop(answer({"data": shown}, status=201)).client()
    assert created.create_webhook("a", "b", "c") == expected
    silent = loop(answer(text="", status=204)).client()
    assert silent.create_webhook("a", "b", "c") is None
    with pytest.raises(Unreadable, match="has no id"):
        loop(answer([HOOK])).client().webhooks()


@pytest.mark.parametrize("reply", [answer(text="", status=204), answer({"message": "deleted"})])
def test_a_webhook_is_deleted(reply: Any) -> None:
    fake = loop(reply)
    fake.client().delete_webhook("5")
    assert fake.records[0].outcome == "ok"
