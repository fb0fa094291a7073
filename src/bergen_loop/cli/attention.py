"""`bergen-loop attention`: what needs a person, by cause; and doing something about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.padding import Padding
from rich.text import Text

from bergen_loop.cli.asking import YesOption, sure
from bergen_loop.cli.output import console, fail, print_json, table, when
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    BrandsOption,
    ConfigOption,
    JsonOption,
    brands_of,
    open_ledger,
    person,
    settings_of,
)
from bergen_loop.console import words
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import causes as reading
from bergen_loop.ledger.read import listing, views
from bergen_loop.ledger.read.causes import Cause, Sum, Waiting
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.tables.core import AttentionRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people import actions
from bergen_loop.people.actions import NotPossible
from bergen_loop.tell.standing import named, short

app = typer.Typer(help="What needs a person, and why.")

SHOWN = 5
"""Returns and items called by name with each cause; `attention list` has all."""
EVERYONE = Scope.of(None)

IdsArgument = Annotated[
    list[int], typer.Argument(metavar="ITEM...", help="Numbers of items, as `attention` shows.")
]
ReasonOption = Annotated[str, typer.Option(help="Why; kept in the journal.")]
Act = Callable[[Transaction, AttentionRow, str], None]


@app.callback(invoke_without_command=True)
def by_cause(
    context: typer.Context,
    config: ConfigOption = DEFAULT_CONFIG,
    brand: BrandsOption = None,
    as_json: JsonOption = False,
) -> None:
    """What needs a person, and why.

    Grouped by cause: what one deed would mend. The most money first, then the oldest.
    """
    if context.invoked_subcommand:
        return
    ledger, scope = _opened(config, brand)
    with ledger.read() as session:
        found = reading.causes(session, scope)
    if as_json:
        print_json([_plain(cause) for cause in found])
        return
    if not found:
        console.print("Nothing needs a person.")
        return
    now = datetime.now(UTC)
    for cause in found:
        _print(cause, now)
    number = sum(len(cause.items) for cause in found)
    console.print(Text(f"{number} item(s) of {len(found)} cause(s)", style="bold"))


@app.command("list")
def list_items(
    config: ConfigOption = DEFAULT_CONFIG,
    brand: BrandsOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """List items one by one, the oldest first; with --all the newest first, resolved ones too."""
    ledger, scope = _opened(config, brand)
    with ledger.read() as session:
        if everything:
            page = reading.every_item(session, scope, limit=limit)
        else:
            page = listing.attention(session, scope, part=listing.Slice(limit))
        pks = [i.return_pk for i in page.rows if i.return_pk is not None]
        returns = reading.waiting(session, pks)
    if as_json:
        print_json([_plain_item(i, returns.get(i.return_pk or 0)) for i in page.rows])
        return
    columns = ["item", "brand", "order", "return", "what", "why", "since (UTC)"]
    rows = [_cells(i, returns.get(i.return_pk or 0)) for i in page.rows]
    if everything:
        columns.append("resolved (UTC)")
        rows = [(*r, _resolved(i)) for r, i in zip(rows, page.rows, strict=True)]
    console.print(table("Attention", columns, rows))
    if page.more:
        console.print(f"there are more: --limit {10 * limit}")


@app.command("retry")
def retry(
    items: IdsArgument,
    reason: ReasonOption,
    config: ConfigOption = DEFAULT_CONFIG,
    yes: YesOption = False,
) -> None:
    """Look at, or try, again what led to items. What may move money: one at a time, and asked."""
    ledger, reason = _begun(config, items, reason)
    with ledger.read() as session:
        chosen = listing.attention_items(session, EVERYONE, items)
        returns = reading.waiting(session, [i.return_pk for i in chosen if i.return_pk])
    paying = [i for i in chosen if i.kind in actions.SETTLES and i.resolved_at is None]
    if paying and len(set(items)) > 1:
        fail(
            f"a retry of {_numbers(paying)} may end in a call that moves money: look at each "
            "return in Loop, then retry it by itself. Nothing was retried",
            2,
        )
    for item in paying:
        one = returns.get(item.return_pk or 0)
        about = f"return {one.return_id} ({_money_of(one)})" if one else item.brand
        console.print(Text(f"{words.kind(item.kind)}, {about}: {item.reason}"))
        sure("A retry may end in paying it. Did you look at it in Loop, and go on?", yes)
    _each(ledger, items, actions.retry, reason, "is looked at again at the brand's next sync")


@app.command("ignore")
def ignore(
    items: IdsArgument,
    reason: ReasonOption,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Take items off the list. Their returns are left to people until something new happens."""
    ledger, reason = _begun(config, items, reason)
    _each(ledger, items, actions.ignore, reason, "is off the list; its return is left to people")


