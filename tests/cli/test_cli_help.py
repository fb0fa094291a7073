"""Help: at once, and of every command."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

from bergen_loop.cli.main import COMMANDS, app, load

HEAVY = ("sqlalchemy", "dbos", "httpx2", "fastapi", "lxml", "pydantic", "structlog", "alembic")


def _ways() -> list[tuple[str, ...]]:
    """Every command and group, by the words it is called with."""
    found: list[tuple[str, ...]] = []
    for name in COMMANDS:
        inner: dict[str, Any] = getattr(load(name), "commands", {})
        found += [(name,), *((name, one) for one in inner)]
    return found


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_what_runs_no_command_imports_none(arguments: list[str]) -> None:
    program = (
        "import json, sys\n"
        "from bergen_loop.cli import main\n"
        f"sys.argv = ['bergen-loop', *{arguments!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    sys.stderr.write('\\n' + json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    modules = set(json.loads(done.stderr.splitlines()[-1]))
    assert not {m for m in modules if m.partition(".")[0] in HEAVY}
    assert {m for m in modules if m.startswith("bergen_loop")} == {
        "bergen_loop",
        "bergen_loop.cli",
        "bergen_loop.cli.main",
    }


@pytest.mark.parametrize("words", _ways(), ids=" ".join)
def test_every_command_has_help_of_its_own(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert f"{' '.join(words)} [OPTIONS]" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says_of_itself(name: str) -> None:
    first, _, _ = load(name).help.partition("\n\n")
    assert COMMANDS[name][1] == " ".join(first.split())


def test_a_mistyped_command_is_answered_with_the_one_that_was_meant() -> None:
    result = CliRunner().invoke(app, ["statsu"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "Did you mean 'status'" in result.output


def test_completion_knows_commands_and_their_options() -> None:
    for words, expected in (("bergen-loop sta", "status"), ("bergen-loop status --js", "--json")):
        asked = {
            "_BERGEN_LOOP_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        result = CliRunner().invoke(app, [], prog_name="bergen-loop", env=asked)
        assert result.output.split() == [expected]


def test_the_sandboxs_own_help_is_shown() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bergen_loop", "sandbox", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--seed" in done.stdout
