"""The library that evaluates CEL, without the command line of its own that its package loads
first (prompt_toolkit, Pygments): nobody uses that, and every start would wait for it."""

from __future__ import annotations

import sys
from types import ModuleType

sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))

import cel  # noqa: E402

__all__ = ["cel"]
