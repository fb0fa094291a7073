"""Loop's webhook subscriptions of a brand: made to be what they should, idempotently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bergen_loop.domain.words import Need, What
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.store import attention, cursors, journal
from bergen_loop.outside.loop.webhooks import SubscriptionPlan, plan_subscriptions

EVERY = timedelta(hours=6)
"""How often they are looked at: Loop deactivates one whose deliveries keep failing."""
SUBJECT = "loop"
_LOOKED = "webhooks.looked"


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
    return _carry_out(ctx, url, _plan(ctx, url))


def _plan(ctx: BrandContext, url: str) -> SubscriptionPlan:
    shipments = ctx.settings.loop.happy_returns
    return plan_subscriptions(ctx.loop.webhooks(), url, shipments=shipments)


def due(session: Session, brand: str, now: datetime) -> bool:
    """Whether it is time to look at a brand's subscriptions again."""
    looked = cursors.get(session, brand, _LOOKED)
    return looked is None or now - looked >= EVERY


def look(ctx: BrandContext, public_url: str) -> Subscribed:
    """Look whether Loop still delivers, and have it do so again: one list call where all is
    well. People are told where Loop had given a subscription up, until a later look finds
    that they stayed active. OutsideError where Loop does not answer or refuses: it is looked
    again soon."""
    url = webhook_url(public_url, ctx.brand)
    plan = _plan(ctx, url)
    given_up = sorted(wanted.trigger for old, wanted in plan.update if old.url == url)
    if given_up:
        _tell(ctx, url, given_up, "")
    done = _carry_out(ctx, url, plan)
    if given_up:
        _tell(ctx, url, given_up, f"set active again at {ctx.now():%Y-%m-%d %H:%M} UTC")
    with ctx.ledger.write() as session:
        cursors.set(session, ctx.brand, _LOOKED, ctx.now())
        if not (done.created or done.updated):
            attention.resolve_kinds(
                session, ctx.now(), brand=ctx.brand, about=[(Need.WEBHOOKS, SUBJECT)],
                resolution="they have stayed active",
            )  # fmt: skip
    return done


def _tell(ctx: BrandContext, url: str, triggers: Sequence[str], tried: str) -> None:
    reason = (
        f"Loop had deactivated {len(triggers)} of the brand's webhooks ({', '.join(triggers)}). It "
        "does so after more than 10 deliveries in a row that were not answered with 2xx: look "
        f"whether {url} can be reached from the internet, and whether loop.webhook_secret is "
        "Loop's. Nothing is lost meanwhile, the regular sync finds it later"
    )
    with ctx.ledger.write() as session:
        attention.raise_item(
            session,
            ctx.now(),
            attention.Matter(
                brand=ctx.brand, kind=Need.WEBHOOKS, about=SUBJECT, reason=reason, tried=tried
            ),
        )


def _carry_out(ctx: BrandContext, url: str, plan: SubscriptionPlan) -> Subscribed:
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
                journal.Entry(
                    What.WEBHOOKS_SUBSCRIBED,
                    f"{result.created} made, {result.updated} changed, {result.kept} kept",
                    brand=ctx.brand,
                    data={"url": url},
                ),
            )
    return result
