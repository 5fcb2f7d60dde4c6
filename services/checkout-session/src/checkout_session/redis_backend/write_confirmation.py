"""Confirmation of a script: WAIT or WAITAOF is pipelined after it and must succeed before its result is trusted."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from checkout_session.domain.durability import DurabilityPolicy
from checkout_session.redis_backend.scripts import Command

_FIRST_WAIT_MS: Final = 50
_READERS_SHARE: Final = 4
"""Divisor of the connections that are reserved for reads: one in four."""


class NotOnDisk(RedisError):
    """A change took effect but is not on as many disks as required. It may get there later."""

    def __init__(self, local: int, replicas: int) -> None:
        super().__init__(f"on the primary's disk: {'yes' if local else 'no'}; on replicas' disks: {replicas}")


class PoolExhausted(RedisError):
    """No connection became free in time: as many changes as allowed wait for the disk."""


class AnsweredByReplica(ReadOnlyError):
    """A replica answered a read: its data may be old."""


@dataclass(frozen=True, slots=True)
class RequirePrimary:
    """Confirmation of a read: a primary answered it.

    `WAIT 0 0` waits for nothing, needs no special rights, and every replica refuses it.
    """

    commands: tuple[Command, ...] = (("WAIT", 0, 0),)

    def check(self, reply: Any) -> None:
        """Raise AnsweredByReplica unless a primary answered."""
        if isinstance(reply, ResponseError) and "replica" in str(reply):
            raise AnsweredByReplica(str(reply))
        if isinstance(reply, Exception):
            raise reply


@dataclass(frozen=True, slots=True)
class WaitForDisk:
    """Confirmation of a change: everything that its connection wrote is on the required disks."""

    replicas: int
    timeout_seconds: float

    @property
    def commands(self) -> tuple[Command, ...]:
        """Return the commands to send; the last reply counts.

        Replicas report their disks when a wait begins, and otherwise once a second. So with replicas the wait is
        repeated. A wait that is already satisfied returns at once.
        """
        timeouts = _doubling(self._timeout_ms) if self.replicas else [self._timeout_ms]
        return tuple(("WAITAOF", 1, self.replicas, timeout) for timeout in timeouts)

    @property
    def _timeout_ms(self) -> int:
        return max(1, int(self.timeout_seconds * 1000))  # zero would wait for ever

    def check(self, reply: Any) -> None:
        """Raise NotOnDisk unless the disks were reached."""
        if isinstance(reply, Exception):
            raise reply
        local, replicas = reply
        if local < 1 or replicas < self.replicas:
            raise NotOnDisk(local, replicas)


def _doubling(total: int) -> list[int]:
    """Divide a time into parts of which each is twice as long as the one before."""
    parts: list[int] = []
    part = _FIRST_WAIT_MS
    while sum(parts) + part < total:
        parts.append(part)
        part *= 2
    return [*parts, total - sum(parts)]


Confirmation = RequirePrimary | WaitForDisk


class Confirmations:
    """Confirmations of a durability policy. Bounds the number of changes that wait for a server's disk."""

    def __init__(self, policy: DurabilityPolicy, *, timeout_seconds: float = 1.0, max_connections: int = 64) -> None:
        self._of_changes = WaitForDisk(policy.replicas, timeout_seconds) if policy.waits_for_disk else None
        self._timeout_seconds = timeout_seconds
        slots = max(1, max_connections - max(1, max_connections // _READERS_SHARE))
        self._write_slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(slots))

    @asynccontextmanager
    async def acquire_slot(self, *, writes: bool, server: str = "") -> AsyncIterator[Confirmation | None]:
        """Yield the confirmation of a script on a server. Raises PoolExhausted.

        Changes that wait for the disk hold a write slot. Without that bound a slow disk would occupy every connection,
        and reads and readiness would fail without naming the cause.
        """
        if not writes:
            yield RequirePrimary()
        elif self._of_changes is None:
            yield None  # a replica refuses every change by itself
        else:
            async with self._slot(self._write_slots[server]):
                yield self._of_changes

    @asynccontextmanager
    async def _slot(self, slots: asyncio.Semaphore) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await slots.acquire()
        except TimeoutError as late:
            raise PoolExhausted from late
        try:
            yield
        finally:
            slots.release()
