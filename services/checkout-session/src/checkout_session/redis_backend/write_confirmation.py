"""What follows a script on its own connection, and must be answered well before the script's answer counts."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from checkout_session.domain.durability import Durability
from checkout_session.redis_backend.scripts import Command

_FIRST_WAIT_MS: Final = 50
_SPARE_FOR_READERS: Final = 4
"""Of so many connections, one is kept from changes that wait for the disk."""


class NotOnDisk(RedisError):
    """A change was carried out, and is not on as many disks as were asked for. It may get there later."""

    def __init__(self, local: int, replicas: int) -> None:
        super().__init__(f"on the master's disk: {'yes' if local else 'no'}; on replicas' disks: {replicas}")


class EveryConnectionWaits(RedisError):
    """No connection came free in time: as many changes as there may be at once wait for the disk."""


class AnsweredByReplica(ReadOnlyError):
    """A read was answered by a server that is no master (any more): what it knows may be old."""


@dataclass(frozen=True, slots=True)
class ReadFromMaster:
    """Asks, after a read, whether a master answered it.

    `WAIT 0 0` waits for nothing, needs no rights that a client lacks, and is refused by every replica.
    """

    commands: tuple[Command, ...] = (("WAIT", 0, 0),)

    def require(self, answer: Any) -> None:
        """Raise AnsweredByReplica unless a master answered."""
        if isinstance(answer, ResponseError) and "replica" in str(answer):
            raise AnsweredByReplica(str(answer))
        if isinstance(answer, Exception):
            raise answer


@dataclass(frozen=True, slots=True)
class ChangeOnDisk:
    """Waits, after a change, until everything that its connection wrote is on the disks that were asked for."""

    replicas: int
    within_seconds: float

    @property
    def commands(self) -> tuple[Command, ...]:
        """Return what to send; the last answer counts.

        Replicas tell how far their disks are when a wait begins, and else once a second: so with replicas the wait is
        begun again and again. A wait that has nothing left to wait for is answered at once.
        """
        limits = _doubling(self._limit_ms) if self.replicas else [self._limit_ms]
        return tuple(("WAITAOF", 1, self.replicas, limit) for limit in limits)

    @property
    def _limit_ms(self) -> int:
        return max(1, int(self.within_seconds * 1000))  # zero would wait for ever

    def require(self, answer: Any) -> None:
        """Raise NotOnDisk unless the disks were reached."""
        if isinstance(answer, Exception):
            raise answer
        local, replicas = answer
        if local < 1 or replicas < self.replicas:
            raise NotOnDisk(local, replicas)


def _doubling(total: int) -> list[int]:
    """Divide a time into longer and longer parts."""
    parts: list[int] = []
    part = _FIRST_WAIT_MS
    while sum(parts) + part < total:
        parts.append(part)
        part *= 2
    return [*parts, total - sum(parts)]


Confirmation = ReadFromMaster | ChangeOnDisk


class Confirmations:
    """Says what must confirm a script's answer, and bounds how many changes wait for a server's disk at once."""

    def __init__(self, durability: Durability, *, within_seconds: float = 1.0, connections: int = 64) -> None:
        """Wait for the disk for so long, on all connections to a server but those that are kept for readers."""
        self._change = ChangeOnDisk(durability.replicas, within_seconds) if durability.waits_for_disk else None
        self._within_seconds = within_seconds
        seats = max(1, connections - max(1, connections // _SPARE_FOR_READERS))
        self._seats: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(seats))

    @asynccontextmanager
    async def of(self, *, changes: bool, server: str = "") -> AsyncIterator[Confirmation | None]:
        """Give the confirmation of a script that changes something on a server, or of one that reads.

        Raises EveryConnectionWaits. Without the bound, a slow disk would hold every connection, and reads and
        readiness would fail with it and tell nothing of the reason.
        """
        if not changes:
            yield ReadFromMaster()
            return
        if self._change is None:
            yield None  # a replica refuses every change by itself
            return
        async with self._seat(self._seats[server]):
            yield self._change

    @asynccontextmanager
    async def _seat(self, seats: asyncio.Semaphore) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._within_seconds):
                await seats.acquire()
        except TimeoutError as late:
            raise EveryConnectionWaits from late
        try:
            yield
        finally:
            seats.release()
