"""Subscriptions and the proof of a delivery, with the real web side of the service."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from connect_support import Place

from bergen_loop.config import load_settings
from bergen_loop.connect import webhook_checks
from bergen_loop.connect.check import Check, Status
from bergen_loop.console.app import create_app
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import WebhookRow
from bergen_loop.outside.http import Sender, Timeouts
from bergen_loop.outside.loop.models import Subscription
from bergen_loop.outside.loop.webhooks import SIGNATURE_HEADER, WANTED, sign
from bergen_loop.people.subscriptions import webhook_url
from bergen_loop.service.registry import Registry
from support.serving import serving


class Running:
    """The service's web side, with a brand connected."""

    def __init__(self, place: Place, url: str, ledger: Ledger) -> None:
        self.place, self.url, self.ledger = place, url, ledger

    def deliver(self, secret: str, **payload: Any) -> int:
        """What Loop does; the status it gets."""
        body = json.dumps({"topic": "return", "trigger": "return.updated", **payload}).encode()
        headers = {SIGNATURE_HEADER: sign(secret, body).decode()}
        url = webhook_url(self.url, "northpine")
        return httpx2.post(url, content=body, headers=headers).status_code

    def prove(self, *, wait: float = 0, brand: str = "northpine", secret: str = "") -> Check:
        http = Sender(Timeouts(), max_bytes=100_000)
        secret = secret or self.place.brand.webhook_secret
        return webhook_checks.check_delivery(
            self.ledger, brand, webhook_checks.Address(self.url, secret), http, wait=wait
        )


@pytest.fixture
def running(place: Place) -> Generator[Running]:
    place.connect()
    settings = load_settings(place.config)
    ledger = place.ledger()
    registry = Registry(settings, ledger, place.folder)
    with ExitStack() as stack:
        url = stack.enter_context(
            serving(create_app(registry, lambda _brand: None, signing_in=False))
        )
        yield Running(place, url, ledger)
    ledger.close()


def test_without_a_delivery_we_send_one_ourselves(running: Running) -> None:
    check = running.prove()
    assert check.status is Status.OK
    assert check.found.startswith("proven by ourselves")
    assert "Not yet proven: that Loop signs with the same secret" in check.found
    with running.ledger.read() as session:
        (row,) = session.scalars(sa.select(WebhookRow))
        assert (row.return_id or "").startswith("connect-test-")


def _while_waiting(running: Running, secret: str, wait: float = 8, **payload: Any) -> Check:
    """A delivery comes a moment after the wait has begun."""
    thread = threading.Timer(0.2, lambda: running.deliver(secret, **payload))
    thread.start()
    try:
        return running.prove(wait=wait)
    finally:
        thread.join()


def test_loops_own_delivery_proves_all(running: Running) -> None:
    check = _while_waiting(running, running.place.brand.webhook_secret, id="1")
    assert (check.status, check.found[:22]) == (Status.OK, "proven by Loop itself:")


def test_a_delivery_signed_with_another_secret(running: Running) -> None:
    check = _while_waiting(running, "another", id="1")
    assert check.status is Status.FAILED
    assert "does not fit the webhook secret" in check.found
    assert check.ask.startswith("Ask the brand's Loop admin for the webhook secret")


def test_our_own_test_is_not_taken_for_loops(running: Running) -> None:
    running.prove()
    check = _while_waiting(running, running.place.brand.webhook_secret, 1, id="connect-test-x")
    assert check.found.startswith("proven by ourselves")


def test_the_service_has_another_secret(running: Running) -> None:
    check = running.prove(secret="new-secret")
    assert check.status is Status.WARNING
    assert "another webhook secret" in check.found
    assert check.ask.startswith("Wait some seconds")


def test_the_service_does_not_know_the_brand_yet(running: Running) -> None:
    check = running.prove(brand="acme")
    assert check.status is Status.WARNING
    assert "does not know this brand yet" in check.found


def test_nothing_answers(running: Running) -> None:
    running.url = "http://127.0.0.1:9"
    check = running.prove()
    assert check.status is Status.WARNING
    assert "not proven: nothing answers" in check.found
    assert "bergen-loop serve" in check.ask


@pytest.mark.parametrize("path", ["/loop", "/control"])
def test_something_else_answers(running: Running, path: str) -> None:
    running.url = f"{running.place.url}{path}"
    check = running.prove()
    assert check.status is Status.FAILED
    assert "something else than this service" in check.found


def test_the_whole_way(running: Running) -> None:
    """Connect again with the public address: subscriptions made, a delivery of ours proven."""
    place = running.place
    result, found = place.connect(public_url=running.url)
    assert result.exit_code == 0
    assert found["Webhook subscriptions"]["found"].startswith("6 made, 0 changed, 0 right")
    assert found["Webhook delivery"]["found"].startswith("proven by ourselves")
    assert {(h.topic, h.trigger, h.url, h.status) for h in place.brand.hooks.values()} == {
        (topic, trigger, webhook_url(running.url, "northpine"), "active")
        for topic, trigger in WANTED
    }
    assert place.brand.webhook_secret not in result.output


def test_an_inactive_subscription_is_made_active(place: Place) -> None:
    place.connect(public_url="http://127.0.0.1:9")
    next(iter(place.brand.hooks.values())).status = "inactive"
    _, found = place.connect()
    assert found["Webhook subscriptions"]["found"].startswith("0 made, 1 changed, 5 right already")
    assert all(h.status == "active" for h in place.brand.hooks.values())


def test_subscriptions_of_another_installation_are_told_and_left(place: Place) -> None:
    place.connect(public_url="http://127.0.0.1:9")
    _, found = place.connect(public_url="http://127.0.0.1:10")
    check = found["Webhook subscriptions"]
    assert check["status"] == "warning"
    assert len(check["details"]) == 6
    assert "ask the brand's Loop admin to delete them" in check["ask"]
    assert len(place.brand.hooks) == 12


def test_without_a_secret_there_are_no_webhooks(place: Place) -> None:
    _, found = place.connect(public_url="http://127.0.0.1:9", loop={"webhook_secret": ""})
    check = found["Webhook subscriptions"]
    assert check["status"] == "warning"
    assert "no webhook secret" in check["found"]
    assert "webhook_secret" not in place.written()["loop"]
    assert not place.brand.hooks


def test_a_subscription_of_someone_else_is_none_of_ours() -> None:
    other = Subscription("1", "return", "return.created", "https://x.test/hook", "active", {})
    check = webhook_checks.check_subscriptions("acme", [other], "https://us.test")
    assert check.found.startswith("0 of 6 are in place")
    assert not check.details
