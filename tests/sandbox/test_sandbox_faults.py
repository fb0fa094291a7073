from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from sandbox_support import ENDPOINT, Box, notes, text, ticket_xml

from loop_sandbox import SandboxWorld, Settings, create_app
from support.serving import serving


def fault(box: Box, **rule: Any) -> None:
    box.control("faults", rule)


def last_call(box: Box, **query: str) -> Any:
    rows = box.control("calls?" + "&".join(f"{k}={v}" for k, v in query.items()))["calls"]
    return rows[-1]


@pytest.mark.parametrize(
    ("kind", "status", "start", "done"),
    [
        ("status_429", 429, b'{"message":"Too Many', False),
        ("500", 500, b'{"errors"', False),
        ("502", 502, b"<html>", False),
        ("html", 200, b"<!DOCTYPE html>", False),
        ("truncated", 200, b"", True),
    ],
)
def test_loop_answers_spoilt(box: Box, kind: str, status: int, start: bytes, done: bool) -> None:
    return_id = box.open_return()
    fault(box, system="loop", operation="process", kind=kind, nth=1)
    answer = box.act(return_id, "process")
    assert answer.status_code == status
    assert answer.content.startswith(start)
    effects = box.brand.returns[return_id].effects
    assert effects.process_accepted == (1 if done else 0)
    if kind == "truncated":
        with pytest.raises(ValueError):
            json.loads(answer.content)
    logged = last_call(box, operation="process")
    assert logged["fault"] == {"500": "status_500", "502": "status_502"}.get(kind, kind)
    assert logged["effect"] == ("process accepted" if done else None)
    assert box.act(return_id, "process").json() in (True, "true")


def test_a_rule_can_let_the_effect_happen_first(box: Box) -> None:
    return_id = box.open_return()
    fault(box, system="loop", operation="process", kind="status_500", nth=1, after=True)
    assert box.act(return_id, "process").status_code == 500
    assert box.brand.returns[return_id].effects.process_accepted == 1


def test_rex11_faults(box: Box) -> None:
    fault(box, system="rex11", operation="ReceivingTicketAdd", kind="soap_fault", nth=1)
    fault(box, system="rex11", operation="ReceivingTicketAdd", kind="truncated_xml", nth=2)
    fault(box, kind="expired_token", operation="ReceivingTicketAdd", nth=2)
    token = f"<AuthenticationString>{box.token()}</AuthenticationString>"
    body = token + _ticket(box)
    answer = box.soap("ReceivingTicketAdd", body)
    assert answer.status_code == 500
    assert text(answer, "faultstring") == "Server was unable to process request."
    assert box.brand.tickets == {}
    answer = box.soap("ReceivingTicketAdd", body)
    assert not answer.content.endswith(b"</soap:Envelope>")
    answer = box.soap("ReceivingTicketAdd", body)
    assert notes(answer)[0][1] == "AuthenticationError"
    fresh = f"<AuthenticationString>{box.token()}</AuthenticationString>" + _ticket(box)
    assert notes(box.soap("ReceivingTicketAdd", fresh))[0][1] == "Success"


def _ticket(box: Box, po: str = "PO-9") -> str:
    return ticket_xml(po, box.item())


def test_a_storm_of_429(box: Box) -> None:
    fault(box, system="loop", kind="status_429", nth=2, count=3)
    assert [box.list().status_code for _ in range(6)] == [200, 429, 429, 429, 200, 200]


def test_a_refusal_on_demand(box: Box) -> None:
    return_id = box.open_return()
    fault(box, kind="refusal", operation="process", subject=return_id, count=1)
    other = box.open_return()
    assert box.act(other, "process").json() in (True, "true")
    assert box.act(return_id, "process").json()["errors"]["code"] == "UNPROCESSABLE_RETURN"
    assert box.act(return_id, "process").json() in (True, "true")


def test_processing_that_never_ends(box: Box) -> None:
    return_id = box.open_return()
    fault(box, kind="process_never_ends", nth=1)
    box.act(return_id, "process")
    box.clock.advance(86400)
    box.world.run_due()
    r = box.brand.returns[return_id]
    assert (r.state, r.processing, r.effects.money_moved) == ("open", 1, 0)


def _walk_page(box: Box, cursor: str | None = None) -> Any:
    query = {"from": "2026-10-20", "paginate": "true", "pageSize": "5"}
    return box.list(**query, **({"cursor": cursor} if cursor else {})).json()


def _cursor(page: Any) -> str | None:
    found = parse_qs(urlsplit(page["nextPageUrl"]).query).get("cursor")
    return found[0] if found else None


def test_cursors_that_repeat_or_are_lost(box: Box) -> None:
    fault(box, kind="repeat_cursor", operation="list", nth=2)
    fault(box, kind="lost_cursor", operation="list", nth=3)
    first = _walk_page(box)
    second = _walk_page(box, _cursor(first))
    assert _cursor(second) == _cursor(first)
    third = _walk_page(box, _cursor(first))
    assert third["returns"] == second["returns"]
    assert third["nextPageUrl"] is not None and _cursor(third) is None


