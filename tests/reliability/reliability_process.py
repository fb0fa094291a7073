"""The real service as a process of its own, against a sandbox as another: killed and started
again, and judged by the sandbox's log."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

from bergen_loop.domain.returns import Stage as At
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention
from bergen_loop.ledger.tables.core import ReturnRow

HERE = Path(__file__).parent
BOUNDARIES = ("ticket intended", "ticket sent", "ticket recorded", "receipt recorded",
              "settlement intended", "settlement sent", "settlement recorded", "note intended",
              "note sent", "note recorded", "closed in Bergen")  # fmt: skip
RESTING = (At.COMPLETE, At.CANCELLED, At.EXPIRED, At.IGNORED, At.FLAGGED, At.NO_PARCEL, At.WAITING)
MIX = {"complete": 70, "damaged": 15, "wrong": 10, "garbled": 5}
PRODUCT = ("unknown_product", "product_refused", "product_import")
BRAND_SETTINGS = """
  {slug}:
    name: {name}
    mode: live
    poll: 0.2s
    loop:
      api_key: "file:{folder}/{slug}-loop"
      base_url: "{root}/loop/api"
      backfill: 60d
      look_aside: 1s
    rex11:
      endpoint: "{root}/rex11/ws/v3prod/publicapiws.asmx"
      web_address: {address}
      user_name: {user}
      password: "file:{folder}/{slug}-rex"
    announce:
      label_wait: 1s
      add_products: true
      product_poll: 1s
      lost_ticket_wait: 7s
      supplier: {{company_name: "{name}", state: NJ, country: United States}}
    settle: {{lost_answer_wait: 6s, confirm_within: 20s}}
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Site:
    """A sandbox and a service with one brand."""

    def __init__(self, folder: Path, seed: int, returns: int) -> None:
        self.folder = folder
        port = free_port()
        self.root = f"http://127.0.0.1:{port}"
        self.kills = 0
        self.service: subprocess.Popen[bytes] | None = None
        settings = ("processing_min_seconds=0.2", "processing_max_seconds=1.5",
                    "import_seconds=0.5", "hang_seconds=0.2")  # fmt: skip
        command = [sys.executable, "-m", "loop_sandbox", "--port", str(port),
                   "--seed", str(seed), "--returns", str(returns),
                   "--log-level", "critical"]  # fmt: skip
        for one in settings:
            command += ["--set", one]
        self.sandbox = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.http = httpx2.Client(base_url=self.root, timeout=10.0)
        self.config = self._configure(self._wait_for_sandbox())
        self.slug = "northpine"

    def _wait_for_sandbox(self) -> dict[str, Any]:
        until = time.monotonic() + 60
        while True:
            try:
                return self.http.get("/control/config").json()
            except httpx2.TransportError:
                assert time.monotonic() < until, "the sandbox did not start"
                time.sleep(0.1)

    def _configure(self, given: dict[str, Any]) -> Path:
        brand = next(b for b in given["brands"] if b["slug"] == "northpine")
        for name, key in (("loop", "loop_api_key"), ("rex", "rex11_password")):
            secret = self.folder / f"northpine-{name}"
            secret.touch(mode=0o600)
            secret.write_text(brand[key])
        service = f"service: {{database: 'sqlite:///{self.folder}/l.db', schedule: 1s}}\nbrands:"
        path = self.folder / "bergen-loop.yaml"
        path.write_text(
            service
            + BRAND_SETTINGS.format(
                slug="northpine",
                name=brand["name"],
                folder=self.folder,
                root=self.root,
                address=brand["rex11_web_address"],
                user=brand["rex11_user_name"],
            )
        )
        return path

    def control(self, path: str, body: Any = None, method: str = "POST") -> Any:
        answer = self.http.request(method, f"/control/{path}", json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def start(self, crash_at: str | None = None) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "BERGEN_LOOP_CRASH_AT"}
        if crash_at:
            environment["BERGEN_LOOP_CRASH_AT"] = crash_at
        command = [sys.executable, str(HERE / "crashing_serve.py"), "--log-level", "ERROR",
                   "serve", "-c", str(self.config), "--port", str(free_port())]  # fmt: skip
        self.service = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

    def until_dead(self, seconds: float = 60.0) -> bool:
        """Wait for the service to kill itself; False if it did not, then it is killed."""
        assert self.service is not None
        try:
            code = self.service.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        assert code == -signal.SIGKILL, f"the service ended by itself with {code}"
        self.kills += 1
        return True

    def kill(self, after: float = 0.0) -> None:
        """SIGKILL, now or after some seconds."""
        assert self.service is not None
        time.sleep(after)
        self.service.kill()
        self.service.wait()
        self.kills += 1

    def parcels(self) -> None:
        """Parcels come for all tickets that wait for one."""
        self.control("parcels/auto", {"brand": self.slug, "mix": MIX})

    def rows(self) -> tuple[list[ReturnRow], set[int], bool]:
        """The ledger's returns, which of them are on the attention list, and whether a product is:
        what is wrong with it is told once for all its returns."""
        ledger = Ledger(f"sqlite:///{self.folder}/l.db")
        try:
            with ledger.read() as session:
                rows = list(session.query(ReturnRow))
                items = attention.open_items(session)
                products = any(i.kind in PRODUCT for i in items)
                return rows, {i.return_pk for i in items if i.return_pk}, products
        finally:
            ledger.close()

    def unsettled(self) -> list[str]:
        """Returns that have not come to rest, in words."""
        rows, held, products = self.rows()
        known = {r.return_id: r for r in rows}
        shown = self.http.get("/control/returns", params={"brand": self.slug}).json()["returns"]
        open_ = [f"{r['id']} is not known" for r in shown if r["id"] not in known]
        for r in shown:
            row = known.get(r["id"])
            if row is None or row.id in held or (row.stage == At.SEEN and products):
                continue
            if row.stage not in RESTING or row.loop_state != r["state"]:
                open_.append(f"{r['id']} ({r['state']}) is {row.stage}, seen as {row.loop_state}")
        return open_

    def until_rest(self, seconds: float = 120.0) -> list[str]:
        """Run on until everything is settled; what is not by then."""
        until = time.monotonic() + seconds
        while (left := self.unsettled()) and time.monotonic() < until:
            assert self.service is not None
            assert self.service.poll() is None, "the service ended"
            self.parcels()
            time.sleep(0.5)
        return left

    def doubled(self) -> list[str]:
        """What was done more than once, by the sandbox's log."""
        seen = self.http.get("/control/effects", params={"brand": self.slug}).json()
        found: list[str] = seen["violations"]
        for return_id, e in seen["returns"].items():
            if e["process_accepted"] - e["process_failed"] > 1 or e["accepted_after_flag"]:
                found.append(f"{return_id}: processed {e['process_accepted']} times")
            more = len(e["tickets"]) > max(1, e["labels"])
            if e["flags"] > 1 or more or len(set(e["notes"])) < len(e["notes"]):
                found.append(f"{return_id}: {e}")
        return found

    def close(self) -> None:
        for process in (self.service, self.sandbox):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        self.http.close()


def play(folder: Path, seed: int, boundaries: list[str], kills: int, returns: int = 12) -> Site:
    """A site whose service dies at each boundary in turn, then `kills` times at random; the
    caller closes it."""
    rng = random.Random(seed)
    site = Site(folder, seed, returns)
    try:
        for boundary in boundaries:
            site.start(boundary)
            while site.service is not None and site.service.poll() is None:
                site.parcels()
                site.control("returns", {"brand": site.slug, "count": 1, "late_label": False})
                time.sleep(0.7)
            site.until_dead(1.0)
        for _ in range(kills):
            site.start()
            site.control("returns", {"brand": site.slug, "count": 2, "late_label": False})
            time.sleep(1.5)
            site.parcels()
            site.kill(after=rng.uniform(0.3, 3.0))
        site.start()
    except BaseException:
        site.close()
        raise
    return site
