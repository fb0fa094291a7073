from __future__ import annotations

import json
from typing import Any

import pytest
from sandbox_support import Box


def effects(box: Box, return_id: str) -> Any:
    return box.control(f"effects?return_id={return_id}")["returns"][return_id]


def force(box: Box, state: str) -> str:
    return_id = box.open_return()
    action = {"closed": "close", "cancelled": "cancel", "expired": "expire", "review": "flag"}
    box.control(f"returns/{return_id}/{action[state]}", {})
    return return_id


def state(box: Box, return_id: str) -> str:
    return box.loop("GET", "/warehouse/return/details", params={"return_id": return_id}).json()[
        "state"
    ]


def test_process_is_queued_and_closes_later(box: Box) -> None:
    return_id = box.open_return()
    answer = box.act(return_id, "process")
    assert (answer.status_code, answer.json() in (True, "true")) == (200, True)
    assert state(box, return_id) == "open"
    box.clock.advance(0.9)
    assert state(box, return_id) == "open"
    box.clock.advance(2.2)
    assert state(box, return_id) == "closed"
    assert effects(box, return_id) == {
        "brand": "northpine", "state": "closed", "money_moved": 1, "process_accepted": 1,
        "process_failed": 0, "refused": 0, "flags": 0, "closes": 0, "cancels": 0,
        "removed_lines": 0, "accepted_after_flag": False, "moved_after_flag": False,
        "notes": [], "labels": 1, "tickets": {}, "parcels": {},
    }  # fmt: skip


def test_success_is_true_as_a_boolean_or_as_a_string(box: Box) -> None:
    bodies = {box.act(box.open_return(), "process").text for _ in range(4)}
    assert bodies == {"true", '"true"'}


@pytest.mark.parametrize(
    ("was", "body"),
    [
        ("cancelled", {"message": "Return is cancelled and therefore cannot be processed."}),
        ("review", {"message": "Return is review and therefore cannot be processed."}),
        ("expired", {"message": "Return is expired and therefore cannot be processed."}),
        (
            "closed",
            {
                "errors": {
                    "message": "Return is closed and therefore cannot be processed.",
                    "code": "UNPROCESSABLE_RETURN",
                }
            },
        ),
    ],
)
def test_process_is_refused_with_200(box: Box, was: str, body: dict[str, Any]) -> None:
    return_id = force(box, was)
    answer = box.act(return_id, "process")
    assert (answer.status_code, answer.json()) == (200, body)
    box.clock.advance(10)
    assert state(box, return_id) == was
    assert effects(box, return_id)["money_moved"] == 0


def test_a_flagged_return_by_the_shops_settings(box: Box) -> None:
    return_id = force(box, "review")
    box.world.settings.update({"flagged_refusal": "code"})
    code = box.act(return_id, "process").json()["errors"]["code"]
    assert code == "UNPROCESSABLE_FLAGGED_RETURN"
    box.world.settings.update({"allow_process_flagged": True})
    box.act(return_id, "process")
    box.clock.advance(4)
    assert state(box, return_id) == "closed"


def test_processing_twice_moves_the_money_twice_and_is_reported(box: Box) -> None:
    return_id = box.open_return()
    box.act(return_id, "process")
    box.act(return_id, "process")
    box.clock.advance(4)
    shown = box.control("effects")
    assert shown["returns"][return_id]["money_moved"] == 2
    assert shown["violations"] == [f"northpine: return {return_id} moved money 2 times"]


def test_processing_after_a_flag_is_reported(box: Box) -> None:
    return_id = box.open_return()
    box.act(return_id, "flag")
    box.control(f"returns/{return_id}/reopen", {})
    box.act(return_id, "process")
    box.clock.advance(4)
    violations = box.control("effects")["violations"]
    assert violations == [f"northpine: return {return_id} was processed after it was flagged"]


def test_a_return_cancelled_while_queued_moves_no_money(box: Box) -> None:
    return_id = box.open_return()
    box.act(return_id, "process")
    box.control(f"returns/{return_id}/cancel", {})
    box.clock.advance(4)
    shown = effects(box, return_id)
    assert (shown["state"], shown["money_moved"], shown["process_failed"]) == ("cancelled", 0, 1)


def test_flag_leads_to_review_and_only_once(box: Box) -> None:
    return_id = box.open_return()
    assert box.act(return_id, "flag").json() in (True, "true")
    assert state(box, return_id) == "review"
    assert box.act(return_id, "flag").json() == {
        "errors": {
            "message": "Return is review and therefore cannot be flagged.",
            "code": "UNPROCESSABLE_RETURN",
        }
    }


def test_notes(box: Box) -> None:
    return_id = box.open_return()
    path = f"/warehouse/return/{return_id}/notes"
    empty = box.loop("GET", path)
    assert (empty.status_code, empty.json()) == (422, "false")
    box.world.settings.update({"empty_notes": "list"})
    assert box.loop("GET", path).json() == {"notes": []}
    assert box.act(return_id, "note", json={"content": "x" * 254}).json() in (True, "true")
    assert box.loop("GET", path).json() == {
        "notes": [
            {"id": 800001, "content": "x" * 254, "created_at": "2026-11-20T15:30:00.000Z"},
        ]
    }
    for bad in ({"content": "x" * 255}, {"content": " "}, {}):
        answer = box.act(return_id, "note", json=bad)
        assert answer.status_code == 422
        assert answer.json() == {
            "errors": {"message": "Content is required and must be less than 255 characters."}
        }


