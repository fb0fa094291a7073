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
    """Loop's `grade` of the condition."""
    category_name: str | None = None
    """Loop's `category_name` of the condition."""
    category_parent: str | None = None
    """Loop's `category_parent` of the condition."""
    disposition: DispositionOutcome | None = None
    """What becomes of the unit; null: not assessed."""


class GradingSettings(Model):
    """Grades and dispositions, told to Loop before a return is processed or flagged."""

    enabled: bool = False
    """Whether grades and dispositions are told at all."""
    subject: str = "Item condition grade"
    """Of every grade: the `subject` of its condition_category in Loop."""
    processor: Annotated[str, Field(max_length=100)] | None = None
    """E-mail address that Loop shows as who inspected it."""
    photos_at: HttpUrl | None = None
    """The public address of this service, to give Loop photos of damage with a grade: each then
    has an address of its own that nobody can guess, and that needs no sign-in. Left out: none."""
    good: ConditionSettings | None = ConditionSettings(
        title="Grade A", disposition=DispositionOutcome.BACK_TO_STOCK
    )
    """For units that were counted and are not damaged; null: they are not told."""
    damaged: ConditionSettings | None = ConditionSettings(
        title="Grade D", disposition=DispositionOutcome.RESALE_HOLD
    )
    """For damaged units."""
    missing: ConditionSettings | None = ConditionSettings(disposition=DispositionOutcome.MISSING)
    """For units that did not come."""
