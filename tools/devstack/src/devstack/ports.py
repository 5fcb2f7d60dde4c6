"""Free ports on loopback."""

import os
import random
import socket
import threading
from contextlib import suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 20_000
_USUAL_EPHEMERAL_START = 32_768
_ATTEMPTS = 200
_given: set[int] = set()
_giving = threading.Lock()


class NoFreePort(RuntimeError):
    """Every port that was tried is taken."""


def free_port() -> int:
    """Return a loopback port that nobody listens on at this moment, and that this process was not given before.

    It lies below the range from which the kernel takes ports for outgoing connections. In that range, a server that
    restarts can find its port taken by a client, and a client that retries can end up connected to itself. Of tests
    that run side by side each worker takes ports of its own: a port is free for a moment while a server restarts.
    """
    ceiling = _ephemeral_start()
    if ceiling - _LOWEST < _ATTEMPTS:
        return _any_port()
    worker, workers = _place_among_workers()
    with _giving:
        for _ in range(_ATTEMPTS):
            # At random, since two checkouts must differ.
            port = random.randrange(_LOWEST + worker, ceiling, workers)  # noqa: S311 - nobody must be surprised
            if port not in _given and is_free(port):
                _given.add(port)
                return port
    raise NoFreePort(f"none of {_ATTEMPTS} ports between {_LOWEST} and {ceiling} is free")


def _place_among_workers() -> tuple[int, int]:
    """Return which of how many workers of pytest this is; the processes that it starts inherit its place."""
    worker, workers = os.environ.get("PYTEST_XDIST_WORKER", ""), os.environ.get("PYTEST_XDIST_WORKER_COUNT", "")
    return (int(worker[2:]), int(workers)) if worker[2:].isdigit() and workers.isdigit() else (0, 1)


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
