"""A task that is told to end does, although a cancellation can be lost on the way to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final

import pytest

from servicekit.cancellation import cancel_until_ended
from servicekit.grpc_server import GrpcServer
from servicekit.health import Readiness

Serve = Callable[..., AbstractAsyncContextManager[GrpcServer]]
PATIENCE_SECONDS: Final = 5
MOMENT_SECONDS: Final = 0.01


class _Deaf:
    """Something that waits for what never comes, and drops so many cancellations before it heeds one."""

    def __init__(self, drops: int) -> None:
        self.drops = drops
        self.waiting = asyncio.Event()

    async def wait(self) -> None:
        """Wait; returns as if nothing had happened when the last cancellation that it drops has come."""
        while self.drops:
            self.waiting.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Future()
            self.drops -= 1


@asynccontextmanager
async def _running(deaf: _Deaf) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(deaf.wait())
    await deaf.waiting.wait()
    try:
        yield task
    finally:
        deaf.drops = 1
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("drops", [1, 2, 5])
async def test_a_cancellation_that_is_lost_is_repeated(drops: int) -> None:
    """A task that drops some ends all the same."""
    async with _running(_Deaf(drops)) as task:
        assert await cancel_until_ended(task, every_seconds=MOMENT_SECONDS, within_seconds=PATIENCE_SECONDS)

        assert task.done()


async def test_a_task_that_never_ends_is_given_up() -> None:
    """Whoever waits goes on, and knows that it still runs."""
    async with _running(_Deaf(10**9)) as task:
        ended = await cancel_until_ended(task, every_seconds=MOMENT_SECONDS, within_seconds=5 * MOMENT_SECONDS)

        assert not ended
        assert not task.done()


async def test_who_waits_for_the_end_may_be_cancelled_too() -> None:
    """The cancellation of the waiting one is not taken for that of the task."""
    async with _running(_Deaf(10**9)) as task:
        ending = asyncio.create_task(
            cancel_until_ended(task, every_seconds=PATIENCE_SECONDS, within_seconds=PATIENCE_SECONDS)
        )
        await asyncio.sleep(0)

        ending.cancel()

        with pytest.raises(asyncio.CancelledError):
            await ending


async def test_watching_ends_when_a_check_drops_the_cancellation() -> None:
    """The check returns as if nothing had happened, and its verdict is told to nobody."""
    deaf = _Deaf(1)
    told: list[bool] = []

    async def tell(ready: bool) -> None:  # noqa: FBT001 — the listener's signature
        told.append(ready)

    watching = asyncio.create_task(Readiness([deaf.wait], every_seconds=0).watch(tell))
    await deaf.waiting.wait()

    watching.cancel()
    await asyncio.wait([watching], timeout=PATIENCE_SECONDS)

    ended = watching.cancelled()
    while not watching.done():
        watching.cancel()
        await asyncio.sleep(0)
    assert ended
    assert told == []


class _Answering:
    """A store whose answer comes at the very moment when its asker is cancelled."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[None] | None = None
        self.asked = asyncio.Event()

    async def check(self) -> None:
        """Wait as libraries do: until Python 3.12 `wait_for` drops a cancellation that comes with the result."""
        if self.answer is not None:
            self.asked.set()
            await asyncio.wait_for(self.answer, PATIENCE_SECONDS)


async def test_a_server_stops_when_an_answer_and_the_end_coincide(serve: Serve) -> None:
    """The check's wait_for may drop the only cancellation, and the service still stops in time."""
    store = _Answering()
    async with asyncio.timeout(PATIENCE_SECONDS) as patience:
        async with serve(None, readiness=[store.check]):
            store.answer = asyncio.get_running_loop().create_future()
            await store.asked.wait()

            store.answer.set_result(None)

    assert not patience.expired()


class _Stubborn:
    """A check that is deaf from its second round on."""

    def __init__(self, drops: int) -> None:
        self.deaf = _Deaf(drops)
        self.rounds = 0

    async def check(self) -> None:
        """Agree at first, so that the server starts."""
        self.rounds += 1
        if self.rounds > 1:
            await self.deaf.wait()


async def test_a_server_stops_although_its_check_drops_cancellations(serve: Serve, logged: Callable[..., Any]) -> None:
    """It is cancelled again until it ends."""
    stubborn = _Stubborn(3)

    async with asyncio.timeout(PATIENCE_SECONDS) as patience:
        async with serve(None, readiness=[stubborn.check]):
            await stubborn.deaf.waiting.wait()

    assert not patience.expired()
    assert stubborn.rounds == 2
    assert [line["message"] for line in logged("servicekit.grpc_server")][-1] == "stopped"
