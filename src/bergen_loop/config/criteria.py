"""A brand's receipt criteria, as its settings name them."""

from __future__ import annotations

from pathlib import Path

from bergen_loop.config.errors import ConfigError, Problem
from bergen_loop.config.models import BrandSettings
from bergen_loop.domain.criteria import (
    PRESETS,
    Criteria,
    CriteriaError,
    load_criteria,
    preset,
    preset_text,
)


def file_of(settings: BrandSettings, folder: Path) -> Path | None:
    """The file the criteria stand in; None for a preset, and for a text in the settings."""
    named = settings.criteria
    return None if named in PRESETS or "\n" in named else folder / named


def text_of(settings: BrandSettings, folder: Path) -> str:
    """The criteria as a text for people; empty where their file cannot be read just now."""
    if settings.criteria in PRESETS:
        return preset_text(settings.criteria)
    path = file_of(settings, folder)
    try:
        return path.read_text(encoding="utf-8") if path else settings.criteria
    except (OSError, UnicodeDecodeError, ValueError):
        return ""


def criteria(brand: str, settings: BrandSettings, folder: Path) -> Criteria:
    """The brand's receipt criteria: a preset by name, a file, or the text itself. ConfigError."""
    if settings.criteria in PRESETS:
        return preset(settings.criteria)
    path, field = file_of(settings, folder), f"brands.{brand}.criteria"
    source = str(path) if path else f"criteria of {brand}"
    try:
        text = path.read_text(encoding="utf-8") if path else settings.criteria
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        message = f"the criteria file cannot be read: {reason}"
        fix = f"name a file, or a preset: {', '.join(PRESETS)}"
        raise ConfigError([Problem(source, 1, 1, field, message, fix)]) from None
    try:
        return load_criteria(text, source=source)
    except CriteriaError as error:
        within = "" if path else "criteria."
        raise ConfigError(
            [
                Problem(source, p.line, p.column, within + p.field, p.message, p.remedy)
                for p in error.problems
            ]
        ) from None
