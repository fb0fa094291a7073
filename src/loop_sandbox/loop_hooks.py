"""Loop's webhook subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loop_sandbox import loop_errors
from loop_sandbox.calls import Call
from loop_sandbox.model import Brand, Webhook
from loop_sandbox.webhooks import TOPICS, TRIGGERS
from loop_sandbox.wire import Answer, WireRequest, json_answer

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

_CHOICES = {"topic": TOPICS, "trigger": TRIGGERS, "status": ("active", "inactive")}


def hook_json(brand: Brand, hook: Webhook) -> dict[str, Any]:
    return {
        "id": hook.id,
        "shop_id": brand.shop_id,
        "topic": hook.topic,
        "trigger": hook.trigger,
        "url": hook.url,
        "status": hook.status,
    }


def listing(brand: Brand) -> Answer:
    return json_answer({"webhooks": [hook_json(brand, h) for h in brand.hooks.values()]})


def create(world: SandboxWorld, brand: Brand, call: Call, request: WireRequest) -> Answer:
    """A new subscription; it is inactive unless the request says active."""
    values = request.json_object() or {}
    wrong = _check(values)
    if wrong:
        return wrong
    world.hook_number += 1
    hook = Webhook(
        id=world.hook_number,
        topic=values["topic"],
        trigger=values["trigger"],
        url=values["url"],
        status=values.get("status", "inactive"),
    )
    brand.hooks[hook.id] = hook
    call.effect = f"webhook {hook.id} created"
    return json_answer(hook_json(brand, hook))


def update(brand: Brand, call: Call, request: WireRequest, hook_id: str) -> Answer:
    """Replace a subscription; a status left out stays as it was. 204 without a body."""
    hook = brand.hooks.get(int(hook_id)) if hook_id.isdigit() else None
    if hook is None:
        return loop_errors.not_found()
    values = request.json_object() or {}
    wrong = _check(values)
    if wrong:
        return wrong
    hook.topic, hook.trigger, hook.url = values["topic"], values["trigger"], values["url"]
    hook.status = values.get("status", hook.status)
    hook.failures = 0
    call.effect = f"webhook {hook.id} updated"
    return Answer(204, b"")


def delete(brand: Brand, call: Call, hook_id: str) -> Answer:
    if not hook_id.isdigit() or brand.hooks.pop(int(hook_id), None) is None:
        return loop_errors.not_found()
    call.effect = f"webhook {hook_id} deleted"
    return Answer(204, b"")


def _check(values: dict[str, Any]) -> Answer | None:
    for name, choices in _CHOICES.items():
        if name == "status" and name not in values:
            continue
        if values.get(name) not in choices:
            message = f"Must be one of the following values:{','.join(choices)}"
            return loop_errors.invalid(name, message)
    url = values.get("url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return loop_errors.invalid("url", "The url format is invalid.")
    return None
