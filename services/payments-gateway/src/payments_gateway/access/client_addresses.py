"""The client address that a request is counted for; only trusted proxies may name another than the peer (ADR 12)."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Network = IPv4Network | IPv6Network

_MAX_HOPS: Final = 32
_IPV6_SITE_BITS: Final = 64
UNKNOWN: Final = "unknown"
"""Shared by all clients without an address."""


class ClientAddresses:
    """Finds the client behind `trusted_proxies`. Only X-Forwarded-For is read, never Forwarded."""

    def __init__(self, trusted_proxies: Sequence[Network]) -> None:
        self._trusted = tuple(trusted_proxies)

    def client_of(self, peer: str | None, forwarded_for: Iterable[str]) -> str:
        """Return the client, given the connection's peer and the X-Forwarded-For lines in their order.

        Each proxy appends the address that called it, so the list is read from its end, past trusted proxies only.
        Entries further left may be forged. A malformed entry ends the reading.
        """
        nearest = _address(peer or "")
        if nearest is None:
            return UNKNOWN
        for entry in reversed(",".join(forwarded_for).rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]):
            if not self._is_trusted(nearest) or (before := _address(entry)) is None:
                break
            nearest = before
        return _rate_limit_key(nearest)

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _address(entry: str) -> IPv4Address | IPv6Address | None:
    """Read an address with or without a port; an IPv4-mapped IPv6 address is read as IPv4."""
    try:
        address = ip_address(_without_port(entry.strip(" \t")))
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _without_port(entry: str) -> str:
    """Return the host of `192.0.2.1:80`, `[2001:db8::1]:80` or `[2001:db8::1]`; anything else unchanged."""
    if entry.startswith("["):
        host, closed, port = entry[1:].partition("]")
        return host if closed and (port == "" or (port[0] == ":" and port[1:].isdecimal())) else ""
    host, colon, port = entry.partition(":")
    return host if colon and port.isdecimal() else entry


def _rate_limit_key(address: IPv4Address | IPv6Address) -> str:
    """Return an IPv4 address, or the /64 of an IPv6 address: one client commands all of its /64."""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), _IPV6_SITE_BITS), strict=False))
