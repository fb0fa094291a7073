"""The settings, field by field: what each means and what it may be."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bergen_loop.config.auth import AuthSettings
from bergen_loop.config.console import ApiSettings, ConsoleSettings
from bergen_loop.config.fields import Days, Duration, HttpUrl, Model, Secret, Zone
from bergen_loop.config.grading import GradingSettings
from bergen_loop.config.kits import KitMap, KitsFileSetting, KitsInFile, domain_kits
from bergen_loop.config.operations import (
    AlertSettings,
    CallSettings,
    EventSettings,
    MetricsSettings,
    WeeklySettings,
)
from bergen_loop.config.shipments import ShipmentSettings
from bergen_loop.domain.announce import AnnounceRules, AnnounceWhen, words
from bergen_loop.domain.codes import CODE_LIMIT, normal_code
from bergen_loop.domain.naming import source_fault
from bergen_loop.domain.remarks import Remarks, remark_words
from bergen_loop.domain.rma import Supplier, template_fault
from bergen_loop.outside.warehouse.rex11.config import (
    WAREHOUSES,
    AuthSigns,
    Rex11Config,
    warehouse_name,
)

Warehouse = Annotated[str, AfterValidator(warehouse_name)]
"""Full name of a warehouse of Bergen's; in the file its last part is enough, if it is one of
those that REX11's schema lists."""


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression: {error}") from None
    return value


Pattern = Annotated[str, AfterValidator(_pattern)]
_PICTURES = re.compile(r"https://[A-Za-z0-9.-]+(:\d{1,5})?/[^{}\s]*(\{(sku|upc)\}[^{}\s]*)+")


LEAST_OF_A_SKU = 3
"""Before a `*`: less would be meant for nearly all products."""
LOOP_VERSION = r"^(\d{4}-\d{2}|v1)$"


class LoopSettings(Model):
    """A brand's access to Loop."""

    api_key: Secret
    """Made in Loop's admin, with the scopes Returns (all) and Developer Tools."""
    webhook_secret: Secret | None = None
    """By which Loop's webhooks are known to be Loop's; left out: none are taken."""
    base_url: HttpUrl = "https://api.loopreturns.com/api"
    """Where Loop's API is, without its version."""
    version: Annotated[str, Field(pattern=LOOP_VERSION)] = "2026-10"
    """Of Loop's API, as its addresses have it."""
    calls_per_minute: Annotated[int, Field(ge=1, le=300)] = 300
    """Loop's limit for the key, in calls; lower it where others use the same key."""
    page_size: Annotated[int, Field(ge=1, le=750)] = 750
    """Returns a page of Loop's lists; it shrinks by itself while Loop does not manage it."""
    timeout: Duration = timedelta(seconds=30)
    """How long an answer of Loop's may take."""
    overlap: Duration = timedelta(minutes=10)
    """How far each pull reaches back over the one before."""
    deep_overlap: Duration = timedelta(hours=3)
    """How far a pull reaches back every `deep_every`: pages that shift while they are read can
    hide a return from several short overlaps."""
    deep_every: Duration = timedelta(hours=1)
    """How often a pull reaches back by `deep_overlap`."""
    look_aside: Duration = timedelta(minutes=30)
    """How often at least Loop's lists of cancelled returns and of those in review are read; they
    are read as well before anything is settled, or announced after a wait."""
    backfill: Duration = timedelta(days=30)
    """How far the very first pull reaches back."""
    date_format: str = "%Y-%m-%dT%H:%M:%SZ"
    """How `from` and `to` are written."""
    happy_returns: bool = False
    """Whether returns are dropped off box-free and come in consolidated shipments, see
    `shipments`. The key then needs the scope Happy Returns Shipments (read)."""


