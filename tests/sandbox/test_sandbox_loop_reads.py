from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sandbox_support import START, Box

WIDE = {"from": (START - timedelta(days=60)).isoformat(), "to": START.isoformat()}


def iso(**back: float) -> str:
    return (START - timedelta(**back)).isoformat()


def walk(box: Box, **query: Any) -> tuple[list[str], int]:
    """As a careful client: the cursor from nextPageUrl, all else resent."""
    ids: list[str] = []
    pages, cursor = 0, {}
    while True:
        page = box.list(paginate="true", **query, **cursor).json()
        ids += [str(r["id"]) for r in page["returns"]]
        pages += 1
        if page["nextPageUrl"] is None:
            return ids, pages
        cursor = {"cursor": parse_qs(urlsplit(page["nextPageUrl"]).query)["cursor"][0]}


def test_a_bad_key_gets_the_documented_401(box: Box) -> None:
    answer = box.loop("GET", "/warehouse/return/list", key="nope")
    assert answer.status_code == 401
    assert answer.json() == {
        "error": {"code": "401", "http_code": "GEN-UNAUTHORIZED", "message": "Unauthorized."}
    }


@pytest.mark.parametrize("version", ["2026-07", "2026-10", "v1"])
def test_versions_that_exist(box: Box, version: str) -> None:
    assert box.loop("GET", "/warehouse/return/list", version).status_code == 200


def test_a_version_that_does_not_exist_is_404(box: Box) -> None:
    assert box.loop("GET", "/warehouse/return/list", "2019-01").status_code == 404


def test_without_dates_only_the_last_day_and_a_bare_array(box: Box) -> None:
    fresh = box.open_return()
    found = box.list().json()
    expected = {
        r.id
        for r in box.brand.returns.values()
        if r.created_at >= START.timestamp() - 86400 and r.state in ("open", "closed", "expired")
    }
    assert isinstance(found, list)
    assert {str(r["id"]) for r in found} == expected
    assert fresh in expected
    assert len(expected) < len(box.brand.returns)


def test_without_state_cancelled_and_review_are_missing() -> None:
    box = Box(returns=120)
    states = {r["state"] for r in box.list(**WIDE).json()}
    assert states == {"open", "closed", "expired"}
    for state in ("open", "closed", "cancelled", "expired", "review"):
        found = box.list(**WIDE, state=state).json()
        wanted = {r.id for r in box.brand.returns.values() if r.state == state}
        assert wanted, state
        assert {str(r["id"]) for r in found} == wanted


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": iso(days=120, seconds=1), "to": iso()}, "to"),
        ({"from": "soon"}, "from"),
        ({"state": "lost"}, "state"),
        ({"filter": "closed_at"}, "filter"),
        ({"pageSize": "751", "paginate": "true"}, "pageSize"),
        ({"cursor": "!!", "paginate": "true"}, "cursor"),
    ],
)
def test_bad_queries_are_422(box: Box, query: dict[str, str], field: str) -> None:
    answer = box.list(**query)
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == [field]


def test_a_range_of_exactly_120_days_is_allowed(box: Box) -> None:
    assert box.list(**{"from": iso(days=120), "to": iso()}).status_code == 200


