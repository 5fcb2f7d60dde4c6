"""A task that is cancelled ends, although the cancellation can be dropped on the way to it."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final

import pytest

from servicekit.cancellation import cancel_until_ended
from servicekit.grpc_server import GrpcServer
from servicekit.health import Readiness

Serve = Callable[..., AbstractAsyncContextManager[GrpcServer]]
DEADLINE_SECONDS: Final = 5


class _Deaf:
    """A wait that drops a number of cancellations, and then returns as if nothing had happened."""

    def __init__(self, drops: int) -> None:
        self.drops = drops
        self.waiting = asyncio.Event()

    async def wait(self) -> None:
        while self.drops:
            self.waiting.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Future()
            self.drops -= 1


@pytest.mark.parametrize(("drops", "ends"), [(1, True), (5, True), (10**9, False)])
async def test_a_dropped_cancellation_is_repeated(drops: int, *, ends: bool) -> None:
    """A task that drops some still ends; one that never ends is given up, and the caller knows."""
    deaf = _Deaf(drops)
    task = asyncio.create_task(deaf.wait())
    await deaf.waiting.wait()

    ended = await cancel_until_ended(task, every_seconds=0.01, within_seconds=DEADLINE_SECONDS if ends else 0.05)

    assert ended == task.done() == ends
    deaf.drops = 1
    task.cancel()
    await asyncio.wait([task])


async def test_watching_ends_when_a_check_drops_the_cancellation() -> None:
    """The check returns as if nothing had happened, and its result is not passed on."""
    deaf = _Deaf(1)
    reported: list[bool] = []

    async def notify(ready: bool) -> None:  # noqa: FBT001 — the listener's signature
        reported.append(ready)

    watching = asyncio.create_task(Readiness([deaf.wait], interval_seconds=0).watch(notify))
    await deaf.waiting.wait()

    watching.cancel()
    await asyncio.wait([watching], timeout=DEADLINE_SECONDS)

    ended = watching.cancelled()
    while not watching.done():
        watching.cancel()
        await asyncio.sleep(0)
    assert ended
    assert reported == []


async def test_a_server_stops_although_its_check_drops_cancellations(serve: Serve, logged: Callable[..., Any]) -> None:
    """The check is cancelled again until it ends."""
    deaf, rounds = _Deaf(3), 0

    async def check() -> None:
        nonlocal rounds
        rounds += 1
        if rounds > 1:  # agree at first, so that the server starts
            await deaf.wait()

    async with asyncio.timeout(DEADLINE_SECONDS) as limit:
        async with serve(None, readiness=[check]):
            await deaf.waiting.wait()

    assert not limit.expired()
    assert rounds == 2
    assert [line["message"] for line in logged("servicekit.grpc_server")][-1] == "stopped"
