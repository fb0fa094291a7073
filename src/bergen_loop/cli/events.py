"""`bergen-loop events`: what a brand's own endpoint was told, and what not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from bergen_loop.cli.output import console, fail, print_json, say, table, when
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    brands_of,
    open_ledger,
    person,
    settings_of,
)
from bergen_loop.ledger.read.deliveries import Delivery, endpoints, event_of, latest
from bergen_loop.ledger.store import outbox
from bergen_loop.ledger.tables.operations import EndpointRow
from bergen_loop.tell.events import dispatch

app = typer.Typer(no_args_is_help=True, help="Events for brands' own systems.")

BrandOption = Annotated[str | None, typer.Option("--brand", "-b", help="Only this brand.")]


@app.command()
def deliveries(
    config: ConfigOption = DEFAULT_CONFIG,
    brand: BrandOption = None,
    state: Annotated[
        str | None, typer.Option(help="Only these: pending, delivered or given_up.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """The latest events and how their delivery went, the newest first."""
    states = (outbox.PENDING, outbox.DELIVERED, outbox.GIVEN_UP)
    if state is not None and state not in states:
        fail(f"--state {state}: one of {', '.join(states)}", 2)
    with open_ledger(settings_of(config)).read() as session:
        rows = [_plain(one) for one in latest(session, brand, state, limit)]
        resting = _resting(endpoints(session), brand)
    if as_json:
        print_json({"events": rows, "endpoints": resting})
        return
    columns = ["event", "brand", "type", "made", "state", "attempts", "last", "next"]
    console.print(table("Events", columns, [_cells(row) for row in rows]))
    for one in resting:
        say(
            f"{one['brand']}: does not answer since {when(one['failing_since'])}: "
            f"{one['last_error']}; tried again at {when(one['resting_until'])}"
        )


@app.command()
def resend(
    event: Annotated[str, typer.Argument(help="The event's id, such as evt_123_received.")],
    brand: Annotated[str, typer.Option("--brand", "-b", help="The brand it is for.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Deliver an event again, with the same id."""
    with open_ledger(settings_of(config)).write() as session:
        row = event_of(session, brand, event)
        if row is None:
            fail(f"brand {brand} has no event {event}; see `bergen-loop events deliveries`", 1)
        outbox.send_again(session, row, datetime.now(UTC))
    say(f"{event} is delivered again as soon as the service runs")


@app.command("test")
def send_test(
    brand: Annotated[str, typer.Option("--brand", "-b", help="The brand whose endpoint it is.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Send a test event to a brand's endpoint now, and say what it answered."""
    settings = settings_of(config)
    brands_of(settings, [brand])
    endpoint = settings.brands[brand].events
    if endpoint is None:
        fail(f"brand {brand} has no endpoint: name one as `events` in its settings", 2)
    attempt = dispatch.send_test(open_ledger(settings), brand, endpoint, person())
    if not attempt.delivered:
        fail(f"{endpoint.url} did not take it: {attempt.error}", 1)
    say(f"{endpoint.url} took it: HTTP {attempt.status}, {attempt.seconds * 1000:.0f} ms")


def _plain(one: Delivery) -> dict[str, Any]:
    row, last = one.event, one.last
    return {
        "event": row.event_id,
        "brand": row.brand,
        "type": row.type,
        "created_at": row.created_at,
        "state": row.state,
        "attempts": row.attempts,
        "last_status": last.status if last else None,
        "last_error": last.error if last else None,
        "next_at": row.next_at if row.state == outbox.PENDING else None,
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    last = row["last_error"] or (str(row["last_status"]) if row["last_status"] else "")
    return (
        row["event"],
        row["brand"],
        row["type"],
        when(row["created_at"]),
        row["state"].replace("_", " "),
        str(row["attempts"]),
        last,
        when(row["next_at"]),
    )


def _resting(known: Mapping[str, EndpointRow], brand: str | None) -> list[dict[str, Any]]:
    return [
        {
            "brand": row.brand,
            "failing_since": row.failing_since,
            "last_error": row.last_error,
            "resting_until": row.resting_until,
        }
        for row in known.values()
        if row.failing_since is not None and brand in (None, row.brand)
    ]
