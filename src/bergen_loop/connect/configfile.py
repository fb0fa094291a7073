"""Writing a brand into the configuration file: comments stay, and the file is whole at any time."""

# ruamel.yaml carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.util import load_yaml_guess_indent

from bergen_loop.config import ConfigError, Problem, parse_settings
from bergen_loop.config.source import read_tree
from bergen_loop.secrets import files

NEW_FILE = """\
# bergen-loop: the service, then one block per brand. `bergen-loop brands check FILE` checks it.
service:
  database: sqlite:///var/bergen-loop.db
brands: {}
"""


def existing_brand(path: Path, brand: str) -> Mapping[str, Any] | None:
    """A brand's block as it stands in the file, if both are there. ConfigError."""
    if not path.exists():
        return None
    brands = read_tree(path).get("brands")
    block = brands.get(brand) if isinstance(brands, Mapping) else None
    return block if isinstance(block, CommentedMap) else None


def writable(path: Path) -> bool:
    """Whether the file can be written, or made: it is replaced as a whole, in its folder."""
    target = path.resolve()
    return os.access(target if target.exists() else target.parent, os.W_OK) and os.access(
        target.parent, os.W_OK
    )


def start(path: Path, service: Mapping[str, Any]) -> None:
    """Make the file if there is none, and set what is given of the service's block."""
    with _locked(path):
        text = path.read_text(encoding="utf-8") if path.exists() else NEW_FILE
        if service or not path.exists():
            _replace(path, _changed(text, path, {"service": service}))


def write_brand(path: Path, brand: str, block: Mapping[str, Any]) -> list[Problem]:
    """Put a brand's block into the file, all else untouched. Returns the problems of other
    brands. ConfigError for problems of this one: the file then stays as it was."""
    with _locked(path):
        text = _changed(path.read_text(encoding="utf-8"), path, {"brands": {brand: block}})
        others: list[Problem] = []
        try:
            parse_settings(text, str(path), path.resolve().parent)
        except ConfigError as error:
            mine = [p for p in error.problems if _is_mine(p, brand)]
            if mine:
                raise ConfigError(mine) from None
            others = error.problems
        _replace(path, text)
    return others


def _is_mine(problem: Problem, brand: str) -> bool:
    return problem.field.split(".")[:2] == ["brands", brand] or problem.field == "(syntax)"


def _changed(text: str, path: Path, change: Mapping[str, Any]) -> str:
    tree, indent, offset = load_yaml_guess_indent(text)
    tree = CommentedMap() if tree is None else tree
    if not isinstance(tree, CommentedMap):
        fix = "start with `service:` or `brands:`"
        raise ConfigError([Problem(str(path), 1, 1, "(file)", "is not a mapping", fix)])
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096  # long values stay on their line
    yaml.indent(mapping=2, sequence=indent or 4, offset=offset if offset is not None else 2)
    _put(tree, change)
    out = StringIO()
    yaml.dump(tree, out)
    return out.getvalue()


def _put(tree: CommentedMap, change: Mapping[str, Any]) -> None:
    for key, value in change.items():
        if not isinstance(value, Mapping):
            if tree.get(key, ...) != value:
                tree[key] = value
            continue
        if not isinstance(tree.get(key), CommentedMap):
            tree[key] = CommentedMap()
        part = tree[key]
        if part.fa.flow_style() and not part:
            part.fa.set_block_style()  # `brands: {}` grows into lines
        _put(part, value)


def _replace(path: Path, text: str) -> None:
    target = path.resolve()  # a link stays a link
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644
    files.write(target, text, mode)


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """One writer of a folder's configuration at a time; the lock goes with its holder."""
    folder = path.resolve().parent
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
