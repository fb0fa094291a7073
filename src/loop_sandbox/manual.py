"""What the sandbox says about itself: its help, its start, and its front page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

from loop_sandbox import control_views, faults
from loop_sandbox.settings import PARTS, default, described, is_quirk

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

WIDTH = 80
_NAME, _VALUE = 26, 14
_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Any call: what becomes of its answer", tuple(faults.TRANSPORT)),
    ("The call itself", (*faults.QUIRKS, *faults.BIG_PAGE)),
    ("One record of an answer", (*faults.RETURN_RECORD, *faults.TICKET_RECORD)),
    ("Webhooks and clocks", (*faults.WEBHOOK, *faults.CLOCK)),
)
_ABOUT_SETTINGS = (
    "Settings: --set NAME=VALUE at start, or POST /control/settings {NAME: VALUE} later. Those "
    "with two values are quirks of the real systems: the first one while `unkind` is false, the "
    "second while it is true. A quirk set by itself stays so; null lets it follow `unkind` again."
)
_ABOUT_FAULTS = (
    "Faults: POST /control/faults with a rule or a list of rules, such as "
    '{"system": "loop", "kind": "status_504", "operation": "list", "nth": 1}. A rule may have '
    "operation, brand and subject (return, ticket or PO); nth and count, or probability; after "
    "(true: it is done all the same), seconds; product, above, patch where said below. Without "
    "nth and probability it hits every time. --fault RULE at start does the same. "
    "DELETE /control/faults ends them all."
)
_CONTROL = (
    ("GET", "config", "addresses, keys and credentials"),
    ("GET", "summary", "counts per brand"),
    ("GET", "returns", "?brand= &state= &limit= &offset="),
    ("GET", "tickets", "?brand= &status= &return_id="),
    ("GET", "calls", "?brand= &operation= &effects=1 &after="),
    ("GET", "effects", "what was done to each return, and which rules it breaks"),
    ("GET", "settings", "the values in force"),
    ("GET", "faults", "the rules in force"),
    ("POST", "returns", "brand, count, units, outcome, late_label, no_parcel, held, method"),
    ("POST", "returns/ID/ACTION", "edit, label, cancel, expire, reopen, close, flag"),
    ("POST", "tickets", "a ticket by hand: brand, customer_po, items"),
    ("POST", "tickets/ID/ACTION", "cancel; reopen, correct: kind, lines, seconds"),
    ("POST", "parcels", "ticket or return, kind, detail"),
    ("POST", "parcels/auto", "mix, brand, limit"),
    ("POST", "happy-returns", "brand, returns, boxes, split, webhook: a shipment leaves"),
    ("POST", "happy-returns/ID/arrive", "brand, boxes, missing, late, misplaced, damaged"),
)


def help_text() -> str:
    """Every setting, fault and control call, within 80 columns."""
    return "\n".join(_help_lines())


def _help_lines() -> Iterator[str]:
    yield from textwrap.wrap(_ABOUT_SETTINGS, WIDTH)
    for part in PARTS:
        yield from ("", f"{part + ':':<{_NAME}}{'calm':<{_VALUE}}unkind")
        for about in described():
            if about.metadata["part"] != part:
                continue
            calm = _value(default(about))
            real = _value(about.metadata["real"]) if is_quirk(about) else ""
            if len(calm) < _VALUE or not real:
                yield f"  {about.name:<{_NAME - 2}}{calm:<{_VALUE}}{real}".rstrip()
            else:
                yield f"  {about.name:<{_NAME - 2}}{calm}"
                yield f"{'':<{_NAME}}{real}"
            choices = [_value(x) for x in about.metadata["choices"]]
            doc = about.metadata["doc"]
            if len(choices) > 2:
                doc += f" One of {', '.join(choices)}."
            yield from _indented(doc)
    yield from ("", *textwrap.wrap(_ABOUT_FAULTS, WIDTH))
    for title, kinds in _GROUPS:
        yield from ("", f"{title}:")
        for kind in kinds:
            first, *rest = textwrap.wrap(faults.DOCS[kind], WIDTH - 23)
            yield f"  {kind:<21}{first}"
            yield from (" " * 23 + line for line in rest)
    yield from ("", "Control (JSON, no key), below /control/:")
    for method, path, what in _CONTROL:
        first, *rest = textwrap.wrap(what, WIDTH - 26)
        yield f"  {method:<5}{path:<19}{first}"
        yield from (" " * 26 + line for line in rest)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return '""' if value == "" else str(value)


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def start_text(world: SandboxWorld, root: str) -> str:
    """Where the sandbox listens, and with what one comes in."""
    shown = control_views.config(world, {}, root)
    kind = "as unkind as the real systems" if world.settings.unkind else "calm"
    lines = [
        f"Sandbox of Loop Returns and REX11, {kind} (seed {world.seed}).",
        "Everything is in memory, made up, and gone at the end.",
        "",
        f"  Page     {root}/",
        f"  Loop     {shown['loop_base_url']}",
        f"  REX11    {shown['rex11_endpoint']}",
        f"  Control  {root}/control/config",
        f"  Floor    {root}/floor/",
    ]
    for b in shown["brands"]:
        lines += [
            "",
            f"  {b['name']} ({b['slug']})",
            f"    Loop   key {b['loop_api_key']}",
            f"           webhook secret {b['loop_webhook_secret']}",
            f"    REX11  {b['rex11_web_address']}, {b['rex11_user_name']}, {b['rex11_password']}",
            f"           {b['warehouse']}",
        ]
    return "\n".join(lines) + "\n"


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Sandbox of Loop Returns and REX11</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem;
  padding: 0 1rem; color: #1b1f24; background: #fff; }}
table {{ border-collapse: collapse; width: 100%; margin: 1rem 0; }}
th, td {{ text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #d5d9de;
  vertical-align: top; overflow-wrap: anywhere; }}
code {{ font-size: .9em; }}
@media (prefers-color-scheme: dark) {{ body {{ color: #e6e8eb; background: #15181c; }}
  a {{ color: #8ab8ff; }} th, td {{ border-color: #3a4149; }} }}
</style></head><body>
<h1>Sandbox of Loop Returns and REX11</h1>
<p>A Loop API and a REX11 web service to run against: in memory, with made-up brands, customers
and goods, nothing of it real. It is now <strong>{kind}</strong>; seed {seed}.</p>
<table>
<tr><th scope="row">Loop API</th><td><code>{loop}</code></td></tr>
<tr><th scope="row">REX11</th><td><code>{rex}</code></td></tr>
<tr><th scope="row">Warehouse floor</th><td><a href="/floor/">/floor/</a>: count parcels by hand
</td></tr>
</table>
<h2>Brands</h2>
<table><tr><th scope="col">Brand</th><th scope="col">Loop key, webhook secret</th>
<th scope="col">REX11 WebAddress, UserName, Password</th><th scope="col">Now</th></tr>
{brands}</table>
<h2>Control</h2>
<table>{control}</table>
<h2>Settings and faults</h2>
<pre>{manual}</pre>
</body></html>
"""


