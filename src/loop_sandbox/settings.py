"""What can be turned on the sandbox (`--set NAME=VALUE`, `POST /control/settings`).

A setting is plain, or a quirk: something that the real systems do and that makes a client's life
harder. Quirks follow the master switch `unkind` unless they are set one by one.
"""

from __future__ import annotations

from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any, TypeVar, cast

from loop_sandbox.model import WAREHOUSES

UNKIND_BY_DEFAULT = True
"""Where the master switch stands unless it is set. True: as the real systems are."""

LOOP, REX11, HOOKS, WORLD = "Loop", "REX11", "Loop's webhooks", "The sandbox itself"
PARTS = (WORLD, LOOP, HOOKS, REX11)
AREAS = ("returns", "actions", "grading", "webhooks", "happy_returns")
"""What a Loop key may be for, as the names of `missing_scopes`."""
_BY_BRAND = ("missing_scopes", "auto_process_brands", "auto_restock_brands")

T = TypeVar("T", bool, int, float, str)


def _plain(part: str, value: T, doc: str, *choices: T) -> T:
    """A setting that the master switch leaves alone."""
    return field(default=value, metadata={"part": part, "doc": doc, "choices": choices})


def _quirk(part: str, calm: T, real: T, doc: str, *choices: T) -> T:
    """A setting that is `calm` or `real` by the master switch, until it is set by itself."""
    about = {"part": part, "doc": doc, "choices": choices, "calm": calm, "real": real}
    return field(default=cast("T", None), metadata=about)


