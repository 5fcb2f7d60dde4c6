"""Buffer whose items are written in batches, beside the requests that add them.

What waits in it is lost if the process is killed, so only work belongs here that a reconciler does as well.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Generic, TypeVar

from servicekit.cancellation import cancel_until_ended

T = TypeVar("T")

MAX_BATCH: Final = 1000
"""Items that wait at most, and that one batch has at most."""
_FULL: Final = 100
"""Items that are written at once."""


class WriteBehind(ABC, Generic[T]):
    """Buffer of at most MAX_BATCH items. `flush_seconds` is the longest time that one waits in it."""

    def __init__(self, *, flush_seconds: float) -> None:
        self._flush_seconds = flush_seconds
        self._buffer: list[T] = []
        self._full = asyncio.Event()

    @abstractmethod
    async def _write(self, batch: Sequence[T]) -> None:
        """Write a batch. Must not raise: it would end the writing of all later ones."""

    def offer(self, item: T) -> bool:
        """Take an item for the next batch; return False if there is no room."""
        if len(self._buffer) >= MAX_BATCH:
            return False
        self._buffer.append(item)
        if len(self._buffer) >= _FULL:
            self._full.set()
        return True

    @asynccontextmanager
    async def flush_in_background(self) -> AsyncIterator[None]:
        """Write batches while the context lasts, and the last one when it is left."""
        flushing = asyncio.create_task(self._flush_forever())
        try:
            yield
        finally:
            await cancel_until_ended(flushing, every_seconds=0.2, within_seconds=2.0)
            await self.flush()

    async def flush(self) -> None:
        """Write what was added so far."""
        batch, self._buffer = self._buffer, []
        self._full.clear()
        if batch:
            await self._write(batch)

    async def _flush_forever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._flush_seconds):
                    await self._full.wait()
            await self.flush()
