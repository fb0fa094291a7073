"""Was anything lost, or done twice? Judged by the sandbox's own log, not by the ledger's word."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import product

from reliability_stage import BRAND, Stage

from bergen_loop.domain.returns import Stage as At
from bergen_loop.ledger.store import attention, effects, returns
from bergen_loop.ledger.tables.core import AttentionRow, ReturnRow
from loop_sandbox import control_views
from loop_sandbox.model import LoopReturn, Ticket

PASSING = ("access", "cannot_see", "list_incomplete")
"""Kinds whose cause is gone when everything works again."""
FINISHED = "AddedToInventory"
SAME_SYNC, BELIEVED = 60.0, 120.0
"""Seconds; for so long may a count be corrected unseen (`settle.fresh_within`)."""
Unit = tuple[str, str, int]
"""UPC, Sku and number."""
ENDED = (At.COMPLETE, At.CANCELLED, At.EXPIRED, At.IGNORED)


@dataclass(slots=True)
class Verdict:
    """What is wrong, in words; empty lists where all is well."""

    doubled: list[str] = field(default_factory=list[str])
    lost: list[str] = field(default_factory=list[str])
    stuck: list[str] = field(default_factory=list[str])
    unfounded: list[str] = field(default_factory=list[str])
    """Settled without the receipt that would justify it."""
    second_calls: list[str] = field(default_factory=list[str])
    """A process call repeated after one that Loop took, lost the answer of, and did not carry
    out within `lost_answer_wait`. No money moved twice, or it would be in `doubled`."""
    needless: list[str] = field(default_factory=list[str])
    """Attention for what has settled by itself."""

    @property
    def problems(self) -> list[str]:
        return [*self.doubled, *self.lost, *self.stuck, *self.needless, *self.unfounded]


def judge(stage: Stage) -> Verdict:
    """The verdict on a stage at rest."""
    verdict = Verdict()
    _doubles(stage, verdict)
    if not stage.lost_ledgers:  # what was settled before has no receipt in a new ledger
        _founded(stage, verdict)
    verdict.stuck += stage.bugs
    verdict.stuck += [f"step {name} fails: {error}" for name, error in stage.last.items()]
    with stage.ctx.ledger.read() as session:
        rows = returns.by_ids(session, BRAND, list(stage.brand.returns))
        items = attention.open_items(session, BRAND)
        by_row: dict[int | None, list[AttentionRow]] = {}
        for item in items:
            by_row.setdefault(item.return_pk, []).append(item)
        verdict.stuck += [i.reason for i in items if i.kind == "internal"]
        verdict.needless += [f"{i.kind}: {i.reason}" for i in items if i.kind in PASSING]
        unreadable = {i.open_key for i in items}
        for return_ in stage.brand.returns.values():
            row = rows.get(return_.id)
            if row is None:
                if f"unreadable:{return_.id}" not in unreadable:
                    verdict.lost.append(f"return {return_.id} ({return_.state}) is not known")
                continue
            _account(stage, return_, row, by_row.get(row.id, []), verdict)
        verdict.stuck += [
            f"{e.kind} of {e.key} is {e.state}"
            for row in rows.values()
            if not by_row.get(row.id)
            for e in effects.of_return(session, row.id)
            if e.state in effects.OPEN
        ]
    return verdict


def _doubles(stage: Stage, verdict: Verdict) -> None:
    seen = control_views.effects(stage.world, {"brand": BRAND}, "")
    hand_made = {t.po for t in stage.tickets() if t.fields.get("Memo", "").startswith("made by")}
    with stage.ctx.ledger.read() as session:
        told_of_notes = {
            item.subject
            for item in attention.open_items(session, BRAND)
            if (item.kind in ("no_success", "note_refused") and "note" in item.reason)
            # What was to be noted went with its ledger: a person looks at the return.
            or (stage.lost_ledgers and item.blocking)
        }
    verdict.doubled += [v for v in seen["violations"] if not any(repr(po) in v for po in hand_made)]
    for return_id, e in seen["returns"].items():
        if e["process_accepted"] - e["process_failed"] > 1:
            verdict.second_calls.append(
                f"return {return_id}: {e['process_accepted']} process calls"
            )
        if e["accepted_after_flag"]:
            verdict.doubled.append(f"return {return_id}: process accepted after a flag")
        notes = e["notes"]
        if len(set(notes)) < len(notes):
            verdict.doubled.append(f"return {return_id}: the same note twice: {notes}")
        if e["flags"] > 1:
            verdict.doubled.append(f"return {return_id}: flagged {e['flags']} times")
        if e["flags"] and not notes and return_id not in told_of_notes:
            verdict.lost.append(f"return {return_id}: flagged without a note")
        ours = [
            t
            for t in stage.tickets(return_id)
            if t.po not in hand_made and t.id not in stage.needless
        ]
        alive = [t for t in ours if t.status != "Cancelled"]
        if len(alive) > max(1, e["labels"]):
            verdict.doubled.append(
                f"return {return_id}: {len(alive)} tickets for {e['labels']} labels"
            )


def _founded(stage: Stage, verdict: Verdict) -> None:
    """What was paid for was counted when it was paid; what was flagged had come."""
    with stage.ctx.ledger.read() as session:
        known = set(returns.rmas_by_ticket(session, BRAND, list(stage.brand.tickets)))
    paid = {
        c.subject: c.time.timestamp()
        for c in stage.world.calls.find(brand=BRAND, effects_only=True, limit=10**6)
        if "process accepted" in (c.effect or "") and c.time
    }
    for r in stage.brand.returns.values():
        e, who = r.effects, f"return {r.id}"
        if r.id in stage.by_hand or not (e.flags or e.process_accepted):
            continue
        tickets = [t for t in stage.tickets(r.id) if t.id in known]
        if not any(s.status == FINISHED for t in tickets for s in t.states):
            verdict.unfounded.append(f"{who} was settled before anything was received")
        if e.process_accepted:
            known_then = product(*(_known(t, paid[r.id]) for t in tickets))
            if not any(_covers([u for s in states for u in s], r) for states in known_then):
                verdict.unfounded.append(
                    f"{who} was paid at {paid[r.id]:.0f}: {[x.product.upc for x in r.lines]} for "
                    f"{[s for t in tickets for s in t.states]}"
                )


def _known(ticket: Ticket, at: float) -> list[tuple[Unit, ...]]:
    """What a ticket had counted, none of it damaged, by what could be known of it at a time: what
    happened to it within the same sync could not, nor, for as long as a count is believed, what was
    over at once: finished it was before and after."""
    found: list[tuple[Unit, ...]] = []
    later = [*ticket.states[1:], None] if ticket.states else []  # none: a Draft nobody has touched
    at_last = {state.at: state.status for state in ticket.states}
    for state, then in zip(ticket.states, later, strict=True):
        silent = then is not None and at_last[then.at] == state.status == FINISHED
        seen = then.at + (BELIEVED if silent else SAME_SYNC) if then else at
        if state.at <= at <= seen and state.status == FINISHED and not state.damaged:
            found.append(state.units)
    first = min((s.at for s in ticket.states if s.status == FINISHED), default=at)
    return [*found, ()] if not found or first >= at - SAME_SYNC else found


def _covers(units: list[Unit], return_: LoopReturn) -> bool:
    """Whether every unit of the return is among those counted, and nothing else is."""
    left = Counter[tuple[str, str]]()
    for upc, sku, number in units:
        left[upc.lstrip("0"), sku.lower()] += number
    for line in return_.lines:
        codes = {line.product.upc.lstrip("0"), line.product.sku.lower()}
        of = next((x for x, number in left.items() if number and codes & set(x)), None)
        if of is None:
            return False
        left[of] -= 1
    return not left.total()


def _account(
    stage: Stage,
    return_: LoopReturn,
    row: ReturnRow,
    items: list[AttentionRow],
    verdict: Verdict,
) -> None:
    who = f"return {return_.id} ({return_.state} in Loop) is {row.stage}"
    if row.loop_state != return_.state:
        verdict.stuck.append(f"{who}, seen as {row.loop_state}, {[i.kind for i in items]}")
    if any(i.kind not in ("two_tickets", "corrected") for i in items) and row.stage == At.COMPLETE:
        verdict.needless.append(f"{who}, with {[i.kind for i in items]}")
    if row.held and not any(i.blocking for i in items):
        verdict.stuck.append(f"{who}, held by nothing")
    if any(i.blocking for i in items) or row.stage in ENDED or _waits(stage, return_, row):
        return
    verdict.stuck.append(f"{who}, due {row.due_at}, attention {[i.kind for i in items]}")


def _waits_for_a_product(stage: Stage) -> bool:
    """What is wrong with a product is told once for all its returns."""
    with stage.ctx.ledger.read() as session:
        kinds = {item.kind for item in attention.open_items(session, BRAND)}
    return bool(kinds & {"unknown_product", "product_refused", "product_import"})


def _judged_in_shadow(stage: Stage, row: ReturnRow) -> bool:
    with stage.ctx.ledger.read() as session:
        decision = returns.latest_decision(session, row.id)
    return decision is not None and decision.shadow


def _waits(stage: Stage, return_: LoopReturn, row: ReturnRow) -> bool:
    """Whether it is outside parties that the return waits for."""
    open_tickets = [
        t for t in stage.tickets(return_.id) if t.status not in ("AddedToInventory", "Cancelled")
    ]
    match row.stage:
        case At.ANNOUNCED | At.CLOSING:
            return bool(open_tickets)
        case At.FLAGGED:
            return return_.state == "review"
        case At.RECEIVED:  # what was judged in shadow and flagged by people is theirs
            return return_.state == "review" and _judged_in_shadow(stage, row)
        case At.WAITING:
            return row.due_at is not None and row.due_at > stage.now()
        case At.NO_PARCEL:
            return True
        case At.SEEN:
            return _waits_for_a_product(stage)
        case _:
            return False
