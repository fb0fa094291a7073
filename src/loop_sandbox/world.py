"""The sandbox's world: brands with both their accounts, time, chance, faults and the log.

Everything that touches it holds `lock`. With the same seed and the same calls it behaves the
same, whatever the order of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from loop_sandbox import catalogue, loop_events, loop_json, seed
from loop_sandbox.calls import Call, CallLog
from loop_sandbox.clock import Clock, SystemClock
from loop_sandbox.dice import Dice
from loop_sandbox.faults import FaultPlan
from loop_sandbox.model import OPEN, REVIEW, Brand, LoopReturn, Product, RexProduct, Webhook
from loop_sandbox.rex_time import wall_time
from loop_sandbox.scheduler import Scheduler
from loop_sandbox.settings import Settings
from loop_sandbox.webhooks import (
    Delivery,
    Sender,
    WebhookQueue,
    retry_wait,
    send_http,
    taken,
)


class SandboxWorld:
    """A Loop and a REX11 in memory."""

    def __init__(
        self,
        seed: int = 7,
        returns_per_brand: int = 80,
        *,
        clock: Clock | None = None,
        settings: Settings | None = None,
        sender: Sender = send_http,
    ) -> None:
        self.seed = seed
        self.clock = clock or SystemClock()
        self.settings = settings or Settings()
        self.lock = threading.RLock()
        self.calls = CallLog()
        self.faults = FaultPlan(seed)
        self.scheduler = Scheduler()
        self.webhooks = WebhookQueue(self._report_delivery, sender)
        self.rate_windows: dict[str, tuple[float, int]] = {}
        self.tokens: dict[str, tuple[str, float]] = {}
        self.floor_keys: dict[str, str] = {}
        """Countings taken on the floor page: key -> ticket."""
        self.ticket_number = 1_044_587
        self.hook_number = 12_000
        self.note_number = 800_000
        made = catalogue.make_brands(seed, self.settings.default_warehouse)
        self.brands: dict[str, Brand] = {b.slug: b for b in made}
        for brand in made:
            self._stock_rex11(brand)
            self._seed_returns(brand, returns_per_brand)

    # Time

    def now(self) -> float:
        """Epoch seconds of the true time; schedules and limits run on it."""
        return self.clock.now().timestamp()

    def loop_now(self) -> int:
        """Epoch seconds as Loop's servers have it."""
        return int(self.now() + self.settings.loop_skew_seconds)

    def rex_now(self) -> datetime:
        """Wall time as REX11's server has it."""
        return wall_time(self.clock.now() + timedelta(seconds=self.settings.rex11_skew_seconds))

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self.scheduler.at(self.now() + seconds, action)

    def run_due(self) -> int:
        """Let everything happen that is due by now."""
        with self.lock:
            return self.scheduler.run_due(self.now())

    def dice(self, *parts: object) -> Dice:
        return Dice(self.seed, *parts)

    def log(self, call: Call) -> None:
        with self.lock:
            self.calls.add(call, self.clock.now())

    def close(self) -> None:
        """End the background thread."""
        self.webhooks.stop()

    # Loop's data

    def brand(self, slug: str) -> Brand:
        """KeyError with a sentence when there is none."""
        if slug not in self.brands:
            raise KeyError(f"no brand {slug!r}; there are: {', '.join(self.brands)}")
        return self.brands[slug]

    def find_return(self, return_id: str) -> LoopReturn | None:
        """A return of any brand."""
        return next((b.returns[return_id] for b in self.brands.values() if return_id in b.returns),
                    None)  # fmt: skip

    def touch(self, r: LoopReturn) -> None:
        """Loop changed the return just now."""
        now = self.loop_now()
        self.brands[r.brand].by_updated.move(r.updated_at, now, r.id)
        r.updated_at = now

    def new_return(
        self,
        brand: str,
        *,
        units: int | None = None,
        outcome: str | None = None,
        late_label: bool | None = None,
        no_parcel: bool | None = False,
        held: bool | None = None,
        method: str | None = None,
    ) -> LoopReturn:
        """A customer submits a return now: it is in the lists, and return.created is sent.
        `held` puts it into review from the start (None: by the setting's share), `method` makes
        return_method an object of that method_type (or of Happy Returns: `happy_returns`)."""
        with self.lock:
            home = self.brand(brand)
            home.made += 1
            dice = self.dice("return", brand, home.made)
            share = self.settings.late_label_share
            late = dice.chance(share) if late_label is None else late_label
            made = seed.make_return(
                home,
                dice,
                number=home.made,
                created_at=self.loop_now(),
                units=units,
                outcome=outcome,
                late_label=late,
                no_parcel=no_parcel,
            )
            if method is not None:
                self._choose_method(made, method)
            self._dress(made, held)
            self._register(home, made)
            home.by_created.add(made.created_at, made.id)
            home.by_updated.add(made.updated_at, made.id)
            loop_events.emit(self, made, "return.created")
            if late and not self._has_no_label(made):
                self.later(
                    self.settings.label_delay_seconds, lambda: loop_events.add_label(self, made)
                )
            self._watch_label(made)
            return made

    def _choose_method(self, r: LoopReturn, method: str) -> None:
        happy = method == "happy_returns"
        provider, how = ("happy_returns", "dropoff") if happy else ("loop", method)
        r.return_method = seed.method_object(r, provider, how)
        if self._has_no_label(r):
            r.label = None
        if happy:
            r.package_reference = None
            wait = self.settings.happy_returns_seconds
            self.later(wait, lambda: loop_events.process_by_loop(self, r))

    def _has_no_label(self, r: LoopReturn) -> bool:
        """Box-free drop-offs travel without a label, and so does what never travels."""
        method: Any = r.return_method
        happy = isinstance(method, dict) and "happy_returns" in method.values()
        return happy or loop_json.keeps_item(r)

    def _dress(self, r: LoopReturn, held: bool | None) -> None:
        """What the real Loop adds to a return, as far as the settings want it."""
        if self.settings.method_objects:
            r.return_method = seed.real_method(r)
            if loop_json.keeps_item(r):
                r.label = None
        loop_events.split_label(self, r)
        share = self.settings.review_held_share if r.country_code != "US" else 0.0
        if held is None:
            held = share > 0 and self.dice("held", r.id).chance(share)
        if held and r.state == OPEN:
            r.state = REVIEW
            if self.settings.review_held_seconds > 0:
                self.later(self.settings.review_held_seconds, lambda: self._let_go(r))

    def _watch_label(self, r: LoopReturn) -> None:
        """Let what hangs on the carrier's scans happen, once the return is there."""
        if r.label and (self.settings.auto_process_brands or self.settings.carrier_seconds):
            self.later(0, lambda: loop_events.scanned(self, r))

    def _let_go(self, r: LoopReturn) -> None:
        """The merchant lets a return go that was in review from its submission on."""
        if r.state == REVIEW and not r.effects.flags:
            loop_events.change_state(self, r, OPEN)

    # The start

    def _seed_returns(self, brand: Brand, count: int) -> None:
        now = self.loop_now()
        for number in range(1, count + 1):
            dice = self.dice("return", brand.slug, number)
            created = now - seed.DAY // 24 - int(dice.roll() * seed.WEEKS)
            state = dice.weighted(seed.STATE_MIX)
            late = state == OPEN and dice.chance(0.05)
            made = seed.make_return(
                brand,
                dice,
                number=number,
                created_at=created,
                state=state,
                late_label=late,
            )
            self._dress(made, None)
            if state != OPEN:
                made.updated_at = min(now, created + int(dice.between(3600, 10 * seed.DAY)))
                made.closed_at = made.updated_at if state == "closed" else None
            self._register(brand, made)
            if late and not self._has_no_label(made):
                self._plan_late_label(made)
            self._watch_label(made)
        brand.made = count
        brand.by_created.add_many((r.created_at, r.id) for r in brand.returns.values())
        brand.by_updated.add_many((r.updated_at, r.id) for r in brand.returns.values())

    def _plan_late_label(self, r: LoopReturn) -> None:
        delay = self.settings.label_delay_seconds * (1 + self.dice("label", r.id).roll())
        self.later(delay, lambda: loop_events.add_label(self, r))

    def _register(self, brand: Brand, r: LoopReturn) -> None:
        brand.returns[r.id] = r
        brand.orders.setdefault(str(r.order_id), []).append(r.id)
        brand.orders.setdefault(r.order_name, []).append(r.id)
        for line in r.lines:
            brand.lines[line.id] = (r.id, line)

    def _stock_rex11(self, brand: Brand) -> None:
        unknown = catalogue.unknown_to_rex11(brand.catalogue)
        for product in brand.catalogue:
            if product not in unknown:
                own = self.settings.rex11_own_words
                values = rex_values(product, brand.prefix if own else "")
                brand.rex_products[product.upc] = RexProduct(product.sku, values)

    def send_later(self, seconds: float, item: Delivery, fault: str | None) -> None:
        """Queue a webhook, after a delay if there is one."""
        if fault:
            self.log(Call("webhook", item.trigger, item.brand, item.subject, "planned", fault))
        if seconds > 0:
            self.later(seconds, lambda: self.webhooks.put(item))
        else:
            self.webhooks.put(item)

    def _report_delivery(self, item: Delivery, outcome: str) -> None:
        with self.lock:
            self.log(Call("webhook", item.trigger, item.brand, item.subject, outcome))
            brand = self.brands.get(item.brand)
            hook = brand.hooks.get(item.hook) if brand else None
            if hook is None or taken(outcome):
                if hook:
                    hook.failures = 0
                return
            hook.failures += 1
            most = self.settings.webhook_give_up_after
            if 0 < most < hook.failures and hook.status == "active":
                hook.status = "inactive"
                effect = f"webhook {hook.id} deactivated"
                self.log(Call("webhook", "deactivated", item.brand, item.subject, effect=effect))
            elif item.attempt <= self.settings.webhook_retries:
                wait = retry_wait(outcome, self.settings.webhook_retry_seconds, item.attempt)
                self.later(wait, lambda: self._retry(hook, item))

    def _retry(self, hook: Webhook, item: Delivery) -> None:
        if hook.status == "active":
            self.webhooks.put(replace(item, attempt=item.attempt + 1))


def rex_values(product: Product, prefix: str = "") -> dict[str, str]:
    """A product of the catalogue as StyleMasterProduct elements. With a prefix its style and
    color are not the shop's words."""
    color = product.color
    return {
        "Style": f"{prefix}-{product.style}" if prefix else product.style,
        "Color": f"{color[:3].upper()} {color}" if prefix else color,
        "Size": product.size,
        "UPC": product.upc,
        "Price": f"{product.price / 100:.2f}",
        "Description": product.title,
        "Sku": product.sku,
    }
