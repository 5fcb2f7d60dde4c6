"""Lets those who are about to look at the same thing and write it do so one after the other, within this process.

Stripe tells of one change by several events at the same moment. Whoever reads a version, asks Stripe and writes would
only be in each other's way, and ask Stripe again for nothing. Writers in other processes are met by the version.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class _Line:
    """Those who wait for one name."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.arrived = 0
        self.seen_to: dict[str | None, int] = {}
        """For each part, the last of those who need not see to it themselves any more."""


class HeldLock:
    """One's turn: what was looked at by those who came before, and what those who wait need not look at again."""

    def __init__(self, line: _Line, number: int) -> None:
        self._line = line
        self._number = number
        self._last_before_it = line.arrived

    def covered(self, part: str | None) -> bool:
        """Whether somebody looked at it whose turn began after this one's owner had come."""
        return self._line.seen_to.get(part, 0) >= self._number

    def mark_covered(self, parts: Iterable[str | None]) -> None:
        """Say that these parts were looked at in this turn: all who had come before it began need not do so again."""
        self._line.seen_to.update(dict.fromkeys(parts, self._last_before_it))


class KeyedLock:
    """Gives turns by name, in the order in which they were asked for. Bound to the event loop that it is used in."""

    def __init__(self) -> None:
        """Let everybody pass at first."""
        self._lines: WeakValueDictionary[str, _Line] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[HeldLock]:
        """Hold the turn of a name while the context lasts; a name that nobody holds or waits for is forgotten."""
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = _Line()
        line.arrived += 1
        number = line.arrived
        async with line.lock:
            yield HeldLock(line, number)
