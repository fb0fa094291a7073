"""Receipt criteria: a brand's rules in YAML and CEL, from a received parcel to a decision."""

from bergen_loop.domain.criteria.backtest import BacktestReport, ChangedReturn, Day, replay
from bergen_loop.domain.criteria.deciding import decide
from bergen_loop.domain.criteria.library import PRESETS, preset, preset_text
from bergen_loop.domain.criteria.loading import load_criteria
from bergen_loop.domain.criteria.model import Criteria, CriteriaError, CriteriaProblem, Rule
from bergen_loop.domain.criteria.warning import CriteriaWarning, WarningKind, warnings

__all__ = [
    "PRESETS",
    "BacktestReport",
    "ChangedReturn",
    "Criteria",
    "CriteriaError",
    "CriteriaProblem",
    "CriteriaWarning",
    "Day",
    "Rule",
    "WarningKind",
    "decide",
    "load_criteria",
    "preset",
    "preset_text",
    "replay",
    "warnings",
]
