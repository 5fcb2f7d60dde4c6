"""Per-key lock that coalesces duplicate refreshes within one process.

Stripe reports one change by several events at the same moment. Without the lock each handler would read a version,
fetch the object and write, and all but one would lose. Writers in other processes are met by the version.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class _Entry:
    """State of one key while it is held or waited for."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.arrivals = 0
        self.covered: dict[str | None, int] = {}
        """By part: the number of the last arrival whose work is done."""


class HeldLock:
    """A lock that is held. Its holder may do the work of the arrivals that wait."""

    def __init__(self, entry: _Entry, number: int) -> None:
        self._entry = entry
        self._number = number
        self._last_arrival = entry.arrivals

    def covered(self, part: str | None) -> bool:
        """Return True if an earlier holder refreshed this part after this holder had arrived."""
        return self._entry.covered.get(part, 0) >= self._number

    def mark_covered(self, parts: Iterable[str | None]) -> None:
        """Record a refresh of these parts: it covers all arrivals from before this holder got the lock."""
        self._entry.covered.update(dict.fromkeys(parts, self._last_arrival))


class KeyedLock:
    """Locks by key, granted in the order of arrival. Bound to one event loop."""

    def __init__(self) -> None:
        self._entries: WeakValueDictionary[str, _Entry] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[HeldLock]:
        """Hold the lock of a key while the context lasts. A key without holder and waiters takes no memory."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry()
        entry.arrivals += 1
        number = entry.arrivals
        async with entry.lock:
            yield HeldLock(entry, number)
