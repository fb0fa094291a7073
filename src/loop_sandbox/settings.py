"""What can be turned on the sandbox while it runs (`POST /control/settings`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, cast

from loop_sandbox.model import WAREHOUSES

_CHOICES = {
    "list_order": ("asc", "desc"),
    "loop_time_format": ("iso", "plain"),
    "webhook_signature": ("canonical", "raw"),
    "flagged_refusal": ("message", "code"),
    "empty_notes": ("refused", "list"),
    "auth_failure": ("notification", "soap_fault"),
    "missing_ticket": ("mixed", "notification", "empty"),
    "asn_filter": ("created_at", "updated_at"),
}


@dataclass(slots=True)
class Settings:
    """All durations are in seconds unless the name says otherwise."""

    processing_min_seconds: float = 1.0
    processing_max_seconds: float = 3.0
    label_delay_seconds: float = 5.0
    """How long after a new return its late label comes."""
    late_label_share: float = 0.4
    rate_limit_per_minute: int = 300
    send_retry_after: bool = False
    """Loop promises no Retry-After, so none is sent unless this is on."""
    allow_process_flagged: bool = False
    flagged_refusal: str = "message"
    empty_notes: str = "refused"
    """Asking for the notes of a return without any: 422 with `"false"`, or an empty list."""
    list_order: str = "asc"
    loop_time_format: str = "iso"
    asn_filter: str = "created_at"
    webhook_signature: str = "canonical"
    webhook_delay_seconds: float = 0.0
    loop_skew_seconds: float = 0.0
    rex11_skew_seconds: float = 0.0
    token_minutes: float = 30.0
    auth_failure: str = "notification"
    auth_failure_code: int = 10
    missing_ticket: str = "mixed"
    import_seconds: float = 3.0
    warehouse_seconds: float = 0.0
    """From the dock to the shelf; 0 does all steps at once."""
    actual_includes_damaged: bool = True
    hang_seconds: float = 60.0
    """How long an answer that never comes keeps the connection open."""
    default_warehouse: str = "BERGEN LOGISTICS NJ"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def update(self, values: dict[str, Any]) -> None:
        """Change some; ValueError names the first that is unknown or of a wrong kind."""
        checked = {name: self._checked(name, value) for name, value in values.items()}
        low = checked.get("processing_min_seconds", self.processing_min_seconds)
        high = checked.get("processing_max_seconds", self.processing_max_seconds)
        if low > high:
            raise ValueError("processing_min_seconds must not be over processing_max_seconds")
        for name, value in checked.items():
            setattr(self, name, value)

    def _checked(self, name: str, value: Any) -> Any:
        if name not in {f.name for f in fields(self)}:
            known = ", ".join(f.name for f in fields(self))
            raise ValueError(f"no setting {name!r}; there are: {known}")
        kind = cast("type[object]", type(getattr(self, name)))
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not kind:
            raise ValueError(f"setting {name} must be a {kind.__name__}, not {value!r}")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise ValueError(f"setting {name} must be one of {_CHOICES[name]}, not {value!r}")
        if name == "default_warehouse" and value not in WAREHOUSES:
            raise ValueError(f"setting {name} must be one of {WAREHOUSES}, not {value!r}")
        if isinstance(value, int | float) and value < 0 and "skew" not in name:
            raise ValueError(f"setting {name} must not be negative, got {value!r}")
        return value
