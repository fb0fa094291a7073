"""A brand's endpoint must be out in the world: what it names may be chosen by others, and must
not lead into the service's own network."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence

Resolve = Callable[[str, int], Sequence[str]]

_GLOBAL4, _GLOBAL6 = ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("2000::/3")
"""Addresses of the world. Of IPv6 only what is given out as global: what maps, translates or
tunnels another address lies outside, or is named below."""
_SPECIAL = tuple(
    ipaddress.ip_network(one)
    for one in (
        # IANA's registries of special-purpose addresses, RFC 6890 and its updates
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24",
        "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
        # a cloud's own services at an address of the world
        "168.63.129.16/32",
    )
)  # fmt: skip


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
            named = "" if host == address else f"{host} leads to {address}, which "
            raise Forbidden(f"{named or f'{address} '}is not a public address")
    return addresses[0]


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    allowed = _GLOBAL4 if address.version == 4 else _GLOBAL6
    return address in allowed and not any(address in special for special in _SPECIAL)
