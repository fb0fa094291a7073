"""A release of the service as an outsider has it: its own process, its pages, its command line.

Nothing of the service is imported, so that any release can stand here. The sandbox is ours for all
of them, behind a way that can spoil what REX11 answers.
"""

from __future__ import annotations

import base64
import http.client
import os
import re
import resource
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

PASSWORD = "four unusual words bloom"  # noqa: S105 - of a world that lasts a minute
BRAND = "northpine"
MEMORY = 3 * 1024**3
"""Bytes of address space that the service may take before it is ended, for the machine's sake."""


class Child:
    """A process of ours, with what it said."""

    def __init__(
        self, arguments: list[str], log: Path, env: dict[str, str], memory: int | None = None
    ) -> None:
        self.log = log

        def limits() -> None:
            os.umask(0o022)
            if memory:
                resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

        with log.open("ab") as out:
            self._child = subprocess.Popen(  # noqa: S603 - our own programs
                [sys.executable, *arguments],
                stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **env}, cwd=log.parent,
                preexec_fn=limits,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._child.pid

    def ended(self) -> int | None:
        """Its exit status, if it is no more."""
        return self._child.poll()

    def memory(self) -> int:
        """Bytes it has in memory; 0 if it is no more."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        except OSError:
            return 0
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) * 1024 if found else 0

    def end(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


class Release:
    """The service of one tree of sources, beside a sandbox of this one."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self.tree, self.folder = tree, folder
        self._ours = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
        self._theirs = {"PYTHONPATH": str(tree / "src"), "COLUMNS": "120"}
        self.sandbox_url = f"http://127.0.0.1:{free_port()}"
        port = self.sandbox_url.rsplit(":", 1)[1]
        arguments = ["-m", "loop_sandbox", "--port", port, "--returns", "0"]
        for setting in ("unkind=false", "late_label_share=0"):
            arguments += ["--set", setting]
        self._sandbox = Child(arguments, folder / "sandbox.log", self._ours)
        self.control = httpx2.Client(base_url=self.sandbox_url, timeout=30)
        wait_for(lambda: self._answers(self.control, "/health"))
        self.way = Way(int(port))
        self.mail = Mailbox()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = self._write_config()
        self.service = self._serve()
        self.http = httpx2.Client(base_url=self.url, timeout=30)
        self.start_seconds = wait_for(lambda: self._answers(self.http, "/health"))

    def _serve(self) -> Child:
        arguments = ["-m", "bergen_loop", "serve", "--config", str(self.config)]
        first = {"BERGEN_LOOP_ADMIN": f"boss:{PASSWORD}"}
        return Child(arguments, self.folder / "serve.log", {**self._theirs, **first}, MEMORY)

    def again(self) -> None:
        """A new process, where the last one was brought down."""
        self.service.end()
        self.service = self._serve()
        wait_for(lambda: self._answers(self.http, "/health"))

    def end(self) -> None:
        self.service.end()
        self._sandbox.end()
        self.way.end()
        self.mail.end()

    def _write_config(self) -> Path:
        world = self.control.get("/control/config").json()
        brand = next(b for b in world["brands"] if b["slug"] == BRAND)
        self.secrets = {k: brand[k] for k in
                        ("loop_api_key", "loop_webhook_secret", "rex11_password")}  # fmt: skip
        self.secrets["alerts"] = (
            f"mailto://127.0.0.1:{self.mail.port}/?from=a@b.example&to=c@d.example"
        )
        self.secrets["events"] = "whsec_" + base64.b64encode(b"k" * 32).decode()
        folder = self.folder / "secrets"
        folder.mkdir(mode=0o700)
        for name, value in self.secrets.items():
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(value, encoding="utf-8")
        rex11 = world["rex11_endpoint"].replace(self.sandbox_url, self.way.url)
        path = self.folder / "bergen-loop.yaml"
        path.write_text(
            f"""\
service:
  database: sqlite:///{self.folder}/ledger.db
  port: {self.port}
  public_url: {self.url}
  schedule: 1s
  alerts:
    urls: ["file:{folder}/alerts"]
    attention_older: 1s
    sync_stalled: 10s
    events_failing: 5s
brands:
  {BRAND}:
    name: Northpine
    mode: live
    poll: 1s
    criteria: standard
    loop:
      api_key: file:{folder}/loop_api_key
      webhook_secret: file:{folder}/loop_webhook_secret
      base_url: {world["loop_base_url"]}
    rex11:
      endpoint: {rex11}
      web_address: {brand["rex11_web_address"]}
      user_name: {brand["rex11_user_name"]}
      password: file:{folder}/rex11_password
    events:
      url: {self.way.url}/brand
      secret: file:{folder}/events
      allow_loopback: true
    announce:
      warehouse: {brand["warehouse"]}
      add_products: true
      product_poll: 1s
      supplier:
        company_name: Northpine
        state: NJ
        country: United States
    settle:
      lost_answer_wait: 5s
      confirm_within: 4s
""",
            encoding="utf-8",
        )
        return path

    @staticmethod
    def _answers(client: httpx2.Client, path: str) -> bool:
        try:
            return client.get(path).status_code == 200
        except httpx2.HTTPError:
            return False

    # -- as people come to it -------------------------------------------------------------------

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """A command of it."""
        return subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "bergen_loop", *arguments, "--config", str(self.config)],
            capture_output=True, timeout=120, cwd=self.folder, check=False,
            env={**os.environ, **self._theirs},
        )  # fmt: skip

    def said(self) -> str:
        """Its log so far."""
        return self.service.log.read_text(encoding="utf-8", errors="replace")

    def browser(self) -> Browser:
        return Browser(self)

    @cached_property
    def boss(self) -> Browser:
        """Signed in as the first account, an engineer, with a password of their own."""
        mine = self.browser()
        mine.sign_in("boss", PASSWORD)
        mine.settle_in("boss", PASSWORD)
        if mine.get("/").status_code != 200:
            raise RuntimeError("the first account cannot sign in")
        return mine

    def control_post(self, path: str, **values: Any) -> Any:
        answer = self.control.post(path, json=values)
        answer.raise_for_status()
        return answer.json()


