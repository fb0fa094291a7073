from __future__ import annotations

import base64
import hashlib
import hmac
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from sandbox_support import Box

from loop_sandbox.webhooks import send_http

URL = "http://127.0.0.1:9/hooks"


def subscribe(box: Box, trigger: str, topic: str = "return", url: str = URL) -> int:
    body = {"topic": topic, "trigger": trigger, "url": url, "status": "active"}
    return box.loop("POST", "/webhooks", json=body).json()["id"]


def told(box: Box) -> list[tuple[str, Any]]:
    return [(d.trigger, json.loads(d.body)) for d in box.hooks()]


def test_subscriptions_are_inactive_unless_asked(box: Box) -> None:
    body = {"topic": "return", "trigger": "return.created", "url": URL}
    made = box.loop("POST", "/webhooks", json=body)
    expected = {"id": made.json()["id"], "shop_id": 4100, **body, "status": "inactive"}
    assert made.json() == expected
    assert box.loop("GET", "/webhooks").json() == {"webhooks": [expected]}
    box.open_return()
    assert told(box) == []
    path = f"/webhooks/{expected['id']}"
    put = box.loop("PUT", path, json={**body, "status": "active"})
    assert (put.status_code, put.content) == (204, b"")
    box.open_return()
    assert [t for t, _ in told(box)] == ["return.created"]
    assert box.loop("DELETE", path).status_code == 204
    assert box.loop("DELETE", path).status_code == 404
    assert box.loop("GET", "/webhooks").json() == {"webhooks": []}


@pytest.mark.parametrize(
    "change", [{"topic": "refund"}, {"trigger": "x"}, {"url": "ftp://x"}, {"status": "on"}]
)
def test_bad_subscriptions_are_422(box: Box, change: dict[str, str]) -> None:
    body = {"topic": "return", "trigger": "return.created", "url": URL, **change}
    assert box.loop("POST", "/webhooks", json=body).status_code == 422


def test_the_label_comes_after_the_return(box: Box) -> None:
    subscribe(box, "return.created")
    subscribe(box, "label.created", "label")
    made = box.world.new_return("northpine", late_label=True)
    (trigger, body), = told(box)  # fmt: skip
    assert trigger == "return.created"
    assert (body["id"], body["state"], body["tracking_number"], body["label_url"]) == (
        int(made.id), "open", None, None,
    )  # fmt: skip
    box.clock.advance(5)
    box.world.run_due()
    assert made.label is not None
    assert told(box)[1] == (
        "label.created",
        {
            "topic": "label",
            "trigger": "label.created",
            "shop_id": 4100,
            "return_id": int(made.id),
            "carrier": made.label.carrier,
            "tracking_number": made.label.tracking_number,
            "label_status": made.label.status,
            "label_url": f"https://labels.example.com/{made.id}.pdf",
            "label_rate": f"{made.label.rate / 100:.2f}",
            "label_updated_at": "2026-11-20T15:30:05.000Z",
        },
    )


def test_review_is_called_needs_review(box: Box) -> None:
    subscribe(box, "return.updated")
    box.act(box.open_return(), "flag")
    assert [b["state"] for _, b in told(box)] == ["needs review"]


def test_closing_is_told(box: Box) -> None:
    subscribe(box, "return.closed")
    return_id = box.open_return()
    box.act(return_id, "process")
    box.clock.advance(4)
    box.world.run_due()
    assert [(t, b["id"], b["state"]) for t, b in told(box)] == [
        ("return.closed", int(return_id), "closed")
    ]


def test_a_failed_processing_is_told_and_the_return_stays_open(box: Box) -> None:
    subscribe(box, "return.processing.failed", "return.processing")
    box.control("faults", {"kind": "process_fails", "nth": 1})
    return_id = box.open_return()
    box.act(return_id, "process")
    box.clock.advance(4)
    box.world.run_due()
    assert told(box) == [
        (
            "return.processing.failed",
            {
                "topic": "return.processing",
                "trigger": "return.processing.failed",
                "return_id": int(return_id),
                "return_state": "open",
                "message": "Something went wrong during processing",
                "source": "warehouse",
            },
        )
    ]
    assert box.brand.returns[return_id].state == "open"


@pytest.mark.parametrize("form", ["canonical", "raw"])
def test_signature(form: str) -> None:
    box = Box(returns=0, webhook_signature=form)
    subscribe(box, "return.created")
    box.open_return()
    (item,) = box.hooks()
    assert b"https://" in item.body and b"\\/" not in item.body
    signed = item.body.replace(b"/", b"\\/") if form == "canonical" else item.body
    digest = hmac.new(box.brand.webhook_secret.encode(), signed, hashlib.sha256).digest()
    assert item.signature == base64.b64encode(digest).decode()
    assert item.url == URL


def test_a_real_delivery() -> None:
    got: list[tuple[str, bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.headers["X-Loop-Signature"], body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    box = Box(returns=0)
    box.world.webhooks._sender = send_http
    subscribe(box, "return.created", url=f"http://127.0.0.1:{server.server_port}/hook")
    return_id = box.open_return()
    box.world.webhooks.flush()
    server.shutdown()
    server.server_close()
    assert [json.loads(body)["id"] for _, body in got] == [int(return_id)]
    (logged,) = box.control("calls?system=webhook")["calls"]
    assert (logged["operation"], logged["subject"], logged["outcome"]) == (
        "return.created", return_id, "204",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["duplicated", "out_of_order", "lost", "forged"])
def test_deliveries_spoilt_on_demand(box: Box, kind: str) -> None:
    subscribe(box, "return.created")
    box.control("faults", {"system": "webhook", "kind": kind, "nth": 1})
    first, second = box.open_return(), box.open_return()
    box.clock.advance(3)
    box.world.run_due()
    ids = [str(b["id"]) for _, b in told(box)]
    assert (
        ids
        == {
            "duplicated": [first, first, second],
            "out_of_order": [second, first],
            "lost": [second],
            "forged": [first, first, second],
        }[kind]
    )
    if kind == "forged":
        forged, real = box.hooks()[0], box.hooks()[1]
        assert json.loads(forged.body)["state"] == "closed"
        secret = box.brand.webhook_secret.encode()

        def good(body: bytes) -> str:
            signed = body.replace(b"/", b"\\/")
            return base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()

        assert forged.signature != good(forged.body)
        assert real.signature == good(real.body)
