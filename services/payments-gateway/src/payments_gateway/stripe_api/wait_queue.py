"""Requests of one priority that wait for the limiter, in order of their arrival within each operation."""

from asyncio import Future
from collections import OrderedDict
from collections.abc import Iterator
from itertools import count


class WaitQueue:
    """Queue in which any request can give up at once: nobody counts or wakes it any more."""

    def __init__(self) -> None:
        self._operations: dict[str, OrderedDict[Future[None], int]] = {}
        self._arrivals = count()

    def __bool__(self) -> bool:
        return bool(self._operations)

    def length_of(self, operation: str) -> int:
        """Return the number of requests of an operation."""
        return len(self._operations.get(operation, ()))

    def oldest(self) -> Iterator[tuple[int, str, Future[None]]]:
        """Yield the oldest request of each operation: number of its arrival, operation, request."""
        for operation, waiters in self._operations.items():
            waiter, arrival = next(iter(waiters.items()))
            yield arrival, operation, waiter

    def add(self, operation: str, waiter: Future[None]) -> None:
        """Append a request."""
        self._operations.setdefault(operation, OrderedDict())[waiter] = next(self._arrivals)

    def discard(self, operation: str, waiter: Future[None]) -> None:
        """Remove a request if it waits."""
        waiters = self._operations.get(operation)
        if waiters and waiters.pop(waiter, None) is not None and not waiters:
            del self._operations[operation]
