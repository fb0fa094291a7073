"""How one brand's REX11 account is reached, and what of REX11 is not documented."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bergen_loop.outside.http import Retries, Timeouts

PRODUCTION = "https://sync.rex11.com/ws/v3prod/publicapiws.asmx"

WAREHOUSES = tuple(
    f"BERGEN LOGISTICS {place}"
    for place in ("NJ", "WEST", "EU", "NJ2", "NJ3", "HK", "NJ3B", "CAN", "NL")
)
"""The Warehouse enumeration of the ticket schema, which is of 2017."""

_PREFIX = "BERGEN LOGISTICS "

SHIPMENT_TYPES = ("NA", "GOH", "FLAT", "OPENTOHANG", "CASE")
"""The ShipmentType enumeration of the ticket schema."""


def warehouse_name(text: str) -> str:
    """A warehouse's full name, from `nj2` or `BERGEN LOGISTICS NJ2`. One that the schema does not
    list may be given in full; ValueError for what is neither."""
    name = " ".join(text.upper().split())
    if name.startswith(_PREFIX):
        return name
    if _PREFIX + name in WAREHOUSES:
        return _PREFIX + name
    short = ", ".join(w.removeprefix(_PREFIX) for w in WAREHOUSES)
    raise ValueError(
        f"{text!r} is no warehouse of Bergen's; one of {short}, or a newer one by its full name "
        f"({_PREFIX}...)"
    )


_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class AuthSigns:
    """How to recognise that REX11 refused the token. Its form is NOT documented, hence
    configurable: `patterns` are regular expressions searched in the message of an error
    notification or fault, without regard to case; `codes` are ErrorCodes."""

    patterns: tuple[str, ...] = (
        r"authenticat",
        r"\b(?:un|not )authori[sz]ed\b",
        r"\baccount (?:is|was|has been) (?:disabled|locked|suspended|inactive|deactivated)",
        # ".. is an unexpected token" is what .NET says of broken XML.
        r"(?<!expected )\btoken\b",
        # Its own words for a database that is slow, or a state server that is away.
        r"(?<!timeout )\bexpired\b",
        r"\bsession\b(?! state)",
        r"\b(?:log|sign)(?:ged)?[ -]?(?:in|on) again\b",
        r"\b(?:please|must|not) (?:be )?(?:log|sign)(?:ged|ed)?[ -]?(?:in|on)\b",
    )
    codes: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                message = f"auth_signs.patterns: {pattern!r} is no regular expression: {error}"
                raise ValueError(message) from None

    def match(self, message: str | None, code: int | None = None) -> bool:
        """Whether this message or code says that the token was refused."""
        if code is not None and code in self.codes:
            return True
        return any(re.search(p, message or "", re.IGNORECASE) for p in self.patterns)


@dataclass(frozen=True, slots=True)
class Rex11Config:
    """One brand's account. Raises ValueError, naming the setting, where one cannot be right.

    Not documented by REX11, hence settings: `auth_signs`; `statuses_date_type` (None calls
    GetReceivingStatusesByDate, a number the Configurable one with that dateType);
    `window_precision` ("day" if the account's service does not take 24-hour minutes in dates);
    `nothing_found_codes` (error codes by which list operations say "none"; by default an
    error stays an error, since taking it for "no ticket has this PO" could make a second RMA);
    `confirm_no_ticket` (whether an expired token can show as an empty answer: if so, "no ticket
    has this PO" must be heard twice, the second time with a new token).
    """

    web_address: str
    user_name: str
    password: str = field(repr=False)
    endpoint: str = PRODUCTION
    zone: str = "America/New_York"
    """Zone of the times the warehouse writes; they carry none themselves."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=Retries)
    shipment_type: str = "NA"
    """ShipmentType of every ticket and item; one of SHIPMENT_TYPES."""
    inventory_batch: int = 100
    """UPCs per GetInventoryByUPCs."""
    statuses_date_type: int | None = None
    window_precision: Literal["minute", "day"] = "minute"
    nothing_found_codes: frozenset[int] = frozenset()
    confirm_no_ticket: bool = True
    auth_signs: AuthSigns = field(default_factory=AuthSigns)
    allow_plain_http: bool = False
    """Only for a test service: the password would travel in the clear."""

    def __post_init__(self) -> None:
        check_url("endpoint", self.endpoint, allow_plain_http=self.allow_plain_http)
        for name in ("web_address", "user_name", "password"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: REX11 needs all three credentials")
        if self.inventory_batch < 1:
            raise ValueError(f"inventory_batch is {self.inventory_batch}: it must be at least 1")
        if self.shipment_type not in SHIPMENT_TYPES:
            message = f"shipment_type is {self.shipment_type!r}: one of {', '.join(SHIPMENT_TYPES)}"
            raise ValueError(message)
        if self.window_precision not in ("minute", "day"):
            raise ValueError(f"window_precision is {self.window_precision!r}: 'minute' or 'day'")
        self.zone_info()

    def zone_info(self) -> ZoneInfo:
        """The zone itself."""
        try:
            return ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            message = f"zone {self.zone!r} is no known time zone; write it like America/New_York"
            raise ValueError(message) from None


def check_url(setting: str, url: str, *, allow_plain_http: bool) -> None:
    """Refuse an address that is not https (loopback aside), has no host, or holds a login."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"{setting} is no web address: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{setting} must be a full https:// address with a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{setting} must not hold a user name or password")
    if parts.scheme == "http" and host not in _LOOPBACK and not allow_plain_http:
        raise ValueError(
            f"{setting} is plain http, which shows credentials to the network; "
            "use https, or set allow_plain_http for a test service"
        )
