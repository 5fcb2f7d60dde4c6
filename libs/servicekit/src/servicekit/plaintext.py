"""Rule for plaintext connections: they stay on this machine unless the operator allows more (ADR 13)."""

import ipaddress

from servicekit.urls import split_url


def is_remote_address(address: str) -> bool:
    """Return True if a connection to an address (host:port, a URL, or a gRPC target) leaves this machine.

    A listening server counts by its interface. Every name except `localhost` counts as remote.
    """
    parts = split_url(address if "://" in address else f"//{address}")
    if parts.scheme == "unix":
        return False
    # gRPC's dns:///host:port has no authority; a URL may name several hosts, separated by commas.
    hosts = parts.netloc.rpartition("@")[2] or parts.path.lstrip("/")
    return any(not _is_loopback(_host(host)) for host in hosts.split(","))


def _host(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.rpartition(":")[0] or address


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
