"""What a person has answered, or a file of answers: a brand's block as in the configuration, with
the brand's id, where to keep secrets, and the service's public address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from bergen_loop.config import ConfigError, Problem, models
from bergen_loop.config.source import read_tree
from bergen_loop.secrets import SCHEMES

ABOUT = ("brand", "store", "public_url")
"""What an answers file has beside the fields of a brand's block."""
DEFAULT_STORE = "ledger"
BRAND_ID = re.compile(models.BRAND_ID)


@dataclass(slots=True)
class Answers:
    """All answers. `block` may hold secrets in the clear."""

    brand: str
    block: dict[str, Any] = field(repr=False)
    store: str = DEFAULT_STORE
    public_url: str | None = None
    source: str = "(answers)"
    tree: Any = field(default=None, repr=False)
    """The file as it stands, for the lines of its mistakes."""


def read_answers(path: Path) -> Answers:
    """An answers file. ConfigError."""
    tree = read_tree(path)
    plain = cast("Mapping[str, Any]", tree)
    brand, store = str(plain.get("brand") or ""), str(plain.get("store") or DEFAULT_STORE)
    problems: list[Problem] = []
    if not BRAND_ID.fullmatch(brand):
        message = f"{brand!r} is no id of a brand" if brand else "is missing"
        fix = "write `brand:` with an id such as acme or acme-shoes"
        problems.append(_problem(path, "brand", message, fix))
    if store not in SCHEMES:
        fix = f"write one of {', '.join(SCHEMES)}"
        problems.append(_problem(path, "store", "is no store of secrets", fix))
    if problems:
        raise ConfigError(problems)
    public_url = plain.get("public_url")
    return Answers(
        brand=brand,
        block={str(k): v for k, v in plain.items() if k not in ABOUT},
        store=store,
        public_url=str(public_url) if public_url else None,
        source=str(path),
        tree=tree,
    )


def _problem(path: Path, name: str, message: str, fix: str) -> Problem:
    return Problem(str(path), 1, 1, name, message, fix)
