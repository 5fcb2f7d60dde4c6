"""One primary of the cluster hangs: calls that need it are refused in time, and no other call notices."""

import asyncio
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import pytest
from redis.crc import key_slot

from checkout_session.domain.attempts import AttemptNotFound, CloseReason, StoreUnavailable
from checkout_session.domain.durability import IN_MEMORY, DurabilityLevel, DurabilityPolicy
from checkout_session.redis_backend.attempt_store import RedisAttemptStore
from checkout_session.redis_backend.connection import Limits
from checkout_session.redis_backend.keys import keys_of
from devstack.embedded_cluster import EmbeddedCluster, own_entry

from ..harness import opened, store_on

FSYNC: Final = DurabilityPolicy(DurabilityLevel.FSYNC)
BRIEF: Final = Limits(max_connections=8, redis_timeout_seconds=0.5, store_timeout_seconds=4)
NARROW: Final = Limits(max_connections=2, redis_timeout_seconds=1, store_timeout_seconds=10)
CALLS: Final = 60
"""Many more than connections."""
FAST_SECONDS: Final = 0.1
BUSY_MACHINE_SECONDS: Final = 5.0

Method = Callable[[RedisAttemptStore, str], Awaitable[object]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    """Run a cluster that syncs every change and is slow to notice that a primary is gone."""
    with EmbeddedCluster.temporary(appendonly=True, options={"appendfsync": "always"}) as running:
        running.configure("cluster-node-timeout", "60000")
        yield running


@contextmanager
def hung_primary(cluster: EmbeddedCluster) -> Iterator[None]:
    """Let a primary hang: its connections stay open, and it answers nothing."""
    primary = cluster.primaries[0]
    primary.pause()
    try:
        yield
    finally:
        primary.resume()
        cluster.wait_until_healthy()


@asynccontextmanager
async def store_at(
    cluster: EmbeddedCluster, policy: DurabilityPolicy, limits: Limits
) -> AsyncIterator[RedisAttemptStore]:
    """Return a store that has the topology."""
    async with opened(cluster.url, policy, limits) as primaries:
        await primaries.primaries()
        yield store_on(primaries, timeout_seconds=limits.store_timeout_seconds)


def new_id(slots: frozenset[int], *, among: bool) -> str:
    """Return an attempt id that belongs to one of these slots, or to none of them."""
    while True:
        attempt_id = str(uuid.uuid4())
        if (key_slot(keys_of(attempt_id).attempt.encode()) in slots) is among:
            return attempt_id


async def find(store: RedisAttemptStore, attempt_id: str) -> object:
    """Read."""
    return await store.find(attempt_id)


async def close(store: RedisAttemptStore, attempt_id: str) -> None:
    """Write."""
    await store.close(attempt_id, CloseReason.SUPERSEDED)


async def timed(call: Awaitable[object]) -> tuple[type, float]:
    """Return the type of a call's outcome, and its duration in seconds."""
    started = time.monotonic()
    [ended] = await asyncio.gather(call, return_exceptions=True)
    return type(ended), time.monotonic() - started


@pytest.mark.parametrize(
    ("method", "policy", "answer"),
    [(find, IN_MEMORY, AttemptNotFound), (close, FSYNC, type(None))],
    ids=["find", "close"],
)
async def test_calls_for_other_primaries_stay_fast(
    cluster: EmbeddedCluster, method: Method, policy: DurabilityPolicy, answer: type
) -> None:
    """However many calls wait for the one that hangs; those are refused within the store's timeout."""
    slots = own_entry(cluster.primaries[0]).slots
    async with store_at(cluster, policy, BRIEF) as store:
        with hung_primary(cluster):
            waiting = [asyncio.create_task(timed(method(store, new_id(slots, among=True)))) for _ in range(CALLS)]
            others = []
            while not all(call.done() for call in waiting):
                others.append(await timed(method(store, new_id(slots, among=False))))
            refused = [await call for call in waiting]

    assert {ended for ended, _ in others} == {answer}
    assert statistics.median(took for _, took in others) < FAST_SECONDS
    assert {ended for ended, _ in refused} == {StoreUnavailable}
    assert max(took for _, took in refused) < BRIEF.store_timeout_seconds + BUSY_MACHINE_SECONDS


async def test_calls_that_wait_for_a_hung_primary_are_answered_by_its_successor(cluster: EmbeddedCluster) -> None:
    """A slot at a primary that was replaced meanwhile is useless: no call that waited for one uses it."""
    slots = own_entry(cluster.primaries[0]).slots
    async with store_at(cluster, IN_MEMORY, NARROW) as store:
        successor = cluster.replica_of(cluster.primaries[0])
        with hung_primary(cluster):
            waiting = [asyncio.create_task(timed(find(store, new_id(slots, among=True)))) for _ in range(CALLS)]

            await asyncio.to_thread(successor.execute, "CLUSTER", "FAILOVER", "TAKEOVER")

            answered = [await call for call in waiting]

    assert {ended for ended, _ in answered} == {AttemptNotFound}
