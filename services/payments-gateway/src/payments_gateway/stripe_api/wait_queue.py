"""Requests of one priority that wait for the limiter, in order of their arrival within each operation."""

from asyncio import Future
from collections import OrderedDict
from collections.abc import Iterator


class WaitQueue:
    """Queue in which any request can give up at once: nobody counts or wakes it any more."""

    def __init__(self) -> None:
        self._operations: dict[str, OrderedDict[int, Future[None]]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def length_of(self, operation: str) -> int:
        """Return the number of requests of an operation."""
        return len(self._operations.get(operation, ()))

    def oldest(self) -> Iterator[tuple[int, str]]:
        """Yield, of each operation that somebody waits for, the number of the oldest arrival and the name."""
        for operation, waiters in self._operations.items():
            yield next(iter(waiters)), operation

    def add(self, operation: str, arrival: int, waiter: Future[None]) -> None:
        """Append a request. Arrivals are numbered in their order."""
        self._operations.setdefault(operation, OrderedDict())[arrival] = waiter
        self._length += 1

    def discard(self, operation: str, arrival: int) -> Future[None] | None:
        """Remove a request and return its future; None if it was removed before."""
        waiters = self._operations.get(operation, OrderedDict())
        waiter = waiters.pop(arrival, None)
        if waiter is not None:
            self._length -= 1
            if not waiters:
                del self._operations[operation]
        return waiter