@app.command("undo")
def undo(
    items: IdsArgument,
    reason: ReasonOption,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Put ignored items back on the list, as old as they are."""
    ledger, reason = _begun(config, items, reason)
    _each(ledger, items, actions.undo, reason, "is on the list again")


@app.command("assign")
def assign(
    items: IdsArgument,
    to: Annotated[str, typer.Option(help="Who has it from now on; empty: nobody.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Say who has taken items on. It keeps nobody else from them."""
    name = to.strip() or None

    def act(tx: Transaction, item: AttentionRow, _why: str) -> None:
        actions.assign(tx, item, name)

    _each(_ledger_with(config, items), items, act, "", f"{name or 'nobody'} has it")


@app.command("snooze")
def snooze(
    items: IdsArgument,
    hours: Annotated[int, typer.Option(min=0, max=744, help="For how long; 0: no longer.")] = 24,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Put items off. They hold their returns all the same, and are back when something else is
    said of them."""

    def act(tx: Transaction, item: AttentionRow, _why: str) -> None:
        actions.snooze(tx, item, tx.now + timedelta(hours=hours) if hours else None)

    done = f"is put off for {hours} h" if hours else "is not put off any more"
    _each(_ledger_with(config, items), items, act, "", done)


def _opened(config: ConfigOption, brands: list[str] | None) -> tuple[Ledger, Scope]:
    settings = settings_of(config)
    return open_ledger(settings), Scope.of(brands_of(settings, brands) if brands else None)


def _begun(config: ConfigOption, items: Sequence[int], reason: str) -> tuple[Ledger, str]:
    """The ledger and the reason as it is kept, once both and every number are good."""
    if not reason.strip():
        fail("say why, for the journal: --reason '...'", 2)
    return _ledger_with(config, items), storable(reason.strip())


def _ledger_with(config: ConfigOption, items: Sequence[int]) -> Ledger:
    """The ledger, once it is known to have these items."""
    ledger = open_ledger(settings_of(config))
    with ledger.read() as session:
        known = {i.id for i in listing.attention_items(session, EVERYONE, items)}
    if unknown := [str(n) for n in items if n not in known]:
        fail(f"no item {', '.join(unknown)}; see `bergen-loop attention`. Nothing was done", 2)
    return ledger


def _each(ledger: Ledger, items: Sequence[int], act: Act, reason: str, done: str) -> None:
    """Do it with each item, in a transaction of its own; exit 1 where one could not be done."""
    left = False
    for number in dict.fromkeys(items):
        try:
            with ledger.write() as session:
                item = listing.attention_item_to_change(session, EVERYONE, number)
                if item is None:
                    raise NotPossible("it is gone")
                act(Transaction(session, item.brand, datetime.now(UTC), person()), item, reason)
            console.print(Text(f"{number}: {done}"))
        except NotPossible as error:
            left = True
            console.print(Text(f"{number}: not possible: {error}", style="red"))
    if left:
        raise typer.Exit(1)


def _print(cause: Cause, now: datetime) -> None:
    """A cause: what it is worth, why, who waits, and what may be done."""
    about = f": {cause.subject}" if cause.subject else ""
    age = short(now - cause.since)
    facts = [*([_count(cause.returns)] if cause.returns is not None else []), cause.worth.words]
    facts += [f"since {age}", named(cause.brands)]
    console.print(Text(f"{words.kind(cause.kind)}{about}", style="bold yellow"))
    lines = [Text(" · ".join(fact for fact in facts if fact), style="bold")]
    lines.append(Text(cause.said))
    if cause.returns:
        lines.append(
            _some([f"{r.order_name or '?'} (return {r.return_id})" for r in cause.returns])
        )
    lines.append(_some([_numbered(i, now) for i in cause.items], "item ", 20))
    for line in lines:
        console.print(Padding(line, (0, 0, 0, 2)))
    console.print()


def _numbered(item: AttentionRow, now: datetime) -> str:
    """`17`, `17 (mara has it; put off until Nov 24 10:00)`."""
    notes = [f"{item.assignee} has it"] if item.assignee else []
    if item.snoozed_until and item.snoozed_until > now:
        notes.append(f"put off until {when(item.snoozed_until)} UTC")
    if item.tried_again_at:
        notes.append(f"tried again by {item.tried_again_by}")
    return f"{item.id} ({'; '.join(notes)})" if notes else str(item.id)


def _some(names: Sequence[str], what: str = "", most: int = SHOWN) -> Text:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return Text(what + ", ".join(names[:most]) + more, style="dim")


def _count(returns: Sequence[Waiting]) -> str:
    return "1 return" if len(returns) == 1 else f"{len(returns):,} returns"


def _money_of(one: Waiting) -> str:
    worth = Sum()
    worth.add(one.total, one.currency)
    return worth.words


def _numbers(items: Sequence[AttentionRow]) -> str:
    return ", ".join(str(item.id) for item in items)


def _cells(item: AttentionRow, one: Waiting | None) -> tuple[object, ...]:
    """Numbers as text: they are names."""
    return (
        str(item.id),
        item.brand,
        one.order_name if one else None,
        one.return_id if one else None,
        words.kind(item.kind),
        item.reason,
        when(item.opened_at),
    )


def _resolved(item: AttentionRow) -> str:
    if item.resolved_at is None:
        return ""
    return f"{when(item.resolved_at)} {item.resolved_by}: {item.resolution}"


def _plain(cause: Cause) -> dict[str, Any]:
    worth = cause.worth
    return {
        "kind": cause.kind,
        "subject": cause.subject,
        "brands": cause.brands,
        "since": cause.since,
        "reason": cause.items[0].reason,
        "items": [item.id for item in cause.items],
        "returns": [
            {"return_id": r.return_id, "order_name": r.order_name, "brand": r.brand,
             "total": r.total, "currency": r.currency}
            for r in cause.returns
        ] if cause.returns is not None else None,
        "worth": {currency: str(value) for currency, value in worth.by_currency.items()},
        "worth_unknown": worth.unknown,
    }  # fmt: skip


def _plain_item(item: AttentionRow, one: Waiting | None) -> dict[str, Any]:
    return {
        **views.plain(item),
        "return_id": one.return_id if one else None,
        "order_name": one.order_name if one else None,
    }
