"""Slots move and primaries die under load: callers get UNAVAILABLE at worst.

No acknowledged change is lost, no deleted attempt returns, and closed attempts stay closed.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

import pytest
from redis.crc import key_slot

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.redis_backend.keys import SHARDS, keys_of
from devstack.embedded_cluster import EmbeddedCluster, SlotMove
from devstack.processes import wait_until

from ..harness import DEADLINE_SECONDS, DEFAULT_TIMEOUTS, Stub, get, new_request, outcome, run_service
from ..traffic import traffic_on

pytestmark = pytest.mark.long

SLOTS: Final = [key_slot(f"s{shard:02d}".encode()) for shard in range(SHARDS)]
"""The slot of each shard."""
MOVES: Final = 5
ANSWERS: Final = 30
FAILOVER_SECONDS: Final = 15.0
"""Longest time without an answer; the servers need two or three seconds, a busy machine more."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    """Run a cluster that syncs every change; each test leaves it sound."""
    with EmbeddedCluster.temporary(appendonly=True, options={"appendfsync": "always"}) as running:
        yield running


def slot_of(attempt_id: str) -> int:
    """Return the slot of an attempt's keys."""
    return key_slot(keys_of(attempt_id).due.encode())


def begin_move(cluster: EmbeddedCluster, slot: int) -> SlotMove:
    """Begin to move a slot to another primary."""
    primaries = cluster.primaries
    after = primaries.index(cluster.primary_of(slot)) + 1
    return cluster.begin_move(slot, primaries[after % len(primaries)])


def end_move(move: SlotMove) -> None:
    """Move the remaining keys, and the slot."""
    while move.move_keys(100):
        pass
    move.finish()


def count_errors(cluster: EmbeddedCluster, kind: str) -> int:
    """Return the number of errors of a kind that the nodes have answered with."""
    stats = [node.execute("INFO", "errorstats") for node in cluster.nodes if node.running]
    return sum(errors.get(f"errorstat_{kind}", {"count": 0})["count"] for errors in stats)


async def until_more_errors(cluster: EmbeddedCluster, kind: str, before: int) -> None:
    """Wait until a node has answered with a further error of a kind."""
    await asyncio.to_thread(
        wait_until,
        lambda: count_errors(cluster, kind) > before,
        f"a node answered {kind}",
        seconds=DEADLINE_SECONDS,
    )


async def test_slots_move_under_load(cluster: EmbeddedCluster) -> None:
    """Shard after shard moves while all are used; each stops half way until a call needs it."""
    async with run_service(cluster.url) as channel, traffic_on(channel) as traffic:
        for slot in SLOTS[:MOVES]:
            await traffic.until_answered(ANSWERS)
            move = await asyncio.to_thread(begin_move, cluster, slot)
            await asyncio.to_thread(move.move_keys, 2)
            await until_more_errors(cluster, "TRYAGAIN", count_errors(cluster, "TRYAGAIN"))

            await asyncio.to_thread(end_move, move)

    await asyncio.to_thread(cluster.wait_until_healthy)
    assert traffic.problems == []
    assert count_errors(cluster, "MOVED") > 0


async def test_a_slot_that_moved_is_followed_within_the_call(cluster: EmbeddedCluster) -> None:
    """The former owner names the new one, and the caller does not notice."""
    async with run_service(cluster.url) as channel:
        stub = Stub(channel)
        saved = (await stub.SaveAttempt(new_request())).attempt
        move = await asyncio.to_thread(begin_move, cluster, slot_of(saved.attempt_id))
        await asyncio.to_thread(end_move, move)

        found = await outcome(stub.GetAttempt(get(saved.attempt_id)))

    assert found == pb.GetAttemptResponse(attempt=saved)


async def test_a_slot_half_way_is_waited_for(cluster: EmbeddedCluster) -> None:
    """While a shard's keys are on two nodes neither can serve it; the call lasts as long, and succeeds."""
    async with run_service(cluster.url, store_timeout_seconds=DEADLINE_SECONDS) as channel:
        stub = Stub(channel)
        request = new_request()
        saved = (await stub.SaveAttempt(request)).attempt
        before = count_errors(cluster, "TRYAGAIN")
        move = await asyncio.to_thread(begin_move, cluster, slot_of(saved.attempt_id))
        await asyncio.to_thread(move.move_keys, 1)
        repeating = asyncio.ensure_future(outcome(stub.SaveAttempt(request)))
        await until_more_errors(cluster, "TRYAGAIN", before)

        await asyncio.to_thread(end_move, move)

        assert await repeating == pb.SaveAttemptResponse(attempt=saved, replayed=True)


async def test_a_killed_primary_is_replaced_under_load(cluster: EmbeddedCluster) -> None:
    """Its replica takes over, every shard is served again, and nothing that was on two disks is lost."""
    primary = cluster.primary_of(SLOTS[0])
    replica = cluster.replica_of(primary)
    async with (
        run_service(cluster.url, durability="fsync", durable_replicas=1, **DEFAULT_TIMEOUTS) as channel,
        traffic_on(channel) as traffic,
    ):
        await traffic.until_answered(ANSWERS)
        with cluster.automatic_failover(node_timeout_ms=1000):
            await asyncio.to_thread(primary.kill)
            await asyncio.to_thread(cluster.wait_until_promoted, replica)
        await asyncio.to_thread(primary.start)  # a change needs two disks again

        await traffic.until_answered(10 * ANSWERS)

    await asyncio.to_thread(cluster.wait_until_healthy)
    assert traffic.problems == []
    assert traffic.refusals > 0
    assert traffic.longest_outage < FAILOVER_SECONDS
