"""The demonstration's configuration: what a real brand's file looks like, but in a hurry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bergen_loop.domain.criteria import preset_text

CRITERIA = {"northpine": "standard", "lumen": "trusting", "tidewater": "strict"}
SHADOW = "tidewater"
"""This brand watches first: its decisions are journaled, people act in Loop."""
WAIT = "15s"
"""Instead of days for a second parcel."""


def write(folder: Path, sandbox: dict[str, Any], port: int) -> Path:
    """Write the configuration file, criteria and secrets into `folder`."""
    blocks = [_brand(folder, sandbox, brand) for brand in sandbox["brands"]]
    path = folder / "bergen-loop.yaml"
    path.write_text(
        f"""\
service:
  database: sqlite:///{folder}/ledger.db
  port: {port}
  public_url: http://127.0.0.1:{port}
  schedule: 1s
brands:
"""
        + "".join(blocks),
        encoding="utf-8",
    )
    return path


def _brand(folder: Path, sandbox: dict[str, Any], brand: dict[str, Any]) -> str:
    slug = brand["slug"]
    preset = CRITERIA[slug]
    criteria = folder / f"{slug}-criteria.yaml"
    criteria.write_text(_hurried(preset_text(preset)), encoding="utf-8")
    secret = {
        name: _secret(folder, f"{slug}-{name}", brand[name])
        for name in ("loop_api_key", "loop_webhook_secret", "rex11_password")
    }
    return f"""\
  {slug}:
    name: {brand["name"]}
    mode: {"shadow" if slug == SHADOW else "live"}
    poll: 3s
    criteria: {criteria.name}
    loop:
      api_key: {secret["loop_api_key"]}
      webhook_secret: {secret["loop_webhook_secret"]}
      base_url: {sandbox["loop_base_url"]}
    rex11:
      endpoint: {sandbox["rex11_endpoint"]}
      web_address: {brand["rex11_web_address"]}
      user_name: {brand["rex11_user_name"]}
      password: {secret["rex11_password"]}
    announce:
      warehouse: {brand["warehouse"]}
      label_wait: 8s
      add_products: true
      product_poll: 1s
      lost_ticket_wait: 8s
      supplier:
        company_name: {brand["name"]}
        state: NJ
        country: United States
    settle:
      lost_answer_wait: 10s
      confirm_within: 60s
"""


def _hurried(text: str) -> str:
    """The preset with its wait of days made one of seconds."""
    lines = text.splitlines()
    return "\n".join(
        f"  wait: {WAIT}" if line.strip().startswith("wait: ") and line.startswith("  wait: ")
        else line
        for line in lines
    ) + "\n"  # fmt: skip


def _secret(folder: Path, name: str, value: str) -> str:
    path = folder / "secrets" / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(value, encoding="utf-8")
    return f"file:{path}"
