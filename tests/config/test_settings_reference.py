"""The reference of the settings is what the code says, and mistakes lead to it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from bergen_loop.config import guide
from bergen_loop.config.errors import Problem

ROOT = Path(__file__).parents[2]


def tool() -> Any:
    spec = importlib.util.spec_from_file_location(
        "settings_tool", ROOT / "tools" / "settings" / "__main__.py"
    )
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_page_is_what_the_code_says() -> None:
    made = tool()
    assert made.PAGE.read_text() == made.page(), "run: python tools/settings"


def test_every_setting_says_what_it_is_for() -> None:
    made = tool()
    dumb = [
        f"{path}.{name}"
        for path, model in guide.blocks().items()
        for name in model.model_fields
        if len(made.words(model).get(name, "")) < 5
    ]
    assert dumb == []


@pytest.mark.parametrize(
    ("field", "section"),
    [
        ("service.port", "docs/settings.md#service"),
        ("service.auth.oidc.groups.ops.role", "docs/settings.md#serviceauthoidc"),
        ("brands.acme.mode", "docs/settings.md#brandsbrand"),
        ("brands.acme.loop.version", "docs/settings.md#brandsbrandloop"),
        ("brands.acme.announce.destinations.17", "docs/settings.md#brandsbrandannounce"),
        ("brands.acme.rex11.close.url", "docs/settings.md#brandsbrandrex11close"),
        ("brands.acme.criteria", "docs/settings.md#brandsbrand"),
        ("brands.acme.criteria.rules[0].when", "docs/criteria.md"),
        ("(syntax)", "docs/settings.md"),
    ],
)
def test_a_mistake_leads_to_its_section(field: str, section: str) -> None:
    assert guide.section(field) == section
    told = str(Problem("acme.yaml", 3, 1, field, "is wrong", "write it right."))
    assert told == f"acme.yaml:3:1: {field}: is wrong. Fix: write it right. See {section}"


def test_every_section_is_on_the_page() -> None:
    page = (ROOT / guide.PAGE).read_text()
    slugs = {guide.slug(title) for title in re.findall(r"^## (.+)$", page, re.MULTILINE)}
    assert {guide.slug(path) for path in guide.blocks() if path} <= slugs
