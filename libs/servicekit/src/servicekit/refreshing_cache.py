"""Cache of one value that a background task refreshes: one load at a time, a pause between loads, a maximum age."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Generic, TypeVar

from servicekit.cancellation import cancel_until_ended

_log = logging.getLogger(__name__)

T = TypeVar("T")

_MAX_WAITERS: Final = 1000
"""Callers that may wait for a load at the same time, so that a flood of them takes bounded memory."""


class _Load:
    """One run of the load function."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.error: BaseException | None = None


class RefreshingCache(Generic[T]):
    """Holds what `load` returned last.

    The background task loads every `refresh_seconds`, or every `retry_seconds` while there is no current value, and at
    once when a caller asks; never sooner than `pause_seconds` after the previous load. A failed load leaves the value
    as it is. `expected` is the error that is logged without a traceback; `monotonic` is a clock in seconds. Bound to
    one event loop.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], Awaitable[T]],
        *,
        refresh_seconds: float,
        max_age_seconds: float,
        pause_seconds: float,
        retry_seconds: float,
        expected: type[Exception],
        monotonic: Callable[[], float],
    ) -> None:
        self._name = name
        self._load = load
        self._refresh_seconds = refresh_seconds
        self._max_age_seconds = max_age_seconds
        self._pause_seconds = pause_seconds
        self._retry_seconds = retry_seconds
        self._expected = expected
        self._monotonic = monotonic
        self._value: T | None = None
        self._loaded_at = self._ended_at = float("-inf")
        self._error: BaseException | None = None
        self._next = _Load()
        self._requested = asyncio.Event()
        self._waiters = 0

    @property
    def ever_loaded(self) -> bool:
        """True once a load has succeeded."""
        return self._value is not None

    @property
    def error(self) -> BaseException | None:
        """The error of the last load; None if it succeeded."""
        return self._error

    def current(self) -> T | None:
        """Return the value; None if it was never loaded or is too old. Its age counts from the start of its load."""
        return self._value if self._monotonic() - self._loaded_at <= self._max_age_seconds else None

    def amend(self, value: T) -> None:
        """Hold a value that was made of the held one, until the next load. Its age stays."""
        self._value = value

    async def refresh(self) -> bool:
        """Wait for a load that starts after this call. Return False if it failed, or if too many callers wait."""
        self._requested.set()
        return await self._wait_for(self._next)

    @asynccontextmanager
    async def refresh_in_background(self) -> AsyncIterator[None]:
        """Load now, and keep refreshing while the context lasts. Callers of `refresh` depend on it."""
        loading = asyncio.create_task(self._load_forever())
        try:
            yield
        finally:
            await cancel_until_ended(loading, every_seconds=0.2, within_seconds=2.0)

    async def _wait_for(self, load: _Load) -> bool:
        if self._waiters >= _MAX_WAITERS:
            return False
        self._waiters += 1
        try:
            await load.ended.wait()
        finally:
            self._waiters -= 1
        return load.error is None

    async def _load_forever(self) -> None:
        while True:
            await self._load_once()
            await asyncio.sleep(self._pause_seconds)
            # A source that fails is not asked more often while the value that is held will do.
            idle_seconds = self._retry_seconds if self.current() is None else self._refresh_seconds
            with suppress(TimeoutError):
                async with asyncio.timeout(idle_seconds - self._pause_seconds):
                    await self._requested.wait()

    async def _load_once(self) -> None:
        running = self._next
        self._next = _Load()
        self._requested.clear()
        started = self._monotonic()
        try:
            self._value = await self._load()
            self._loaded_at = started
        except BaseException as error:
            running.error = error
            if not isinstance(error, Exception):
                raise
            self._log_failure(error)
        finally:
            self._error = running.error
            self._ended_at = self._monotonic()
            running.ended.set()

    def _log_failure(self, error: Exception) -> None:
        unexpected = None if isinstance(error, self._expected) else error
        _log.warning("refresh failed", extra={"cache": self._name, "error": type(error).__name__}, exc_info=unexpected)
