"""Redis stands still, dies and returns: calls fail by name and in time, and work again without a restart."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.asyncio import Redis

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceStub
from checkout_session.domain.attempts import CloseReason, DeleteReason, StoreUnavailable
from checkout_session.redis_backend.attempt_store import RedisAttempts, Retention
from checkout_session.redis_backend.connection import connect
from checkout_session.redis_backend.primaries import OneMaster
from devstack.embedded_valkey import EmbeddedValkey
from servicekit.encryption import Keyring
from servicekit.errors import ReportedError, read_error

if TYPE_CHECKING:
    from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceAsyncStub

RunService = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
MakeRequest = Callable[..., pb.SaveAttemptRequest]

UNAVAILABLE: Final = ReportedError(grpc.StatusCode.UNAVAILABLE, "store_unavailable")
PATIENCE_SECONDS: Final = 15
UNKNOWN_ID: Final = "0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10"
SHORT: Final = {"redis_timeout_seconds": 0.3, "store_timeout_seconds": 0.6}


@pytest.fixture
def mortal() -> Iterator[EmbeddedValkey]:
    """Run a Valkey that a test may stop; it keeps what it was told in an append-only file."""
    with EmbeddedValkey.temporary(appendonly=True) as server:
        yield server


@pytest.fixture
async def channel(run_service: RunService, mortal: EmbeddedValkey) -> AsyncIterator[grpc.aio.Channel]:
    """Serve the mortal Valkey's attempts, with little patience."""
    async with run_service(mortal.url, **SHORT) as running:
        yield running


async def refusal(call: Awaitable[object]) -> ReportedError:
    """Return the error that a call failed with."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return read_error(failed.value)


async def answered(call: Callable[[], Awaitable[pb.GetAttemptResponse]]) -> pb.GetAttemptResponse:
    """Repeat a call until the store is available again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as failure:
            if read_error(failure) != UNAVAILABLE or time.monotonic() > deadline:
                raise


async def until_ready(channel: grpc.aio.Channel, *, ready: bool) -> None:
    """Wait until the service tells that it is ready, or that it is not."""
    health: Any = health_pb2_grpc.HealthStub(channel)  # its types lack its methods
    expected = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for answer in health.Watch(health_pb2.HealthCheckRequest()):
            if answer.status == expected:
                return


def calls(
    stub: "CheckoutSessionServiceAsyncStub", request: pb.SaveAttemptRequest, *, timeout: float | None
) -> list[Awaitable[object]]:
    """Return a call of each rpc."""
    attempt_id = request.attempt_id
    close = pb.CloseAttemptRequest(attempt_id=attempt_id, reason=pb.CLOSE_REASON_SUPERSEDED)
    delete = pb.DeleteAttemptRequest(attempt_id=attempt_id, reason=pb.DELETE_REASON_CANCELLED)
    return [
        stub.SaveAttempt(request, timeout=timeout),
        stub.GetAttempt(pb.GetAttemptRequest(attempt_id=attempt_id), timeout=timeout),
        stub.CloseAttempt(close, timeout=timeout),
        stub.DeleteAttempt(delete, timeout=timeout),
    ]


@pytest.mark.parametrize("deadline", [5.0, None])
async def test_a_paused_redis_is_reported_in_the_stores_time(
    stub: "CheckoutSessionServiceAsyncStub", mortal: EmbeddedValkey, new_request: MakeRequest, deadline: float | None
) -> None:
    """Every rpc answers UNAVAILABLE, reason store_unavailable, however long its caller would wait."""
    await stub.SaveAttempt(new_request())
    mortal.pause()
    began = time.monotonic()

    errors = await asyncio.gather(*(refusal(call) for call in calls(stub, new_request(), timeout=deadline)))

    assert time.monotonic() - began < 4.5  # the shorter of the two deadlines is 5 s
    assert errors == [UNAVAILABLE] * 4


async def test_a_paused_redis_is_reported_within_the_calls_deadline(
    run_service: RunService, mortal: EmbeddedValkey, new_request: MakeRequest
) -> None:
    """A caller with less patience than the store is told the reason before its deadline, not cut off at it."""
    async with run_service(mortal.url, redis_timeout_seconds=30, store_timeout_seconds=30) as channel:
        stub = CheckoutSessionServiceStub(channel)
        mortal.pause()

        errors = await asyncio.gather(*(refusal(call) for call in calls(stub, new_request(), timeout=4.0)))

    assert errors == [UNAVAILABLE] * 4


async def test_a_paused_redis_is_used_again_when_it_goes_on(
    stub: "CheckoutSessionServiceAsyncStub",
    channel: grpc.aio.Channel,
    mortal: EmbeddedValkey,
    new_request: MakeRequest,
) -> None:
    """Calls fail while it stands still and readiness is false; both recover by themselves."""
    saved = (await stub.SaveAttempt(new_request())).attempt
    mortal.pause()
    await asyncio.gather(*(refusal(call) for call in calls(stub, new_request(), timeout=None)))
    await until_ready(channel, ready=False)

    mortal.resume()

    found = await answered(lambda: stub.GetAttempt(pb.GetAttemptRequest(attempt_id=saved.attempt_id)))
    assert found.attempt == saved
    await until_ready(channel, ready=True)