def front_page(world: SandboxWorld, root: str) -> str:
    """What this is, which brands it has, their keys, and where to look and act."""
    shown = control_views.config(world, {}, root)
    counts = control_views.summary(world, {}, root)["brands"]
    brands = "".join(
        f'<tr><th scope="row">{escape(b["name"])}<br><code>{escape(b["slug"])}</code></th>'
        f"<td><code>{escape(b['loop_api_key'])}</code><br>"
        f"<code>{escape(b['loop_webhook_secret'])}</code></td>"
        f"<td><code>{escape(b['rex11_web_address'])}</code><br>"
        f"<code>{escape(b['rex11_user_name'])}</code><br>"
        f"<code>{escape(b['rex11_password'])}</code></td>"
        f"<td>{sum(counts[b['slug']]['returns'].values())} returns<br>"
        f"{sum(counts[b['slug']]['tickets'].values())} tickets</td></tr>\n"
        for b in shown["brands"]
    )
    control = "".join(
        f"<tr><td>{method}</td><td>{_link(method, path)}</td><td>{escape(what)}</td></tr>\n"
        for method, path, what in _CONTROL
    )
    return _PAGE.format(
        kind="as unkind as the real systems" if world.settings.unkind else "calm",
        seed=world.seed,
        loop=escape(shown["loop_base_url"]),
        rex=escape(shown["rex11_endpoint"]),
        brands=brands,
        control=control,
        manual=escape(help_text()),
    )


def _link(method: str, path: str) -> str:
    text = f"/control/{escape(path)}"
    return f'<a href="{text}">{text}</a>' if method == "GET" else f"<code>{text}</code>"
