"""The second factor: codes by time (RFC 6238, with the parameters that every app knows), and
codes on paper for the day the app is lost."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from datetime import datetime
from urllib.parse import quote

import segno

STEP = 30
"""Seconds a code is shown."""
DIGITS = 6
DRIFT = 1
"""Steps that a telephone's clock may be off, either way."""
RECOVERY_CODES = 10
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_RECOVERY = re.compile(r"[a-z0-9]{4}(-[a-z0-9]{4}){3}")


def new_secret() -> str:
    """A secret for an app, in base 32."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def code_at(secret: str, step: int) -> str:
    """The code of a time step."""
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), hashlib.sha1)
    start = digest[-1] & 15
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def step_of(secret: str, code: str, now: datetime, last: int | None) -> int | None:
    """The time step whose code this is, around now and after `last`; None where it is none."""
    given, here = code.replace(" ", "").encode(), int(now.timestamp()) // STEP
    fitting = [
        step
        for step in range(here - DRIFT, here + DRIFT + 1)
        if hmac.compare_digest(code_at(secret, step).encode(), given)
    ]
    return next((step for step in fitting if last is None or step > last), None)


def address(secret: str, name: str) -> str:
    """What an app reads from the picture."""
    return (
        f"otpauth://totp/bergen-loop:{quote(name, safe='')}?secret={secret}&issuer=bergen-loop"
        f"&algorithm=SHA1&digits={DIGITS}&period={STEP}"
    )


def picture(text: str) -> str:
    """A QR code as a data URI of an SVG image."""
    return segno.make(text, error="m", micro=False).svg_data_uri(scale=4, border=2)


def recovery_codes() -> list[str]:
    """Codes for the day the app is lost; each holds 79 bits, so that a plain hash keeps it."""
    return ["-".join(_group() for _ in range(4)) for _ in range(RECOVERY_CODES)]


def recovery_code(text: str) -> str | None:
    """A recovery code as it was shown; None for what is none."""
    found = text.strip().casefold()
    return found if _RECOVERY.fullmatch(found) else None


def _group() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(4))
