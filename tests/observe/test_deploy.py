"""What is shipped to run it by: the dashboard, the compose file, the unit."""

from __future__ import annotations

import json
import re
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.tables.core import BrandRow
from bergen_loop.tell.events import follow
from bergen_loop.tell.metrics import Metrics
from support.brands import settings
from support.rows import NOW

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def _exposed(ledger: Ledger) -> dict[str, set[str]]:
    """Metric -> its labels, with something in every counter."""
    with ledger.write() as session:
        session.add(BrandRow(brand="acme", last_sync_finished_at=NOW, last_good_sync_at=NOW))
        journal.record(session, NOW, What.DECIDED, "why", brand="acme", data={"outcome": "flag"})
        journal.record(
            session, NOW, What.NEEDS_PERSON, "why", brand="acme", data={"kind": "access"}
        )
        journal.count(
            session,
            "acme",
            {"call:loop:list:ok": 1, "ms:loop:list": 5, "intake.failed": 1, "webhooks.taken": 1},
        )
    follow.take_in(ledger, {}, NOW)
    page = Metrics(settings, ledger, lambda: NOW).page().decode()
    found: dict[str, set[str]] = {"bergen_loop_alerts": {"kind", "brand"}}
    assert "# TYPE bergen_loop_alerts gauge" in page
    for name, labels in re.findall(r"^(bergen_loop_\w+)(?:\{(.*)\})? ", page, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return found


def _expressions(dashboard: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (target["expr"], target["legendFormat"])
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


def test_every_metric_and_label_of_the_dashboard_is_there(sqlite_ledger: Ledger) -> None:
    exposed = _exposed(sqlite_ledger)
    dashboard = json.loads((DEPLOY / "grafana" / "bergen-loop.json").read_text())
    expressions = _expressions(dashboard)
    assert len(expressions) > 20
    shown: set[str] = set()
    for expression, legend in expressions:
        names = set(re.findall(r"bergen_loop_\w+", expression))
        assert names, expression
        assert names <= exposed.keys(), names - exposed.keys()
        labels = set.intersection(*(exposed[name] for name in names))
        grouped = re.findall(r"by \(([^)]*)\)", expression)
        asked = {label.strip() for group in grouped for label in group.split(",")}
        asked |= set(re.findall(r"(\w+)=~?\"", expression))
        in_legend = set(re.findall(r"\{\{(\w+)\}\}", legend))
        assert asked <= set.union(*(exposed[name] for name in names)), expression
        assert in_legend <= labels | asked, legend
        shown |= names
    assert exposed.keys() <= shown, f"shown nowhere: {exposed.keys() - shown}"
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]]
    assert len(set(places)) == len(places)
    assert len({p["id"] for p in dashboard["panels"]}) == len(places)


def test_the_guide_names_every_metric(sqlite_ledger: Ledger) -> None:
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for name in _exposed(sqlite_ledger):
        assert f"`{name}`" in guide


def test_the_compose_file_runs_what_there_is() -> None:
    compose = YAML(typ="safe").load(DEPLOY / "compose.yaml")
    assert set(compose["services"]) == {"db", "serve", "worker"}
    assert compose["services"]["worker"]["command"] == ["worker"]
    for name in ("serve", "worker"):
        service = compose["services"][name]
        assert (DEPLOY / service["build"]["context"]).resolve() == ROOT
        assert (ROOT / service["build"]["dockerfile"]).exists()
        assert service["read_only"] is True
    text = (DEPLOY / "compose.yaml").read_text()
    assert not re.search(r"PASSWORD: [^$]", text), "no password in the file"


def test_the_unit_is_hardened() -> None:
    unit = RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "bergen-loop.service")
    service = dict(unit["Service"])
    assert service["ExecStart"].endswith("bergen-loop --log-json serve")
    assert service["NoNewPrivileges"] == service["PrivateTmp"] == service["DynamicUser"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert service["Restart"] == "always"
