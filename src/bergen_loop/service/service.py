"""Starting and stopping the engine."""

from __future__ import annotations

import gc
import logging
import socket
from contextlib import ExitStack
from uuid import uuid4

from dbos import DBOS, DBOSConfig, error

from bergen_loop.config import ServiceSettings
from bergen_loop.ledger.database import Ledger, absence
from bergen_loop.ledger.locks import service_lock
from bergen_loop.service import workflows
from bergen_loop.service.looker import Looker
from bergen_loop.service.registry import Registry
from bergen_loop.service.supervisor import Supervisor
from bergen_loop.service.workers import Heartbeat
from bergen_loop.tell import tracing
from bergen_loop.tell.events.dispatch import Dispatcher

APP_NAME = "bergen-loop"
APP_VERSION = "1"
"""Of the workflows' shape, not of the product: every release can run the others' ticks, since
a tick carries nothing but the brand's name."""


FORMER_SCHEDULE = "due-brands"
"""Of releases in which the engine asked which brands are due."""


class Engine:
    """The running engine of this process."""

    def __init__(self, registry: Registry, service: ServiceSettings) -> None:
        self.registry = registry
        self.service = service
        self.executor_id = _executor_id(registry)
        self.heartbeat = Heartbeat(
            registry.ledger, self.executor_id, service.worker_gone_after, workflows.take_from
        )
        self.events = Dispatcher(registry.ledger, registry.endpoints)
        self.looker = Looker(registry, service.schedule, workflows.ask)
        self._holding = ExitStack()
        self._supervisor = Supervisor()

    def start(self) -> None:
        """Launch DBOS, and have the schedules and queues in place. Raises ServiceRunning where
        an embedded database has a service already."""
        if self.registry.ledger.is_sqlite:
            self._holding.enter_context(service_lock(self.registry.ledger))
        tracing.configure()
        self.heartbeat.show()
        workflows.use(self.registry)
        logging.getLogger("dbos").setLevel(logging.WARNING)
        logging.getLogger("dbos").addFilter(_taken_over)
        logging.getLogger("dbos").addFilter(absence.filter)
        config = DBOSConfig(
            name=APP_NAME,
            system_database_url=engine_url(self.service, self.registry.ledger),
            application_version=APP_VERSION,
            executor_id=self.executor_id,
            log_level="WARNING",
            scheduler_polling_interval_sec=1.0,
        )
        DBOS(config=config)
        DBOS.launch()
        self._register(workflows.SYNC_QUEUE, self.service.workers)
        self._register(workflows.BACKLOG_QUEUE, max(2, self.service.workers // 8))
        self._register(workflows.WEBHOOKS_QUEUE, 4, every=10.0)
        DBOS.delete_schedule(FORMER_SCHEDULE)
        DBOS.apply_schedules(
            [
                {
                    "schedule_name": "alerts",
                    "workflow_fn": workflows.alerts,
                    "schedule": "0 * * * * *",
                },
                {
                    "schedule_name": "weekly",
                    "workflow_fn": workflows.tell_weeks,
                    "schedule": "40 */10 * * * *",
                },
                {
                    "schedule_name": "seal",
                    "workflow_fn": workflows.seal,
                    "schedule": "20 * * * * *",
                },
                {
                    "schedule_name": "webhooks",
                    "workflow_fn": workflows.schedule_webhooks,
                    "schedule": "0 */20 * * * *",
                },
                {
                    "schedule_name": "sweep",
                    "workflow_fn": workflows.sweep,
                    "schedule": "0 */10 * * * *",
                },
                {
                    "schedule_name": "forget",
                    "workflow_fn": workflows.forget,
                    "schedule": "0 15 * * * *",
                },
            ]
        )
        self.heartbeat.start()
        self.looker.start()
        self.events.start()
        collect_less()
        self._supervisor.ready()

    def _register(self, queue: str, at_once: int, every: float = 1.0) -> None:
        DBOS.register_queue(
            queue,
            worker_concurrency=at_once,
            polling_interval_sec=every,
            on_conflict="always_update",
        )

    def nudge(self, brand: str) -> None:
        """Have a brand synced soon."""
        workflows.enqueue(brand)

    def hurry(self, brand: str) -> None:
        """A webhook has told of a brand's new returns: have them seen to at once."""
        self.looker.hurry(brand)

    def stop(self, patience: int = 10) -> None:
        """Let running ticks end, for at most `patience` seconds."""
        self._supervisor.stopping()
        self.looker.stop()
        self.events.stop()
        DBOS.destroy(workflow_completion_timeout_sec=patience)
        workflows.use(None)
        self.heartbeat.stop()
        self._holding.close()


def engine_url(service: ServiceSettings, ledger: Ledger) -> str:
    """Where DBOS keeps its own tables: beside the embedded ledger, so that its many small
    writes do not hold the ledger's lock; in the same PostgreSQL database otherwise."""
    return service.engine_database or ledger.url_beside("engine")


def _executor_id(registry: Registry) -> str:
    """Embedded: always the same, so that a restart recovers what it had been doing."""
    if registry.ledger.is_sqlite:
        return "embedded"
    return f"{socket.gethostname()}-{uuid4().hex[:8]}"


def _taken_over(record: logging.LogRecord) -> bool:
    """A worker that had only stood still finds what it ran cancelled: the others have taken it
    over, as they should. That is no fault, so no stack is shown."""
    if record.exc_info and isinstance(record.exc_info[1], error.DBOSAwaitedWorkflowCancelledError):
        record.msg, record.args = "what this worker ran has been taken over by another", ()
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
    return True


def collect_less() -> None:
    """What is there at the start stays: the collector of cycles need not look at it again, nor
    as often at what a tick makes, which ends with it. A tenth of a return's processor time.
    Garbage is not collected before: there are a few hundred objects of it, and the start would
    wait for it."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
