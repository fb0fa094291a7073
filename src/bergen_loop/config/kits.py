"""Kits: of which parts the warehouse has what the shop sells as one. In the file, or as CSV."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias, cast

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo

from bergen_loop.config.fields import Model
from bergen_loop.domain.codes import (
    CodeKind,
    given_code,
    normal_code,
    normal_upc,
    spreadsheet_number,
    unsendable,
)
from bergen_loop.domain.naming import KitPart, Kits
from bergen_loop.secrets import SecretStores


class KitPartSettings(Model):
    """A part of a kit: how many of it, and what the warehouse calls it where that is known."""

    quantity: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many of it are in the kit."""
    upc: str | None = None
    """The part's UPC in the warehouse."""
    style: str | None = None
    """The part's Style in the warehouse."""
    color: str | None = None
    """The part's Color in the warehouse."""
    size: str | None = None
    """The part's Size in the warehouse."""


def _part(value: object) -> object:
    """`A: 2` is short for `A: {quantity: 2}`."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return {"quantity": value} if whole else value


KitMap: TypeAlias = dict[str, dict[str, Annotated[KitPartSettings, BeforeValidator(_part)]]]


def _sound(kits: KitMap) -> KitMap:
    problems = list(_problems(kits))
    if problems:
        raise ValueError("; ".join(problems[:_SHOWN]))
    return kits


_SHOWN = 5
_QUOTES = ("'", '"', "=", "`")
"""What spreadsheets put before a number that is to stay a text."""


def _problems(kits: KitMap) -> Iterator[str]:
    sold = [normal_code(kit) for kit in kits]
    for kit, parts in kits.items():
        if sold.count(normal_code(kit)) > 1:
            yield f"kit {kit!r} stands there more than once (case and blanks do not count)"
        if not parts:
            yield f"kit {kit!r} has no parts"
        for code in (kit, *parts):
            if given_code(code) is None or code.strip().startswith(_QUOTES):
                yield f"kit {kit!r}: {code!r} is no SKU"
        if spreadsheet_number(kit, CodeKind.SKU):
            yield f"kit {kit!r} looks like a number that a spreadsheet has rounded"
        upcs = [normal_upc(settings.upc) for settings in parts.values()]
        for upc in dict.fromkeys(filter(None, upcs)):
            if upcs.count(upc) > 1:
                yield f"kit {kit!r} has the UPC {upc} for several parts: it is one part's"
        codes = [normal_code(part) for part in parts]
        for part, settings in parts.items():
            if codes.count(normal_code(part)) > 1:
                yield f"kit {kit!r} names its part {part!r} more than once"
            if normal_code(part) in sold:
                yield f"kit {kit!r} holds {part!r}, which is a kit itself: list its parts instead"
            checked = [(part, CodeKind.SKU), (settings.upc, CodeKind.UPC)]
            for code, kind in checked:
                problem = unsendable(code, kind) if code is not None else None
                if problem:
                    yield f"kit {kit!r}: {problem}"


KitsInFile = Annotated[KitMap, AfterValidator(_sound)]


class KitsFile(Model):
    """A CSV file with a line for each part of a kit, as it was read."""

    path: str
    kits: KitsInFile


COLUMNS = ("kit", "part", "quantity", "upc", "style", "color", "size")


def _read(value: object, info: ValidationInfo) -> object:
    """The file of that path, relative to the configuration's folder."""
    if not isinstance(value, str):
        return value
    stores = cast("dict[str, SecretStores]", info.context or {}).get("stores")
    path = (stores.folder if stores else Path()) / value
    try:
        text = path.read_bytes()
        wide = text[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        lines = io.StringIO(text.decode("utf-16" if wide else "utf-8-sig"), newline="")
        return KitsFile(path=value, kits=cast("KitMap", _rows(lines)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is no CSV in UTF-8"
        raise ValueError(f"{value} cannot be read: {reason}") from None
    except ValidationError as error:
        raise ValueError(f"{value}: {'; '.join(_told(error))}") from None


KitsFileSetting = Annotated[KitsFile, BeforeValidator(_read)]


def _told(error: ValidationError) -> Iterator[str]:
    for one in error.errors(include_url=False, include_input=False)[:_SHOWN]:
        where = " part ".join(str(x) for x in one["loc"][1:3])
        message = one["msg"].removeprefix("Value error, ")
        yield f"kit {where}: {message}" if where else message


def _rows(lines: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The kits of a CSV file; quantities are checked with the rest."""
    text = iter(lines)
    header = next((line for line in text if line.strip() and not line.startswith("sep=")), "")
    sign = next((sign for sign in ",;\t" if sign in header), ",")
    first = next(csv.reader([header], delimiter=sign), list[str]())
    names = [name.strip().casefold() for name in first]
    while names and not names[-1]:
        names.pop()
    unknown = [n for at, n in enumerate(names) if n not in COLUMNS or n in names[:at]]
    missing = [name for name in COLUMNS[:3] if name not in names]
    if unknown or missing:
        wrong = (
            f"has no column {missing[0]!r}" if missing else f"has a column {unknown[0]!r} too many"
        )
        raise ValueError(f"its first line {wrong}; the columns are {', '.join(COLUMNS)}")
    kits: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(csv.reader(text, delimiter=sign), start=2):
        if not any(cell.strip() for cell in row):
            continue
        while len(row) > len(names) and not row[-1].strip():
            row.pop()
        if len(row) != len(names):
            raise ValueError(f"line {number} has {len(row)} values, not {len(names)}")
        given = {name: cell.strip() for name, cell in zip(names, row, strict=True) if cell.strip()}
        kit, part = given.pop("kit", ""), given.pop("part", "")
        if not (kit and part and "quantity" in given):
            raise ValueError(f"line {number} lacks kit, part or quantity")
        if "_" in given["quantity"]:  # Python's numbers may have it
            raise ValueError(f"line {number}: {given['quantity']!r} is no quantity")
        if part in kits.setdefault(kit, {}):
            raise ValueError(f"line {number} names part {part!r} of kit {kit!r} again")
        kits[kit][part] = given
    return kits


def domain_kits(*maps: Mapping[str, Mapping[str, KitPartSettings]]) -> Kits:
    """The kits as the domain takes them."""
    return {
        normal_code(kit) or "": tuple(
            KitPart(
                sku=sku,
                quantity=part.quantity,
                upc=part.upc if normal_upc(part.upc) else None,
                style=part.style,
                color=part.color,
                size=part.size,
            )
            for sku, part in parts.items()
        )
        for kits in maps
        for kit, parts in kits.items()
    }