def test_pages_that_shift(box: Box) -> None:
    first = _walk_page(box)
    whole = _walk_page(box, _cursor(first))["returns"]
    fault(box, kind="shifting_pages", operation="list", nth=1)
    shifted = _walk_page(box, _cursor(first))
    assert shifted["returns"] == first["returns"][-2:] + whole[2:]


def test_clock_skew(box: Box) -> None:
    fault(box, system="loop", kind="clock_skew", seconds=-90)
    assert box.brand.returns[box.open_return()].created_at == int(box.clock.now().timestamp()) - 90


def _hits(order: int, seed: int) -> set[str]:
    box = Box(returns=40, seed=seed)
    fault(box, system="loop", operation="flag", kind="status_500", probability=0.3)
    ids = [r.id for r in box.brand.returns.values() if r.state == "open"]
    return {i for i in ids[::order] if box.act(i, "flag").status_code == 500}


def test_faults_follow_the_seed_whatever_the_order_of_calls() -> None:
    first = _hits(1, 7)
    assert 0 < len(first) < 30
    assert _hits(-1, 7) == first
    assert _hits(1, 8) != first


def test_rules_can_be_seen_and_cleared(box: Box) -> None:
    fault(box, system="loop", kind="html", operation="list", nth=1)
    box.list()
    (rule,) = box.control("faults")["rules"]
    assert (rule["kind"], rule["seen"], rule["fired"]) == ("html", 1, 1)
    assert box.control("faults", method="DELETE") == {"rules": []}


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"system": "loop", "kind": "gremlins"}, "kind must be one of"),
        ({"system": "loop", "kind": "soap_fault"}, "does not go with system"),
        ({"kind": "html"}, "does not go with system"),
        ({"system": "loop", "kind": "html", "probability": 2}, "from 0 to 1"),
        ({"system": "loop", "kind": "html", "nth": 0}, "whole number from 1"),
        ({"system": "loop", "kind": "html", "nth": 1, "probability": 0.5}, "not both"),
        ({"system": "loop", "kind": "html", "seen": 3}, "no field 'seen'"),
        ({"system": "loop", "kind": "html", "seconds": "2"}, "seconds must be a number"),
    ],
)
def test_bad_rules_are_refused(box: Box, rule: dict[str, Any], error: str) -> None:
    answer = box.http.post("/control/faults", json=rule)
    assert answer.status_code == 422
    assert error in answer.json()["error"]
    assert box.world.faults.rules == []


def test_connections_that_hang_and_break() -> None:
    """On a real port: what the caller sees, and what happened all the same."""
    world = SandboxWorld(7, 5, settings=Settings(hang_seconds=30.0))
    brand = world.brands["northpine"]
    headers = {"X-Authorization": brand.loop_key}
    with serving(create_app(world)) as root, httpx2.Client(timeout=0.3) as client:

        def process(kind: str) -> tuple[type[Exception] | None, int]:
            made = world.new_return("northpine", late_label=False)
            rule = {"system": "loop", "operation": "process", "kind": kind, "subject": made.id}
            client.post(f"{root}/control/faults", json=rule).raise_for_status()
            url = f"{root}/loop/api/2026-10/warehouse/return/{made.id}/process"
            try:
                client.post(url, headers=headers)
            except httpx2.TransportError as error:
                return type(error), made.effects.process_accepted
            return None, made.effects.process_accepted

        assert process("timeout_before") == (httpx2.ReadTimeout, 0)
        assert process("timeout_after") == (httpx2.ReadTimeout, 1)
        assert process("reset_mid_body") == (httpx2.RemoteProtocolError, 1)
        assert process("reset_before") == (httpx2.RemoteProtocolError, 0)

        # A hang stops nobody else, and ends by itself as a dropped connection.
        rule = {"system": "rex11", "kind": "timeout_before", "seconds": 0.1, "nth": 1}
        client.post(f"{root}/control/faults", json=rule).raise_for_status()
        with pytest.raises(httpx2.RemoteProtocolError):
            client.post(f"{root}{ENDPOINT}", content=b"", headers={"Content-Type": "text/xml"})
        assert client.get(f"{root}/health").json()["status"] == "ok"


def test_background_work_goes_on_while_nobody_calls() -> None:
    fast = Settings(processing_min_seconds=0.05, processing_max_seconds=0.1)
    world = SandboxWorld(7, 0, settings=fast)
    made = world.new_return("northpine", late_label=False)
    with serving(create_app(world), lifespan="on") as root, httpx2.Client() as client:
        url = f"{root}/loop/api/2026-10/warehouse/return/{made.id}/process"
        key = {"X-Authorization": world.brands["northpine"].loop_key}
        client.post(url, headers=key).raise_for_status()
        until = time.monotonic() + 3
        while made.state != "closed" and time.monotonic() < until:
            time.sleep(0.02)
    assert (made.state, made.effects.money_moved) == ("closed", 1)
