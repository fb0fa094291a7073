"""A Loop account of very many returns, made from their numbers when they are asked for: a process
that holds a byte per return (how often it was listed). Shares nothing with the service.

python -m bench.endless_loop --port 8899 --returns 1000000 --from 1760000000 --to 1762592000
"""

from __future__ import annotations

import argparse
import base64
import binascii
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from urllib.parse import urlencode

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KEY = "a-key-for-the-benchmark"
LONGEST = 120 * 86_400
MAX_PAGE = 750
STATES = {**dict.fromkeys(range(3), "cancelled"), **dict.fromkeys(range(3, 6), "review"), 6: "open"}
"""State by the last two digits of a return's number; the others are closed."""
DAY = 86_400


def state_of(number: int) -> str:
    """The state of a return."""
    return STATES.get(number % 100, "closed")


def count(returns: int, *states: str) -> int:
    """How many of so many returns are in these states."""
    whole, rest = divmod(returns, 100)
    per = [n for n in range(100) if state_of(n) in states]
    return whole * len(per) + sum(n < rest for n in per)


class BadQuery(ValueError):
    """A query that Loop refuses with 422."""


@dataclass
class Account:
    """The returns, spread evenly over a time in seconds since 1970, and what was asked for."""

    returns: int
    first: int
    last: int
    listed: bytearray = field(init=False)
    pages: int = 0
    repeated: int = 0
    """Pages of which most returns had been listed before."""
    others: int = 0
    """Calls of anything but the list."""
    began: float | None = None
    ended: float | None = None
    """Times of the first and of the last page since `run`."""

    def __post_init__(self) -> None:
        self.listed = bytearray(self.returns)

    def updated_at(self, number: int) -> int:
        return self.first + number * (self.last - self.first) // self.returns

    def within(self, since: int, until: int, start: int, states: tuple[str, ...]) -> Iterator[int]:
        """Numbers of the returns updated from `since` to `until`, both counted, in order."""
        period = self.last - self.first
        low = -(-(since - self.first) * self.returns // period)
        high = -(-(until - self.first + 1) * self.returns // period)
        numbers = range(max(0, low, start), min(self.returns, high))
        return (n for n in numbers if state_of(n) in states)

    def note(self, numbers: list[int]) -> None:
        """A page was listed."""
        again = sum(self.listed[n] > 0 for n in numbers)
        for n in numbers:
            self.listed[n] = min(255, self.listed[n] + 1)
        self.pages += 1
        self.repeated += again * 2 > len(numbers)
        self.ended = time.time()

    def summary(self) -> dict[str, float | int | None]:
        return {
            "pages": self.pages,
            "repeated": self.repeated,
            "others": self.others,
            "never_listed": self.listed.count(0),
            "began": self.began,
            "ended": self.ended,
        }


# -- the list -----------------------------------------------------------------------------------


def _time(request: Request, name: str) -> int:
    try:
        at = datetime.fromisoformat(request.query_params[name])
    except (KeyError, ValueError):
        raise BadQuery(f"The {name} is not a valid date.") from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def _start(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.urlsafe_b64decode(cursor))
    except (ValueError, binascii.Error):
        raise BadQuery("The cursor is invalid.") from None


def _page(account: Account, request: Request) -> tuple[list[int], str | None]:
    """The returns of a page, and the URL of the next. Like Loop's it drops what was asked for."""
    query = request.query_params
    since, until = _time(request, "from"), _time(request, "to")
    size = int(query.get("pageSize", "100"))
    if until - since > LONGEST or not 1 <= size <= MAX_PAGE:
        raise BadQuery("The date range must not be greater than 120 days, the page 1 to 750.")
    if query.get("filter") != "updated_at" or query.get("paginate") != "true":
        raise BadQuery("Only pages by updated_at are made here.")
    states = (query["state"],) if "state" in query else ("open", "closed", "expired")
    found = list(
        islice(account.within(since, until, _start(query.get("cursor")), states), size + 1)
    )
    if len(found) <= size:
        return found, None
    cursor = base64.urlsafe_b64encode(str(found[size]).encode()).decode()
    kept = {"filter": "updated_at", "pageSize": str(size), "cursor": cursor}
    return found[:size], f"{request.url.replace(query=None)}?{urlencode(kept)}"


def _stamp(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))


def _mixed(number: int) -> str:
    """Ids come as integers for some and as strings for others."""
    return str(number) if number % 3 == 0 else f'"{number}"'


def return_json(number: int, updated: int) -> str:
    """A return as the list gives it."""
    state, created = state_of(number), _stamp(updated - 5 * DAY)
    tracking, label = f'"1Z999AA1{number:010d}"', '"delivered"'
    if state != "closed":
        tracking, label = "null", "null"
    lines = ",".join(_line_json(number * 2 + n, created) for n in (1, 2))
    return (
        f'{{"id":{_mixed(70_000_000 + number)},"state":"{state}","created_at":"{created}",'
        f'"updated_at":"{_stamp(updated)}","edited_at":null,"total":"118.00",'
        f'"order_id":{_mixed(5_000_000_000 + number)},"order_name":"#{100_000 + number}",'
        f'"provider_order_id":"{6_000_000_000 + number}","order_number":"{100_000 + number}",'
        f'"provider_order_number":{100_000 + number},"customer":"c{number}@customers.example",'
        '"origin_country":"United States","origin_country_code":"US","currency":"USD",'
        '"multi_currency":false,"return_product_total":"120.00","return_discount_total":"10.00",'
        '"return_tax_total":"8.00","return_total":"118.00","return_credit_total":"0.00",'
        '"exchange_product_total":"0.00","exchange_discount_total":"0.00",'
        '"exchange_tax_total":"0.00","exchange_total":"0.00","exchange_credit_total":"0.00",'
        '"gift_card":"0.00","handling_fee":"0.00","refund":"118.00","upsell":"0.00",'
        f'"outcome":"refund","line_items":[{lines}],"exchanges":[],"carrier":"UPS",'
        f'"tracking_number":{tracking},"label_status":{label},'
        f'"label_url":"https://labels.example/{number}.pdf","label_rate":"7.45",'
        f'"label_updated_at":"{created}",'
        f'"status_page_url":"https://shop.example/returns/{number}","destination_id":null,'
        '"return_method":null,"package_reference":null,"a_field_nobody_knows":{"n":1}}'
    )


def _line_json(line: int, created: str) -> str:
    style = line % 5000
    return (
        f'{{"line_item_id":{_mixed(80_000_000 + line)},"provider_line_item_id":{90_000_000 + line},'
        f'"product_id":"{4_000_000 + style}","variant_id":"{4_500_000 + style}",'
        f'"sku":"STYLE-{style:04d}-M","barcode":"85000{style:07d}","title":"Style {style}",'
        '"price":"60.00","discount":"5.00","tax":"4.00","refund":"59.00",'
        f'"returned_at":"{created}","exchange_variant":null,"return_reason":"Too small",'
        '"parent_return_reason":"Size","return_comment":null,"outcome":"refund",'
        '"provider_restock_location_id":null}'
    )


# -- the service --------------------------------------------------------------------------------


def app(account: Account) -> Starlette:
    """Loop's API as far as a first pull goes, and what the benchmark asks."""

    async def returns_list(request: Request) -> Response:
        account.began = account.began or time.time()
        if request.headers.get("x-authorization") != KEY:
            return JSONResponse({"error": {"code": "401", "message": "Unauthorized."}}, 401)
        try:
            numbers, url = _page(account, request)
        except BadQuery as error:
            return JSONResponse({"message": str(error), "errors": {"query": [str(error)]}}, 422)
        rows = ",".join(return_json(n, account.updated_at(n)) for n in numbers)
        account.note(numbers)
        after = f'"{url}"' if url else "null"
        body = f'{{"returns":[{rows}],"nextPageUrl":{after},"previousPageUrl":null}}'
        return Response(body, media_type="application/json")

    async def summary(_request: Request) -> Response:
        return JSONResponse(account.summary())

    async def run(_request: Request) -> Response:
        """A pull starts: `began` and `ended` are those of its pages."""
        account.began = account.ended = None
        return JSONResponse(account.summary())

    async def other(_request: Request) -> Response:
        account.others += 1
        return JSONResponse({"error": {"code": "NOT_FOUND", "message": "Not found."}}, 404)

    return Starlette(
        routes=[
            Route("/api/{version}/warehouse/return/list", returns_list),
            Route("/bench/summary", summary),
            Route("/bench/run", run, methods=["POST"]),
            Route("/{path:path}", other, methods=["GET", "POST", "PUT", "DELETE"]),
        ]
    )


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--returns", type=int, required=True)
    parser.add_argument("--from", type=int, required=True, dest="first")
    parser.add_argument("--to", type=int, required=True, dest="last")
    options = parser.parse_args()
    account = Account(options.returns, options.first, options.last)
    uvicorn.run(app(account), host="127.0.0.1", port=options.port, log_level="error")


if __name__ == "__main__":
    main()
