"""The facts a condition may name. Checked when criteria are loaded, so that a misspelt fact is
found by its line and column and not by a return that nobody can decide."""

from __future__ import annotations

from collections.abc import Iterable

from bergen_loop.domain.criteria.expression import MACROS, Condition, Token

MONEY = (
    "total_cents",
    "return_total_cents",
    "product_total_cents",
    "credit_total_cents",
    "exchange_total_cents",
    "refund_cents",
    "gift_card_cents",
    "handling_fee_cents",
    "upsell_cents",
)
RETURN = frozenset(
    {
        *("id", "state", "outcome", "order", "customer", "country", "currency", "method"),
        *("destination", "label_status", "age_days", "units", "reasons", "outcomes"),
        *MONEY,
    }
)
SKU = frozenset({"sku", "upc", "expected", "counted", "damaged", "short", "extra"})
RECEIPT = frozenset(
    {
        *("expected", "counted", "damaged", "short", "extra", "wrong", "complete"),
        *("skus", "unexpected", "unclear", "tickets", "warehouses", "open_tickets"),
        *("waited_hours", "waited_days", "first_received_at", "arrived_at", "finished_at"),
    }
)
LINE = frozenset(
    {
        *("id", "sku", "upc", "title", "reason", "parent_reason", "outcome", "product_id"),
        "in_parcel",
        *("price_cents", "refund_cents", "expected", "counted", "damaged", "short", "extra"),
    }
)
ROOTS = frozenset({"ret", "receipt", "lines", "settings"})
FUNCTIONS = frozenset(
    {
        *("size", "startsWith", "endsWith", "contains", "matches", "int", "double", "string"),
        *("duration", "timestamp", "has"),
    }
)


def misspelt(condition: Condition, settings: frozenset[str]) -> list[tuple[Token, str, str]]:
    """Every name in a condition that is no fact: (token, what is wrong, what to do)."""
    tokens = condition.tokens
    bound = _loop_variables(tokens)
    found: list[tuple[Token, str, str]] = []
    for index, token in enumerate(tokens):
        if token.kind != "name" or token.text in _WORDS:
            continue
        after = tokens[index + 1].text if index + 1 < len(tokens) else ""
        before = tokens[index - 1].text if index else ""
        fault = _fault(tokens, index, before, after, bound, settings)
        if fault:
            found.append((token, *fault))
    return found


_WORDS = frozenset({"true", "false", "null", "in"})


def used_facts(conditions: Iterable[Condition]) -> dict[str, frozenset[str] | None]:
    """For each top-level fact the fields that conditions name; None where one uses it whole."""
    uses: dict[str, frozenset[str] | None] = {}
    for tokens in (c.tokens for c in conditions):
        for index, token in enumerate(tokens):
            if token.kind != "name" or token.text not in ROOTS or _text(tokens, index - 1) == ".":
                continue
            field = _text(tokens, index + 2) if _text(tokens, index + 1) == "." else ""
            so_far = uses.get(token.text, frozenset())
            if so_far is None or not field or token.text == "lines":
                uses[token.text] = None
            else:
                uses[token.text] = so_far | {field}
    return uses


def _text(tokens: tuple[Token, ...], index: int) -> str:
    return tokens[index].text if 0 <= index < len(tokens) else ""


def _loop_variables(tokens: tuple[Token, ...]) -> dict[str, frozenset[str]]:
    """Names bound by `list.all(x, ...)` and the like, with the facts each has. A name that is
    bound over two kinds of list has the facts of both."""
    bound: dict[str, frozenset[str]] = {}
    for index in range(2, len(tokens) - 2):
        if tokens[index].text in MACROS and tokens[index - 1].text == ".":
            over, name = tokens[index - 2].text, tokens[index + 2].text
            has = LINE if over == "lines" else SKU if over in ("skus", "unexpected") else _ANY
            bound[name] = bound.get(name, frozenset()) | has
    return bound


_ANY = frozenset({"*"})


def _fault(
    tokens: tuple[Token, ...],
    index: int,
    before: str,
    after: str,
    bound: dict[str, frozenset[str]],
    settings: frozenset[str],
) -> tuple[str, str] | None:
    name = tokens[index].text
    if after == "(":
        if name in FUNCTIONS or (name in MACROS and before == "."):
            return None
        return f"there is no function {name}", f"Use one of {_listed(FUNCTIONS | MACROS)}"
    if before != ".":
        if name in ROOTS or name in bound:
            return None
        return f"there is no fact {name}", f"Start with one of {_listed(ROOTS)}"
    owner = tokens[index - 2].text if index > 1 else ""
    known = {"ret": RETURN, "receipt": RECEIPT, "settings": settings, **bound}.get(owner)
    if known is None or name in known or known >= _ANY:
        return None
    return f"{owner} has no fact {name}", f"Use one of {_listed(known) or 'none (there are none)'}"


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names - _ANY))
