"""Free ports on loopback."""

import random
import socket
from contextlib import suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 20_000
_USUAL_EPHEMERAL_START = 32_768
_ATTEMPTS = 200


class NoFreePort(RuntimeError):
    """Every port that was tried is taken."""


def free_port() -> int:
    """Return a loopback port that nobody listens on at this moment.

    It lies below the range from which the kernel takes ports for outgoing connections. In that range, a server that
    restarts can find its port taken by a client, and a client that retries can end up connected to itself.
    """
    ceiling = _ephemeral_start()
    if ceiling - _LOWEST < _ATTEMPTS:
        return _any_port()
    for _ in range(_ATTEMPTS):
        port = random.randrange(_LOWEST, ceiling)  # noqa: S311 - two checkouts must differ, nobody must be surprised
        if is_free(port):
            return port
    raise NoFreePort(f"none of {_ATTEMPTS} ports between {_LOWEST} and {ceiling} is free")


def _ephemeral_start() -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(_EPHEMERAL_RANGE.read_text().split()[0])
    return _USUAL_EPHEMERAL_START


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether nobody listens on a loopback port at this moment."""
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
