"""The criteria that come with the product: YAML files that people can read and copy."""

from __future__ import annotations

from functools import cache
from importlib import resources

from bergen_loop.domain.criteria.loading import load_criteria
from bergen_loop.domain.criteria.model import Criteria

PRESETS = ("strict", "standard", "trusting", "high-value-review")


@cache
def preset(name: str) -> Criteria:
    """One of `PRESETS`. ValueError, with the names there are, for another."""
    return load_criteria(preset_text(name), source=f"preset {name}")


def preset_text(name: str) -> str:
    """The YAML of a preset, as a start for a brand's own criteria."""
    if name not in PRESETS:
        raise ValueError(f"there is no preset '{name}'; use one of {', '.join(PRESETS)}")
    folder = resources.files("bergen_loop.domain.criteria") / "presets"
    return (folder / f"{name}.yaml").read_text(encoding="utf-8")
