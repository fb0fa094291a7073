"""The CustomerPO: what an RMA is found by when the answer that made it was lost (I3)."""

from __future__ import annotations

import re
from string import Formatter

from bergen_loop.domain.codes import sent_code

MOST_ATTEMPTS = 99
"""RMAs of one return, for which its PO must have room."""
_LONGEST = ("9" * 20, "#" + "9" * 11)
"""A return id and an order name that every PO must have room for."""
_GONE = "\x00"
"""Stands for a name that is not there; no name holds it."""


def filled(template: str, return_id: str, order_name: str | None) -> str:
    """The template in words: one line, without the blanks, dashes and brackets that a missing
    name would leave behind."""
    text = template.format(return_id=return_id, order_name=sent_code(order_name) or _GONE)
    text = re.sub(rf"[(\[{{]\s*{_GONE}\s*[)\]}}]", _GONE, text)
    text = re.sub(rf"^{_GONE}[\s_/.:#|,-]*|[\s_/.:#|,-]*{_GONE}", "", text)
    return sent_code(text) or ""


def numbered(po: str, attempt: int) -> str:
    """The PO of the n-th RMA of a return."""
    return po if attempt == 1 else f"{po}-{attempt}"


def template_fault(template: str, length: int) -> str | None:
    """Why a PO template cannot be used; None: it can."""
    try:
        fields = [f for f in Formatter().parse(template) if f[1] is not None]
        if not {f[1:] for f in fields} <= {("return_id", "", None), ("order_name", "", None)}:
            raise ValueError
        used = [name for _, name, _, _ in fields]
        size = len(numbered(filled(template, *_LONGEST), MOST_ATTEMPTS))
    except (KeyError, IndexError, ValueError):
        return "may hold {return_id} and {order_name} only"
    if used.count("return_id") != 1 or used.count("order_name") > 1:
        return "must hold {return_id} once: each return needs a PO of its own"
    if len(used) == 2 and not re.search(r"}[^{}]*[^{}0-9A-Za-z][^{}]*{", template):
        return (
            "needs a blank or a sign between {return_id} and {order_name}, or two returns could "
            "get the same PO"
        )
    if size > length:
        return (
            f"makes POs of up to {size} characters (a return id of {len(_LONGEST[0])}, an order "
            f"name of {len(_LONGEST[1])}), more than po_length ({length})"
        )
    return None