def test_next_page_url_has_a_cursor_but_drops_from_state_and_paginate(box: Box) -> None:
    query = {**WIDE, "state": "open", "paginate": "true", "pageSize": "5"}
    page = box.list(**query).json()
    assert set(page) == {"returns", "nextPageUrl", "previousPageUrl"}
    assert page["previousPageUrl"] is None
    kept = parse_qs(urlsplit(page["nextPageUrl"]).query)
    assert set(kept) == {"cursor", "filter", "pageSize"}
    # Followed as it is, it is another question: a bare array of the last day.
    assert isinstance(box.http.get(page["nextPageUrl"], headers={
        "X-Authorization": box.brand.loop_key
    }).json(), list)  # fmt: skip


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_walking_the_pages_gives_each_return_once(order: str) -> None:
    box = Box(returns=50, list_order=order)
    ids, pages = walk(box, **WIDE, filter="updated_at", pageSize="7")
    shown = [r for r in box.brand.returns.values() if r.state in ("open", "closed", "expired")]
    wanted = [r.id for r in sorted(shown, key=lambda r: (r.updated_at, r.id))]
    assert ids == (wanted if order == "asc" else wanted[::-1])
    assert pages == -(-len(wanted) // 7)


def test_previous_page_url_leads_back(box: Box) -> None:
    query = {**WIDE, "paginate": "true", "pageSize": "4"}
    first = box.list(**query).json()
    cursor = parse_qs(urlsplit(first["nextPageUrl"]).query)["cursor"][0]
    second = box.list(**query, cursor=cursor).json()
    back = parse_qs(urlsplit(second["previousPageUrl"]).query)["cursor"][0]
    assert box.list(**query, cursor=back).json()["returns"] == first["returns"]


def test_filter_updated_at_follows_changes(box: Box) -> None:
    box.clock.advance(3600)
    return_id = box.open_return()
    box.clock.advance(600)
    since = (START + timedelta(seconds=3900)).isoformat()
    assert box.list(**{"from": since, "filter": "updated_at"}).json() == []
    box.act(return_id, "flag")
    found = box.list(**{"from": since, "filter": "updated_at", "state": "review"}).json()
    assert [str(r["id"]) for r in found] == [return_id]
    assert found[0]["updated_at"] == "2026-11-20T16:40:00.000Z"
    assert found[0]["created_at"] == "2026-11-20T16:30:00.000Z"


def test_ids_are_sometimes_integers_and_money_is_a_decimal_string(box: Box) -> None:
    found = box.list(**WIDE).json()
    assert {type(r["id"]) for r in found} == {int, str}
    assert {type(x["line_item_id"]) for r in found for x in r["line_items"]} == {int, str}
    for r in found:
        for name in ("total", "refund", "gift_card", "handling_fee"):
            whole, cents = r[name].split(".")
            assert whole.removeprefix("-").isdigit() and len(cents) == 2


def test_the_seed_has_what_a_client_must_cope_with() -> None:
    box = Box(returns=200)
    found = box.list(**WIDE).json()
    methods = [r["return_method"] for r in found]
    assert {type(m) for m in methods} == {str, dict, type(None)}
    assert "keep_item" in methods and "donate" in methods
    assert any(r["tracking_number"] is None and r["return_method"] not in ("keep_item", "donate")
               for r in found)  # fmt: skip
    assert any(len({x["sku"] for x in r["line_items"]}) < len(r["line_items"]) for r in found)
    assert any(x["barcode"] == "" for r in found for x in r["line_items"])
    outcomes = {x["outcome"] for r in found for x in r["line_items"]}
    assert outcomes == {"refund", "credit", "exchange", "gift"}
    assert all(r["customer"].endswith("@example.com") for r in found)


def test_the_other_time_format() -> None:
    box = Box(returns=0, loop_time_format="plain")
    box.open_return()
    assert box.list().json()[0]["created_at"] == "2026-11-20 15:30:00"


def test_details_by_return_and_by_order(box: Box) -> None:
    r = next(iter(box.brand.returns.values()))
    by_id = box.loop("GET", "/warehouse/return/details", params={"return_id": r.id}).json()
    assert str(by_id["id"]) == r.id
    for query in ({"order_id": r.order_id}, {"order_name": r.order_name}):
        assert box.loop("GET", "/warehouse/return/details", params=query).json() == by_id
    assert box.loop("GET", "/warehouse/return/details").status_code == 422


def test_details_of_another_brand_are_not_found(box: Box) -> None:
    other = next(iter(box.world.brands["lumen"].returns))
    answer = box.loop("GET", "/warehouse/return/details", params={"return_id": other})
    assert (answer.status_code, answer.json()["errors"]["code"]) == (404, "NOT_FOUND")
    answer = box.loop("GET", "/warehouse/return/details", params={"order_name": "#X"})
    assert (answer.status_code, answer.json()["errors"]["code"]) == (404, "ORDER_NOT_FOUND")


def asn(box: Box, version: str = "2026-10", **query: str) -> Any:
    return box.loop("GET", "/warehouse/reporting/asn", version, params=query)


def test_asn_has_a_row_per_unit_of_all_states(box: Box) -> None:
    rows = asn(box, **{"from": "2026-10-01", "to": "2026-11-20"}).json()
    wanted = sorted(x.id for r in box.brand.returns.values() for x in r.lines)
    assert sorted(row["return_line_item_id"] for row in rows) == wanted
    assert len(rows[0]) == 38


def test_asn_defaults_to_a_week(box: Box) -> None:
    rows = asn(box).json()
    wanted = {int(r.id) for r in box.brand.returns.values() if r.created_at >= 1794528000}
    assert {row["id"] for row in rows} == wanted


def test_asn_reads_a_bad_date_as_1970_and_the_new_version_refuses_the_range(box: Box) -> None:
    everything = asn(box, "2026-07", **{"from": "20.11.2026"}).json()
    assert len(everything) == sum(len(r.lines) for r in box.brand.returns.values())
    assert asn(box, "2026-10", **{"from": "20.11.2026"}).status_code == 422
    assert asn(box, "2026-10", **{"from": "2026-07-23", "to": "2026-11-20"}).status_code == 200
    assert asn(box, "2026-10", **{"from": "2026-07-22", "to": "2026-11-20"}).status_code == 422


def test_rate_limit_per_key_and_minute(box: Box) -> None:
    box.world.settings.update({"rate_limit_per_minute": 3})
    assert [box.list().status_code for _ in range(4)] == [200, 200, 200, 429]
    limited = box.list()
    assert limited.json() == {"message": "Too Many Attempts."}
    assert "retry-after" not in limited.headers
    other = box.world.brands["lumen"].loop_key
    assert box.loop("GET", "/warehouse/return/list", key=other).status_code == 200
    box.clock.advance(59)
    assert box.list().status_code == 429
    box.clock.advance(1)
    assert box.list().status_code == 200


def test_retry_after_on_request(box: Box) -> None:
    box.world.settings.update({"rate_limit_per_minute": 1, "send_retry_after": True})
    box.list()
    assert box.list().headers["retry-after"] == "61"


def test_the_default_limit_is_300(box: Box) -> None:
    codes = [box.loop("GET", "/webhooks").status_code for _ in range(301)]
    assert codes == [200] * 300 + [429]