class CloseSettings(Model):
    """How an RMA is closed in Bergen. REX11's public service has no call for it."""

    strategy: Literal["confirm", "file", "http"] = "confirm"
    """confirm: look that the warehouse has finished the ticket. file: also drop a file for it.
    http: also call an address."""
    folder: Path | None = None
    """Where `file` drops a file for each RMA."""
    url: HttpUrl | None = None
    """What `http` calls; {ticket} and {brand} are filled in after the host."""
    method: Literal["POST", "PUT", "PATCH", "DELETE"] = "POST"
    """Of the call that `http` makes."""
    headers: dict[str, Secret] = Field(default_factory=dict[str, SecretStr])
    """Of that call: name and secret value."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        needed = {"confirm": None, "file": "folder", "http": "url"}[self.strategy]
        if needed and getattr(self, needed) is None:
            raise ValueError(f"strategy {self.strategy} needs `{needed}`")
        own = {"strategy", needed, *(("method", "headers") if self.strategy == "http" else ())}
        if extra := sorted(self.model_fields_set - own):
            raise ValueError(f"strategy {self.strategy} has no use for `{'`, `'.join(extra)}`")
        return self


class AuthSignSettings(Model):
    """By what an answer of REX11's is known to refuse the token: its form is documented nowhere.
    What is given replaces the default."""

    patterns: list[Pattern] = Field(default_factory=lambda: list(AuthSigns().patterns))
    """Regular expressions, searched in the message without regard to case."""
    codes: list[int] = Field(default_factory=lambda: sorted(AuthSigns().codes))
    """ErrorCodes."""


_REX11 = Rex11Config("-", "-", "-")
"""Where the defaults stand."""


class Rex11Settings(Model):
    """A brand's access to REX11, and what of REX11 is documented nowhere."""

    endpoint: HttpUrl = _REX11.endpoint
    """The web service's address."""
    web_address: str
    """The brand's account at Bergen: WebAddress, such as www.acme.atworkweb.com."""
    user_name: str
    """UserName of that account."""
    password: Secret
    """Password of that account."""
    time_zone: Zone = _REX11.zone
    """In which REX11 writes its times: they have none."""
    timeout: Duration = timedelta(seconds=_REX11.timeouts.read)
    """How long an answer of REX11's may take."""
    overlap: Duration = timedelta(hours=2)
    """How far each read of statuses by date reaches back over the one before."""
    close: CloseSettings = CloseSettings()
    """How an RMA is closed in Bergen."""
    statuses_date_type: int | None = _REX11.statuses_date_type
    """dateType of GetReceivingStatusesByDateConfigurable; left out, the older
    GetReceivingStatusesByDate is called."""
    window_precision: Literal["minute", "day"] = _REX11.window_precision
    """day: for a service that takes no times of day in a query."""
    auth_signs: AuthSignSettings = AuthSignSettings()
    """By what a refused token is known."""
    nothing_found_codes: list[int] = Field(
        default_factory=lambda: sorted(_REX11.nothing_found_codes)
    )
    """ErrorCodes by which lists say that there is nothing. Taking an error for "no ticket" could
    make a second RMA, so there are none by default."""
    shipment_type: Literal["NA", "GOH", "FLAT", "OPENTOHANG", "CASE"] = "NA"
    """ShipmentType of every item that is announced."""
    confirm_no_ticket: bool = _REX11.confirm_no_ticket
    """Whether "no ticket has this PO" must be heard twice, the second time with a new token."""
    inventory_batch: Annotated[int, Field(ge=1, le=1000)] = _REX11.inventory_batch
    """Products per GetInventoryByUPCs."""
    warehouses: list[Warehouse] = Field(default_factory=list[str])
    """Full names of warehouses Bergen has opened since the schema was published (2017)."""


