"""A cache that a background task refreshes, with a load function and an age clock of the test's own."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from servicekit.refreshing_cache import RefreshingCache

PAUSE_SECONDS = 0.05


class Source:
    """A load function that counts, waits for `released`, and fails with `failure`."""

    def __init__(self) -> None:
        self.loads = 0
        self.released = asyncio.Event()
        self.released.set()
        self.failure: Exception | None = None
        self.now = 1000.0

    async def load(self) -> int:
        """Return the number of this load."""
        self.loads += 1
        number = self.loads
        await self.released.wait()
        if self.failure is not None:
            raise self.failure
        return number

    def cache(self, *, refresh_seconds: float = 3600, pause_seconds: float = PAUSE_SECONDS) -> RefreshingCache[int]:
        """Return a cache of this source."""
        return RefreshingCache(
            "numbers",
            self.load,
            refresh_seconds=refresh_seconds,
            max_age_seconds=100,
            pause_seconds=pause_seconds,
            retry_seconds=pause_seconds,
            expected=ConnectionError,
            monotonic=lambda: self.now,
        )


@asynccontextmanager
async def loaded(source: Source, *, refresh_seconds: float = 3600) -> AsyncIterator[RefreshingCache[int]]:
    """Give a cache that was loaded once, longer than a pause ago by its own clock."""
    cache = source.cache(refresh_seconds=refresh_seconds)
    async with cache.refresh_in_background():
        await until(lambda: cache.ever_loaded)
        source.now += 1
        yield cache


async def until(holds: Callable[[], bool]) -> None:
    """Return once it holds."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 — nothing here could signal an event
            await asyncio.sleep(0.001)


async def test_nothing_is_current_before_the_first_load() -> None:
    """Never loaded is told from loaded."""
    cache = Source().cache()

    assert (cache.current(), cache.ever_loaded) == (None, False)


async def test_the_value_is_refreshed_in_the_background() -> None:
    """Without a caller."""
    async with loaded(Source(), refresh_seconds=0.001) as cache:
        await until(lambda: (cache.current() or 0) > 2)


async def test_a_refresh_waits_for_a_load_that_starts_after_it() -> None:
    """The running load may have read its source too early."""
    source = Source()
    async with loaded(source) as cache:
        source.released.clear()
        first = asyncio.create_task(cache.refresh())
        await until(lambda: source.loads == 2)
        second = asyncio.create_task(cache.refresh())
        await asyncio.sleep(0)
        source.released.set()

        assert all(await asyncio.gather(first, second))
        assert cache.current() == 3


async def test_the_rate_of_loads_is_bounded_however_many_callers_ask() -> None:
    """A pause passes between two loads."""
    source = Source()
    async with loaded(source) as cache:
        began = time.monotonic()

        async def flood() -> None:
            while time.monotonic() - began < 3 * PAUSE_SECONDS:
                await cache.refresh()

        await asyncio.gather(*(flood() for _ in range(100)))
        took = time.monotonic() - began

    assert 2 <= source.loads <= took / PAUSE_SECONDS + 2


@pytest.mark.parametrize(("failure", "traceback"), [(ConnectionError(), False), (KeyError("odd"), True)])
async def test_a_failed_load_keeps_the_value_and_is_repeated(
    failure: Exception, caplog: pytest.LogCaptureFixture, *, traceback: bool
) -> None:
    """The caller and the log are told; the next load follows after the refresh time."""
    source = Source()
    async with loaded(source, refresh_seconds=PAUSE_SECONDS) as cache:
        source.failure = failure

        refreshed = await cache.refresh()

        assert (refreshed, cache.error) == (False, failure)
        assert cache.current() is not None
        source.failure = None
        await until(lambda: cache.error is None)
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING][:1]
    assert (record.message, bool(record.exc_info)) == ("refresh failed", traceback)


async def test_a_failed_load_is_soon_repeated_only_while_nothing_is_held() -> None:
    """A source that fails is asked every retry time at first, and every refresh time once there is a value."""
    source = Source()
    source.failure = ConnectionError()
    cache = source.cache(refresh_seconds=3600)
    async with cache.refresh_in_background():
        await until(lambda: source.loads == 3)
        source.failure = None
        await until(lambda: cache.ever_loaded)
        source.failure = ConnectionError()
        assert not await cache.refresh()
        loads = source.loads
        await asyncio.sleep(5 * PAUSE_SECONDS)

    assert source.loads == loads


async def test_a_value_is_too_old_a_maximum_age_after_its_load_started() -> None:
    """A load that took long returned an old answer."""
    source = Source()
    async with loaded(source) as cache:
        source.released.clear()
        refreshing = asyncio.create_task(cache.refresh())
        await until(lambda: source.loads == 2)
        source.now += 100
        source.released.set()
        await refreshing

        assert cache.current() == 2
        source.now += 0.5
        assert cache.current() is None


async def test_a_bounded_number_of_callers_wait() -> None:
    """The next caller gets an answer at once."""
    cache = Source().cache()
    waiting = [asyncio.create_task(cache.refresh()) for _ in range(1000)]
    await asyncio.sleep(0)

    refreshed = await asyncio.wait_for(cache.refresh(), 1)

    assert not refreshed
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


async def test_leaving_ends_the_background_task_within_a_load() -> None:
    """Its waiters are told that the load failed."""
    source = Source()
    async with loaded(source) as cache:
        source.released.clear()
        refreshing = asyncio.create_task(cache.refresh())
        await until(lambda: source.loads == 2)

    assert not await refreshing
    assert asyncio.all_tasks() == {asyncio.current_task()}
