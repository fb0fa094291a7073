"""Grades and dispositions: what the warehouse's findings are called in the brand's Loop account."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bergen_loop.config.fields import HttpUrl, Model
from bergen_loop.outside.loop.requests import DispositionOutcome


class ConditionSettings(Model):
    """One finding: good, damaged or missing."""

    title: str | None = None
    """Title of the grade, such as `Grade A`; null: not graded."""
    grade: str | None = None
    category_name: str | None = None
    category_parent: str | None = None
    disposition: DispositionOutcome | None = None
    """What becomes of the unit; null: not assessed."""


class GradingSettings(Model):
    """Grades and dispositions, told to Loop before a return is processed or flagged."""

    enabled: bool = False
    subject: str = "Item condition grade"
    processor: Annotated[str, Field(max_length=100)] | None = None
    """E-mail address that Loop shows as who inspected it."""
    photos_at: HttpUrl | None = None
    """The public address of this service, to give Loop photos of damage with a grade: each then
    has an address of its own that nobody can guess, and that needs no sign-in. Left out: none."""
    good: ConditionSettings | None = ConditionSettings(
        title="Grade A", disposition=DispositionOutcome.BACK_TO_STOCK
    )
    damaged: ConditionSettings | None = ConditionSettings(
        title="Grade D", disposition=DispositionOutcome.RESALE_HOLD
    )
    missing: ConditionSettings | None = ConditionSettings(disposition=DispositionOutcome.MISSING)
