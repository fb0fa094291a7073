"""REX11, Bergen Logistics' warehouse system, by its public SOAP service."""

from bergen_loop.outside.http import CallRecord, Retries, Timeouts
from bergen_loop.outside.warehouse.rex11.adapter import (
    CloseStrategy,
    ConfirmFinished,
    FileDrop,
    HttpCall,
    Rex11Warehouse,
)
from bergen_loop.outside.warehouse.rex11.client import Rex11Client
from bergen_loop.outside.warehouse.rex11.config import AuthSigns, Rex11Config

__all__ = [
    "AuthSigns",
    "CallRecord",
    "CloseStrategy",
    "ConfirmFinished",
    "FileDrop",
    "HttpCall",
    "Retries",
    "Rex11Client",
    "Rex11Config",
    "Rex11Warehouse",
    "Timeouts",
]
