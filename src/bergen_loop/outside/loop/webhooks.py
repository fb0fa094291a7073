"""Loop's webhooks: is it Loop's, what does it say, and which subscriptions are wanted. Pure.

A webhook only makes things faster: it may be late, repeated, out of order or lost.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bergen_loop.domain.returns import PROCESSING_FAILED, LoopState
from bergen_loop.outside.errors import Unreadable
from bergen_loop.outside.loop.json_values import as_object, as_text, brief, loads
from bergen_loop.outside.loop.models import Subscription, parse_state
from bergen_loop.outside.loop.requests import WebhookSettings

SIGNATURE_HEADER = "X-Loop-Signature"
WANTED = (
    ("return", "return.created"),
    ("return", "return.updated"),
    ("return", "return.closed"),
    ("label", "label.created"),
    ("label", "label.updated"),
    ("return.processing", PROCESSING_FAILED),
)
"""(topic, trigger) of the events that make the integration faster."""

SHIPMENT = ("happy.returns.shipment", "shipment.processed")
"""Of the event of brands with Happy Returns: no list shows a consolidated shipment."""

URGENT = frozenset(
    {"return.created", "label.created", "label.updated", PROCESSING_FAILED, SHIPMENT[1]}
)
"""Triggers for which a brand is synced soon; what the others tell, the next poll shows in time."""

_BY_ID = ("return", "label")
_TRIGGERS_BY_ID = tuple(trigger for topic, trigger in WANTED if topic in _BY_ID)
_BARE_SLASH = re.compile(rb"(?<!\\)/")


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """What a webhook says. A hint to look, never a proof: read the return before acting."""

    topic: str | None
    trigger: str | None
    return_id: str | None
    """None where the payload does not clearly name a return."""
    state: LoopState | None
    shop_id: str | None
    processing_message: str | None
    """Why processing failed, where it did."""
    source: str | None
    """Who asked for the processing that failed: warehouse, admin, api."""
    loop_shipment_id: str | None
    """For happy.returns.shipment: what its items are asked for by."""
    happy_returns_shipment_id: str | None
    raw: dict[str, Any]


def verify(secret: str, raw_body: bytes, signature_header: str | None) -> bool:
    """Whether the header is base64(HMAC-SHA256(secret, body)), over the body as it came or in
    the form Loop's docs describe (slashes escaped, newlines removed). Never raises; False for
    an empty secret, with which anyone could sign."""
    if not secret or not signature_header:
        return False
    given = signature_header.strip().encode("ascii", errors="replace")
    as_it_came = hmac.compare_digest(sign(secret, raw_body), given)
    canonical = hmac.compare_digest(sign(secret, canonical_form(raw_body)), given)
    return as_it_came or canonical


def canonical_form(raw_body: bytes) -> bytes:
    """The JSON with slashes escaped and newlines removed."""
    joined = raw_body.replace(b"\r", b"").replace(b"\n", b"")
    return _BARE_SLASH.sub(rb"\\/", joined)


def sign(secret: str, body: bytes) -> bytes:
    """base64(HMAC-SHA256(secret, body)), the body as it stands."""
    key = secret.encode(errors="surrogatepass")
    return base64.b64encode(hmac.new(key, body, hashlib.sha256).digest())


def parse_event(raw: bytes, *, brand: str = "?") -> WebhookEvent:
    """Read a webhook's body. Unreadable if it is not JSON, no object, or says neither a
    topic nor a trigger."""
    text = raw.decode("utf-8-sig", errors="replace")
    try:
        body = loads(raw)
    except ValueError as exc:
        raise _unreadable(brand, f"the body is not JSON ({exc})", text) from exc
    fields = as_object(body)
    if fields is None:
        raise _unreadable(brand, f"the body is {brief(body)}, not an object", text)
    topic, trigger = as_text(fields.get("topic")), as_text(fields.get("trigger"))
    if topic is None and trigger is None:
        raise _unreadable(brand, "the body has neither topic nor trigger", text)
    state = fields.get("return_state") if "return_state" in fields else fields.get("state")
    return WebhookEvent(
        topic=topic,
        trigger=trigger,
        return_id=_return_id(topic, trigger, fields),
        state=parse_state(state),
        shop_id=as_text(fields.get("shop_id")),
        processing_message=as_text(fields.get("message")),
        source=as_text(fields.get("source")),
        loop_shipment_id=as_text(fields.get("loop_shipment_id")),
        happy_returns_shipment_id=as_text(fields.get("happy_returns_shipment_id")),
        raw=fields,
    )


def _return_id(topic: str | None, trigger: str | None, fields: dict[str, Any]) -> str | None:
    """`return_id`, else the `id` of the events of returns and labels (a label's page of the docs
    has either): elsewhere `id` may be something else's."""
    named = as_text(fields.get("return_id"))
    by_id = topic in _BY_ID or (topic is None and trigger in _TRIGGERS_BY_ID)
    return named or (as_text(fields.get("id")) if by_id else None)


def _unreadable(brand: str, message: str, raw: str) -> Unreadable:
    return Unreadable(message, system="Loop", brand=brand, call="webhook", raw=raw)


def desired_subscriptions(url: str, *, shipments: bool = False) -> list[tuple[str, str]]:
    """(topic, trigger) of each subscription wanted at `url`; `shipments`: also of consolidated
    ones. ValueError if Loop could not deliver there."""
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.fragment:
        raise ValueError("the webhook URL must be absolute, such as https://host/webhooks/loop/x")
    return [*WANTED, *([SHIPMENT] if shipments else [])]


class SubscriptionPlan(NamedTuple):
    """What to do so that every wanted event is delivered. `update` pairs a subscription as it
    is with the settings it should have."""

    create: list[WebhookSettings]
    update: list[tuple[Subscription, WebhookSettings]]
    keep: list[Subscription]


def plan_subscriptions(
    existing: Sequence[Subscription],
    desired_url: str,
    former_urls: Collection[str] = (),
    *,
    shipments: bool = False,
) -> SubscriptionPlan:
    """Compare what is with what is wanted. Idempotent: once carried out, all is in `keep`.

    A subscription is taken for ours only by its URL, the desired or a former one: others
    belong to the brand's other integrations and are left alone.
    """
    plan = SubscriptionPlan([], [], [])
    for topic, trigger in desired_subscriptions(desired_url, shipments=shipments):
        wanted = WebhookSettings(topic, trigger, desired_url)
        same = [x for x in existing if (x.topic, x.trigger) == (topic, trigger)]
        here = [x for x in same if x.url == desired_url]
        active = next((x for x in here if x.active), None)
        moved = [x for x in same if x.url in former_urls]
        stale = next(iter(here + moved), None)
        if active:
            plan.keep.append(active)
        elif stale:
            plan.update.append((stale, wanted))
        else:
            plan.create.append(wanted)
    return plan
