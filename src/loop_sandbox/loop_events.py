"""What happens to a return in Loop, by whomever: state changes, labels, edits, and the webhooks
that tell of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loop_sandbox import loop_json, seed
from loop_sandbox.calls import Call
from loop_sandbox.faults import WEBHOOK
from loop_sandbox.model import CLOSED, OPEN, Brand, LoopReturn, Shipment, Webhook
from loop_sandbox.webhooks import delivery

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld


def emit(world: SandboxWorld, r: LoopReturn, trigger: str, message: str | None = None) -> None:
    """Send a trigger to every active webhook of the brand that listens for it."""
    brand = world.brands[r.brand]
    for hook in brand.hooks.values():
        if hook.status == "active" and hook.trigger == trigger:
            payload = _payload(world, brand, r, hook.topic, trigger, message)
            _dispatch(world, brand, hook, r.id, payload)


def emit_shipment(world: SandboxWorld, brand: Brand, shipment: Shipment) -> None:
    """Tell that a consolidated shipment has left the hub."""
    for hook in brand.hooks.values():
        if hook.status == "active" and hook.trigger == "shipment.processed":
            _dispatch(world, brand, hook, shipment.happy_id, loop_json.hook_shipment(shipment))


def _payload(
    world: SandboxWorld, brand: Brand, r: LoopReturn, topic: str, trigger: str, message: str | None
) -> dict[str, Any]:
    if topic == "return.processing":
        return loop_json.hook_processing_failed(r, message, "warehouse")
    if topic == "label":
        return loop_json.hook_label(brand, r, trigger, world.settings)
    return loop_json.hook_return(brand, r, trigger, world.settings)


def _dispatch(
    world: SandboxWorld, brand: Brand, hook: Webhook, subject: str, payload: dict[str, Any]
) -> None:
    """Queue a delivery, spoilt as the fault plan wants it."""
    form = world.settings.webhook_signature
    item = delivery(brand, hook, subject, payload, brand.webhook_secret, form)
    rule = world.faults.pick(
        WEBHOOK, system="webhook", operation=item.trigger, brand=brand.slug, subject=subject
    )
    kind = rule.kind if rule else ""
    delay = world.settings.webhook_delay_seconds
    if kind == "webhook_lost":
        world.log(Call("webhook", item.trigger, brand.slug, subject, "lost", kind))
        return
    if kind == "webhook_out_of_order":
        delay += rule.seconds if rule and rule.seconds is not None else 2.0
    if kind == "webhook_forged":
        forged = {**payload, "state": "closed"}
        fake = delivery(brand, hook, subject, forged, "not-the-secret", form)
        world.send_later(delay, fake, "webhook_forged")
    world.send_later(delay, item, kind if kind != "webhook_forged" else None)
    if kind == "webhook_duplicated":
        world.send_later(delay, item, kind)


def change_state(world: SandboxWorld, r: LoopReturn, state: str) -> None:
    """Set a state and tell; a closing is told as return.closed too."""
    r.state = state
    world.touch(r)
    if state == CLOSED:
        r.closed_at = r.updated_at
        r.restocked = world.settings.names_brand("auto_restock_brands", r.brand)
        emit(world, r, "return.closed")
    else:
        r.closed_at = None
    emit(world, r, "return.updated")


def add_label(world: SandboxWorld, r: LoopReturn) -> None:
    """The label that was not there at the start. Some leave the return's updated_at as it was,
    so that nothing but the webhook tells."""
    if r.label is not None:
        return
    silent = world.dice("silent", r.id).chance(world.settings.silent_label_share)
    if not silent:
        world.touch(r)
    r.label = seed.make_label(r, world.dice("label-of", r.id), world.loop_now())
    split_label(world, r)
    emit(world, r, "label.created")
    if not silent:
        emit(world, r, "return.updated")
    scanned(world, r)


def split_label(world: SandboxWorld, r: LoopReturn) -> None:
    """Let some returns travel with two labels."""
    share = world.settings.two_label_share
    if share > 0 and len(r.lines) > 1 and world.dice("two-labels", r.id).chance(share):
        seed.split_label(r, world.dice("second-label", r.id))


def update_label(world: SandboxWorld, r: LoopReturn, status: str) -> None:
    """The carrier reports; without a label there is nothing to report on."""
    if r.label is None:
        add_label(world, r)
    if r.label is not None:
        world.touch(r)
        for label in r.labels():
            label.status = status
            label.updated_at = r.updated_at
        emit(world, r, "label.updated")
        scanned(world, r)


CARRIED = ("new", "pre_transit", "in_transit", "out_for_delivery", "delivered")
"""A label's statuses on its way."""


def scanned(world: SandboxWorld, r: LoopReturn) -> None:
    """What follows from a label's status: the shop's automatic processing, the carrier's next
    step."""
    if r.label is None or r.label.status not in CARRIED:
        return
    at = CARRIED.index(r.label.status)
    automatic = world.settings.names_brand("auto_process_brands", r.brand)
    if automatic and r.state == OPEN and at >= CARRIED.index("in_transit"):
        process_by_loop(world, r)
    if world.settings.carrier_seconds > 0 and at + 1 < len(CARRIED):
        before, after = CARRIED[at], CARRIED[at + 1]

        def go_on() -> None:
            if r.label and r.label.status == before:
                update_label(world, r, after)

        world.later(world.settings.carrier_seconds, go_on)


def process_by_loop(world: SandboxWorld, r: LoopReturn) -> None:
    """Loop processes an open return by itself: money moves without any call."""
    if r.state != OPEN:
        return
    r.effects.processed_by_loop += 1
    effect = "money moved by Loop itself"
    world.log(Call("loop", "processed by Loop", r.brand, r.id, "closed", effect=effect))
    change_state(world, r, CLOSED)


def edit(world: SandboxWorld, r: LoopReturn, *, add: int = 1, remove: int = 0) -> None:
    """The merchant changes the lines. ValueError when no line would be left, or over nine."""
    if not 1 <= len(r.lines) - remove + add <= 9 or min(add, remove) < 0:
        raise ValueError(f"return {r.id} has {len(r.lines)} lines; it can have 1 to 9")
    brand = world.brands[r.brand]
    next_id = max(line.id for line in r.lines) + 1
    if next_id + add - 1 > (next_id - 1) // 10 * 10 + 9:
        raise ValueError(f"return {r.id} has been edited too often; make another")
    for line in r.lines[len(r.lines) - remove :]:
        del brand.lines[line.id]
    r.lines = r.lines[: len(r.lines) - remove]
    for line_id in range(next_id, next_id + add):
        line = seed.make_line(brand, world.dice("edit", line_id), line_id)
        r.lines.append(line)
        brand.lines[line_id] = (r.id, line)
    world.touch(r)
    r.edited_at = r.updated_at
    emit(world, r, "return.updated")
