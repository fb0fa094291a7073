from __future__ import annotations

import ast
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sandbox_support import START, Box, text

import loop_sandbox
from loop_sandbox import ManualClock, SandboxWorld
from loop_sandbox.__main__ import main
from loop_sandbox.catalogue import upc
from loop_sandbox.index import TimeIndex


def test_config_is_enough_to_set_a_client_up(box: Box) -> None:
    shown = box.control("config")
    assert shown["loop_base_url"] == "http://testserver/loop/api"
    assert shown["rex11_endpoint"] == "http://testserver/rex11/ws/v3prod/publicapiws.asmx"
    assert [b["name"] for b in shown["brands"]] == [
        "Northpine Apparel", "Lumen Skincare", "Tidewater Footwear",
    ]  # fmt: skip
    b = box.brand
    assert shown["brands"][0] == {
        "slug": "northpine", "name": "Northpine Apparel", "shop_id": 4100,
        "loop_api_key": b.loop_key, "loop_webhook_secret": b.webhook_secret,
        "rex11_web_address": b.web_address, "rex11_user_name": b.user_name,
        "rex11_password": b.password, "warehouse": "BERGEN LOGISTICS NJ",
    }  # fmt: skip
    secrets = {(x["loop_api_key"], x["loop_webhook_secret"], x["rex11_password"])
               for x in shown["brands"]}  # fmt: skip
    assert len(secrets) == 3


def test_health(box: Box) -> None:
    shown = box.http.get("/health").json()
    assert (shown["status"], shown["seed"], shown["brands"], shown["returns"]) == ("ok", 7, 3, 60)


def test_summary(box: Box) -> None:
    before = box.control("summary?brand=northpine")["brands"]["northpine"]
    assert sum(before["returns"].values()) == 20
    done, flagged = box.open_return(), box.open_return()
    box.act(done, "process")
    box.act(flagged, "flag")
    box.act(flagged, "note", json={"content": "why"})
    box.add("PO-1")
    assert box.control("summary?brand=northpine")["brands"]["northpine"]["processing"] == 1
    box.clock.advance(4)
    shown = box.control("summary")["brands"]
    assert set(shown) == {"northpine", "lumen", "tidewater"}
    after = shown["northpine"]
    assert after["returns"]["closed"] == before["returns"]["closed"] + 1
    assert after["returns"]["review"] == before["returns"]["review"] + 1
    del after["returns"]
    assert after == {
        "tickets": {"Draft": 1}, "processing": 0, "processed": 1, "processed_twice": 0,
        "processed_after_flag": 0, "flagged": 1, "notes": 1,
    }  # fmt: skip


def test_the_call_log_knows_every_call_and_effect(box: Box) -> None:
    return_id = box.open_return()
    box.list()
    box.loop("GET", "/warehouse/return/list", key="nope")
    box.act(return_id, "flag")
    ticket_id = text(box.add(f"LOOP-{return_id}"), "ReceivingTicketId")
    rows = [
        (c["seq"], c["system"], c["brand"], c["operation"], c["subject"], c["outcome"], c["effect"])
        for c in box.control("calls")["calls"]
    ]
    user = box.brand.slug
    assert rows == [
        (1, "loop", user, "list", None, "200", None),
        (2, "loop", None, "list", None, "401", None),
        (3, "loop", user, "flag", return_id, "200", "flagged"),
        (4, "rex11", user, "AuthenticationTokenGet", None, "200", None),
        (5, "rex11", user, "ReceivingTicketAdd", f"LOOP-{return_id}", "200",
         f"ticket {ticket_id} created"),
    ]  # fmt: skip
    found = box.control("calls?brand=northpine&system=loop&operation=flag")
    assert [c["seq"] for c in found["calls"]] == [3]
    assert found["total"] == 5
    assert [c["seq"] for c in box.control("calls?effects=1")["calls"]] == [3, 5]
    assert [c["seq"] for c in box.control("calls?after=2&limit=2")["calls"]] == [3, 4]
    assert box.control("calls?limit=1")["calls"][0]["time"] == "2026-11-20T15:30:00+00:00"


def test_returns_on_demand(box: Box) -> None:
    body = {"brand": "lumen", "count": 3, "units": 2, "outcome": "credit", "late_label": True}
    made = box.control("returns", body)["returns"]
    assert [(len(r["lines"]), r["outcome"], r["state"], r["tracking_number"]) for r in made] == [
        (2, "credit", "open", None)
    ] * 3
    kept = box.control("returns", {"brand": "lumen", "no_parcel": True})["returns"][0]
    box.clock.advance(60)
    assert box.control("returns?brand=lumen&state=open&limit=1&offset=3")["total"] > 4
    world = box.world
    assert all(world.brands["lumen"].returns[r["id"]].label for r in made)
    assert world.brands["lumen"].returns[kept["id"]].label is None


