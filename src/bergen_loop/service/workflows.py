"""The workflows DBOS runs. They take plain values and look the rest up in the engine's registry,
so that any process with the same configuration can recover them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import structlog
from dbos import DBOS, SetEnqueueOptions

from bergen_loop.flow import tick
from bergen_loop.ledger import fragments
from bergen_loop.ledger.database import LedgerError, absence, trouble
from bergen_loop.ledger.locks import BrandBusy, LockLost
from bergen_loop.ledger.store import calls, chain, outbox, packing, retention
from bergen_loop.outside.errors import OutsideError
from bergen_loop.people import subscriptions
from bergen_loop.service.registry import Registry
from bergen_loop.tell import weekly
from bergen_loop.tell.alerts import evaluate

log = structlog.get_logger()

SYNC_QUEUE = "brand-sync"
BACKLOG_QUEUE = "brand-backlog"
"""For brands that had work left over at the end of their last tick: not so many of them at once
that the others do not get their turn."""
WEBHOOKS_QUEUE = "webhook-subscriptions"
KEEP_FINISHED = 3600.0
"""Seconds for which DBOS's own record of a finished workflow is kept; the ledger is what
remembers."""
FILLING = 10.0
"""Seconds of each minute in which what was there before it is taken into the index of fragments."""
SWEEP = 1000

_registry: Registry | None = None


def use(registry: Registry | None) -> None:
    """Set what the workflows of this process work with."""
    global _registry
    _registry = registry


def registry() -> Registry:
    if _registry is None:
        raise RuntimeError("the engine has not been started in this process")
    return _registry


@DBOS.workflow()
def sync_brand(brand: str) -> dict[str, Any]:
    """One tick of a brand. The lock in the ledger, not the queue, makes it the only one."""
    return _tick(brand)


@DBOS.step()
def _tick(brand: str) -> dict[str, Any]:
    """One step: a tick that is recovered begins anew, with fresh lists. What it had done is in
    the ledger."""
    try:
        registry().look()
        if brand not in registry():
            return {"skipped": "no longer configured"}
        return tick.run(registry().context(brand))
    except (BrandBusy, LockLost) as error:
        log.info("sync left to another", brand=brand, why=str(error))
        return {"busy": True}
    except LedgerError as error:
        if not absence.gone(error):
            log.error("sync stopped", brand=brand, why=trouble(error))
        return {"error": trouble(error)}


def enqueue(brand: str) -> None:
    """Ask for a tick of a brand; one that is queued or running already serves as well."""
    queue = BACKLOG_QUEUE if registry().behind(brand) else SYNC_QUEUE
    with SetEnqueueOptions(deduplication_id=brand, duplication_policy="return-existing"):
        DBOS.enqueue_workflow(queue, sync_brand, brand)


def take_from(executor_id: str) -> bool:
    """Let the living do what a dead executor was doing; True where nothing was left.

    What it ran is cancelled and its brands are asked for anew: a tick carries nothing but the
    brand's name, and what it had done is in the ledger. Safe at any time, by any number of
    workers: a cancelled workflow never runs again, so it cannot be taken from one who lives.
    What is not a tick comes again with its schedule.
    """
    left = DBOS.list_workflows(
        executor_id=executor_id, status="PENDING", load_input=False, load_output=False
    )
    if not left:
        return True
    DBOS.cancel_workflows([w.workflow_id for w in left])
    ticks = [w for w in left if w.queue_name in (SYNC_QUEUE, BACKLOG_QUEUE)]
    brands = [w.deduplication_id for w in ticks if w.deduplication_id]
    for brand in brands:
        enqueue(brand)
    log.warning("ticks taken over", executor=executor_id, brands=brands)
    return False


def ask(brands: Iterable[str]) -> None:
    """Ask for a tick of each of these brands that has none queued or running."""
    wanted = list(brands)
    asked = _asked_for() if len(wanted) > 1 else set[str]()
    for brand in wanted:
        if brand not in asked:
            enqueue(brand)


def _asked_for() -> set[str]:
    """Brands with a tick queued or running: one question, where asking for each tick again would
    be a transaction for each."""
    known = DBOS.list_workflows(
        queue_name=[SYNC_QUEUE, BACKLOG_QUEUE],
        status=["ENQUEUED", "PENDING"],
        load_input=False,
        load_output=False,
    )
    return {w.deduplication_id for w in known if w.deduplication_id}


@DBOS.workflow()
def schedule_webhooks(_scheduled_at: datetime, _context: Any) -> None:
    """Have the webhook subscriptions looked at of the brands whose time has come."""
    for brand in _webhooks_due():
        with SetEnqueueOptions(deduplication_id=brand, duplication_policy="return-existing"):
            DBOS.enqueue_workflow(WEBHOOKS_QUEUE, look_at_webhooks, brand)


@DBOS.step()
def _webhooks_due() -> list[str]:
    known, now = registry(), datetime.now(UTC)
    if known.settings.service.public_url is None:
        return []
    paused = known.paused()
    with known.ledger.read() as session:
        return [
            brand
            for brand, one in known.settings.brands.items()
            if one.loop.webhook_secret is not None
            and brand not in paused
            and subscriptions.due(session, brand, now)
        ]


@DBOS.workflow()
def look_at_webhooks(brand: str) -> None:
    """Look at a brand's webhook subscriptions, and have Loop deliver again where it stopped."""
    _look_at_webhooks(brand)


