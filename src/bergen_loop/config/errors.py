"""What is wrong with a configuration file, and where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration file."""

    file: str
    line: int
    column: int
    field: str
    message: str
    fix: str

    def __str__(self) -> str:
        from bergen_loop.config.guide import section  # which looks through all settings

        where = f"{self.file}:{self.line}:{self.column}: {self.field}"
        fix = self.fix.rstrip(".")
        return f"{where}: {self.message}. Fix: {fix}. See {section(self.field)}"


class ConfigError(Exception):
    """A configuration that cannot be used, with everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems
