"""What is shipped to run it by: the dashboard, the compose file, the unit."""

from __future__ import annotations

import json
import platform
import re
import shutil
import socket
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.tables.core import BrandRow, BreakerRow
from bergen_loop.service.supervisor import Supervisor
from bergen_loop.tell.events import follow
from bergen_loop.tell.metrics import Metrics
from bergen_loop.tell.rules import CRITICAL, KINDS, WARNING
from support.brands import settings
from support.rows import NOW

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def _exposed(ledger: Ledger) -> dict[str, set[str]]:
    """Metric -> its labels, with something in every counter."""
    with ledger.write() as session:
        session.add(BrandRow(brand="acme", last_sync_finished_at=NOW, last_good_sync_at=NOW))
        held = {"opened_at": NOW, "failures": 5, "probes": 0}
        session.add(BreakerRow(brand="acme", system="rex11", **held))
        journal.record(
            session, NOW, journal.Entry(What.DECIDED, "why", brand="acme", data={"outcome": "flag"})
        )
        journal.record(
            session,
            NOW,
            journal.Entry(What.NEEDS_PERSON, "why", brand="acme", data={"kind": "access"}),
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


def test_every_rule_asks_for_metrics_there_are_and_leads_to_its_section(
    sqlite_ledger: Ledger,
) -> None:
    exposed = _exposed(sqlite_ledger)
    rules = YAML(typ="safe").load(DEPLOY / "alert-rules.yaml")["groups"][0]["rules"]
    sections = {f"#{k.name}" for k in KINDS} | {"#alerts-what-to-do-at-3-am"}
    told: set[str] = set()
    for rule in rules:
        names = set(re.findall(r"bergen_loop_\w+", rule["expr"]))
        assert names and names <= exposed.keys(), rule["alert"]
        labels = set.union(*(exposed[name] for name in names))
        grouped = re.findall(r"(?:by|on) \(([^)]*)\)", rule["expr"])
        asked = {label.strip() for group in grouped for label in group.split(",")}
        asked |= set(re.findall(r"[{,](\w+)!?=", rule["expr"]))
        asked |= set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert asked <= labels, rule["alert"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert rule["labels"]["severity"] in (CRITICAL, WARNING)
        page, _, section = rule["annotations"]["guide"].partition("#")
        assert page == "docs/operations.md"
        told.add(f"#{section}")
        kind = next((k for k in KINDS if k.name == section), None)
        assert kind is None or kind.severity == rule["labels"]["severity"], rule["alert"]
    assert told == sections, "a kind of alert has no rule"
    assert "alert-rules.yaml" in (DEPLOY / "prometheus.yaml").read_text()


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
    assert service["NoNewPrivileges"] == service["PrivateTmp"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert service["Restart"] == "always"


def test_systemd_finds_little_exposed() -> None:
    """At most 2.0 of 10; what is left is that it talks to the network."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed here")
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", "--no-pager",
         str(DEPLOY / "bergen-loop.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


def test_the_unit_runs_where_its_comments_put_things() -> None:
    text = (DEPLOY / "bergen-loop.service").read_text()
    unit = RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "bergen-loop.service")
    service = dict(unit["Service"])
    assert f"useradd --system --home-dir /var/lib/{service['User']}" in text
    folder = "/" + "/".join(service["Environment"].partition("=")[2].split("/")[1:-1])
    assert folder.removeprefix("/var/lib/") in service["StateDirectory"].split()
    assert f"bergen-loop.yaml {folder}/" in text
    assert service["ExecStart"].split()[0] in text
    assert (service["Type"], service["WatchdogSec"]) == ("notify", "60")
    assert service["MemoryMax"] == "2G"


def test_the_supervisor_is_told_that_the_service_is_ready_alive_and_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "60000")
        supervisor = Supervisor()
        supervisor.ready()
        assert [systemd.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        supervisor.stopping()
        while (said := systemd.recv(100)) == b"WATCHDOG=1":
            pass
        assert said == b"STOPPING=1"
    monkeypatch.delenv("NOTIFY_SOCKET")
    Supervisor().ready()  # says nothing to nobody


def pins(name: str) -> dict[str, list[str]]:
    """Requirement -> its hashes."""
    found: dict[str, list[str]] = {}
    last = ""
    for line in (ROOT / name).read_text().splitlines():
        if line.startswith("    --hash=sha256:"):
            found[last].append(line.split(":")[1].strip(" \\"))
        else:
            last = line.rstrip(" \\")
            found[last] = []
    return found


def test_every_pinned_package_has_its_hashes_and_users_install_what_runs_only() -> None:
    users, developers = pins("requirements.lock"), pins("requirements-dev.lock")
    assert len(users) > 50
    for name, hashes in {**users, **developers}.items():
        assert hashes and all(len(one) == 64 for one in hashes), name
    own = {re.split("[= ;]", name)[0]: name.split(" ")[0] for name in users}
    theirs = {re.split("[= ;]", name)[0]: name.split(" ")[0] for name in developers}
    assert own.items() <= theirs.items(), "what is tested is what users run"
    assert not own.keys() & {"pytest", "pyright", "playwright", "ruff", "hypothesis", "pip", "uv"}


def test_the_image_installs_by_hash_what_runs_and_its_linter_is_content() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.findall("^FROM (.*)$", text, re.MULTILINE) == ["${BASE} AS build", "${BASE}"]
    assert "--require-hashes -r requirements.lock" in text
    hadolint = shutil.which("hadolint")
    if hadolint is None and (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("its linter is not made for this machine")
    assert hadolint, "it is in requirements-dev.lock"
    done = subprocess.run(
        [hadolint, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_brands_can_be_written_down_where_it_is_composed() -> None:
    compose = YAML(typ="safe").load(DEPLOY / "compose.yaml")
    config = "/var/lib/bergen-loop/config"
    assert f"BERGEN_LOOP_CONFIG={config}/bergen-loop.yaml" in (DEPLOY / "Dockerfile").read_text()
    for name in ("serve", "worker"):
        assert compose["services"][name]["volumes"] == [f"./config:{config}"]
        assert compose["services"][name]["mem_limit"] == "2g"
