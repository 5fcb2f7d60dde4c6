"""Where plaintext may go: within this machine, where nobody else listens. Beyond it, only if somebody says so."""

import ipaddress
from urllib.parse import urlsplit


def is_remote_address(address: str) -> bool:
    """Whether a connection to an address (host:port, a URL, or what gRPC calls a target) leads beyond this machine.

    A server that listens there counts by its interface. A name is taken to lead elsewhere, except `localhost`.
    """
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.scheme == "unix":
        return False
    # gRPC's dns:///host:port has no authority; several hosts of one URL are told apart by commas.
    places = parts.netloc.rpartition("@")[2] or parts.path.lstrip("/")
    return any(not _is_loopback(_host(place)) for place in places.split(","))


def _host(place: str) -> str:
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return place.rpartition(":")[0] or place


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
