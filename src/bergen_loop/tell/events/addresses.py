"""A brand's endpoint must be out in the world: what it names may be chosen by others, and must
not lead into the service's own network."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence

Resolve = Callable[[str, int], Sequence[str]]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Forbidden(Exception):
    """The address may not be called; the message says why."""


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host. OSError where it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def choose(host: str, addresses: Sequence[str], *, loopback: bool) -> str:
    """The address to connect to. Forbidden if any of them is not public: a name that leads
    inside as well as outside is no accident."""
    if not addresses:
        raise Forbidden(f"{host} has no address")
    for address in addresses:
        parsed = ipaddress.ip_address(address.partition("%")[0])
        if loopback and parsed.is_loopback:
            continue
        if not _public(parsed):
            raise Forbidden(f"{host} leads to {address}, which is not a public address")
    return addresses[0]


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None or (inner is not None and not _public(inner)):
            return False
        if inner is not None:
            return True
    return address.is_global and not address.is_multicast
