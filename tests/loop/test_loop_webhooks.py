"""Webhooks: signature, payload, subscriptions."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_api import raw_return

from bergen_loop.domain.returns import LoopState
from bergen_loop.outside.errors import Unreadable
from bergen_loop.outside.loop import Subscription
from bergen_loop.outside.loop.requests import WebhookSettings
from bergen_loop.outside.loop.webhooks import (
    WANTED,
    WebhookEvent,
    canonical_form,
    desired_subscriptions,
    parse_event,
    plan_subscriptions,
    verify,
)

SECRET = "shhh"
BODY = b'{"topic":"return","url":"https://a/b"}'
# printf '%s' '{"topic":"return","url":"https://a/b"}' | openssl dgst -sha256 -hmac shhh -binary \
#   | openssl base64
FIXED = "YBa3Sb6S9sTn8lWNBJGZ9tXafP+vXEHxWTW1VXLD4Cw="
URL = "https://hooks.example/loop/acme"


def sign(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def test_a_signature_made_elsewhere() -> None:
    assert verify(SECRET, BODY, FIXED)
    assert verify(SECRET, BODY, f" {FIXED} ")


def test_the_canonical_form_of_the_docs() -> None:
    pretty = b'{\r\n "url": "https://a/b",\n "done": "c\\/d"\n}'
    signed = b'{ "url": "https:\\/\\/a\\/b", "done": "c\\/d"}'
    assert canonical_form(pretty) == signed
    assert json.loads(canonical_form(pretty)) == json.loads(pretty)
    assert verify(SECRET, pretty, sign(signed))
    assert verify(SECRET, pretty, sign(pretty))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        " ",
        "x",
        "not base64 !",
        "ключ",
        FIXED[:-1],
        FIXED.lower(),
        FIXED + FIXED,
        sign(BODY, "other"),
        sign(BODY + b" "),
        hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest(),
        "\ud800",
    ],
)
def test_a_wrong_signature(header: str | None) -> None:
    assert not verify(SECRET, BODY, header)


def test_an_empty_secret_verifies_nothing() -> None:
    assert not verify("", BODY, sign(BODY, ""))


@given(st.binary(max_size=60), st.integers(0, 59), st.integers(1, 255))
def test_a_body_changed_by_one_byte_fails(body: bytes, at: int, flip: int) -> None:
    header = sign(body)
    assert verify(SECRET, body, header)
    if at < len(body):
        tampered = body[:at] + bytes([body[at] ^ flip]) + body[at + 1 :]
        same_canonical = canonical_form(tampered) == body
        assert verify(SECRET, tampered, header) == same_canonical


@given(st.binary(), st.text() | st.none())
def test_verify_never_raises(body: bytes, header: str | None) -> None:
    assert verify(SECRET, body, header) is False


def event(**fields: Any) -> WebhookEvent:
    return parse_event(json.dumps(fields).encode())


def test_a_return_event() -> None:
    raw = raw_return(state="needs review") | {
        "topic": "return",
        "trigger": "return.updated",
        "shop_id": 12,
    }
    assert parse_event(json.dumps(raw).encode()) == WebhookEvent(
        topic="return",
        trigger="return.updated",
        return_id="77",
        state=LoopState.REVIEW,
        shop_id="12",
        processing_message=None,
        source=None,
        loop_shipment_id=None,
        happy_returns_shipment_id=None,
        raw=raw,
    )


def test_a_processing_event() -> None:
    raw = {
        "topic": "return.processing",
        "trigger": "return.processing.failed",
        "id": "evt-1",
        "return_id": 77,
        "return_state": "open",
        "message": "Refund failed",
        "source": "api",
    }
    assert event(**raw) == WebhookEvent(
        topic="return.processing",
        trigger="return.processing.failed",
        return_id="77",
        state=LoopState.OPEN,
        shop_id=None,
        processing_message="Refund failed",
        source="api",
        loop_shipment_id=None,
        happy_returns_shipment_id=None,
        raw=raw,
    )


def test_the_return_of_a_label_stands_in_either_field() -> None:
    assert event(topic="label", trigger="label.created", id=77).return_id == "77"
    assert event(topic="label", trigger="label.created", id=5, return_id="77").return_id == "77"
    assert event(trigger="label.updated", return_id="77").return_id == "77"
    assert event(trigger="return.closed", id="77").return_id == "77"
    assert event(topic="restock", trigger="restock.requested", id="77").return_id is None


def test_a_consolidated_shipment_of_happy_returns() -> None:
    found = event(
        topic="happy.returns.shipment",
        trigger="shipment.processed",
        loop_shipment_id=12,
        happy_returns_shipment_id="hr-9",
    )
    assert (found.loop_shipment_id, found.happy_returns_shipment_id) == ("12", "hr-9")
    assert found.return_id is None


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe{", "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b"[]", "an array of 0, not an object"),
        (b"true", "true, not an object"),
        (b'{"id": "77"}', "neither topic nor trigger"),
    ],
)
def test_unreadable_events_keep_the_body(raw: bytes, says: str) -> None:
    with pytest.raises(Unreadable, match=says) as caught:
        parse_event(raw, brand="acme")
    assert caught.value.raw == raw.decode("utf-8", errors="replace")
    assert (caught.value.brand, caught.value.call) == ("acme", "webhook")


@given(st.binary() | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(json.dumps))
def test_parsing_an_event_raises_nothing_else(raw: bytes | str) -> None:
    with pytest.raises(Unreadable):
        parse_event(raw.encode() if isinstance(raw, str) else raw)


def subscription(number: int, pair: tuple[str, str], url: str = URL, status: str = "active") -> Any:
    return Subscription(str(number), *pair, url=url, status=status, raw={})


def test_what_is_wanted() -> None:
    assert desired_subscriptions(URL) == [
        ("return", "return.created"),
        ("return", "return.updated"),
        ("return", "return.closed"),
        ("label", "label.created"),
        ("label", "label.updated"),
        ("return.processing", "return.processing.failed"),
    ]


@pytest.mark.parametrize("url", ["", "hooks.example", "ftp://x/y", "https://", "https://a/b#c"])
def test_a_url_loop_cannot_deliver_to(url: str) -> None:
    with pytest.raises(ValueError, match="must be absolute"):
        plan_subscriptions([], url)


def test_all_is_created_where_nothing_is() -> None:
    create, update, keep = plan_subscriptions([], URL)
    assert create == [WebhookSettings(topic, trigger, URL) for topic, trigger in WANTED]
    assert (update, keep) == ([], [])


def test_a_plan_for_a_mixture() -> None:
    kept = subscription(1, WANTED[0])
    sleeping = subscription(2, WANTED[1], status="inactive")
    moved = subscription(3, WANTED[2], url="https://old.example/loop")
    others = [
        subscription(4, WANTED[3], url="https://other.example"),
        subscription(5, ("giftcard", "giftcard.created")),
        subscription(6, WANTED[0], status="inactive"),
    ]
    existing = [others[2], kept, sleeping, moved, *others]
    plan = plan_subscriptions(existing, URL, ["https://old.example/loop"])
    assert plan.keep == [kept]
    assert plan.update == [
        (sleeping, WebhookSettings(*WANTED[1], URL)),
        (moved, WebhookSettings(*WANTED[2], URL)),
    ]
    assert plan.create == [WebhookSettings(*pair, URL) for pair in WANTED[3:]]


@given(
    st.lists(
        st.builds(
            subscription,
            st.integers(1, 9),
            st.sampled_from([*WANTED, ("giftcard", "x")]),
            st.sampled_from([URL, "https://old", "https://other"]),
            st.sampled_from(["active", "inactive", "Active", ""]),
        ),
        max_size=9,
        unique_by=lambda x: x.id,
    )
)
def test_a_plan_carried_out_leaves_nothing_to_do(existing: list[Subscription]) -> None:
    plan = plan_subscriptions(existing, URL, ["https://old"])
    state = {x.id: x for x in existing}
    changes = [(x.id, settings) for x, settings in plan.update]
    changes += [(f"new {n}", settings) for n, settings in enumerate(plan.create)]
    for new_id, s in changes:
        state[new_id] = Subscription(new_id, s.topic, s.trigger, s.url, s.status, {})
    create, update, keep = plan_subscriptions(list(state.values()), URL, ["https://old"])
    assert (create, update, len(keep)) == ([], [], len(WANTED))
    assert all(state[x.id] == x for x in existing if x.url == "https://other")
