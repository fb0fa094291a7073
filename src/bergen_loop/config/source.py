"""Reading the file, with the line and column of every mistake."""

# ruamel.yaml carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel, ValidationError
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from bergen_loop import yaml_source
from bergen_loop.config.errors import ConfigError, Problem
from bergen_loop.config.fields import IN_USE
from bergen_loop.config.models import (
    BRAND_ID,
    LOOP_VERSION,
    BrandSettings,
    ServiceSettings,
    Settings,
)
from bergen_loop.secrets import SecretStores
from bergen_loop.secrets.vault import DATABASE_VARIABLE
from bergen_loop.yaml_source import YamlMistake

log = structlog.get_logger()


def load_settings(path: Path) -> Settings:
    """Read and check a configuration file. Raises ConfigError."""
    return parse_settings(_read(path), str(path), path.resolve().parent)


def parse_settings(text: str, source: str, folder: Path = Path()) -> Settings:
    """Check configuration text. Raises ConfigError; `source` names it in messages, `folder` is
    where its relative paths start."""
    said = _parse_yaml(text, source)
    stores = _stores(said, folder)
    try:
        return _warned(Settings.model_validate(said, context={"stores": stores}), source)
    except ValidationError as error:
        raise _config_error(source, _tree(text, source), error) from None


def load_usable(path: Path) -> tuple[Settings, dict[str, list[Problem]]]:
    """The settings without the brands that cannot be used, and what is wrong with those: one
    brand's mistake must not stop the others (I6). Raises ConfigError for anything else."""
    try:
        return load_settings(path), {}
    except ConfigError as error:
        broken: dict[str, list[Problem]] = {}
        for problem in error.problems:
            names = problem.field.split(".")
            if names[0] != "brands" or len(names) < 3:
                raise
            broken.setdefault(names[1], []).append(problem)
    tree = read_tree(path)
    for brand in broken:
        del tree["brands"][brand]
    stores = _stores(tree, path.resolve().parent)
    try:
        settings = Settings.model_validate(_plain(tree, str(path)), context={"stores": stores})
        return _warned(settings, str(path)), broken
    except ValidationError as error:
        raise _config_error(str(path), tree, error) from None


def load_service(path: Path) -> tuple[ServiceSettings, SecretStores]:
    """The service's block alone, and its stores of secrets: for commands that must work before
    the brands' secrets are there. Raises ConfigError."""
    text = _read(path)
    said = _parse_yaml(text, str(path))
    try:
        # Its sign-in secret may be the very one that is to be set.
        service = {k: v for k, v in (said.get("service") or {}).items() if k != "auth"}
        block = _ServiceOnly.model_validate({"service": service})
    except ValidationError as error:
        raise _config_error(str(path), _tree(text, str(path)), error) from None
    return block.service, _stores(said, path.resolve().parent)


def check_brand(
    block: Mapping[str, Any],
    stores: SecretStores,
    source: str,
    tree: CommentedMap | None = None,
    *,
    in_use: bool = False,
) -> BrandSettings:
    """The settings of one brand that is not in a file yet. Raises ConfigError; `tree` is where
    its parts come from, for their lines; `in_use`: they may be of an earlier release."""
    context = {"stores": stores, IN_USE: in_use}
    try:
        return BrandSettings.model_validate(_plain(block, source), context=context)
    except ValidationError as error:
        raise _config_error(source, tree or CommentedMap(), error) from None


def brands_in(path: Path) -> frozenset[str]:
    """The brands a file names, whether they can be used or not. ConfigError."""
    brands = _parse_yaml(_read(path), str(path)).get("brands")
    return frozenset(str(b) for b in brands) if isinstance(brands, Mapping) else frozenset()


def stores_at(folder: Path) -> SecretStores:
    """The stores where there is no file: all of the defaults."""
    return _stores({}, folder)


def read_tree(path: Path) -> CommentedMap:
    """A YAML file as it stands, with its comments, for who changes it. Raises ConfigError."""
    return _tree(_read(path), str(path))


def _warned(settings: Settings, source: str) -> Settings:
    """The settings, what may be a mistake in them said in the log."""
    for brand, block in settings.brands.items():
        for field, message, remedy in block.doubts():
            where = {"file": source, "field": f"brands.{brand}.{field}"}
            log.warning("configuration to be checked", **where, problem=message, remedy=remedy)
    return settings


class _ServiceOnly(BaseModel):
    service: ServiceSettings


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(
            [Problem(str(path), 1, 1, "(file)", f"cannot be read: {reason}", "check the path")]
        ) from None


def _stores(said: Mapping[str, Any], folder: Path) -> SecretStores:
    """The stores, as far as the (unchecked) service block names them."""
    service = said.get("service")
    service = service if isinstance(service, Mapping) else {}
    database = service.get("database")
    database = database if isinstance(database, str) else ServiceSettings().database
    named = service.get("key_file")
    key_file = Path(named) if isinstance(named, str) and named else own_key_file(database)
    return SecretStores(folder, database, key_file)


EMBEDDED = "sqlite:///"