class Browser:
    """A browser; its address is 127.0.0.1 as everybody's here."""

    def __init__(self, release: Release) -> None:
        self.http = httpx2.Client(base_url=release.url, timeout=60, follow_redirects=False)
        self.password = ""

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return self.http.get(path, **more)

    def token(self, path: str) -> str:
        """What a form of this page has to carry."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(path).text)
        return found[1] if found else ""

    def post(self, path: str, at: str, **form: Any) -> httpx2.Response:
        """Send the form that stands on the page `at`."""
        return self.http.post(path, data={"csrf": self.token(at), **form})

    def sign_in(self, name: str, password: str) -> int:
        self.password = password
        return self.post("/login", "/login", name=name, password=password).status_code

    def settle_in(self, name: str, issued: str) -> None:
        """Choose a password of one's own, where the release asks for it."""
        own = f"{PASSWORD} twice"
        form = {"old": issued, "password": own, "again": own}
        if self.post("/account", "/account", **form).status_code == 303:
            self.password = own
        if self.get("/").status_code != 200:
            self.sign_in(name, self.password)

    def made_account(self, name: str, role: str) -> str | None:
        """The password that was issued; None if it was refused."""
        page = self.post("/people", "/people", name=name, role=role, all_brands="1").text
        return secret_in(page)

    def made_token(self, name: str, role: str) -> str | None:
        form = {"name": name, "role": role, "all_brands": "1", "days": "9"}
        return secret_in(self.post("/tokens", "/tokens", **form).text)


def secret_in(page: str) -> str | None:
    """What a page shows once."""
    found = re.search(r'class="secret">([^<]+)<', page)
    return found[1] if found else None


class Way:
    """Before REX11: hands on what is said, or answers with what a system says that tells too
    much: it repeats the request, password and all, in its error."""

    def __init__(self, port: int) -> None:
        way = self
        self.tells_too_much = False
        self.told: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if self.path == "/brand" and not way.tells_too_much:
                    status, answer, kind = 200, b"", "text/plain"
                elif self.path == "/brand":
                    self.wfile.write(b"Unhandled: <b>x</b>\x1b[31m\r\n\r\n")  # no HTTP at all
                    self.close_connection = True
                    return
                elif way.tells_too_much:
                    status, answer = 500, b"Unhandled: <b>x</b>\x1b[31m in request " + body
                    kind = "text/plain"
                    way.told.append(answer.decode(errors="replace"))
                else:
                    out = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                    headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
                    out.request("POST", self.path, body, headers)
                    got = out.getresponse()
                    status, answer = got.status, got.read()
                    kind = got.headers.get("content-type", "text/xml")
                    out.close()
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()


class Mailbox:
    """Takes whatever mail is sent to it."""

    def __init__(self) -> None:
        box = self
        self.mails: list[str] = []

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                def say(text: str) -> None:
                    self.wfile.write(f"{text}\r\n".encode())

                say("220 here")
                while line := self.rfile.readline():
                    if not line.upper().startswith(b"DATA"):
                        say("221 bye" if line.upper().startswith(b"QUIT") else "250 ok")
                        continue
                    say("354 go on")
                    text = b""
                    while (part := self.rfile.readline()) not in (b".\r\n", b""):
                        text += part
                    box.mails.append(text.decode(errors="replace"))
                    say("250 ok")

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(done: Callable[[], bool], seconds: float = 60.0) -> float:
    """How long it took until it was. TimeoutError."""
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > seconds:
            raise TimeoutError
        time.sleep(0.1)
    return time.monotonic() - began
