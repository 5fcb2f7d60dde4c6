"""What must hold after every batch of inputs: records, readiness, logs, memory."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from .findings import CALL_SECONDS
from .records import Promised, Stored, read_stored, unaccounted
from .subject import Subject

GROWTH_MIB: Final = 48.0
"""How much a process may grow after it has warmed up. A leak of a kilobyte an input shows after fifty thousand."""

_READY_SECONDS: Final = 30.0
_SHOWN: Final = 3


class Watch:
    """Looks at the system as it is when the inputs begin, and again and again afterwards."""

    def __init__(self, subject: Subject) -> None:
        self.promised = Promised()
        self._subject = subject
        self._before: Stored = read_stored(subject)
        self._read_to = {name: path.stat().st_size for name, path in subject.logs.items()}
        self._warm: Mapping[str, float] = {}

    def objections(self) -> list[str]:
        """Say what does not hold; what was said once is not said again."""
        return [*self._not_ready(), *self._records(), *self._log_lines()]

    def warmed_up(self) -> None:
        """Measure memory from now on."""
        self._warm = resident_mib(self._subject)

    def memory(self) -> dict[str, tuple[float, float]]:
        """Return how many MiB each process held when it was warm, and how many it holds now."""
        now = resident_mib(self._subject)
        return {name: (before, now[name]) for name, before in self._warm.items()}

    def _records(self) -> list[str]:
        before, self._before = self._before, read_stored(self._subject)
        return unaccounted(before, self._before, self.promised)

    def _not_ready(self) -> list[str]:
        deadline = time.monotonic() + _READY_SECONDS
        while waiting := list(_unready(self._subject)):
            if time.monotonic() > deadline:
                return [f"{name} is not ready" for name in waiting]
            time.sleep(0.1)
        return []

    def _log_lines(self) -> list[str]:
        lines = [(name, line) for name, path in self._subject.logs.items() for line in self._bad(name, path)]
        more = [f"{len(lines) - _SHOWN} more such lines"] if len(lines) > _SHOWN else []
        return [*(f"{name} logged {line}" for name, line in lines[:_SHOWN]), *more]

    def _bad(self, name: str, path: Path) -> Iterator[str]:
        with path.open("rb") as log:
            log.seek(self._read_to[name])
            fresh = log.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read_to[name] += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            if is_alarming(line):
                yield line[:1000]


def is_alarming(line: str) -> bool:
    """Whether a log line tells of something unexpected: an exception, or a line that is not ours."""
    try:
        entry = json.loads(line)
    except ValueError:
        return True
    if not isinstance(entry, dict):
        return True
    return "exception" in entry and not _refused_by_aiohttp(entry)


def _refused_by_aiohttp(entry: Mapping[str, Any]) -> bool:
    """Whether the simulator's HTTP server logs that something was no HTTP: it has answered 400 for itself."""
    return entry["logger"] == "aiohttp.server" and "aiohttp.http_exceptions." in entry["exception"]


def resident_mib(subject: Subject) -> dict[str, float]:
    """Return the resident memory of our processes; empty where there is no /proc."""
    found = {}
    for name, pid in subject.pids.items():
        status = Path(f"/proc/{pid}/status")
        if status.exists():
            line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
            found[name] = int(line.split()[1]) / 1024
    return found


def _unready(subject: Subject) -> Iterator[str]:
    for name, channel in (("checkout-session", subject.session_channel), ("orders", subject.orders_channel)):
        if not _serves(channel):
            yield name
    for name, url in (
        ("gateway", f"http://{subject.gateway}/readyz"),
        ("spare simulator", f"http://{subject.spare_stripe.address}/_simulator/health"),
    ):
        if not _answers(url):
            yield name


def _serves(channel: grpc.Channel) -> bool:
    try:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=CALL_SECONDS) as answer:  # noqa: S310 - an address of ours
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