def test_remove_takes_refund_lines_out_and_processes_the_rest(box: Box) -> None:
    return_id = box.open_return(units=3, outcome="refund")
    lines = [x.id for x in box.brand.returns[return_id].lines]
    ids = f"{lines[0]},{lines[2]}"
    assert box.act(return_id, "remove", params={"line_item_id": ids}).json() in (True, "true")
    assert [x.id for x in box.brand.returns[return_id].lines] == [lines[1]]
    again = box.act(return_id, "remove", params={"line_item_id": str(lines[1])})
    assert again.status_code == 500
    box.clock.advance(4)
    shown = effects(box, return_id)
    assert (shown["state"], shown["money_moved"], shown["removed_lines"]) == ("closed", 1, 2)


def test_remove_refuses_other_outcomes(box: Box) -> None:
    return_id = box.open_return(units=2, outcome="exchange")
    box.brand.returns[return_id].lines[0].outcome = "credit"
    first, second = (str(x.id) for x in box.brand.returns[return_id].lines)
    for ids, message in (
        (second, "There are no line items that qualify for removal"),
        (f"{first},{second}", "Not all line items qualify for removal"),
    ):
        answer = box.act(return_id, "remove", params={"line_item_id": ids})
        assert (answer.status_code, answer.json()) == (422, {"message": message})
    assert box.act(return_id, "remove").status_code == 422
    assert len(box.brand.returns[return_id].lines) == 2


def test_close_has_no_outcomes(box: Box) -> None:
    return_id = box.open_return()
    assert box.act(return_id, "close").json() in (True, "true")
    shown = effects(box, return_id)
    assert (shown["state"], shown["closes"], shown["money_moved"]) == ("closed", 1, 0)
    assert box.act(return_id, "close").json()["errors"]["code"] == "UNPROCESSABLE_RETURN"


def test_cancel_and_its_own_refusals(box: Box) -> None:
    return_id = box.open_return()
    assert box.act(return_id, "cancel").json() in (True, "true")
    assert state(box, return_id) == "cancelled"
    for was, word in (("review", "flagged"), ("expired", "expired")):
        answer = box.act(force(box, was), "cancel")
        assert answer.status_code == 200
        assert answer.json() == {"content": f"Return is {word} and cannot be processed."}


def test_an_unknown_return_is_404(box: Box) -> None:
    other = next(iter(box.world.brands["lumen"].returns))
    for return_id in ("1", other):
        assert box.act(return_id, "process").status_code == 404


def grade(box: Box, items: Any, version: str = "2026-10") -> Any:
    return box.loop("POST", "/dispositioning/grade", version, json={"items": items})


def test_grading_wants_an_object_from_2026_10_on(box: Box) -> None:
    return_id = box.open_return(units=1)
    line = box.brand.returns[return_id].lines[0]
    text = {"line_item_id": line.id, "condition_category": "Grade A"}
    answer = grade(box, [text])
    assert (answer.status_code, list(answer.json()["errors"])) == (
        422,
        ["items.0.condition_category"],
    )
    assert grade(box, [text], "2026-07").status_code == 200
    good = {
        "line_item_id": line.id,
        "condition_category": {"subject": "Item condition grade", "title": "Grade A"},
        "return_processor": "floor@example.com",
        "inspected_at": "2026-11-20 10:00:00",
    }
    assert grade(box, [good]).json() == {"items": [good]}
    assert [g["action"] for g in line.gradings] == ["graded", "graded"]


@pytest.mark.parametrize(
    "change",
    [
        {"condition_category": {"subject": "x"}},
        {"description": "x" * 256},
        {"return_processor": "Bob"},
        {"inspected_at": "20.11.2026"},
        {"line_item_id": 1},
    ],
)
def test_grading_refuses_bad_items(box: Box, change: dict[str, Any]) -> None:
    line = box.brand.returns[box.open_return()].lines[0]
    good = {"line_item_id": line.id, "condition_category": {"subject": "a", "title": "b"}}
    assert grade(box, [good, {**good, **change}]).status_code == 422
    assert line.gradings == []


def test_grading_takes_30_items_and_only_ones_own(box: Box) -> None:
    line = box.brand.returns[box.open_return()].lines[0]
    good = {"line_item_id": line.id, "condition_category": {"subject": "a", "title": "b"}}
    assert grade(box, [good] * 30).status_code == 200
    assert grade(box, [good] * 31).status_code == 422
    assert grade(box, []).status_code == 422
    foreign = next(iter(box.world.brands["lumen"].lines))
    assert grade(box, [{**good, "line_item_id": foreign}]).status_code == 403


def test_assessing(box: Box) -> None:
    line = box.brand.returns[box.open_return()].lines[0]
    for outcome, status in (("back_to_stock", 200), ("burn", 422)):
        body = {"items": [{"line_item_id": str(line.id), "disposition_outcome": outcome}]}
        assert box.loop("POST", "/dispositioning/assess", json=body).status_code == status
    assert json.dumps(line.gradings) == json.dumps(
        [
            {
                "action": "assessed",
                "line_item_id": str(line.id),
                "disposition_outcome": "back_to_stock",
            }
        ]
    )
