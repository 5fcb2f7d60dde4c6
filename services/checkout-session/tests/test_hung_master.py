"""One master of a cluster hangs: whoever needs it is refused in time, and nobody else notices."""

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
from checkout_session.domain.durability import IN_MEMORY, Durability, DurabilityLevel
from checkout_session.redis_backend.attempt_store import RedisAttempts, Retention
from checkout_session.redis_backend.keys import keys_of
from checkout_session.redis_backend.topology import Limits, open_masters
from devstack.embedded_cluster import ClusterNode, EmbeddedCluster, own_entry
from servicekit.encryption import Keyring

FSYNC: Final = Durability(DurabilityLevel.FSYNC)
BRIEF: Final = Limits(max_connections=8, redis_timeout_seconds=0.5, store_timeout_seconds=4)
NARROW: Final = Limits(max_connections=2, redis_timeout_seconds=1, store_timeout_seconds=10)
CROWD: Final = 60
"""Many more calls than connections."""
FAST_SECONDS: Final = 0.1
BUSY_MACHINE_SECONDS: Final = 5.0

Verb = Callable[[RedisAttempts, str], Awaitable[object]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    """Run a cluster that syncs every change and waits long before it finds that a master is gone."""
    with EmbeddedCluster.temporary(appendonly=True, options={"appendfsync": "always"}) as running:
        running.configure("cluster-node-timeout", "60000")
        yield running


@contextmanager
def hung(cluster: EmbeddedCluster) -> Iterator[ClusterNode]:
    """Let a master hang: its connections stay open, and nothing answers."""
    master = cluster.primaries[0]
    master.pause()
    try:
        yield master
    finally:
        master.resume()
        cluster.wait_until_healthy()


@asynccontextmanager
async def store_on(cluster: EmbeddedCluster, durability: Durability, limits: Limits) -> AsyncIterator[RedisAttempts]:
    """Give a store that knows the cluster."""
    masters = open_masters(cluster.url, durability, limits)
    try:
        await masters.inspect()
        yield RedisAttempts(
            masters, Retention(), keyring=Keyring.unencrypted(), timeout_seconds=limits.store_timeout_seconds
        )
    finally:
        await masters.aclose()


def new_id(slots: frozenset[int], *, among: bool) -> str:
    """Return the id of an attempt that belongs to one of these slots, or to none of them."""
    while True:
        attempt_id = str(uuid.uuid4())
        if (key_slot(keys_of(attempt_id).attempt.encode()) in slots) is among:
            return attempt_id


async def find(store: RedisAttempts, attempt_id: str) -> object:
    """Read."""
    return await store.find(attempt_id)


async def close(store: RedisAttempts, attempt_id: str) -> None:
    """Change."""
    await store.close(attempt_id, CloseReason.SUPERSEDED)


async def outcome(call: Awaitable[object]) -> tuple[object, float]:
    """Return how a call ended, and after how many seconds."""
    began = time.monotonic()
    [ended] = await asyncio.gather(call, return_exceptions=True)
    return type(ended), time.monotonic() - began


@pytest.mark.parametrize(
    ("verb", "durability", "answer"),
    [(find, IN_MEMORY, AttemptNotFound), (close, FSYNC, type(None))],
    ids=["find", "close"],
)
async def test_calls_for_other_masters_stay_fast(
    cluster: EmbeddedCluster, verb: Verb, durability: Durability, answer: type
) -> None:
    """However many calls wait for the one that hangs; these are refused within the store's timeout."""
    slots = own_entry(cluster.primaries[0]).slots
    async with store_on(cluster, durability, BRIEF) as store:
        with hung(cluster):
            crowd = [asyncio.create_task(outcome(verb(store, new_id(slots, among=True)))) for _ in range(CROWD)]
            others = []
            while not all(call.done() for call in crowd):
                others.append(await outcome(verb(store, new_id(slots, among=False))))
            refused = [await call for call in crowd]

    assert {ended for ended, _ in others} == {answer}
    assert statistics.median(took for _, took in others) < FAST_SECONDS
    assert {ended for ended, _ in refused} == {StoreUnavailable}
    assert max(took for _, took in refused) < BRIEF.store_timeout_seconds + BUSY_MACHINE_SECONDS


async def test_who_waits_for_a_hung_master_is_answered_by_its_successor(cluster: EmbeddedCluster) -> None:
    """A place at a master that has been replaced meanwhile is of no use: nobody who waited for one tries it."""
    slots = own_entry(cluster.primaries[0]).slots
    async with store_on(cluster, IN_MEMORY, NARROW) as store:
        successor = cluster.replica_of(cluster.primaries[0])
        with hung(cluster):
            crowd = [asyncio.create_task(outcome(find(store, new_id(slots, among=True)))) for _ in range(CROWD)]

            await asyncio.to_thread(successor.execute, "CLUSTER", "FAILOVER", "TAKEOVER")

            answered = [await call for call in crowd]

    assert {ended for ended, _ in answered} == {AttemptNotFound}
