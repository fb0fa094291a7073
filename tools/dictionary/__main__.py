"""Make the dictionary that documents of the ledger are packed with.

python tools/dictionary LEDGER.db NUMBER

From the documents of an embedded ledger, such as the sandbox has filled. Only names of fields and
words of the two systems' own stay in it: every other value is replaced by another one of its kind,
so no customer or product is in it, and what is measured with the sandbox holds for a real shop. A
dictionary that has been released is never made anew: the next one gets the next number, and a line
in `ledger/packed.py`.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import zstandard

SIZE = 8192
MANY = 3000
FOLDER = Path(__file__).resolve().parents[2] / "src" / "bergen_loop" / "ledger"
SOURCES = {
    "returns": "content",
    "decisions": "facts",
    "receipts": "content",
    "rmas": "items",
    "shipment_units": "content",
}
OWN = {
    "open", "closed", "review", "cancelled", "expired", "refund", "exchange", "credit", "gift",
    "store_credit", "keep", "USD", "US", "CA", "GB", "EUR", "USPS", "UPS", "FedEx", "DHL", "new",
    "pre_transit", "in_transit", "out_for_delivery", "delivered", "failure", "unknown", "Draft",
    "AddedToInventory", "Arrived", "Cancelled", "addedtoinventory", "0.00", "BERGEN LOGISTICS NJ",
    "BERGEN LOGISTICS CA", "red", "blue", "black", "white", "s", "m", "l", "xs", "xl", "Size",
    "Quality", "Changed my mind", "Too small", "Too big", "Damaged",
}  # fmt: skip
"""Words of the systems' own, and such as every shop has."""

KEPT = re.compile(
    r"(^20\d\d-|T(?=\d\d:)|Z$|^https://|\.com/|@|\.com$|^LR-|^Loop return | order #|\.00$)"
)
"""Parts of values that are the same everywhere."""


class Others:
    """Other values of the same kind, the same one for the same within a document."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._known: dict[str, str] = {}

    def value(self, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: self.value(v) for key, v in data.items()}  # pyright: ignore[reportUnknownVariableType]
        if isinstance(data, list):
            return [self.value(v) for v in data]  # pyright: ignore[reportUnknownVariableType]
        if isinstance(data, str) and data not in OWN:
            other = "".join(part if n % 2 else "".join(map(self._letter, part))
                            for n, part in enumerate(KEPT.split(data)))  # fmt: skip
            return self._known.setdefault(data, other)
        if isinstance(data, int) and not isinstance(data, bool) and data > 9:
            return self._rng.randrange(10 ** (len(str(data)) - 1), 10 ** len(str(data)))
        return data

    def _letter(self, letter: str) -> str:
        if letter.isdigit():
            return self._rng.choice("0123456789")
        if letter.isalpha():
            other = self._rng.choice("eeeetttaaoonnirshdlcum")
            return other.upper() if letter.isupper() else other
        return letter


def samples(path: str) -> list[bytes]:
    """Documents of each kind alike many, with other values."""
    rng, found = random.Random(1), list[bytes]()  # noqa: S311 - no secret
    with sqlite3.connect(path) as ledger:
        for table, column in SOURCES.items():
            rows = [r[0] for r in ledger.execute(f"SELECT {column} FROM {table}")]  # noqa: S608
            texts = [r for r in rows if isinstance(r, str)]
            for text in rng.choices(texts, k=MANY if texts else 0):
                data = Others(rng).value(json.loads(text))
                found.append(json.dumps(data, separators=(",", ":")).encode())
    return found


def main() -> None:
    path, number = sys.argv[1:]
    target = FOLDER / f"documents-{number}.zdict"
    if target.exists():
        sys.exit(f"{target} is there already, and what was packed with it needs it as it is")
    made: list[Any] = samples(path)
    dictionary = zstandard.train_dictionary(SIZE, made, dict_id=int(number), level=3)
    target.write_bytes(dictionary.as_bytes())
    pack = zstandard.ZstdCompressor(dict_data=dictionary, level=3).compress
    sizes = Counter[bool]()
    for one in made[::50]:
        sizes[True] += len(pack(one))
        sizes[False] += len(one)
    left = sizes[True] / sizes[False]
    sys.stdout.write(f"{target.name}: {left:.1%} of the samples' bytes are left\n")


if __name__ == "__main__":
    main()
