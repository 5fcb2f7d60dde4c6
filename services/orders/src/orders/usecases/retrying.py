"""Tries a unit of work again while the database is away, and gives up in time to say so."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from orders.usecases.unit_of_work import DatabaseUnavailable

_FIRST_PAUSE_SECONDS = 0.05
_ANSWER_SECONDS = 0.5
"""Kept back of a caller's time: an answer takes a while to arrive, the more so while much goes wrong at once."""

T = TypeVar("T")


class Patience:
    """Runs units of work, each of which may be run again as a whole because the database decides what it finds.

    `jitter()` gives a number from 0 to 1, so that calls that got in each other's way do not meet again.
    """

    def __init__(self, *, budget_seconds: float, tries: int, jitter: Callable[[], float]) -> None:
        self._budget_seconds = budget_seconds
        self._tries = tries
        self._jitter = jitter
        self._given_up: set[asyncio.Task[Any]] = set()

    async def persist(self, work: Callable[[], Coroutine[Any, Any, T]], remaining_seconds: float | None) -> T:
        """Return what the work returns. Raises DatabaseUnavailable when the tries or the time are used up.

        `remaining_seconds` is what is left until the caller's deadline; None means that it set none.
        """
        task = asyncio.create_task(self._try_again(work))
        try:
            done, _ = await asyncio.wait({task}, timeout=self._budget(remaining_seconds))
        finally:
            if not task.done():
                self._give_up(task)
        if not done:
            raise DatabaseUnavailable
        return task.result()

    async def settle(self) -> None:
        """Wait until the work that was given up has let go of its connections."""
        await asyncio.gather(*self._given_up, return_exceptions=True)

    async def _try_again(self, work: Callable[[], Awaitable[T]]) -> T:
        pause = _FIRST_PAUSE_SECONDS
        for _ in range(self._tries - 1):
            try:
                return await work()
            except DatabaseUnavailable:
                await asyncio.sleep(pause * (0.5 + self._jitter()))
                pause *= 2
        return await work()

    def _budget(self, remaining_seconds: float | None) -> float:
        if remaining_seconds is None:
            return self._budget_seconds
        return min(self._budget_seconds, remaining_seconds - min(_ANSWER_SECONDS, remaining_seconds / 2))

    def _give_up(self, task: asyncio.Task[Any]) -> None:
        # Nobody waits for it: a connection to a server that does not answer takes seconds to close.
        self._given_up.add(task)
        task.add_done_callback(self._given_up.discard)
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        task.cancel()
