"""REX11's own schema as judge: the part of it this project speaks, written down in `schema/`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lxml import etree

HERE = Path(__file__).parent
SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"


@cache
def schema() -> etree.XMLSchema:
    return etree.XMLSchema(file=str(HERE / "schema" / "methods.xsd"))


def faults(envelope: bytes) -> list[str]:
    """What the schema finds wrong with the content of an envelope."""
    root = etree.fromstring(envelope)
    assert root.tag == f"{SOAP}Envelope"
    (body,) = root
    assert body.tag == f"{SOAP}Body"
    (content,) = body
    judge = schema()
    judge.validate(etree.ElementTree(etree.fromstring(etree.tostring(content))))
    return [f"{e.path}: {e.message}" for e in judge.error_log]


def recorded(name: str) -> bytes:
    """An answer of the real service (its values are our own)."""
    return (HERE / "recorded" / f"{name}.xml").read_bytes()
