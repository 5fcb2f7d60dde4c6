"""Checks after every batch of inputs: records, readiness, logs and memory."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
import grpc
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc

from devstack import json_http

from .fuzzed_system import Accounted, FuzzedSystem
from .targets import CALL_SECONDS

MAX_GROWTH_MIB: Final = 48.0
"""Allowed growth of a warm process. A leak of 1 KiB for each input exceeds it after 50 000 inputs."""

_READY_SECONDS: Final = 30.0
_SHOWN: Final = 3
_SHARD_COUNT_KEY: Final = "holdfast:attempt-shards"
_RECORDS_QUERY: Final = """
    SELECT 'payments', intent_id FROM payments
    UNION SELECT 'orders', checkout_attempt_id FROM orders
    UNION SELECT 'outbox', aggregate_id FROM outbox
        WHERE aggregate_id NOT IN (SELECT intent_id FROM payments UNION SELECT id::text FROM orders)
"""

Records = Mapping[str, Collection[str]]
"""Keys of stored records, by kind. The kind `outbox` holds only events that belong to no payment and no order."""


class Checks:
    """Compares the system with its state at the last call."""

    def __init__(self, system: FuzzedSystem) -> None:
        self._system = system
        self._records = read_records(system)
        self._log_positions = {name: path.stat().st_size for name, path in system.logs.items()}
        self._warm_mib: Mapping[str, float] = {}

    def findings(self) -> list[str]:
        """Return everything that is wrong and was not reported before."""
        before, self._records = self._records, read_records(self._system)
        return [
            *self._not_ready(),
            *record_findings(before, self._records, self._system.accounted),
            *self._alarming_log_lines(),
        ]

    def mark_warm(self) -> None:
        """Measure growth from now on."""
        self._warm_mib = _resident_mib(self._system.pids)

    def memory(self) -> dict[str, tuple[float, float]]:
        """Return each process's MiB when it was warm, and now."""
        now = _resident_mib(self._system.pids)
        return {name: (warm, now[name]) for name, warm in self._warm_mib.items()}

    def _not_ready(self) -> list[str]:
        deadline = time.monotonic() + _READY_SECONDS
        while waiting := list(_unready(self._system)):
            if time.monotonic() > deadline:
                return [f"{name} is not ready" for name in waiting]
            time.sleep(0.1)
        return []

    def _alarming_log_lines(self) -> list[str]:
        found = [
            f"{name} logged {line[:1000]}"
            for name in self._system.logs
            for line in self._new_lines(name)
            if is_alarming(line)
        ]
        more = [f"{len(found) - _SHOWN} more such lines"] if len(found) > _SHOWN else []
        return found[:_SHOWN] + more

    def _new_lines(self, name: str) -> list[str]:
        with self._system.logs[name].open("rb") as log:
            log.seek(self._log_positions[name])
            complete, newline, _ = log.read().rpartition(b"\n")
        self._log_positions[name] += len(complete + newline)
        return complete.decode(errors="replace").splitlines()


def read_records(system: FuzzedSystem) -> Records:
    """Read the keys of all records in PostgreSQL and Redis."""
    found: dict[str, set[str]] = defaultdict(set)
    for kind, key in asyncio.run(_rows(system.stack.facts.postgres)):
        found[kind].add(key)
    with redis.Redis.from_url(system.stack.facts.redis) as client:
        for raw in client.scan_iter(count=1000):
            key = raw.decode(errors="replace")
            kind = next((kind for kind in ("attempt:", "closed:", "due") if f"}}:{kind}" in key), "")
            if kind in {"attempt:", "closed:"}:
                found[kind].add(key.rpartition(":")[2])
            elif not kind and key != _SHARD_COUNT_KEY:
                found["unknown key"].add(key)
    return found


def record_findings(before: Records, now: Records, accounted: Accounted) -> list[str]:
    """Return the records that no response announced, and the announced payments that are missing."""
    announced: Records = {
        "payments": accounted.payments | accounted.possible_payments,
        "orders": accounted.attempts,
        "attempt:": accounted.attempts,
        "closed:": accounted.tombstones | accounted.attempts,
    }
    unannounced = {kind: set(now[kind]) - set(before.get(kind, ())) - set(announced.get(kind, ())) for kind in now}
    missing = accounted.payments - set(now.get("payments", ()))
    return [
        *(
            f"{len(keys)} unannounced {kind}, such as {sorted(keys)[:_SHOWN]}"
            for kind, keys in unannounced.items()
            if keys
        ),
        *([f"{len(missing)} announced payments are missing, such as {sorted(missing)[:_SHOWN]}"] if missing else []),
    ]


def is_alarming(line: str) -> bool:
    """Return True for a log line with an exception, or in another format than the services'."""
    try:
        entry = json.loads(line)
    except ValueError:
        return True
    return not isinstance(entry, dict) or "exception" in entry


async def _rows(url: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(_RECORDS_QUERY)
    finally:
        await connection.close()


def _resident_mib(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the resident memory by process; empty on systems without /proc."""
    files = {name: Path(f"/proc/{pid}/status") for name, pid in pids.items()}
    statuses = {name: file.read_text() for name, file in files.items() if file.exists()}
    return {name: int(status.partition("VmRSS:")[2].split()[0]) / 1024 for name, status in statuses.items()}


def _unready(system: FuzzedSystem) -> Iterator[str]:
    for name, channel in (("checkout-session", system.session_channel), ("orders", system.orders_channel)):
        if not _serves(channel):
            yield name
    try:
        ready = json_http.send("GET", f"http://{system.gateway}/readyz", seconds=CALL_SECONDS).status == 200
    except OSError:
        ready = False
    if not ready:
        yield "gateway"


def _serves(channel: grpc.Channel) -> bool:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    try:
        response = stub.Check(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS)
    except grpc.RpcError:
        return False
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
