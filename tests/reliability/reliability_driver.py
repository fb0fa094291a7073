"""A seeded random life of a few returns: customers, merchants, the warehouse, faults and kills
between and inside the syncs. The same seed plays the same run."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import reliability_sequels as sequels
from reliability_fuse import Fuse
from reliability_judge import Verdict, judge
from reliability_stage import BRAND, File, Server, Stage

from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import attention
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import OutsideError
from bergen_loop.people import actions, subscriptions
from bergen_loop.repair import rebuild, reconcile
from loop_sandbox.model import LoopReturn, Ticket

KINDS = ("complete", "short", "damaged", "extra", "wrong", "garbled", "never")
TRANSPORT = ("timeout_before", "timeout_after", "reset_before", "reset_mid_body", "status_429",
             "status_500", "status_502", "html", "truncated")  # fmt: skip
LOOP = ("process", "flag", "note", "remove", "list", "details", "notes", None)
REX = ("ReceivingTicketAdd", "GetReceivingTicketsByPO", "GetReceivingStatusesByDate",
       "GetReceivingTicketObjectByTicketNo", "GetStyleMasterProductAddStatus",
       "StyleMasterProductAdd", None)  # fmt: skip
QUIRKS = {
    "refusal": ("process", "flag"),
    "process_fails": ("process",),
    "process_never_ends": ("process",),
    "shifting_pages": ("list",),
    "repeat_cursor": ("list",),
    "lost_cursor": ("list",),
}
WIDER = 30_000
"""From this seed on, lives also hold reconciles, and at times a ledger that is lost and rebuilt."""
UNKIND = 60_000
"""From this seed on, tickets are opened again and corrected, records are spoiled, keys lose their
rights for a while, webhooks are deactivated, and products are called otherwise."""
SEQUELS = 110_000
"""From this seed on, what goes on over days happens as well: `reliability_sequels`."""
RECORDS = {
    "loop": ("lines_null", "lines_absent", "line_twice", "raw_control", "nan_price",
             "record_patch", "page_timeout", "empty_last_page", "unauthorized_200", "status_401",
             "status_403", "status_504", "html"),
    "rex11": ("bad_char_ref", "html_entity", "bare_ampersand", "other_ticket", "blank_before_xml",
              "utf16_declared", "status_403"),
}  # fmt: skip
PATCHES: tuple[dict[str, Any], ...] = (
    {"line_items.0.sku": ""},
    {"line_items.0.line_item_id": None},
    {"tracking_number": "N/A", "carrier": "N/A", "label_status": "N/A"},
    {"state": "On Hold"},
    {"updated_at": "0001-01-01"},
    {"created_at": "$absent"},
    {"line_items.0.barcode": "8.85E+11"},
    {"line_items.0.price": "free"},
    {"destination_id": {"id": 5}},
)
WEBHOOK = ("webhook_duplicated", "webhook_out_of_order", "webhook_lost", "webhook_forged")


@dataclass(slots=True)
class Run:
    """How a run went."""

    seed: int
    verdict: Verdict
    ticks: int
    kills: int
    faults: Counter[str]
    calls: int
    story: list[str] = field(default_factory=list[str])

    @property
    def line(self) -> str:
        return f"seed {self.seed}: {self.verdict.problems}"


class Driver:
    """Plays one seed on a stage of its own."""

    def __init__(
        self, folder: Path, seed: int, steps: int = 45, place: File | Server | None = None
    ) -> None:
        self.seed = seed
        self.steps = steps
        self.rng = rng = random.Random(seed)
        self.stage = Stage(
            folder,
            seed,
            place=place,
            returns=rng.choice((0, 0, 3, 6)),
            concurrency=rng.choice((1, 2, 4)),
            late_label_share=rng.choice((0.0, 0.4)),
            auth_failure=rng.choice(("notification", "soap_fault")),
            missing_ticket=rng.choice(("mixed", "notification", "empty")),
            loop_time_format=rng.choice(("iso", "plain")),
            list_order=rng.choice(("asc", "desc")),
            webhook_signature=rng.choice(("canonical", "raw")),
            empty_notes=rng.choice(("refused", "list")),
            flagged_refusal=rng.choice(("message", "code")),
            allow_process_flagged=rng.random() < 0.3,
            processing_max_seconds=rng.choice((3.0, 240.0)),
            token_minutes=rng.choice((2.0, 30.0)),
        )
        self.story: list[str] = []
        self.fired: Counter[str] = Counter()
        self.people = rng.random() < 0.5
        self.merchant = rng.random() < 0.7
        self.mortal = rng.choice((0.0, 0.2, 0.5))
        self.faulty = rng.choice((0.0, 0.5, 1.0))
        self.wider = seed >= WIDER
        self.loses = self.wider and rng.random() < 0.3
        self.unkind = seed >= UNKIND
        self.has_sequels = seed >= SEQUELS
        self.restores = self.has_sequels and not self.loses and rng.random() < 0.3
        if self.unkind:
            self.stage.world.settings.update({
                "reopen_share": rng.choice((0.05, 0.3)),
                "reopen_after_seconds": rng.choice((60.0, 300.0, 4000.0)),
                "reopen_seconds": rng.choice((0.0, 60.0, 900.0)),
                "two_label_share": rng.choice((0.1, 0.5)),
                "carrier_seconds": rng.choice((0.0, 600.0)),
                "po_lookup_delay_seconds": rng.choice((0.0, 5.0, 90.0)),
            })  # fmt: skip

    def play(self) -> Run:
        stage = self.stage
        if self.rng.random() < 0.6:
            subscriptions.ensure(stage.ctx, "http://127.0.0.1:2")
        for _ in range(self.steps):
            self._step()
        self._count_faults()
        if self.has_sequels:
            sequels.settle_down(self)
        stage.rest()
        run = Run(
            self.seed, judge(stage), stage.ticks, stage.kills, self.fired,
            len(stage.world.calls), self.story,
        )  # fmt: skip
        stage.close()
        stage.world.close()
        return run

    def _step(self) -> None:
        moves: list[tuple[float, Callable[[], object]]] = [
            (10, self._tick),
            (2.5, self._new),
            (4, self._parcel),
            (2 * self.faulty, self._fault),
            (0.5, self._clear),
            (0.8 * self.merchant, self._edit),
            (0.8 * self.merchant, self._state),
            (0.5, self._label),
            (0.25, self._cancel_ticket),
            (0.2, self._hand_ticket),
            (0.15, self._skew),
            (1.0 * self.people, self._person),
        ]
        if self.wider:
            moves += [(0.6, self._reconcile), (0.25 * self.loses, self._lose)]
        if self.unkind:
            moves += [
                (0.7, self._reopen_ticket),
                (0.4, self._correct_ticket),
                (1.2 * self.faulty, self._record),
                (0.2, self._deactivate),
                (0.3, self._subscriptions),
                (0.2, self._rename),
            ]
        if self.has_sequels:
            moves += [(w, partial(m, self)) for w, m in sequels.moves(self)]
        move = self.rng.choices([m for _, m in moves], [w for w, _ in moves])[0]
        what = move()
        name = (move.func if isinstance(move, partial) else move).__name__.lstrip("_")
        self.story.append(f"{self.stage.clock.now():%d %H:%M:%S} {name} {what or ''}")

    def _tick(self) -> str:
        at = self.rng.randint(1, 80) if self.rng.random() < self.mortal else 0
        fuse = Fuse(lambda n, _name: n == at)
        self.stage.tick(fuse, after=self.rng.choice((5, 20, 60, 61, 130, 400, 1000, 3700)))
        return f"killed {fuse.blown!r}" if fuse.blown else str(self.stage.last or "")

    def _reconcile(self) -> str:
        at = self.rng.randint(1, 120) if self.rng.random() < self.mortal else 0
        return self._work(reconcile.run, Fuse(lambda n, _name: n == at))

    def _lose(self) -> str:
        """The ledger is lost; whoever rebuilds it tries until it works."""
        self.stage.fresh_ledger()
        said = "never worked"
        for _ in range(6):
            at = self.rng.randint(1, 200) if self.rng.random() < self.mortal else 0
            said = self._work(rebuild.run, Fuse(lambda n, _name, at=at: n == at))
            if said == "done":
                break
        return said

    def _work(self, work: Callable[[BrandContext], object], fuse: Fuse) -> str:
        try:
            return "done" if self.stage.act(work, fuse) else f"killed {fuse.blown!r}"
        except OutsideError as error:
            return str(error)

    def _new(self) -> str:
        if self.stage.brand.made >= 14:
            return "-"
        made = self.stage.new_return(
            units=self.rng.choice((1, 1, 2, 3)),
            outcome=self.rng.choice((None, "refund")),
            no_parcel=self.rng.random() < 0.05,
            method=self.rng.choice((*[None] * 8, "in_store", "mail")) if self.unkind else None,
        )
        return made.id

    def any_return(self, *states: str) -> LoopReturn | None:
        found = [r for r in self.stage.brand.returns.values() if not states or r.state in states]
        return self.rng.choice(found) if found else None

    def _parcel(self) -> str:
        drafts = [t for t in self.stage.tickets() if t.status == "Draft"]
        if not drafts:
            return "-"
        ticket = self.rng.choice(drafts)
        kind = self.rng.choices(KINDS, (10, 2, 2, 1, 1, 1, 0.3))[0]
        detail = {"seconds": self.rng.choice((0.0, 0.0, 200.0, 4000.0))}
        with suppress(ValueError):
            self.stage.control("parcels", ticket=ticket.id, kind=kind, detail=detail)
        return f"{ticket.id} {ticket.return_id} {kind} {detail['seconds']}"

    def _fault(self) -> str:
        rng, rule = self.rng, dict[str, Any]()
        system = rng.choices(("loop", "rex11", "quirk", "token", "webhook"), (4, 4, 3, 1, 1))[0]
        if system == "quirk":
            kind = rng.choice(list(QUIRKS))
            system, operation = "loop", rng.choice(QUIRKS[kind])
        elif system == "token":
            system, kind, operation = "rex11", "expired_token", rng.choice(REX)
        elif system == "webhook":
            kind, operation = rng.choice(WEBHOOK), None
        else:
            operation = rng.choice(LOOP if system == "loop" else REX)
            kind = rng.choice((*TRANSPORT, "soap_fault") if system == "rex11" else TRANSPORT)
            if kind in ("status_500", "status_502", "html", "soap_fault"):
                rule["after"] = rng.random() < 0.5
        rule |= {"probability": rng.choice((0.3, 0.6, 1.0)), "count": rng.choice((1, 2, 3, 6, 12))}
        if operation:
            rule["operation"] = operation
        self.stage.fault(system, kind, **rule)
        return f"{system} {operation} {kind} {rule}"

    def _count_faults(self) -> None:
        for rule in self.stage.world.faults.rules:
            self.fired[rule.kind] += rule.fired

    def _clear(self) -> None:
        self._count_faults()
        self.stage.world.faults.clear()

    def _edit(self) -> str:
        r = self.any_return("open", "review")
        if r is None or r.effects.process_accepted:
            return "-"
        add, remove = self.rng.choice(((1, 0), (0, 1), (1, 1)))
        with suppress(ValueError):
            self.stage.control(f"returns/{r.id}/edit", add=add, remove=remove)
        return f"{r.id} +{add} -{remove}"

    def _state(self) -> str:
        action = self.rng.choice(("cancel", "expire", "reopen", "close", "flag"))
        if (self.loses or self.restores) and action == "reopen":
            return "-"  # a flag whose note was not written yet is nowhere but in the ledger
        states = ("cancelled", "expired", "review") if action == "reopen" else ("open", "review")
        r = self.any_return(*states)
        if r is None or r.processing:
            return "-"
        self.stage.control(f"returns/{r.id}/{action}")
        return f"{action} {r.id}"

    def _label(self) -> str:
        r = self.any_return("open")
        if r is None:
            return "-"
        self.stage.control(f"returns/{r.id}/label", status="in_transit")
        return r.id

    def _cancel_ticket(self) -> str:
        drafts = [t for t in self.stage.tickets() if t.status == "Draft"]
        if not drafts:
            return "-"
        ticket = self.rng.choice(drafts)
        self.stage.control(f"tickets/{ticket.id}/cancel")
        return f"{ticket.id} {ticket.return_id}"

    def _hand_ticket(self) -> str:
        """The warehouse opens a ticket by itself, at times with the PO it read on the parcel."""
        r = self.any_return("open")
        if r is None:
            return "-"
        po = self.rng.choice((f"LR-{r.id}", "", "WALK-IN 7"))
        items = [{"sku": r.lines[0].product.sku, "expected": 1}]
        self.stage.control("tickets", brand=BRAND, customer_po=po, items=items)
        return f"{po} {r.id}"

    def _finished(self) -> Ticket | None:
        found = [t for t in self.stage.tickets() if t.status == "AddedToInventory"]
        return self.rng.choice(found) if found else None

    def _reopen_ticket(self) -> str:
        """The warehouse counts a finished ticket again."""
        ticket = self._finished()
        if ticket is None:
            return "-"
        kind = self.rng.choice(("found", "damaged", "none"))
        seconds = self.rng.choice((0.0, 200.0, 4000.0))
        self.stage.control(f"tickets/{ticket.id}/reopen", kind=kind, seconds=seconds)
        return f"{ticket.id} {ticket.return_id} {kind} {seconds}"

    def _correct_ticket(self) -> str:
        """A count is changed without a word in any status."""
        ticket = self._finished()
        if ticket is None:
            return "-"
        kind = self.rng.choice(("found", "damaged"))
        self.stage.control(f"tickets/{ticket.id}/correct", kind=kind)
        return f"{ticket.id} {ticket.return_id} {kind}"

    def _record(self) -> str:
        """Some answers are spoiled in one record, or say that the key may not."""
        rng, rule = self.rng, dict[str, Any]()
        system = rng.choice(list(RECORDS))
        kind = rng.choice(RECORDS[system])
        about = self.any_return() if system == "loop" else None
        tickets = [t.id for t in self.stage.tickets()] if system == "rex11" else []
        if kind == "record_patch":
            rule["patch"] = rng.choice(PATCHES)
        if kind == "page_timeout":
            rule["above"] = 1
        elif about and rng.random() < 0.7:
            rule["subject"] = about.id
        elif tickets and rng.random() < 0.7:
            rule["subject"] = rng.choice(tickets)
        rule["count"] = rng.choice((1, 3, 12))
        self.stage.fault(system, kind, **rule)
        return f"{system} {kind} {rule}"

    def _deactivate(self) -> str:
        """Loop gives the webhooks up."""
        for hook in self.stage.brand.hooks.values():
            hook.status = "inactive"
        return ""

    def _subscriptions(self) -> str:
        if not self.stage.brand.hooks:
            return "-"
        return self._work(lambda ctx: subscriptions.look(ctx, "http://127.0.0.1:2"), Fuse())

    def _rename(self) -> str:
        """REX11 calls a product's color otherwise from now on."""
        product = self.rng.choice(list(self.stage.brand.rex_products.values()))
        product.values["Color"] = f"{product.values.get('Color', '')} II".strip()
        return product.values["Color"]

    def _skew(self) -> str:
        system = self.rng.choice(("loop", "rex11"))
        seconds = self.rng.choice((-240.0, -60.0, 0.0, 60.0, 240.0))
        self.stage.control("settings", **{f"{system}_skew_seconds": seconds})
        return f"{system} {seconds}"

    def _person(self) -> str:
        """A truthful person works at the attention list."""
        stage = self.stage
        stage.fuse = Fuse()
        with stage.ctx.ledger.write() as session:
            items = attention.open_items(session, BRAND)
            if not items:
                return "-"
            item = self.rng.choice(items)
            row = session.get(ReturnRow, item.return_pk) if item.return_pk else None
            in_loop = stage.brand.returns.get(row.return_id) if row else None
            action = self.rng.choice(("retry", "retry", "resync", "decide"))
            said = f"{action} {item.kind} {row.return_id if row else ''}"
            if in_loop and (in_loop.processing or in_loop.effects.money_moved):
                return f"- {said}"  # a person who looks sees that Loop is at it
            try:
                if action == "retry":
                    actions.retry(
                        Transaction(session, item.brand, stage.now(), "ada"), item, "looked in Loop"
                    )
                elif row and action == "resync":
                    actions.resync(Transaction(session, BRAND, stage.now(), "ada"), row)
                elif row and in_loop:
                    stage.by_hand.add(in_loop.id)
                    tx = Transaction(session, row.brand, stage.now(), "ada")
                    actions.decide(tx, row, actions.ByHand(actions.Outcome.FLAG, "looks odd"))
            except actions.NotPossible as error:
                return f"{said}: not possible: {error}"
        return said
