"""Redis hangs, dies and returns: calls fail by name and in time, and work again without a restart."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import grpc
import pytest

from checkout.session.v1 import checkout_session_pb2 as pb
from devstack.embedded_valkey import EmbeddedValkey
from tests.containers.choice import RedisServer

from ..harness import (
    DEADLINE_SECONDS,
    UNAVAILABLE,
    Stub,
    close,
    delete,
    get,
    new_request,
    outcome,
    refusal,
    run_service,
    until_ready,
)

SHORT: Final = {"redis_timeout_seconds": 0.3, "store_timeout_seconds": 0.6}


@pytest.fixture
def server() -> Iterator[EmbeddedValkey]:
    """Run a Valkey that a test may stop; it keeps an append-only file."""
    with EmbeddedValkey.temporary(appendonly=True) as running:
        yield running


@pytest.fixture
async def channel(server: EmbeddedValkey) -> AsyncIterator[grpc.aio.Channel]:
    """Serve that Valkey's attempts, with short timeouts."""
    async with run_service(server.url, **SHORT) as running:
        yield running


async def answered(call: Callable[[], Awaitable[pb.GetAttemptResponse]]) -> pb.GetAttemptResponse:
    """Repeat a call until the store is available again."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (answer := await outcome(call())) == UNAVAILABLE:
            pass
    assert isinstance(answer, pb.GetAttemptResponse)
    return answer


def every_rpc(stub: Stub, *, timeout: float | None = None) -> list[Awaitable[Any]]:
    """Return a call of each rpc."""
    request = new_request()
    return [
        stub.SaveAttempt(request, timeout=timeout),
        stub.GetAttempt(get(request.attempt_id), timeout=timeout),
        stub.CloseAttempt(close(request.attempt_id), timeout=timeout),
        stub.DeleteAttempt(delete(request.attempt_id), timeout=timeout),
    ]


async def test_a_hung_redis_is_reported_within_the_stores_timeout(stub: Stub, server: EmbeddedValkey) -> None:
    """Every rpc answers UNAVAILABLE, reason store_unavailable, also to a caller without a deadline."""
    await stub.SaveAttempt(new_request())
    server.pause()
    started = time.monotonic()

    errors = await asyncio.gather(*map(refusal, every_rpc(stub)))

    assert time.monotonic() - started < 4.5
    assert errors == [UNAVAILABLE] * 4


async def test_a_hung_redis_is_reported_within_the_callers_deadline(server: EmbeddedValkey) -> None:
    """A caller with a deadline before the store's timeout gets the reason too."""
    async with run_service(server.url, redis_timeout_seconds=30, store_timeout_seconds=30) as channel:
        server.pause()

        errors = await asyncio.gather(*map(refusal, every_rpc(Stub(channel), timeout=4.0)))

    assert errors == [UNAVAILABLE] * 4


@pytest.mark.parametrize("fault", ["paused", "killed"])
async def test_a_redis_is_used_again_when_it_is_back(
    channel: grpc.aio.Channel, server: EmbeddedValkey, fault: str
) -> None:
    """Calls fail meanwhile and readiness is false; both recover, and saved attempts are found."""
    stub = Stub(channel)
    saved = (await stub.SaveAttempt(new_request())).attempt
    await asyncio.to_thread(server.pause if fault == "paused" else server.kill)
    errors = await asyncio.gather(*map(refusal, every_rpc(stub)))
    await until_ready(channel, ready=False)

    await asyncio.to_thread(server.resume if fault == "paused" else server.start)

    assert errors == [UNAVAILABLE] * 4
    assert (await answered(lambda: stub.GetAttempt(get(saved.attempt_id)))).attempt == saved
    assert not (await stub.SaveAttempt(new_request())).replayed
    await until_ready(channel, ready=True)


async def test_a_restart_between_two_calls_is_not_noticed(stub: Stub, server: EmbeddedValkey) -> None:
    """Dead connections are replaced and the scripts sent again, in one call."""
    saved = (await stub.SaveAttempt(new_request())).attempt

    await asyncio.to_thread(server.restart)

    assert (await stub.GetAttempt(get(saved.attempt_id))).attempt == saved


async def test_a_save_without_answer_can_be_repeated(stub: Stub, server: EmbeddedValkey) -> None:
    """A save that a hung Redis received takes effect later; its repeat answers the stored attempt."""
    await stub.SaveAttempt(new_request())
    request = new_request()
    server.pause()
    error = await refusal(stub.SaveAttempt(request))
    server.resume()
    stored = await answered(lambda: stub.GetAttempt(get(request.attempt_id)))

    again = await stub.SaveAttempt(request)

    assert error == UNAVAILABLE
    assert again.replayed
    assert again.attempt == stored.attempt


async def test_a_service_may_start_before_its_redis(server: EmbeddedValkey) -> None:
    """It serves, not ready, and becomes ready when Redis is there."""
    await asyncio.to_thread(server.stop)
    async with run_service(server.url, **SHORT) as channel:
        await until_ready(channel, ready=False)

        await asyncio.to_thread(server.start)

        await until_ready(channel, ready=True)


async def test_more_calls_than_connections_wait_for_one(valkey: RedisServer) -> None:
    """The pool is bounded; a burst queues instead of failing."""
    async with run_service(valkey.url, redis_max_connections=2) as channel:
        stub = Stub(channel)

        answers = await asyncio.gather(*(stub.SaveAttempt(new_request()) for _ in range(50)))

    assert not any(answer.replayed for answer in answers)
