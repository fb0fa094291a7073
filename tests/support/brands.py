"""Brands as the configuration would have them."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from bergen_loop.config import BrandSettings, Settings
from bergen_loop.flow.context import BrandContext

SUPPLIER = {"company_name": "Northpine Apparel", "state": "NJ", "country": "United States"}
"""What REX11 asks of every ticket."""
NOWHERE = "http://127.0.0.1:9"
"""Nothing answers there."""


def brand(name: str = "Acme", **changes: Any) -> BrandSettings:
    """A live brand, whose systems are nowhere unless said otherwise; `changes` go into its blocks
    setting by setting."""
    blocks: dict[str, Any] = {
        "name": name,
        "mode": "live",
        "loop": {"api_key": SecretStr("key"), "base_url": f"{NOWHERE}/loop/api"},
        "rex11": {
            "endpoint": f"{NOWHERE}/rex11",
            "web_address": "x.example",
            "user_name": "user",
            "password": SecretStr("password"),
        },
    }
    return BrandSettings.model_validate(_merged(blocks, changes))


def of_sandbox(known: Any, url: str, **changes: Any) -> BrandSettings:
    """One of the sandbox's brands, with the sandbox's address."""
    loop = {
        "api_key": SecretStr(known.loop_key),
        "webhook_secret": SecretStr(known.webhook_secret),
        "base_url": f"{url}/loop/api",
    }
    rex11 = {
        "endpoint": f"{url}/rex11/ws/v3prod/publicapiws.asmx",
        "web_address": known.web_address,
        "user_name": known.user_name,
        "password": SecretStr(known.password),
    }
    blocks: dict[str, Any] = {
        "loop": loop,
        "rex11": rex11,
        "announce": {"label_wait": "0s", "add_products": True, "supplier": SUPPLIER},
    }
    return brand(known.name, **_merged(blocks, changes))


def settings(*names: str, service: dict[str, Any] | None = None, **changes: Any) -> Settings:
    """A configuration of such brands (`acme` where none is named), alike but for their names."""
    brands = {
        name: brand(f"{name.capitalize()} Clothing", **changes) for name in names or ("acme",)
    }
    return Settings.model_validate({"service": service or {}, "brands": brands})


def changed(settings: BrandSettings, **changes: Any) -> BrandSettings:
    """A brand's settings with others in some places, written as in its file."""
    return BrandSettings.model_validate(_merged(settings.model_dump(exclude_unset=True), changes))


def configure(ctx: BrandContext, **changes: Any) -> None:
    """Change settings of a connected brand, written as in its file."""
    ctx.settings = changed(ctx.settings, **changes)


def _merged(blocks: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(blocks)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = {**old, **value} if isinstance(value, dict) and old else value
    return merged
