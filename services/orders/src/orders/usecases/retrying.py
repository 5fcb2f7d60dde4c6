"""Retries of units of work while the database is unavailable, within the caller's deadline."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from orders.usecases.unit_of_work import DatabaseUnavailable

_FIRST_PAUSE_SECONDS: Final = 0.05
_RESPONSE_SECONDS: Final = 0.5
"""Kept back from the caller's deadline for the response to arrive in."""
_FINISH_SECONDS: Final = 1.0
"""Time for work that nobody waits for any more to finish. Cancelling it closes its connection, and a repeat of the call
would have to do it again."""

T = TypeVar("T")


class Retrier:
    """Runs units of work, and runs them again as a whole if the database becomes unavailable.

    `jitter()` returns a number from 0 to 1, so that calls that collided do not collide again.
    """

    def __init__(self, *, budget_seconds: float, tries: int, jitter: Callable[[], float]) -> None:
        self._budget_seconds = budget_seconds
        self._tries = tries
        self._jitter = jitter
        self._abandoned: set[asyncio.Task[Any]] = set()

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]], remaining_seconds: float | None = None) -> T:
        """Return the result of the work. Raises DatabaseUnavailable when the tries or the time are used up.

        `remaining_seconds` is the time until the caller's deadline; None if the caller set none.
        """
        task = asyncio.create_task(self._run_with_retries(work))
        try:
            done, _ = await asyncio.wait({task}, timeout=self._timeout(remaining_seconds))
        finally:
            if not task.done():
                self._abandon(task)
        if not done:
            raise DatabaseUnavailable
        return task.result()

    async def drain(self) -> None:
        """Wait until the abandoned work has finished, or released its connections."""
        await asyncio.gather(*self._abandoned, return_exceptions=True)

    async def _run_with_retries(self, work: Callable[[], Awaitable[T]]) -> T:
        pause = _FIRST_PAUSE_SECONDS
        for _ in range(self._tries - 1):
            try:
                return await work()
            except DatabaseUnavailable:
                await asyncio.sleep(pause * (0.5 + self._jitter()))
                pause *= 2
        return await work()

    def _timeout(self, remaining_seconds: float | None) -> float:
        if remaining_seconds is None:
            return self._budget_seconds
        return min(self._budget_seconds, remaining_seconds - min(_RESPONSE_SECONDS, remaining_seconds / 2))

    def _abandon(self, task: asyncio.Task[Any]) -> None:
        # In the background: closing a connection to a server that does not answer takes seconds.
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        asyncio.get_running_loop().call_later(_FINISH_SECONDS, task.cancel)
