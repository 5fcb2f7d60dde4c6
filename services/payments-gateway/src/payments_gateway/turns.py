"""Lets those who are about to change the same thing do so one after the other, within this process.

Stripe tells of one change by several events at the same moment. Whoever reads a version, asks Stripe and writes would
only be in each other's way, and ask Stripe again for nothing. Writers in other processes are met by the version.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
    """Gives turns by name, in the order in which they were asked for. Bound to the event loop that it is used in."""

    def __init__(self) -> None:
        """Let everybody pass at first."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Hold the turn of a name while the context lasts; a name that nobody holds or waits for is forgotten."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        async with lock:
            yield
