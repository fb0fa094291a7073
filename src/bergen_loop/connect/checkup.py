"""All checks of one brand, in order; later ones use what earlier ones found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bergen_loop.config import BrandSettings, ConfigError
from bergen_loop.config.criteria import criteria as brand_criteria
from bergen_loop.connect import (
    clock,
    loop_checks,
    rex11_checks,
    shipment_checks,
    webhook_checks,
)
from bergen_loop.connect.check import Check, Status, skipped
from bergen_loop.connect.loop_checks import Recent
from bergen_loop.domain.criteria import warnings
from bergen_loop.ledger.database import Ledger
from bergen_loop.outside.http import Around, Retries, Sender, SlidingWindowLimiter, Timeouts
from bergen_loop.outside.loop.client import LoopClient
from bergen_loop.outside.loop.models import Subscription
from bergen_loop.outside.warehouse.rex11 import Rex11Warehouse
from bergen_loop.service import wiring as brands

CRITERIA, SETTINGS = "Receipt criteria", "Settings"
Step = tuple[str, Callable[[], Check]]
"""What is checked, and the check."""

# A person waits: one repeat is enough to tell a hiccup from a wrong address.
_RETRIES = Retries(
    attempts=2, rate_limited=2, first_wait=0.2, first_wait_limited=0.5, longest_wait=5.0
)


def _plain() -> Sender:
    return Sender(Timeouts(read=10.0, answer=20.0), max_bytes=1_000_000)


@dataclass(slots=True)
class Checkup:
    """The checks of a brand's settings."""

    brand: str
    settings: BrandSettings
    folder: Path
    """Where relative paths of the settings start."""
    http: Sender = field(default_factory=_plain)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    recent: Recent = field(default_factory=Recent)
    subscriptions: list[Subscription] = field(default_factory=list[Subscription])
    done: dict[str, Check] = field(default_factory=dict[str, Check])

    def loop_steps(self) -> Iterator[Step]:
        """Is the Loop key good?"""
        loop = self._loop()
        if isinstance(loop, Check):
            yield self._step(SETTINGS, lambda: loop)
            return
        yield self._step(loop_checks.KEY, lambda: loop_checks.check_key(loop, self.now()))
        yield self._step(loop_checks.WEBHOOK_SCOPE, lambda: self._webhook_scope(loop))
        base = self.settings.loop.base_url
        yield self._step("Clock against Loop", lambda: clock.check_clock("Loop", base, self.http))

    def same_shop(self, return_id: str) -> Check:
        """Does the Loop key show a return that this brand has? Another shop's does not, and its
        returns would be taken for this brand's."""
        loop = self._loop()
        if isinstance(loop, Check):
            return loop
        return loop_checks.check_same_shop(loop, return_id)

    def rex11_steps(self) -> Iterator[Step]:
        """Is the REX11 account good? An embedded warehouse needs none."""
        if self.settings.warehouse == "embedded":
            return
        rex11 = self._rex11()
        if isinstance(rex11, Check):
            yield self._step(SETTINGS, lambda: rex11)
            return
        yield self._step(rex11_checks.ACCOUNT, lambda: rex11_checks.check_account(rex11))
        yield self._step(
            rex11_checks.STATUSES,
            lambda: self._after(
                rex11_checks.ACCOUNT,
                rex11_checks.STATUSES,
                lambda: rex11_checks.check_statuses(rex11, self.now()),
            ),
        )
        url = self.settings.rex11.endpoint
        yield self._step("Clock against REX11", lambda: clock.check_clock("REX11", url, self.http))

    def data_steps(self) -> Iterator[Step]:
        """Do the brand's returns fit: destinations, products, criteria?"""
        names = loop_checks
        yield self._step(
            names.RETURNS, lambda: self._after(names.KEY, names.RETURNS, self._returns)
        )
        yield self._step(
            names.DESTINATIONS,
            lambda: self._after(
                names.RETURNS,
                names.DESTINATIONS,
                lambda: loop_checks.check_destinations(self.recent, self.settings.announce_rules()),
            ),
        )
        if self.settings.loop.happy_returns or shipment_checks.seen(self.recent.returns):
            yield self._step(
                shipment_checks.SHIPMENTS,
                lambda: self._after(names.KEY, shipment_checks.SHIPMENTS, self.shipments),
            )
        yield self._step(rex11_checks.PRODUCTS, self._products)
        yield self._step(CRITERIA, self._criteria)

    def webhook_steps(
        self, ledger: Ledger, public_url: str | None, *, make: bool, wait: float
    ) -> Iterator[Step]:
        """Will Loop's webhooks arrive? `make` has the subscriptions made; `wait` is how many
        seconds a delivery of Loop's is waited for."""
        secret = self.settings.loop.webhook_secret
        name = webhook_checks.SUBSCRIPTIONS
        if public_url is None:
            why = webhook_checks.NO_ADDRESS
            yield self._step(name, lambda: skipped(name, why))
            return
        if secret is None:
            yield self._step(name, _no_secret)
            return
        yield self._step(
            name,
            lambda: self._after(
                loop_checks.WEBHOOK_SCOPE,
                name,
                lambda: self._subscriptions(ledger, public_url, make=make),
            ),
        )
        yield self._step(
            webhook_checks.DELIVERY,
            lambda: webhook_checks.check_delivery(
                ledger,
                self.brand,
                webhook_checks.Address(public_url, secret.get_secret_value()),
                self.http,
                wait=wait,
            ),
        )

    def take_over(self, other: Checkup) -> None:
        """Take what another checkup of the same access has found."""
        self.done.update(other.done)
        self.subscriptions = other.subscriptions or self.subscriptions

    def failures(self) -> list[Check]:
        """What failed so far."""
        return [c for c in self.done.values() if c.failed]

    def _step(self, name: str, run: Callable[[], Check]) -> Step:
        def noted() -> Check:
            self.done[name] = check = run()
            return check

        return name, noted

    def _after(self, needed: str, name: str, run: Callable[[], Check]) -> Check:
        before = self.done.get(needed)
        if before and before.status in (Status.FAILED, Status.SKIPPED):
            return skipped(name, f"not checked, since '{needed}' is not in order")
        return run()

    def _loop(self) -> LoopClient | Check:
        try:
            # Of its own: what is tried may have another limit than what runs in this process.
            limiter = SlidingWindowLimiter(self.settings.loop.calls_per_minute)
            return brands.loop_client(
                self.brand, self.settings, _RETRIES, around=Around(limiter=limiter)
            )
        except ValueError as error:
            ask = "Copy the key again, whole and without blanks, or ask the brand's Loop admin"
            return Check(SETTINGS, Status.FAILED, str(error), ask)

    def _rex11(self) -> Rex11Warehouse | Check:
        try:
            return brands.rex11_warehouse(self.brand, self.settings, _RETRIES)
        except ValueError as error:
            ask = "Correct it, or ask Bergen for the brand's WebAddress, UserName and Password"
            return Check(SETTINGS, Status.FAILED, str(error), ask)

    def _webhook_scope(self, loop: LoopClient) -> Check:
        check, self.subscriptions = loop_checks.check_webhook_scope(loop)
        return check

    def _returns(self) -> Check:
        loop = self._loop()
        if isinstance(loop, Check):
            return loop
        check, self.recent = loop_checks.check_returns(loop, self.now())
        return check

    def _products(self) -> Check:
        name = rex11_checks.PRODUCTS
        if self.settings.warehouse == "embedded":
            return skipped(name, "an embedded warehouse counts what comes: it knows no products")
        for needed in (rex11_checks.ACCOUNT, loop_checks.RETURNS):
            before = self.done.get(needed)
            if before is None or before.status in (Status.FAILED, Status.SKIPPED):
                return skipped(name, f"not checked, since '{needed}' is not in order")
        rex11 = self._rex11()
        if isinstance(rex11, Check):
            return rex11
        return rex11_checks.check_products(
            rex11,
            self.recent.returns,
            self.settings.announce_rules(),
            may_add=self.settings.announce.add_products,
        )

    def _criteria(self) -> Check:
        try:
            criteria = brand_criteria(self.brand, self.settings, self.folder)
        except ConfigError as error:
            ask = "Correct the criteria file; `bergen-loop criteria check` shows its mistakes"
            return Check(CRITERIA, Status.FAILED, str(error), ask)
        serious = [w for w in warnings(criteria) if not w.informational]
        text = f"{criteria.version}, {len(criteria.rules)} rules"
        if not serious:
            return Check(CRITERIA, Status.OK, text)
        return Check(
            CRITERIA,
            Status.WARNING,
            f"{text}; {len(serious)} warning(s)",
            "Ask the brand's manager whether this is meant",
            tuple(w.message for w in serious),
        )

    def shipments(self) -> Check:
        """May the brand's consolidated shipments be read, where it has such returns?"""
        loop = self._loop()
        if isinstance(loop, Check):
            return loop
        on = self.settings.loop.happy_returns
        return shipment_checks.check_shipments(loop, self.recent.returns, on=on)

    def _subscriptions(self, ledger: Ledger, public_url: str, *, make: bool) -> Check:
        if not make:
            return webhook_checks.check_subscriptions(
                self.brand,
                self.subscriptions,
                public_url,
                shipments=self.settings.loop.happy_returns,
            )
        ctx = brands.connect(self.brand, self.settings, ledger, self.folder)

        return webhook_checks.make_subscriptions(ctx, self.subscriptions, public_url)


def _no_secret() -> Check:
    return Check(
        webhook_checks.SUBSCRIPTIONS,
        Status.WARNING,
        "there is no webhook secret, so no delivery could be told from a forged one; polling "
        "alone works, with a delay of the brand's `poll`",
        "Ask the brand's Loop admin for the webhook secret of their Loop account, and run this "
        "again",
    )
