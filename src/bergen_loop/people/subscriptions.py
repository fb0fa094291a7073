"""Loop's webhook subscriptions of a brand: made to be what they should, idempotently."""

from __future__ import annotations

from dataclasses import dataclass

from bergen_loop.domain.words import What
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import journal
from bergen_loop.outside.loop.webhooks import plan_subscriptions


@dataclass(frozen=True, slots=True)
class Subscribed:
    """How many subscriptions were made, changed, and right already."""

    created: int
    updated: int
    kept: int


def webhook_url(public_url: str, brand: str) -> str:
    """Where Loop sends a brand's webhooks."""
    return f"{public_url.rstrip('/')}/webhooks/loop/{brand}"


def ensure(ctx: BrandContext, public_url: str) -> Subscribed:
    """Have every topic we use delivered to this service. OutsideError where Loop refuses."""
    url = webhook_url(public_url, ctx.brand)
    plan = plan_subscriptions(ctx.loop.webhooks(), url)
    for wanted in plan.create:
        ctx.loop.create_webhook(wanted.topic, wanted.trigger, wanted.url, wanted.status)
    for old, wanted in plan.update:
        ctx.loop.update_webhook(old.id, wanted.topic, wanted.trigger, wanted.url, wanted.status)
    result = Subscribed(len(plan.create), len(plan.update), len(plan.keep))
    if result.created or result.updated:
        with ctx.ledger.write() as session:
            journal.record(
                session,
                ctx.now(),
                What.WEBHOOKS_SUBSCRIBED,
                f"{result.created} made, {result.updated} changed, {result.kept} kept",
                brand=ctx.brand,
                data={"url": url},
            )
    return result
