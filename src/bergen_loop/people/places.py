"""Where the settings of a brand that is kept in the ledger may lead on this machine.

Whoever changes them has an account, not the machine: without this they could have any file read
(its first line comes back in a message, a secret goes to an address of their choice) or written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from bergen_loop.config import ConfigError, Problem
from bergen_loop.domain.criteria import PRESETS

SERVICES_OWN = "BERGEN_LOOP_"
"""How the service's own variables begin: keys and passwords that are no brand's."""
_ENDINGS = {"criteria": (".yaml", ".yml"), "kits_file": (".csv",)}
"""Of files that are quoted in messages: never one that holds a secret."""


def check(block: Mapping[str, Any], before: Mapping[str, Any], folder: Path) -> None:
    """Raises ConfigError for what leads out of the configuration's folder, or to the service's own
    secrets. What stood there `before` may stay."""
    known, home = set(_named(before)), folder.resolve()
    problems = [
        Problem("(settings)", 1, 1, field, *wrong)
        for field, kind, rest in _named(block)
        if (field, kind, rest) not in known and (wrong := _wrong(field, kind, rest, home))
    ]
    if problems:
        raise ConfigError(problems)


def _wrong(field: str, kind: str, rest: str, home: Path) -> tuple[str, str] | None:
    """What is wrong with it, and what to do."""
    if kind == "env":
        if not rest.strip().upper().startswith(SERVICES_OWN):
            return None
        return "this variable is the service's own", "name one that is the brand's"
    elsewhere = "or keep the brand in the configuration file, which may lead anywhere"
    try:
        inside = (home / Path(rest).expanduser()).resolve().is_relative_to(home)
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside:
        return "it leads out of the configuration's folder", f"name a place in it, {elsewhere}"
    endings = _ENDINGS.get(field)
    if endings and not rest.lower().endswith(endings):
        return f"the file's name does not end in {' or '.join(endings)}", f"rename it, {elsewhere}"
    return None


def _named(block: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each place that the settings name: field, `env` or `file`, and which."""
    for field, value in _texts(block, ""):
        scheme, _, rest = value.partition(":")
        named = field == "criteria" and value not in PRESETS and "\n" not in value
        if named or field in ("kits_file", "close.folder"):
            yield field, "file", value
        elif scheme in ("env", "file"):
            yield field, scheme, rest


def _texts(value: object, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, Mapping):
        for name, part in cast("Mapping[object, object]", value).items():
            yield from _texts(part, f"{at}.{name}" if at else str(name))
    elif isinstance(value, list):
        for part in cast("list[object]", value):
            yield from _texts(part, at)
