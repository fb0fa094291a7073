"""Documents as they are stored: compressed, with a dictionary of what all of them say alike.

A document of a return is a kilobyte, and nine tenths of it are the names of its fields. Whatever is
stored can be told from plain JSON by its beginning, so both stand side by side: what an older
release wrote is read as it is, and packed little by little (`store.packing`).

- SQLite: the dictionary's number (one byte below any that JSON begins with), and a zstd frame
  without its magic number.
- PostgreSQL, whose JSON columns take JSON alone: the same in base64, as a JSON string, which no
  document is.
"""

from __future__ import annotations

import threading
from base64 import b64decode, b64encode
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import zstandard

SHORTEST = 120
"""Characters: below it, packing saves nothing worth its time."""
_MAGIC = b"\x28\xb5\x2f\xfd"
_LEVEL = 3
_DICTIONARY = 1
"""Its number. A dictionary is kept for ever: what was packed with it is unreadable without it.
Made by `python tools/dictionary`; of names of fields and words of the two systems only."""
_BEGINS = bytes([_DICTIONARY])


class _Tools(threading.local):
    """One thread's: a compressor does one thing at a time."""

    def __init__(self) -> None:
        import zstandard  # as late as this: most commands read no document

        self.compress = zstandard.ZstdCompressor(
            level=_LEVEL, dict_data=_dictionary(), write_checksum=False, write_dict_id=False
        ).compress
        self.decompress = zstandard.ZstdDecompressor(dict_data=_dictionary()).decompress


@cache
def _dictionary() -> zstandard.ZstdCompressionDict:
    import zstandard

    body = resources.files("bergen_loop.ledger").joinpath(f"documents-{_DICTIONARY}.zdict")
    dictionary = zstandard.ZstdCompressionDict(body.read_bytes())
    dictionary.precompute_compress(level=_LEVEL)  # pyright: ignore[reportUnknownMemberType]
    return dictionary


@cache
def _own() -> _Tools:
    return _Tools()


def pack(text: str) -> bytes | str:
    """Plain JSON as it is to be stored; the text itself where packing gains nothing."""
    if len(text) < SHORTEST:
        return text
    try:
        plain = text.encode()
    except UnicodeEncodeError:  # a lone surrogate: no database would take it
        return text
    packed = _BEGINS + _own().compress(plain)[len(_MAGIC) :]
    return packed if len(packed) < len(plain) else text


def unpack(packed: bytes) -> str:
    """The inverse of `pack`. ValueError for what is not so packed."""
    if packed[:1] != _BEGINS:
        raise ValueError("a document packed by a later release, or damaged")
    try:
        return _own().decompress(_MAGIC + packed[1:]).decode()
    except Exception as error:
        raise ValueError(f"a packed document is damaged: {error}") from None


def as_json(stored: bytes | str) -> str:
    """What `pack` gave, as JSON: for a column that takes nothing else."""
    return stored if isinstance(stored, str) else f'"{b64encode(stored).decode()}"'


def packed_in(stored: str | bytes) -> bytes | None:
    """The packed bytes of what a column holds, of either database; None where it is plain."""
    if stored[:1] in ('"', b'"'):
        return b64decode(stored[1:-1])
    if isinstance(stored, bytes) and stored[:1] < b"\x09":
        return stored
    return None
