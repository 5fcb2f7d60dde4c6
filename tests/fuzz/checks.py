"""Checks after every batch of inputs: records, logs and memory."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from devstack.stack import ORDERS_DATABASE

from .fuzzed_system import Announced, FuzzedSystem

MAX_GROWTH_MIB: Final = 48.0
"""Allowed growth of a warm process. A leak of 1 KiB for each input exceeds it after 50 000 inputs."""

_SHOWN: Final = 3
_SHARD_COUNT_KEY: Final = "holdfast:attempt-shards"
# In hexadecimal, because psql leaves out some characters, such as U+10FFFF.
_RECORDS_QUERY: Final = """
    SELECT coalesce(json_agg(json_build_array(kind, encode(convert_to(coalesce(key, ''), 'UTF8'), 'hex'))), '[]') FROM (
        SELECT 'payments', intent_id FROM payments
        UNION SELECT 'orders', checkout_attempt_id FROM orders
        UNION SELECT 'outbox', aggregate_id FROM outbox
            WHERE aggregate_id NOT IN (
                SELECT intent_id FROM payments UNION SELECT id::text FROM orders
                UNION SELECT id::text FROM subscriptions
                UNION SELECT intent_id FROM refunds UNION SELECT intent_id FROM disputes
            )
    ) AS records(kind, key)
"""

Records = Mapping[str, set[str]]
"""Keys of stored records, by kind. The kind `outbox` holds only events that belong to no other record."""


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
        announced, decided = self._system.announced, self._system.decided_payments
        return [*record_findings(before, self._records, announced, decided), *self._alarming_log_lines()]

    def mark_warm(self) -> None:
        """Measure growth from now on."""
        self._warm_mib = _resident_mib(self._system.pids)

    def memory(self) -> dict[str, tuple[float, float]]:
        """Return each process's MiB when it was warm, and now."""
        now = _resident_mib(self._system.pids)
        return {name: (warm, now[name]) for name, warm in self._warm_mib.items()}

    def _alarming_log_lines(self) -> list[str]:
        lines = [(name, line) for name in self._system.logs for line in self._new_lines(name)]
        return [f"{name} logged {line[:1000]}" for name, line in lines if is_alarming(line)][:_SHOWN]

    def _new_lines(self, name: str) -> list[str]:
        with self._system.logs[name].open("rb") as log:
            log.seek(self._log_positions[name])
            complete, newline, _ = log.read().rpartition(b"\n")
        self._log_positions[name] += len(complete + newline)
        return complete.decode(errors="replace").splitlines()


def read_records(system: FuzzedSystem) -> Records:
    """Read the keys of all records in PostgreSQL and Redis."""
    found: dict[str, set[str]] = defaultdict(set)
    for kind, key in json.loads(system.stack.postgres.run_sql(_RECORDS_QUERY, ORDERS_DATABASE)):
        found[kind].add(bytes.fromhex(key).decode())
    for key in system.stack.valkey.execute("KEYS", "*"):
        _, _, name = key.partition("}:")
        kind, _, attempt_id = name.partition(":")
        if kind == "closed" and system.stack.valkey.execute("HGET", key, "delete_reason") == "cancelled":
            continue  # a checkout that was given up, because its chain is too long or paid: no response names it
        if kind in {"attempt", "closed"}:
            found[kind].add(attempt_id)
        elif key != _SHARD_COUNT_KEY and kind not in {"due", "intents"}:
            found["unknown key"].add(key)
    return found


def record_findings(before: Records, now: Records, announced: Announced, decided: set[str]) -> list[str]:
    """Return the records that no response announced, and the decided payments that are missing."""
    found = {f"unannounced {kind}": keys - before.get(kind, set()) - announced[kind] for kind, keys in now.items()}
    found["missing payments"] = decided - now.get("payments", set())
    return [f"{len(keys)} {kind}, such as {sorted(keys)[:_SHOWN]}" for kind, keys in found.items() if keys]


def is_alarming(line: str) -> bool:
    """Return True for a log line with an exception, or in another format than the services'."""
    try:
        entry = json.loads(line)
    except ValueError:
        return True
    return not isinstance(entry, dict) or "exception" in entry


def _resident_mib(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the resident memory by process; empty on systems without /proc."""
    files = {name: Path(f"/proc/{pid}/status") for name, pid in pids.items()}
    statuses = {name: file.read_text() for name, file in files.items() if file.exists()}
    return {name: int(status.partition("VmRSS:")[2].split()[0]) / 1024 for name, status in statuses.items()}
