"""Structured logging: the one way out for everything that is logged, also by libraries.

Secrets and customers' addresses are masked, texts are cut and cannot steer a terminal or forge a
line, and of an error nothing is told but its class, the places it went through, and our words.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from bergen_loop.text import failure, shortened, visible, visible_lines, without_addresses

if TYPE_CHECKING:
    from structlog.typing import Processor

_SECRET_KEYS = re.compile(r"(?i)(api_?key|password|secret|token|authorization)")
_DATABASE_WORDS = re.compile(r"(\((?:psycopg|sqlite3)[\w.]*\)).*", re.DOTALL)


def mask(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask values of secret-looking keys, and e-mail addresses anywhere; cut what is long."""
    for key, value in event.items():
        event[key] = "***" if _SECRET_KEYS.search(key) else _masked(value)
    return event


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return without_addresses(shortened(value), "***@***")
    if isinstance(value, BaseException):
        return without_addresses(failure(value), "***@***")
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {k: "***" if _SECRET_KEYS.search(str(k)) else _masked(v) for k, v in items}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(v) for v in cast("list[Any]", value)]
    return value


def explain(
    _logger: object, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Put the places of an error into `exception`, innermost last, without foreign words."""
    info: Any = event.pop("exc_info", None)
    if isinstance(info, tuple):
        info = cast("tuple[Any, ...]", info)[1]
    error = info if isinstance(info, BaseException) else sys.exc_info()[1] if info else None
    if error is not None:
        event["exception"] = "\n".join(_places(error))
    return event


def _places(first: BaseException) -> Iterator[str]:
    seen: set[int] = set()
    error: BaseException | None = first
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield failure(error)
        for frame in traceback.extract_tb(error.__traceback__)[-12:]:
            yield f"  {Path(frame.filename).name}:{frame.lineno} in {frame.name}"
        if isinstance(error, BaseExceptionGroup):
            inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
            yield from (f"  of {len(inner)}: {failure(one)}" for one in inner[:5])
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def show(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make texts fit for a terminal; only the places of an error take several lines."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = visible_lines(value) if key == "exception" else visible(value)
    return event


def _without_database_words(
    _logger: object, _name: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Libraries put a database's message, with a row's values, into theirs."""
    event["event"] = _DATABASE_WORDS.sub(r"\1", str(event.get("event", "")))
    return event


class _Handler(logging.StreamHandler[TextIO]):
    """Where libraries' logs go."""


class _StandardError:
    """Whatever `sys.stderr` is at the time of each line: tests and tools put others there."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure(*, json: bool, level: str = "INFO") -> None:
    """Log to standard error: JSON lines for machines, or lines for people. Libraries' logs go
    the same way, from WARNING on."""
    import structlog

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    out: list[Processor] = [explain, mask]
    if json:
        out.append(structlog.processors.JSONRenderer())
    else:
        colours = sys.stderr.isatty()
        out += [show, structlog.dev.ConsoleRenderer(colors=colours)]
    structlog.configure(
        processors=[*shared, *out],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(file=cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
    _take_over_libraries(shared, out)


def _take_over_libraries(shared: list[Processor], out: list[Processor]) -> None:
    import structlog

    handler = _Handler(cast("TextIO", _StandardError()))
    handler.setLevel(logging.WARNING)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _without_database_words],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *out],
        )
    )
    root, engine = logging.getLogger(), logging.getLogger("dbos")
    root.handlers = [h for h in root.handlers if not isinstance(h, _Handler)] + [handler]
    engine.handlers, engine.propagate = [handler], False  # it would write by itself
