"""Webhook subscriptions, and the proof that a delivery gets through."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from bergen_loop.connect.check import Check, Status
from bergen_loop.connect.faults import loop_fault
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import journal, webhooks
from bergen_loop.outside.errors import OutsideError
from bergen_loop.outside.http import Interrupted, NotSent, Sender
from bergen_loop.outside.loop.models import Subscription
from bergen_loop.outside.loop.webhooks import SIGNATURE_HEADER, WANTED, plan_subscriptions, sign
from bergen_loop.people import subscriptions

SUBSCRIPTIONS, DELIVERY = "Webhook subscriptions", "Webhook delivery"
TEST_ID = "connect-test-"
"""How the return of our own delivery begins, so that it is not taken for one of Loop's."""
_LOOK = 0.5
"""Seconds between looks for a delivery."""
NO_ADDRESS = (
    "service.public_url is not set, so Loop has no address to deliver to; polling alone works, "
    "with a delay of the brand's `poll`"
)


def check_subscriptions(
    brand: str, found: Sequence[Subscription], public_url: str, *, shipments: bool = False
) -> Check:
    """Only look: is every event we want delivered to us? `shipments`: also of consolidated ones."""
    url = subscriptions.webhook_url(public_url, brand)
    plan = plan_subscriptions(list(found), url, shipments=shipments)
    elsewhere = _elsewhere(brand, found, url)
    text = f"{len(plan.keep)} of {len(WANTED) + shipments} are in place at {url}"
    if plan.create or plan.update:
        ask = f"Run `bergen-loop connect --brand {brand}` without --check-only to make them"
        return Check(SUBSCRIPTIONS, Status.WARNING, text, ask, elsewhere)
    return _with_elsewhere(text, elsewhere)


def make_subscriptions(ctx: BrandContext, found: Sequence[Subscription], public_url: str) -> Check:
    """Make and change subscriptions so that every event we want is delivered to us."""
    try:
        done = subscriptions.ensure(ctx, public_url)
    except OutsideError as error:
        return loop_fault(SUBSCRIPTIONS, error, "Developer Tools")
    url = subscriptions.webhook_url(public_url, ctx.brand)
    text = f"{done.created} made, {done.updated} changed, {done.kept} right already, at {url}"
    return _with_elsewhere(text, _elsewhere(ctx.brand, found, url))


def _elsewhere(brand: str, found: Sequence[Subscription], url: str) -> tuple[str, ...]:
    """Those of this product at another address: a former one, or another installation."""
    path = subscriptions.webhook_url("", brand)
    return tuple(
        f"{s.id}: {s.trigger} to {s.url}" for s in found if s.url != url and s.url.endswith(path)
    )


def _with_elsewhere(text: str, elsewhere: tuple[str, ...]) -> Check:
    if not elsewhere:
        return Check(SUBSCRIPTIONS, Status.OK, text)
    return Check(
        SUBSCRIPTIONS,
        Status.WARNING,
        f"{text}; {len(elsewhere)} more lead to another installation or a former address",
        "If none of these addresses is used any more, ask the brand's Loop admin to delete them",
        elsewhere,
    )


@dataclass(frozen=True, slots=True)
class Address:
    """Where deliveries go, and what they are signed with."""

    public_url: str
    secret: str = field(repr=False)


def check_delivery(
    ledger: Ledger,
    brand: str,
    to: Address,
    http: Sender,
    *,
    wait: float,
) -> Check:
    """Wait `wait` seconds for a delivery of Loop's; without one, send ourselves one that is
    signed with the brand's secret. Says which of the two was proven.

    Loop has no call that sends a test delivery.
    """
    since, refused = datetime.now(UTC), _refused(ledger, brand)
    until = time.monotonic() + wait
    while wait > 0:
        if _delivered(ledger, brand, since):
            text = "proven by Loop itself: a delivery arrived and its signature is right"
            return Check(DELIVERY, Status.OK, text)
        if _refused(ledger, brand) > refused:
            return _wrong_secret()
        if time.monotonic() >= until:
            break
        time.sleep(_LOOK)
    return _send_ourselves(brand, to, http)


def _delivered(ledger: Ledger, brand: str, since: datetime) -> bool:
    with ledger.read() as session:
        return webhooks.came(session, brand, since, besides=TEST_ID)


def _refused(ledger: Ledger, brand: str) -> int:
    with ledger.read() as session:
        return journal.counters(session, brand).get("webhooks.refused", 0)


def _wrong_secret() -> Check:
    return Check(
        DELIVERY,
        Status.FAILED,
        "a delivery arrived, but its signature does not fit the webhook secret",
        "Ask the brand's Loop admin for the webhook secret of their Loop account, and run this "
        "again with it",
    )


def _send_ourselves(brand: str, to: Address, http: Sender) -> Check:
    url = subscriptions.webhook_url(to.public_url, brand)
    payload = {"topic": "return", "trigger": "return.updated", "id": f"{TEST_ID}{uuid4().hex[:12]}"}
    body = json.dumps(payload).encode()
    headers = {SIGNATURE_HEADER: sign(to.secret, body).decode(), "Content-Type": "application/json"}
    try:
        answer = http.send("POST", url, headers, body)
    except (NotSent, Interrupted) as error:
        return Check(
            DELIVERY,
            Status.WARNING,
            f"not proven: nothing answers at {url} ({error}). Until it does, "
            "polling alone brings returns in",
            "Start the service (`bergen-loop serve`) and run this again with --check-only. If it "
            "runs, ask Bergen's network people where service.public_url leads",
        )
    return _own_delivery(url, answer.status, answer.body.decode(errors="replace"))


def _own_delivery(url: str, status: int, text: str) -> Check:
    if status == 204:
        proven = (
            f"proven by ourselves: a delivery that we signed came through {url}. Not yet proven: "
            "that Loop signs with the same secret; its next delivery will show (a refused one is "
            "counted as webhooks.refused)"
        )
        return Check(DELIVERY, Status.OK, proven)
    if status == 401 and "wrong signature" in text:
        # The service makes no difference between the two: a stranger must not learn its brands.
        return Check(
            DELIVERY,
            Status.WARNING,
            "the running service does not know this brand yet, or has another webhook secret for "
            "it",
            "Wait some seconds until it has taken the brand up, then run `bergen-loop connect "
            "--check-only`; if it stays so, see whether it reads the same configuration and ledger",
        )
    return Check(
        DELIVERY,
        Status.FAILED,
        f"{url} answers {status}: something else than this service seems to be there",
        "Ask Bergen's network people where service.public_url leads",
    )