def own_key_file(database: str, *, made: bool = True) -> Path | None:
    """The key file beside an embedded ledger: used where the configuration names none and could
    not be made to. With `made`, only if it is there."""
    url = os.environ.get(DATABASE_VARIABLE, database)
    if not url.startswith(EMBEDDED) or len(url) == len(EMBEDDED):
        return None
    path = Path(url.removeprefix(EMBEDDED)).resolve()
    path = path.with_name(f"{path.stem}.key")
    return path if path.exists() or not made else None


def _config_error(source: str, tree: CommentedMap, error: ValidationError) -> ConfigError:
    found = error.errors(include_url=False, include_input=False)
    return ConfigError([_problem(source, tree, e["loc"], e) for e in found])


_last: tuple[str, dict[str, Any]] | None = None


def _parse_yaml(text: str, source: str) -> Mapping[str, Any]:
    """What the text says, not to be changed: that of the last time where it is the same, for a
    start asks for the file three times."""
    global _last
    known = _last  # other threads read other files
    if known is None or known[0] != text:
        known = _last = (text, _plain(_parsed(yaml_source.values, text, source), source))
    return known[1]


def _tree(text: str, source: str) -> CommentedMap:
    return _parsed(yaml_source.load, text, source) or CommentedMap()


def _parsed(read: Callable[[str], Any], text: str, source: str) -> Any:
    try:
        found = read(text)
    except YamlMistake as error:
        problem = Problem(source, error.line, error.column, "(syntax)", error.message, error.remedy)
        raise ConfigError([problem]) from None
    if found is None:
        return {}  # every setting has a default, and brands may stand in the ledger
    if not isinstance(found, Mapping):
        fix = "start with `service:` or `brands:`"
        raise ConfigError([Problem(source, 1, 1, "(file)", "is not a mapping", fix)])
    return found


def _plain(node: Any, source: str) -> Any:
    if isinstance(node, Mapping):
        return {_key(k, node, source): _plain(v, source) for k, v in node.items()}
    if isinstance(node, list):
        return [_plain(v, source) for v in node]
    return node


def _key(key: Any, of: Mapping[Any, Any], source: str) -> str:
    """A key as it is written: SKUs and ids of places are texts, also where they look like numbers
    (`00123`). ConfigError where that cannot be told any more (`1e5`, `null`)."""
    whole = isinstance(key, int) and not isinstance(key, bool)
    if whole and type(key).__name__ in ("int", "ScalarInt") and not getattr(key, "_underscore", 0):
        return str(int(key)).zfill(getattr(key, "_width", None) or 0)
    if isinstance(key, str | date):
        return str(key)
    line, column = of.lc.key(key) if isinstance(of, CommentedMap) else (0, 0)
    message = f"this name is read as {type(key).__name__} {key}, not as text"
    raise ConfigError(
        [Problem(source, line + 1, column + 1, str(key), message, "put it in quotes")]
    )


def _problem(
    source: str, tree: CommentedMap, loc: tuple[int | str, ...], error: Mapping[str, Any]
) -> Problem:
    line, column = _position(tree, loc)
    names = [str(part) for part in loc if part != "[key]"]
    said = str(error["msg"]).removeprefix("Value error, ")
    message = _SAID.get(str(error["type"]), said)
    return Problem(
        source, line, column, ".".join(names) or "(file)", message, _fix(error, names, message)
    )


def _position(tree: CommentedMap, loc: tuple[int | str, ...]) -> tuple[int, int]:
    """Line and column (from 1) of the innermost part of `loc` that exists in the file."""
    node: Any = tree
    line, column = 1, 1
    for part in loc:
        if isinstance(node, CommentedMap) and part in node:
            line, column = node.lc.key(part)
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line, column = node.lc.item(part)
        else:
            break
        line, column = line + 1, column + 1
        node = node[part]
    return line, column


_SAID = {
    "extra_forbidden": "no setting is called so",
    "string_pattern_mismatch": "this cannot be written so",
}
_FORMS = {
    BRAND_ID: "at most 41 of a to z, 0 to 9, - and _, the first a letter or a digit",
    LOOP_VERSION: "YYYY-MM, or v1",
}
_TIME = "write it like 2026-11-01 or 2026-11-01T08:00:00Z"
_FIXES = {
    "missing": "add `{field}:` here",
    "extra_forbidden": "remove it, or correct its spelling",
    "string_pattern_mismatch": "write {form}",
    "literal_error": "write one of {expected}",
    "enum": "write one of {expected}",
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_type": _TIME,
    "string_type": "put it in quotes",
}


def _fix(error: Mapping[str, Any], names: list[str], message: str) -> str:
    context: Mapping[str, Any] = error.get("ctx") or {}
    pattern = str(context.get("pattern", ""))
    template = _FIXES.get(str(error["type"]))
    if template:
        return template.format(
            field=names[-1] if names else "",
            form=_FORMS.get(pattern, f"it in the form {pattern}"),
            expected=context.get("expected", ""),
        )
    return str(context.get("fix") or "correct this value")