def test_what_can_be_done_to_a_return(box: Box) -> None:
    return_id = box.open_return(units=2)

    def do(action: str, **body: Any) -> Any:
        box.clock.advance(60)
        return box.control(f"returns/{return_id}/{action}", body)

    edited = do("edit", add=2, remove=1)
    assert len(edited["lines"]) == 3
    assert edited["updated_at"] == "2026-11-20T15:31:00.000Z"
    details = box.loop("GET", "/warehouse/return/details", params={"return_id": return_id}).json()
    assert details["edited_at"] == "2026-11-20T15:31:00.000Z"
    for action, state in (
        ("expire", "expired"), ("reopen", "open"), ("flag", "review"), ("reopen", "open"),
        ("cancel", "cancelled"), ("close", "closed"),
    ):  # fmt: skip
        assert do(action)["state"] == state
    do("label", status="delivered")
    details = box.loop("GET", "/warehouse/return/details", params={"return_id": return_id}).json()
    assert details["label_status"] == "delivered"
    assert details["label_updated_at"] == details["updated_at"] == "2026-11-20T15:38:00.000Z"


def test_a_ticket_made_by_hand(box: Box) -> None:
    p = box.brand.catalogue[2]
    made = box.control(
        "tickets", {"brand": "northpine", "customer_po": "", "items": [{"sku": p.sku}]}
    )
    assert (made["status"], made["customer_po"], made["return_id"]) == ("Draft", "", None)
    assert box.control("effects")["tickets_without_return"] == [made]
    assert box.control("parcels", {"ticket": made["id"]})["items"] == [
        {"sku": p.sku, "upc": p.upc, "expected": 1, "actual": "1", "damaged": "0"}
    ]


def test_a_ticket_is_matched_by_tracking_number_too(box: Box) -> None:
    return_id = box.open_return()
    label = box.brand.returns[return_id].label
    assert label is not None
    body = {"brand": "northpine", "customer_po": "X", "tracking_numbers": [label.tracking_number]}
    assert box.control("tickets", body)["return_id"] == return_id


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("returns", {"brand": "acme"}, 404, "no brand 'acme'; there are: northpine"),
        ("returns", {"brand": "lumen", "count": 0}, 422, "count must be a whole number"),
        ("returns", {"brand": "lumen", "outcome": "x"}, 422, "outcome must be"),
        ("returns/1/cancel", {}, 404, "no return 1"),
        ("tickets/W1/cancel", {}, 404, "no ticket W1"),
        ("tickets", {"brand": "lumen", "items": [{"sku": "?"}]}, 422, "items[0]: no SKU '?'"),
        ("parcels", {"return": "40000001"}, 404, "no Draft ticket"),
        ("settings", {"speed": 1}, 422, "no setting 'speed'"),
        ("settings", {"token_minutes": "1"}, 422, "token_minutes must be a float"),
        ("settings", {"list_order": "up"}, 422, "list_order must be one of"),
        ("settings", {"hang_seconds": -1}, 422, "must not be negative"),
        ("settings", {"processing_min_seconds": 9}, 422, "must not be over"),
        ("nothing", {}, 404, "no control call"),
    ],
)
def test_wrong_control_calls(
    box: Box, path: str, body: dict[str, Any], status: int, error: str
) -> None:
    answer = box.http.post(f"/control/{path}", json=body)
    assert answer.status_code == status
    assert error in answer.json()["error"]


def test_a_wrong_setting_changes_nothing(box: Box) -> None:
    before = box.control("settings")
    box.http.post("/control/settings", json={"token_minutes": 1, "speed": 1})
    assert box.control("settings") == before
    assert box.control("settings", {"token_minutes": 1})["token_minutes"] == 1.0


def test_the_same_seed_gives_the_same_world() -> None:
    def shown(seed: int) -> Any:
        world = SandboxWorld(seed, 10, clock=ManualClock(START))
        return [[repr(r) for r in b.returns.values()] for b in world.brands.values()]

    assert shown(3) == shown(3)
    assert shown(3) != shown(4)


def test_codes_are_unique_and_upcs_valid(box: Box) -> None:
    products = [p for b in box.world.brands.values() for p in b.catalogue]
    assert len({p.sku for p in products}) == len({p.upc for p in products}) == len(products)
    assert upc(3600029145) == "036000291452"
    for brand in box.world.brands.values():
        assert len(brand.catalogue) - len(brand.rex_products) == 2


def test_many_threads_lose_nothing(box: Box) -> None:
    made: list[str] = []

    def work() -> None:
        made.extend(box.open_return() for _ in range(50))

    threads = [Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(made)) == 200
    assert len(box.brand.by_updated) == len(box.brand.returns) == 220


def test_time_index_moves_and_windows() -> None:
    index = TimeIndex()
    index.add_many([(3, "c"), (1, "a"), (2, "b")])
    index.move(1, 3, "a")
    assert list(index.forward(2, 3)) == [(2, "b"), (3, "a"), (3, "c")]
    assert list(index.forward(2, 3, after=(3, "a"))) == [(3, "c")]
    assert list(index.backward(2, 3, before=(3, "c"))) == [(3, "a"), (2, "b")]
    with pytest.raises(KeyError):
        index.move(1, 2, "a")


def test_the_command_line_refuses_bad_settings(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, error in (("speed=1", "no setting 'speed'"), ("speed", "wants NAME=VALUE")):
        with pytest.raises(SystemExit) as stopped:
            main(["--set", wrong])
        assert stopped.value.code == 2
        assert error in capsys.readouterr().err


def test_it_shares_no_code_with_the_service() -> None:
    folder = Path(loop_sandbox.__file__).parent
    imported: set[str] = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
    own = {name for name in imported if name.startswith(("bergen_loop", "loop_sandbox"))}
    assert own and all(name.startswith("loop_sandbox") for name in own)
