"""Redis fails over: its primary is demoted, which closes no connection, and its name leads to another server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, Self

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.asyncio import Redis

from checkout_session.domain.attempts import AttemptNotFound, CloseReason, StoreUnavailable
from checkout_session.redis_backend.attempt_store import RedisAttemptStore
from checkout_session.redis_backend.connection import connect
from checkout_session.redis_backend.primaries import StandalonePrimaries
from devstack.embedded_valkey import EmbeddedValkey

from ..harness import DEADLINE_SECONDS, GENEROUS, Stub, new_attempt, new_request, opened, run_service, store_on

FAST: Final = {"shutdown-timeout": "0", "repl-diskless-sync-delay": "0"}
"""Without them a primary waits for its replicas before it syncs and before it ends."""
ID: Final = "0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10"


class Name:
    """A TCP proxy: it leads new connections to one server or another; open ones stay where they are."""

    def __init__(self, target: EmbeddedValkey) -> None:
        self.target = target
        self.url = ""
        self._relays: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = self.target.url.replace(f":{self.target.port}/", f":{port}/")
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._server.close()
        for task in self._relays:
            task.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    async def fail_over(self, to: EmbeddedValkey, *, reachable: bool = True) -> None:
        """Demote the target to a replica of another server, and lead the name there."""
        to.execute("CONFIG", "SET", "requirepass", self.target.password)
        self.target.execute("CONFIG", "SET", "masterauth", self.target.password)
        self.target.execute("REPLICAOF", "127.0.0.1", to.port if reachable else 1)
        self.target = to

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target.port)
        for source, sink in ((reader, to_server), (from_server, writer)):
            task = asyncio.create_task(_relay(source, sink))
            self._relays.add(task)
            task.add_done_callback(self._relays.discard)


async def _relay(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    finally:
        sink.close()


@pytest.fixture
def first() -> Iterator[EmbeddedValkey]:
    """Run the server that is demoted."""
    with EmbeddedValkey.temporary(appendonly=False, options=FAST) as server:
        yield server


@pytest.fixture
def second() -> Iterator[EmbeddedValkey]:
    """Run the server that takes over."""
    with EmbeddedValkey.temporary(appendonly=False, options=FAST) as server:
        yield server


@pytest.fixture
async def name(first: EmbeddedValkey) -> AsyncIterator[Name]:
    """Return the name of the primary."""
    async with Name(first) as leading:
        yield leading


@pytest.fixture
async def redis(name: Name) -> AsyncIterator[Redis]:
    """Return a client of the name."""
    client = connect(name.url, GENEROUS)
    yield client
    await client.aclose()


@pytest.fixture
def store(redis: Redis) -> RedisAttemptStore:
    """Return a store behind the name."""
    return store_on(StandalonePrimaries(redis))


async def close_many(store: RedisAttemptStore, count: int) -> None:
    """Write over many connections at once."""
    await asyncio.gather(*(store.close(ID, CloseReason.SUPERSEDED) for _ in range(count)))


async def test_one_refused_change_replaces_every_connection(
    store: RedisAttemptStore, redis: Redis, name: Name, second: EmbeddedValkey
) -> None:
    """The call that meets the demoted server fails; later calls reach the primary, also over a connection in use."""
    await close_many(store, 8)
    busy = await redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py left it untyped
    await name.fail_over(second)

    with pytest.raises(StoreUnavailable):
        await store.close(ID, CloseReason.SUPERSEDED)

    await redis.connection_pool.release(busy)
    await close_many(store, 8)


async def test_a_read_that_a_replica_answered_is_repeated_on_the_primary(
    store: RedisAttemptStore, name: Name, second: EmbeddedValkey
) -> None:
    """An attempt of the new primary is not reported as missing because the old one does not have it (P3)."""
    attempt = new_attempt()
    with pytest.raises(AttemptNotFound):
        await store.find(attempt.attempt_id)
    async with opened(second.url) as elsewhere:
        await store_on(elsewhere).save(attempt)
    await name.fail_over(second, reachable=False)

    assert await store.find(attempt.attempt_id) == attempt


async def test_a_read_that_only_a_replica_answers_is_refused(store: RedisAttemptStore, first: EmbeddedValkey) -> None:
    """While the name still leads to the demoted server, the caller hears of an outage, not of a missing attempt."""
    first.execute("REPLICAOF", "127.0.0.1", 1)

    outcomes = await asyncio.gather(store.find(ID), return_exceptions=True)

    assert [type(each) for each in outcomes] == [StoreUnavailable]


async def test_an_idle_service_follows_its_name(name: Name, second: EmbeddedValkey) -> None:
    """Without a call that could be refused, readiness notices the failover: the next save is stored."""
    async with run_service(name.url) as channel:
        stub = Stub(channel)
        await stub.SaveAttempt(new_request())
        health: Any = health_pb2_grpc.HealthStub(channel)  # its types lack its methods
        watched = health.Watch(health_pb2.HealthCheckRequest())
        reports = [(await watched.read()).status]
        await name.fail_over(second)

        async with asyncio.timeout(DEADLINE_SECONDS):
            reports += [(await watched.read()).status for _ in range(2)]

        assert not (await stub.SaveAttempt(new_request())).replayed
        watched.cancel()
    names = [health_pb2.HealthCheckResponse.ServingStatus.Name(status) for status in reports]
    assert names == ["SERVING", "NOT_SERVING", "SERVING"]