class SupplierSettings(Model):
    """SupplierDetails of every ticket: usually the brand itself. REX11 refuses tickets over it:
    every one it is known to have taken names company, state and country."""

    company_name: str | None = None
    """Needed."""
    address1: str | None = None
    """Street and number."""
    address2: str | None = None
    """Second line of the address."""
    city: str | None = None
    """Town."""
    state: str | None = None
    """Needed, unless `non_us_region` is given."""
    zip: str | None = None
    """Postal code."""
    country: str | None = None
    """Needed; as REX11 writes it, such as USA."""
    non_us_region: str | None = None
    """In place of the state, outside of the United States."""
    phone: str | None = None
    """Telephone number."""
    fax: str | None = None
    """Fax number."""
    email: str | None = None
    """E-mail address."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        needed = {
            "`company_name`": self.company_name,
            "`state` (or `non_us_region`)": self.state or self.non_us_region,
            "`country`": self.country,
        }
        missing = [name for name, value in needed.items() if not (value or "").strip()]
        if missing:
            raise ValueError(f"a supplier needs {', '.join(missing)}, or REX11 refuses the RMA")
        return self


def _source(value: str) -> str:
    fault = source_fault(value)
    if fault:
        raise ValueError(fault)
    return value


class AnnounceSettings(Model):
    """How returns become RMAs."""

    warehouse: Warehouse = "BERGEN LOGISTICS NJ"
    """Where returns go that `destinations` does not send elsewhere."""
    destinations: dict[str, Warehouse | None] = Field(default_factory=dict[str, Warehouse | None])
    """Loop destination id -> warehouse; null: not Bergen, leave those returns alone. Where any
    are listed, a return for another one waits for a person."""
    po_length: Annotated[int, Field(ge=10, le=500)] = 50
    """Characters of a CustomerPO at most. REX11's limit is not documented."""
    po_template: str = "LR-{return_id}"
    """The CustomerPO of an RMA: text with {return_id}, which it must hold, and {order_name}. A
    second RMA of a return gets `-2` behind it."""
    code_length: Annotated[int, Field(ge=8, le=500)] = CODE_LIMIT
    """Characters of a SKU or UPC at most. REX11's limit is not documented."""
    product_fields: dict[
        Literal["style", "color", "size"], Annotated[str, AfterValidator(_source)]
    ] = Field(default_factory=dict[Literal["style", "color", "size"], str])
    """Where the shop has Style, Color and Size of products whose UPC REX11 does not list."""
    when: AnnounceWhen = AnnounceWhen.LABEL
    """What a return must have come to before its RMA is made. submitted: nothing more. label: a
    tracking number for every unit, or `label_wait`. in_transit: the carrier has it. delivered: the
    carrier has delivered it."""
    label_wait: Duration = timedelta(hours=1)
    """With `when: label`: how long after it was submitted an RMA waits for the tracking number."""
    no_parcel_methods: list[str] | None = None
    """Names of return methods that send nothing to the warehouse; left out: words such as keep,
    donate."""
    no_parcel_method_types: list[str] | None = None
    """How returns are handed over that send nothing to the warehouse (Loop lists no values)."""
    no_parcel_outcomes: list[str] | None = None
    """Outcomes of units that are not sent back; left out: keep, keep item, donate."""
    no_parcel_skus: list[str] = Field(default_factory=list[str])
    """SKUs of what is sold and never comes back in a parcel: shipping protection, digital goods,
    services. With `*` at the end: all that begin so."""
    reason_codes: dict[str, str] = Field(default_factory=dict[str, str])
    """Loop's return reason -> REX11's ReturnReasonCode; a reason that is not listed goes as it
    is."""
    expected_days: Annotated[int, Field(ge=0, le=365)] = 14
    """ExpectedDate of an RMA: so many days after it is made."""
    start: datetime | None = None
    """Returns created before are left alone."""
    supplier: SupplierSettings | None = None
    """Who sends the goods, on every RMA; needed as soon as REX11 refuses RMAs without it."""
    check_products: bool = True
    """Whether REX11 is asked for a product before the first RMA with it."""
    add_products: bool = False
    """Whether a product unknown to REX11 may be added to it."""
    product_poll: Duration = timedelta(minutes=2)
    """How often the import of a product is looked after."""
    product_patience: Duration = timedelta(hours=24)
    """How long the import of a product may take before a person is told."""
    multi_parcel: bool = False
    """Whether returns travel in several parcels: each label gets an RMA of its own. Costs one
    call of Loop's ASN report in a tick that announces anything."""
    lost_ticket_wait: Duration = timedelta(minutes=2)
    """After a lost answer: how long a ticket may still turn up by its PO before it is added
    again."""

    @field_validator("po_template")
    @classmethod
    def _usable(cls, value: str, info: ValidationInfo) -> str:
        fault = template_fault(value, info.data.get("po_length", 50))
        if fault:
            raise ValueError(fault)
        return value

    @field_validator("no_parcel_skus")
    @classmethod
    def _of_few(cls, value: list[str]) -> list[str]:
        for sku in value:
            begin, rest = sku.strip().rstrip("*"), sku.strip().partition("*")[2]
            if not begin or rest or ("*" in sku and len(begin) < LEAST_OF_A_SKU):
                raise ValueError(
                    f"{sku!r}: write a whole SKU, or how it begins, at least {LEAST_OF_A_SKU} "
                    "characters, with one * at the end"
                )
        return value

    @field_validator("destinations")
    @classmethod
    def _trimmed(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        return {id_.strip(): warehouse for id_, warehouse in value.items()}

    @field_validator("start")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class SettleSettings(Model):
    """How decisions become calls to Loop."""

    concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    """Calls to Loop at the same time, for this brand."""
    confirm_within: Duration = timedelta(hours=1)
    """How long Loop may take from taking a process call to showing the return closed."""
    lost_answer_wait: Duration = timedelta(minutes=15)
    """After a process call whose answer was lost: how long Loop may still turn out to have
    carried it out. Only if the return is then still open and untouched is it sent once more."""
    fresh_within: Duration = timedelta(minutes=2)
    """A decision that could not be carried out for longer than this is carried out only after its
    tickets have been read once more: for so long may counts be corrected unseen."""
    unknown_comments: Literal["doubt", "ignore"] = "doubt"
    """What follows where a unit is counted as good and the warehouse adds words that are not known
    to be of no matter (they come in any language). Words that are known to speak of damage and the
    like are a doubt in any case."""
    harmless_comments: list[str] = Field(default_factory=list[str])
    """Words of the warehouse's comments that are of no matter, beside those such as `ok`, `new with
    tags` or `restocked`."""


class RepeatSettings(Model):
    """How often a call that had no effect is made again before a person is told."""

    attempts: Annotated[int, Field(ge=1, le=50)] = 5
    """How often a call is made before a person is told."""
    first_pause: Duration = timedelta(minutes=1)
    """Doubled after each attempt."""
    longest_pause: Duration = timedelta(hours=1)
    """No pause between two attempts is longer."""


_FIXED_ZONES = ("EST", "MST", "HST", "GMT")


class BrandSettings(Model):
    """One brand."""

    name: str
    """What people call the brand."""
    mode: Literal["live", "shadow", "paused"] = "shadow"
    """live: acts on Loop and REX11. shadow: makes RMAs and decides, and sends no decision. paused:
    nothing. `brands mode` and the console set another, which goes before this one. A brand that
    has been in shadow goes live once somebody has signed its checklist, whatever the file says."""
    loop: LoopSettings
    """The brand's access to Loop."""
    warehouse: Literal["rex11", "embedded"] = "rex11"
    """embedded: no REX11; parcels are counted on this service's own floor page."""
    rex11: Rex11Settings
    """The brand's access to REX11. Left out with `warehouse: embedded`."""
    announce: AnnounceSettings = AnnounceSettings()
    """How returns become RMAs."""
    settle: SettleSettings = SettleSettings()
    """How decisions become calls to Loop."""
    repeats: RepeatSettings = RepeatSettings()
    """How often a call that had no effect is made again."""
    grading: GradingSettings = GradingSettings()
    """What the warehouse's findings are called in Loop."""
    shipments: ShipmentSettings = ShipmentSettings()
    """Consolidated shipments of box-free returns."""
    kits: KitsInFile = Field(default_factory=KitMap)
    """SKU of a kit -> its parts in the warehouse, each with its quantity."""
    kits_file: KitsFileSetting | None = None
    """More kits: a CSV file (relative to this file)."""
    criteria: str = "standard"
    """Name of a preset, path of a criteria file (relative to this file), or the text itself, of
    several lines."""
    product_pictures: str | None = None
    """Where pictures of the products are, for the floor page: an https address with `{sku}` or
    `{upc}` in it. (Neither Loop nor REX11 gives any.)"""
    poll: Duration = timedelta(seconds=60)
    """How often the brand is synced while something happens."""
    poll_max: Duration = timedelta(minutes=5)
    """How rarely at most, while nothing happens: the bound on staleness without webhooks."""
    retention: Days | None = None
    """How long after a return has ended its customer's data is kept; left out: for good."""
    events: EventSettings | None = None
    """Where the brand's own systems are told of its returns."""
    calls: CallSettings = CallSettings()
    """What is kept of the calls made to Loop and REX11, and for how long."""
    weekly: WeeklySettings | None = None
    """Who is told of the brand's week; left out: nobody."""

    @model_validator(mode="before")
    @classmethod
    def _embedded(cls, value: object) -> object:
        """An embedded warehouse has no account in REX11; the flows read times and overlaps
        from that block all the same."""
        if not isinstance(value, dict):
            return value  # pyright: ignore[reportUnknownVariableType]
        data = cast("dict[str, Any]", value)
        if data.get("warehouse") != "embedded":
            return data
        none = {"web_address": "-", "user_name": "-", "password": SecretStr("-")}
        return {**data, "rex11": {**none, **cast("dict[str, Any]", data.get("rex11") or {})}}

    def doubts(self) -> list[tuple[str, str, str]]:
        """What is allowed but may be a mistake: field, what is the matter, what to do."""
        if self.warehouse == "embedded":
            return []
        known = {*WAREHOUSES, *self.rex11.warehouses}
        fields = {"announce.warehouse": self.announce.warehouse} | {
            f"announce.destinations.{id_}": name
            for id_, name in self.announce.destinations.items()
            if name
        }
        zone = self.rex11.time_zone
        remedy = "name a place: New Jersey's zone is America/New_York"
        found = [("rex11.time_zone", f"{zone} has no summer time", remedy)]
        if zone not in _FIXED_ZONES and not zone.startswith("Etc/GMT"):
            found = []
        return found + [
            (
                field,
                f"{name} is not among the warehouses that REX11's schema lists",
                "ask Bergen how REX11 spells it, then list it in rex11.warehouses",
            )
            for field, name in fields.items()
            if name not in known
        ]

    @field_validator("product_pictures")
    @classmethod
    def _a_picture(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not _PICTURES.fullmatch(value):
            raise ValueError(
                "must be a full https:// address with {sku} or {upc} behind its host, and no "
                "other braces"
            )
        return value

    @model_validator(mode="after")
    def _kits_once(self) -> Self:
        listed = {normal_code(kit) for kit in self.kits}
        for kit in self.kits_file.kits if self.kits_file else ():
            if normal_code(kit) in listed:
                raise ValueError(f"kit {kit!r} stands in `kits` and in `kits_file`: leave one")
        return self

    def announce_rules(self, bars_until: datetime | None = None) -> AnnounceRules:
        """The settings as the domain takes them. `bars_until`: until when the brand had return
        bars, if it has no more."""
        a, default = self.announce, AnnounceRules()
        supplier = Supplier(**a.supplier.model_dump()) if a.supplier else None
        return AnnounceRules(
            warehouse=a.warehouse,
            destinations=a.destinations,
            po_template=a.po_template,
            po_length=a.po_length,
            code_length=a.code_length,
            product_fields=dict[str, str](a.product_fields.items()),
            kits=domain_kits(self.kits, self.kits_file.kits if self.kits_file else {}),
            when=a.when,
            no_parcel_methods=_words(a.no_parcel_methods, default.no_parcel_methods),
            no_parcel_method_types=_words(a.no_parcel_method_types, default.no_parcel_method_types),
            no_parcel_outcomes=_words(a.no_parcel_outcomes, default.no_parcel_outcomes),
            no_parcel_skus=tuple(filter(None, map(normal_code, a.no_parcel_skus))),
            label_wait=a.label_wait,
            reason_codes=a.reason_codes,
            expected_days=a.expected_days,
            time_zone=self.rex11.time_zone,
            start=a.start,
            box_free_methods=words(*self.shipments.methods)
            if self.loop.happy_returns or bars_until
            else frozenset(),
            box_free_until=None if self.loop.happy_returns else bars_until,
            supplier=supplier,
            remarks=Remarks(
                remark_words(self.settle.harmless_comments),
                unknown_is_doubt=self.settle.unknown_comments == "doubt",
            ),
        )

    def version(self) -> str:
        """Content hash of the settings, without secrets: kept with every decision."""
        plain = self.model_dump(mode="json")
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def _words(given: list[str] | None, default: frozenset[str]) -> frozenset[str]:
    return default if given is None else words(*given)


class ServiceSettings(Model):
    """The service itself."""

    database: str = "sqlite:///var/bergen-loop.db"
    """Where the ledger is, as an SQLAlchemy address: `sqlite:///PATH`, or
    `postgresql+psycopg://USER:PASSWORD@HOST/NAME`. The variable BERGEN_LOOP_DATABASE goes before
    it."""
    engine_database: str | None = None
    """Where the engine keeps its schedules and queues; default: beside the ledger."""
    key_file: Path | None = None
    """Holds the keys of secrets kept in the ledger, unless BERGEN_LOOP_KEY does (relative to
    this file)."""
    host: str = "127.0.0.1"
    """The address that console, API and webhooks listen on."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8800
    """The TCP port that they listen on."""
    public_url: HttpUrl | None = None
    """The address under which browsers and Loop reach the service, through a proxy that ends TLS.
    Cookies are for https alone then, and webhooks can be registered."""
    proxies: list[str] = Field(default_factory=lambda: ["127.0.0.1", "::1"])
    """Addresses or networks of proxies in front: of these alone X-Forwarded-For is believed."""
    auth: AuthSettings = AuthSettings()
    """How people sign in."""
    console: ConsoleSettings = ConsoleSettings()
    """How the console shows things."""
    api: ApiSettings = ApiSettings()
    """What programs may ask."""
    alerts: AlertSettings = AlertSettings()
    """When people are called, and where."""
    metrics: MetricsSettings = MetricsSettings()
    """Who may read /metrics."""
    workers: Annotated[int, Field(ge=1, le=500)] = 32
    """How many brands are synced at once on this machine."""
    worker_gone_after: Duration = timedelta(seconds=30)
    """Where several machines share a database: after how long without a sign of life what a
    worker was doing is given to the others."""
    schedule: Duration = timedelta(seconds=1)
    """How often it is looked which brands are due."""


BRAND_ID = r"^[a-z0-9][a-z0-9_-]{0,40}$"


class Settings(Model):
    """The whole file."""

    service: ServiceSettings = ServiceSettings()
    """The service itself; every field has a default that works on one machine."""
    brands: dict[Annotated[str, Field(pattern=BRAND_ID)], BrandSettings] = Field(
        default_factory=dict[str, BrandSettings]
    )
    """Others may stand in the ledger."""

    @field_validator("brands", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        """`brands:` with nothing behind it."""
        return {} if value is None else value