@DBOS.step()
def _look_at_webhooks(brand: str) -> None:
    public_url = registry().settings.service.public_url
    try:
        registry().look()
        if brand not in registry() or public_url is None:
            return
        subscriptions.look(registry().context(brand), str(public_url))
    except (OutsideError, LedgerError) as error:
        why = str(error) if isinstance(error, OutsideError) else trouble(error)
        log.warning("webhook subscriptions not looked at, once more later", brand=brand, why=why)


MORE, MASKED = 1, 2


@DBOS.workflow()
def forget(_scheduled_at: datetime, _context: Any) -> None:
    """Mask personal data whose time is over, brand by brand; forget what was told long ago."""
    seen = 0
    for brand in list(registry().settings.brands):
        while (done := _forget(brand)) & MORE:
            seen |= done
        seen |= done
    if seen & MASKED:
        _scour()
    _forget_told()


@DBOS.step()
def _forget(brand: str) -> int:
    """Of some hundreds of returns. `MASKED` if there was something, `MORE` if there may be more;
    a release before said True for that."""
    now, after = datetime.now(UTC), registry().brand(brand).retention
    with registry().ledger.write() as session:
        keep = registry().brand(brand).calls.keep
        forgotten = calls.forget(session, brand, now - keep)
        done = retention.keep_erased(session, now, brand).returns
        if after is not None:
            done += retention.expire(session, now, brand, after).returns
    if done:
        log.info("personal data masked", brand=brand, returns=done)
    more = done >= retention.PER_RUN or forgotten >= calls.AT_A_TIME
    return (MASKED if done else 0) | (MORE if more else 0)


@DBOS.step()
def _scour() -> None:
    registry().ledger.scour()


@DBOS.step()
def _forget_told() -> None:
    now = datetime.now(UTC)
    while True:
        with registry().ledger.write() as session:
            if not outbox.forget_old(session, now):
                return


@DBOS.workflow()
def seal(scheduled_at: datetime, _context: Any) -> None:
    """Seal the journal's new entries; once an hour, note the chains' ends in the log. And go on
    with the index of fragments, and with packing documents, where an older release's ledger has not
    been taken in whole."""
    _seal(scheduled_at.minute == 0)
    _fill()
    _pack()


@DBOS.step()
def _fill() -> bool:
    return fragments.fill(registry().ledger, FILLING)


@DBOS.step()
def _pack() -> bool:
    return packing.pack_old(registry().ledger, FILLING)


@DBOS.step()
def _seal(note: bool) -> int:
    ledger = registry().ledger
    grown = chain.seal_all(ledger, datetime.now(UTC), registry().settings.brands)
    if note:
        with ledger.read() as session:
            for head in chain.heads(session):
                log.info("journal sealed", brand=head.brand, position=head.position, seal=head.seal)
    return len(grown)


@DBOS.workflow()
def alerts(_scheduled_at: datetime, _context: Any) -> None:
    """Look whether people have to be called."""
    _alerts()


@DBOS.step()
def _alerts() -> int:
    return evaluate(registry().ledger, registry().settings, datetime.now(UTC))


@DBOS.workflow()
def tell_weeks(_scheduled_at: datetime, _context: Any) -> None:
    """Tell brands' people of their week, where its time has come."""
    _tell_weeks()


@DBOS.step()
def _tell_weeks() -> int:
    return weekly.tell_due(registry().ledger, registry().settings, datetime.now(UTC))


@DBOS.workflow()
def sweep(scheduled_at: datetime, _context: Any) -> None:
    """Forget DBOS's records of workflows finished long ago."""
    before = datetime.fromtimestamp(scheduled_at.timestamp() - KEEP_FINISHED, UTC).isoformat()
    while True:
        old = DBOS.list_workflows(
            status=["SUCCESS", "ERROR", "CANCELLED"],
            end_time=before,
            limit=SWEEP,
            load_input=False,
            load_output=False,
        )
        if old:
            DBOS.delete_workflows([w.workflow_id for w in old])
        if len(old) < SWEEP:
            return
