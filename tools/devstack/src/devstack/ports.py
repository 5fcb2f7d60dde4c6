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
_used: set[int] = set()
_lock = threading.Lock()


class NoFreePort(RuntimeError):
    """All ports that were tried are in use."""


def free_port() -> int:
    """Return a free loopback port that this process was not given before.

    It lies below the kernel's range for outgoing connections. In that range a client could take the port of a
    restarting server, and a retrying client could connect to itself. Parallel test workers use disjoint ports, since a
    port is free for a moment while its server restarts.
    """
    ceiling = _ephemeral_start()
    if ceiling - _LOWEST < _ATTEMPTS:
        return _any_port()
    worker, workers = _pytest_worker()
    with _lock:
        for _ in range(_ATTEMPTS):
            port = random.randrange(_LOWEST + worker, ceiling, workers)  # noqa: S311 - only to differ from other checkouts
            if port not in _used and is_free(port):
                _used.add(port)
                return port
    raise NoFreePort(f"none of {_ATTEMPTS} ports between {_LOWEST} and {ceiling} is free")


def _pytest_worker() -> tuple[int, int]:
    """Return the number of this pytest worker, and of all workers. Child processes inherit both."""
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
    """Return true if a loopback port is free now."""
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