async def test_a_killed_redis_is_used_again_when_it_is_back(
    stub: "CheckoutSessionServiceAsyncStub",
    channel: grpc.aio.Channel,
    mortal: EmbeddedValkey,
    new_request: MakeRequest,
) -> None:
    """After SIGKILL and a restart from its append-only file, what was saved is found, and saving works."""
    saved = (await stub.SaveAttempt(new_request())).attempt
    await asyncio.to_thread(mortal.kill)
    errors = [await refusal(call) for call in calls(stub, new_request(), timeout=None)]
    await until_ready(channel, ready=False)

    await asyncio.to_thread(mortal.start)

    assert errors == [UNAVAILABLE] * 4
    found = await answered(lambda: stub.GetAttempt(pb.GetAttemptRequest(attempt_id=saved.attempt_id)))
    assert found.attempt == saved
    assert not (await stub.SaveAttempt(new_request())).replayed
    await until_ready(channel, ready=True)


async def test_a_restart_between_two_calls_goes_unnoticed(
    stub: "CheckoutSessionServiceAsyncStub", mortal: EmbeddedValkey, new_request: MakeRequest
) -> None:
    """Connections that died in the pool are replaced, and scripts that the new server lacks are sent, in one call."""
    saved = (await stub.SaveAttempt(new_request())).attempt

    await asyncio.to_thread(mortal.restart)

    found = await stub.GetAttempt(pb.GetAttemptRequest(attempt_id=saved.attempt_id))
    assert found.attempt == saved


async def test_a_connection_lost_in_the_middle_of_a_call_is_replaced(
    run_service: RunService, mortal: EmbeddedValkey, new_request: MakeRequest
) -> None:
    """The call in flight is sent again on a new connection and succeeds."""
    admin = connect(mortal.url, max_connections=1, timeout_seconds=5)
    async with run_service(mortal.url) as channel:
        await admin.client_pause(60_000, all=False)
        saving = asyncio.ensure_future(CheckoutSessionServiceStub(channel).SaveAttempt(new_request()))
        await until_held(admin)

        await admin.client_kill_filter(_type="normal", skipme=True)
        await admin.client_unpause()

        assert (await saving).attempt.attempt_id
    await admin.aclose()


async def until_held(admin: Redis) -> None:
    """Wait until Redis has a command that it holds back."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (await admin.info("clients"))["blocked_clients"]:
            pass


async def test_the_store_itself_names_an_outage(mortal: EmbeddedValkey) -> None:
    """Every verb of a store whose Redis stands still raises StoreUnavailable within the store's own time."""
    redis = connect(mortal.url, max_connections=4, timeout_seconds=5)
    store = RedisAttempts(OneMaster(redis), Retention(), keyring=Keyring.unencrypted(), timeout_seconds=0.2)
    mortal.pause()

    verbs = [
        store.find(UNKNOWN_ID),
        store.close(UNKNOWN_ID, CloseReason.SUPERSEDED),
        store.delete(UNKNOWN_ID, DeleteReason.CANCELLED),
    ]
    outcomes = await asyncio.gather(*verbs, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
    await redis.aclose()


async def test_a_save_without_answer_can_be_repeated(
    stub: "CheckoutSessionServiceAsyncStub", mortal: EmbeddedValkey, new_request: MakeRequest
) -> None:
    """A save that Redis received while it stood still takes effect later; its repeat answers the attempt it stored."""
    await stub.SaveAttempt(new_request())
    request = new_request()
    mortal.pause()
    error = await refusal(stub.SaveAttempt(request))
    mortal.resume()
    stored = await answered(lambda: stub.GetAttempt(pb.GetAttemptRequest(attempt_id=request.attempt_id)))

    again = await stub.SaveAttempt(request)

    assert error == UNAVAILABLE
    assert again.replayed
    assert again.attempt == stored.attempt


async def test_a_service_may_start_before_its_redis(
    run_service: RunService, mortal: EmbeddedValkey, new_request: MakeRequest
) -> None:
    """It serves, not ready, and becomes ready when Redis is there."""
    await asyncio.to_thread(mortal.stop)
    async with run_service(mortal.url, **SHORT) as channel:
        await until_ready(channel, ready=False)

        await asyncio.to_thread(mortal.start)

        await until_ready(channel, ready=True)
        assert not (await CheckoutSessionServiceStub(channel).SaveAttempt(new_request())).replayed


async def test_more_calls_than_connections_wait_for_one(
    run_service: RunService, mortal: EmbeddedValkey, new_request: MakeRequest
) -> None:
    """The pool is bounded; a burst queues instead of failing."""
    async with run_service(mortal.url, redis_max_connections=2) as channel:
        stub = CheckoutSessionServiceStub(channel)

        answers = await asyncio.gather(*(stub.SaveAttempt(new_request()) for _ in range(100)))

    assert not any(answer.replayed for answer in answers)