@dataclass(slots=True)
class Settings:
    """All durations are in seconds unless the name says otherwise; shares go from 0 to 1."""

    unkind: bool = _plain(
        WORLD, UNKIND_BY_DEFAULT, "The master switch: every quirk that is not set by itself."
    )
    hostile: bool = _plain(
        WORLD, False, "Texts that attack whoever shows them, in every text of new returns and "
        "counted tickets.",
    )  # fmt: skip
    hang_seconds: float = _plain(
        WORLD, 60.0, "How long an answer that never comes keeps the connection open."
    )

    # Loop: what answers look like
    line_outcome_default: bool = _quirk(
        LOOP, False, True,
        'Lines say the outcome "default": the return\'s outcome, the refund amount and the '
        "exchange_variant tell what becomes of a unit.",
    )  # fmt: skip
    missing_label: str = _quirk(
        LOOP, "null", "words",
        'Until there is a label: nulls, or carrier "" or "N/A", tracking "N/A", status "pending".',
        "null", "words",
    )  # fmt: skip
    words_for_nothing: bool = _quirk(
        LOOP, False, True,
        'return_comment "N/A" and exchange_variant "" instead of null; refund_item, refund_tax.',
    )  # fmt: skip
    labels_on_returns: bool = _quirk(
        LOOP, False, True,
        "labels[] on returns: rate in integer cents, tracking as string or integer, line_items.",
    )  # fmt: skip
    two_label_share: float = _quirk(
        LOOP, 0.0, 0.1, "Share of returns of several lines that travel with two labels."
    )
    details_shape: str = _quirk(
        LOOP, "list", "own",
        "Details as in the list, or in the shape documented for them: integer ids, times without "
        "zone, no carrier, tracking, label_status, outcome, destination_id, return_method.",
        "list", "own",
    )  # fmt: skip
    variant_titles: bool = _quirk(
        LOOP, False, True,
        "Lines of some variants have a variant_title; of others it is only the end of the title.",
    )  # fmt: skip
    variant_order: str = _quirk(
        LOOP, "color_size", "size_color", "Which comes first in a variant's title.",
        "color_size", "size_color",
    )  # fmt: skip
    barcode_leading_zero: bool = _quirk(
        LOOP, False, True, "The shop has some barcodes as EAN-13: the UPC with a zero before it."
    )
    method_objects: bool = _quirk(
        LOOP, False, True,
        "return_method as {provider, method_type, ...} beside strings and null; in_store too.",
    )  # fmt: skip
    loop_time_format: str = _quirk(
        LOOP, "iso", "mixed",
        "2026-11-20T14:03:11.000Z, ...+00:00, or 2026-11-20 14:03:11; mixed: by return.",
        "iso", "offset", "plain", "mixed",
    )  # fmt: skip
    not_found: str = _quirk(
        LOOP, "404", "200", "The status of an answer about a return that is not there.",
        "404", "200",
    )  # fmt: skip
    unauthorized_action: str = _quirk(
        LOOP, "401", "200",
        'An action with a wrong key or a missing scope: 401, or 200 {"errors":"Unauthorized."}.',
        "401", "200",
    )  # fmt: skip
    missing_scopes: str = _plain(
        LOOP, "",
        "Areas the keys lack, by comma: returns, actions, grading, webhooks, happy_returns; or "
        "brand:area for one brand. Calls of these are 401, others go on.",
    )  # fmt: skip
    refuse_120_days: bool = _quirk(
        LOOP, False, True, "List and ASN answer 422 at exactly 120 days, not only above."
    )
    notes_escaped: bool = _quirk(LOOP, False, True, "Notes come back HTML-escaped.")
    grades_readable: bool = _quirk(
        LOOP, False, True, "Graded lines carry condition and disposition."
    )
    flagged_refusal: str = _plain(
        LOOP, "message", "How processing a flagged return is refused.", "message", "code"
    )
    empty_notes: str = _plain(
        LOOP, "refused",
        'Asking for the notes of a return without any: 422 with "false", or an empty list.',
        "refused", "list",
    )  # fmt: skip
    list_order: str = _plain(LOOP, "asc", "The list's order by time.", "asc", "desc")
    asn_filter: str = _plain(
        LOOP, "created_at", "What the ASN report's range is about.", "created_at", "updated_at"
    )
    rate_limit_per_minute: int = _plain(LOOP, 300, "Calls a minute and key before 429.")
    send_retry_after: bool = _plain(LOOP, False, "Send Retry-After with a 429. Loop promises none.")

    # Loop: what happens there
    processing_min_seconds: float = _plain(LOOP, 1.0, "A queued processing takes at least this,")
    processing_max_seconds: float = _plain(LOOP, 3.0, "and at most this.")
    allow_process_flagged: bool = _plain(LOOP, False, "The shop lets flagged returns be processed.")
    late_label_share: float = _plain(LOOP, 0.4, "Share of new returns whose label comes later.")
    label_delay_seconds: float = _plain(
        LOOP, 5.0, "How long after a new return its late label comes."
    )
    silent_label_share: float = _quirk(
        LOOP, 0.0, 0.1,
        "Share of late labels that leave updated_at as it was: only a webhook tells.",
    )  # fmt: skip
    carrier_seconds: float = _plain(
        LOOP, 0.0, "From one label status to the next, until delivered; 0: labels stand still."
    )
    review_held_share: float = _quirk(
        LOOP, 0.0, 0.3, "Share of international returns that are in review from submission on."
    )
    review_held_seconds: float = _plain(
        LOOP, 3600.0, "After this the merchant lets such a return go (open); 0: never."
    )
    auto_process_brands: str = _plain(
        LOOP, "",
        "Brands (by comma, * for all) whose returns Loop closes by itself at the carrier's scan.",
    )  # fmt: skip
    auto_restock_brands: str = _plain(
        LOOP, "", "Brands (by comma, * for all) whose closed returns Loop restocks by itself."
    )
    happy_returns_seconds: float = _plain(
        LOOP, 43200.0, "From the drop-off at a return bar until Loop processes the return itself."
    )
    loop_skew_seconds: float = _plain(LOOP, 0.0, "How far Loop's clock is ahead.")

    # Webhooks
    webhook_shape: str = _quirk(
        HOOKS, "list", "recorded",
        "Payloads as list rows, or as recorded: no updated_at, outcome, return_method.",
        "list", "recorded",
    )  # fmt: skip
    label_hook_id: str = _quirk(
        HOOKS, "return_id", "mixed", "Where a label webhook has the return's id.",
        "return_id", "id", "mixed",
    )  # fmt: skip
    webhook_retries: int = _quirk(
        HOOKS, 0, 5, "Retries of a delivery that was not answered 2xx, ever further apart."
    )
    webhook_retry_seconds: float = _plain(HOOKS, 1.0, "The wait before the first; then doubled.")
    webhook_give_up_after: int = _quirk(
        HOOKS, 0, 10,
        "More consecutive failures than this deactivate a subscription; 0: never.",
    )  # fmt: skip
    webhook_signature: str = _plain(
        HOOKS, "canonical", "What is signed: slashes escaped, or the body as sent.",
        "canonical", "raw",
    )  # fmt: skip
    webhook_delay_seconds: float = _plain(HOOKS, 0.0, "How late webhooks are sent.")

    # REX11: what it refuses
    schema_check: bool = _quirk(
        REX11, False, True,
        "A request that does not fit the WSDL's schema: HTTP 500, soap:Client, nothing done.",
    )  # fmt: skip
    strict_products: bool = _quirk(
        REX11, False, True,
        "Ticket items need the product's own Style, Color, Size and UPC, tickets a supplier with "
        "company, state and country, products color, size, price and description: codes 12, 31, "
        "32, 43, 83, several at once.",
    )  # fmt: skip
    rex11_own_words: bool = _quirk(
        REX11, False, True,
        "REX11's Style and Color of a product are not the shop's words (at start only).",
    )  # fmt: skip
    import_codes: bool = _quirk(
        REX11, False, True,
        "Import status: 87 PendingImport; and 1 Error for a product that is there already.",
    )  # fmt: skip
    import_seconds: float = _plain(REX11, 3.0, "How long the import of a product takes.")
    token_minutes: float = _plain(REX11, 30.0, "How long a token is good.")
    auth_failure: str = _plain(
        REX11, "notification", "How a bad token is refused.", "notification", "soap_fault"
    )
    auth_failure_code: int = _plain(REX11, 10, "Its ErrorCode.")
    auth_failure_severity: str = _quirk(REX11, "AuthenticationError", "Error", "Its Severity.")
    auth_failure_message: str = _quirk(
        REX11,
        "Authentication token is not valid or has expired",
        "Session has expired, please log in again",
        "Its words.",
    )

    # REX11: what answers look like
    upc_zeros_dropped: bool = _quirk(
        REX11, False, True, "UPCs lose their leading zeros; they are found with and without."
    )
    read_back_as_recorded: bool = _quirk(
        REX11, False, True,
        "A ticket read back has no element for what was not sent (no Sku), State empty, Carrier "
        "lower-cased, ShipmentType NA.",
    )  # fmt: skip
    min_dates: bool = _quirk(
        REX11, False, True, "Unset dates are DateTime.MinValue (1/1/0001 or 0001-01-01)."
    )
    status_spelling: str = _quirk(
        REX11, "exact", "everywhere",
        "Ticket statuses in any case and spelling (addedtoinventory, Added To Inventory).",
        "exact", "lists", "everywhere",
    )  # fmt: skip
    ticket_ids_lowered: bool = _quirk(
        REX11, False, True, "Some ticket ids are lower-cased in the statuses by date."
    )
    po_lookup_delay_seconds: float = _quirk(
        REX11, 0.0, 5.0, "How long a new ticket is not found by its PO."
    )
    missing_ticket: str = _plain(
        REX11, "mixed", "Reading a ticket that is not there: 41, nothing at all, or by ticket.",
        "mixed", "notification", "empty",
    )  # fmt: skip

    # REX11: what happens there
    warehouse_seconds: float = _plain(
        REX11, 0.0, "From the dock to the shelf; 0 does all steps at once."
    )
    actual_includes_damaged: bool = _plain(
        REX11, True, "ActualQuantity counts the damaged units too."
    )
    reopen_share: float = _quirk(
        REX11, 0.0, 0.05,
        "Share of finished tickets that are opened again: a unit is found, or damage.",
    )  # fmt: skip
    reopen_after_seconds: float = _plain(REX11, 300.0, "How long after it was finished.")
    reopen_seconds: float = _plain(REX11, 60.0, "How long it is then counted again.")
    rex11_skew_seconds: float = _plain(REX11, 0.0, "How far REX11's clock is ahead.")
    default_warehouse: str = _plain(
        REX11, "BERGEN LOGISTICS NJ", "The brands' warehouse (at start only).", *WAREHOUSES
    )

    _chosen: set[str] = field(default_factory=set[str], init=False, repr=False, compare=False)
    """Quirks that were set by themselves."""

    def __post_init__(self) -> None:
        for about in described():
            if is_quirk(about) and getattr(self, about.name) is not None:
                self._chosen.add(about.name)
        self._follow_master()

    def as_dict(self) -> dict[str, Any]:
        """Name to the value in force."""
        return {name: value for name, value in asdict(self).items() if name != "_chosen"}

    def update(self, values: dict[str, Any]) -> None:
        """Change some; None lets a quirk follow the master switch again. ValueError names the
        first that is unknown or of a wrong kind, and then nothing is changed."""
        checked = {name: self._checked(name, value) for name, value in values.items()}
        low = checked.get("processing_min_seconds", self.processing_min_seconds)
        high = checked.get("processing_max_seconds", self.processing_max_seconds)
        if low > high:
            raise ValueError("processing_min_seconds must not be over processing_max_seconds")
        for name, value in checked.items():
            if value is None:
                self._chosen.discard(name)
                continue
            setattr(self, name, value)
            if is_quirk(_BY_NAME[name]):
                self._chosen.add(name)
        if "unkind" in checked or None in checked.values():
            self._follow_master()

    def names_brand(self, setting: str, slug: str) -> bool:
        """Whether a setting that lists brands names this one."""
        listed = _words(getattr(self, setting))
        return "*" in listed or slug in listed

    def lacks(self, slug: str, area: str) -> bool:
        """Whether this brand's Loop key may not be used for this area."""
        missing = _words(self.missing_scopes)
        return area in missing or f"{slug}:{area}" in missing

    def brands_named(self) -> set[str]:
        """All brands that any setting names."""
        found = {x for name in _BY_BRAND[1:] for x in _words(getattr(self, name)) if x != "*"}
        return found | {x.partition(":")[0] for x in _words(self.missing_scopes) if ":" in x}

    def _follow_master(self) -> None:
        for about in described():
            if is_quirk(about) and about.name not in self._chosen:
                setattr(self, about.name, about.metadata["real" if self.unkind else "calm"])

    def _checked(self, name: str, value: Any) -> Any:
        about = _BY_NAME.get(name)
        if about is None:
            raise ValueError(f"no setting {name!r}; there are: {', '.join(_BY_NAME)}")
        if value is None and is_quirk(about):
            return None
        kind = cast("type[object]", type(default(about)))
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if kind is str and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # `--set not_found=200` reads like a number
        if type(value) is not kind:
            raise ValueError(f"setting {name} must be a {kind.__name__}, not {value!r}")
        choices = about.metadata["choices"]
        if choices and value not in choices:
            raise ValueError(f"setting {name} must be one of {choices}, not {value!r}")
        if isinstance(value, int | float) and value < 0 and "skew" not in name:
            raise ValueError(f"setting {name} must not be negative, got {value!r}")
        if name.endswith("_share") and isinstance(value, float) and value > 1:
            raise ValueError(f"setting {name} must be from 0 to 1, not {value!r}")
        if name == "missing_scopes" and isinstance(value, str):
            for word in _words(value):
                if word.rpartition(":")[2] not in AREAS:
                    known = ", ".join(AREAS)
                    raise ValueError(f"setting {name}: no area {word!r}; there are: {known}")
        return value


def described() -> tuple[Field[Any], ...]:
    """All settings in order, with metadata part, doc, choices, and calm and real of a quirk."""
    return tuple(f for f in fields(Settings) if f.metadata)


def is_quirk(about: Field[Any]) -> bool:
    """Whether it follows the master switch."""
    return "calm" in about.metadata


def default(about: Field[Any]) -> Any:
    """What it is when calm."""
    return about.metadata["calm"] if is_quirk(about) else about.default


def _words(text: str) -> list[str]:
    return [x.strip() for x in text.split(",") if x.strip()]


_BY_NAME = {about.name: about for about in described()}
