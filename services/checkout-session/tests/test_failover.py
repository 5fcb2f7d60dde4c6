"""Redis fails over: its master is demoted, which closes no connection, and the name leads to another server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.asyncio import Redis

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceStub
from checkout_session.domain.attempts import (
    Attempt,
    AttemptNotFound,
    CloseReason,
    Intent,
    IntentKind,
    StoreUnavailable,
)
from checkout_session.domain.durability import IN_MEMORY
from checkout_session.redis_backend.attempt_store import RedisAttempts, Retention
from checkout_session.redis_backend.connection import connect
from checkout_session.redis_backend.primaries import OneMaster
from checkout_session.redis_backend.readiness import RedisReadiness
from devstack.embedded_valkey import EmbeddedValkey
from servicekit.encryption import Keyring
from servicekit.errors import ReportedError, read_error
from servicekit.health import NotReady

if TYPE_CHECKING:
    from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceAsyncStub

RunService = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
MakeRequest = Callable[..., pb.SaveAttemptRequest]

PATIENCE_SECONDS: Final = 15
UNAVAILABLE: Final = ReportedError(grpc.StatusCode.UNAVAILABLE, "store_unavailable")
HASTY: Final = {"shutdown-timeout": "0", "repl-diskless-sync-delay": "0"}
"""A master waits for its replicas, before it copies itself to them and before it ends; here nobody needs that."""
ID: Final = "0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10"


class Name:
    """An address that leads new connections to one server or another; those that are open stay where they are."""

    def __init__(self, target: EmbeddedValkey) -> None:
        self.target = target
        self.url = ""
        self._served: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = self.target.url.replace(f":{self.target.port}/", f":{port}/")
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._server.close()
        for task in self._served:
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_connection("127.0.0.1", self.target.port)
        for source, sink in ((reader, ahead), (behind, writer)):
            task = asyncio.create_task(_pass_on(source, sink))
            self._served.add(task)
            task.add_done_callback(self._served.discard)


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while heard := await source.read(65536):
            sink.write(heard)
            await sink.drain()
    except ConnectionError:
        pass  # One side went away; so does the other.
    finally:
        sink.close()


@pytest.fixture
def first() -> Iterator[EmbeddedValkey]:
    """Run the server that is the master at first."""
    with EmbeddedValkey.temporary(appendonly=False, options=HASTY) as server:
        yield server


@pytest.fixture
def second() -> Iterator[EmbeddedValkey]:
    """Run the server that takes over."""
    with EmbeddedValkey.temporary(appendonly=False, options=HASTY) as server:
        yield server


@pytest.fixture
async def name(first: EmbeddedValkey) -> AsyncIterator[Name]:
    """Give the address of the master."""
    async with Name(first) as leading:
        yield leading


async def fail_over(name: Name, to: EmbeddedValkey, *, reachable: bool = True) -> None:
    """Demote the server behind the name and lead the name to another, which the demoted one reaches or not."""
    demoted, promoted = Redis.from_url(name.target.url), Redis.from_url(to.url)
    password = demoted.connection_pool.connection_kwargs["password"]
    await promoted.config_set("requirepass", password)
    await demoted.config_set("masterauth", password)
    await demoted.replicaof("127.0.0.1", str(to.port if reachable else 1))
    name.target = to
    await demoted.aclose()
    await promoted.aclose()


@pytest.fixture
async def redis(name: Name) -> AsyncIterator[Redis]:
    """Give a client of the name."""
    client = connect(name.url, max_connections=8, timeout_seconds=5)
    yield client
    await client.aclose()


@pytest.fixture
def store(redis: Redis) -> RedisAttempts:
    """Give a store behind the name."""
    return store_at(redis)


def store_at(redis: Redis) -> RedisAttempts:
    """Return a store."""
    return RedisAttempts(OneMaster(redis), Retention(), keyring=Keyring.unencrypted(), timeout_seconds=5)


@pytest.fixture
def attempt() -> Attempt:
    """Give an attempt that was never stored."""
    return Attempt(
        attempt_id=ID,
        request_hash=b"h" * 32,
        intent=Intent("pi_first", IntentKind.PAYMENT),
        user_id="",
        content=b"",
        created_at=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
    )


async def close_many(store: RedisAttempts, count: int) -> None:
    """Write over as many connections at once."""
    await asyncio.gather(*(store.close(ID, CloseReason.SUPERSEDED) for _ in range(count)))


async def test_one_refused_change_frees_every_idle_connection(
    store: RedisAttempts, name: Name, second: EmbeddedValkey
) -> None:
    """The call that meets the demoted server is told so; whoever calls next is connected to the master."""
    await close_many(store, 8)
    await fail_over(name, second)

    with pytest.raises(StoreUnavailable):
        await store.close(ID, CloseReason.SUPERSEDED)

    await close_many(store, 8)


async def test_a_connection_that_was_busy_is_not_kept_either(
    store: RedisAttempts, redis: Redis, name: Name, second: EmbeddedValkey
) -> None:
    """A connection in the middle of one call while another was refused is closed when its call ends."""
    await close_many(store, 2)
    busy = await redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py left it untyped
    await fail_over(name, second)
    with pytest.raises(StoreUnavailable):
        await store.close(ID, CloseReason.SUPERSEDED)

    await redis.connection_pool.release(busy)

    await store.close(ID, CloseReason.SUPERSEDED)


async def test_a_replica_that_may_not_answer_is_left_by_readers(
    store: RedisAttempts, name: Name, first: EmbeddedValkey, second: EmbeddedValkey
) -> None:
    """Where a replica without its master serves nothing stale, a read is refused, and the next one finds the master."""
    admin = Redis.from_url(first.url)
    await admin.config_set("replica-serve-stale-data", "no")
    await admin.aclose()
    with pytest.raises(AttemptNotFound):
        await store.find(ID)
    await fail_over(name, second, reachable=False)

    with pytest.raises(StoreUnavailable):
        await store.find(ID)

    with pytest.raises(AttemptNotFound):
        await store.find(ID)


async def test_what_a_demoted_server_answers_a_reader_is_asked_again(
    store: RedisAttempts, name: Name, second: EmbeddedValkey, attempt: Attempt
) -> None:
    """P3: an attempt that the new master has is not called missing because the old one never heard of it."""
    with pytest.raises(AttemptNotFound):
        await store.find(attempt.attempt_id)
    elsewhere = connect(second.url, max_connections=1, timeout_seconds=5)
    await store_at(elsewhere).save(attempt)
    await elsewhere.aclose()
    await fail_over(name, second, reachable=False)

    assert await store.find(attempt.attempt_id) == attempt


async def test_a_reader_is_not_told_what_a_replica_alone_says(
    store: RedisAttempts, name: Name, first: EmbeddedValkey
) -> None:
    """Where the name still leads to the demoted server, the reader is refused, not told that there is nothing."""
    admin = Redis.from_url(first.url)
    await admin.replicaof("127.0.0.1", "1")
    await admin.aclose()

    outcomes = await asyncio.gather(store.find(ID), return_exceptions=True)

    assert [type(each) for each in outcomes] == [StoreUnavailable]


async def test_a_replica_is_not_ready_and_is_left(redis: Redis, name: Name, second: EmbeddedValkey) -> None:
    """A demoted server answers every read; the check names its role, and its next round asks the master."""
    check = RedisReadiness(OneMaster(redis), IN_MEMORY, timeout_seconds=5).check
    await check()
    await fail_over(name, second)

    with pytest.raises(NotReady, match="redis is a slave, not the master: it refuses every change"):
        await check()

    await check()


async def test_a_service_follows_its_name_to_the_new_master(
    run_service: RunService, name: Name, second: EmbeddedValkey, new_request: MakeRequest
) -> None:
    """Saves that come all the time are refused by name for a moment, then stored by the new master."""
    async with run_service(name.url) as channel:
        stub = CheckoutSessionServiceStub(channel)
        await asyncio.gather(*(stub.SaveAttempt(new_request()) for _ in range(20)))
        await fail_over(name, second)

        saved = await saved_in_the_end(stub, new_request())

        assert not saved.replayed
        later = await asyncio.gather(*(stub.SaveAttempt(new_request()) for _ in range(20)))
        assert not any(answer.replayed for answer in later)


async def saved_in_the_end(
    stub: "CheckoutSessionServiceAsyncStub", request: pb.SaveAttemptRequest
) -> pb.SaveAttemptResponse:
    """Repeat a save while the store is unavailable."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await stub.SaveAttempt(request)
        except grpc.aio.AioRpcError as failure:
            if read_error(failure) != UNAVAILABLE or time.monotonic() > deadline:
                raise


async def test_an_idle_service_follows_its_name_too(
    run_service: RunService, name: Name, second: EmbeddedValkey, new_request: MakeRequest
) -> None:
    """Without a call that could be refused, readiness notices and mends: the first save after that is stored."""
    async with run_service(name.url) as channel:
        stub = CheckoutSessionServiceStub(channel)
        await stub.SaveAttempt(new_request())
        health: Any = health_pb2_grpc.HealthStub(channel)  # its types lack its methods
        watched = health.Watch(health_pb2.HealthCheckRequest())
        reports = [(await watched.read()).status]
        await fail_over(name, second)

        async with asyncio.timeout(PATIENCE_SECONDS):
            reports += [(await watched.read()).status for _ in range(2)]

        assert not (await stub.SaveAttempt(new_request())).replayed
        watched.cancel()
    names = [health_pb2.HealthCheckResponse.ServingStatus.Name(status) for status in reports]
    assert names == ["SERVING", "NOT_SERVING", "SERVING"]
