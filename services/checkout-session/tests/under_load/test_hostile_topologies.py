"""Slots move, masters hand over and masters die, all of it under load: callers are told UNAVAILABLE at worst.

Of what was acknowledged nothing is lost, nothing that was deleted returns, and what was closed stays closed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Final

import grpc
import pytest
from redis.crc import key_slot

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceStub
from checkout_session.redis_backend.keys import SHARDS, keys_of
from devstack.embedded_cluster import EmbeddedCluster, SlotMove
from devstack.embedded_sentinels import EmbeddedSentinels
from devstack.ports import LOOPBACK
from devstack.processes import wait_until
from servicekit.errors import read_error

from .traffic import traffic_on

pytestmark = pytest.mark.long

RunService = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
MakeRequest = Callable[..., pb.SaveAttemptRequest]

ALWAYS: Final = {"appendfsync": "always"}
ON_TWO_DISKS: Final = {"durability": "fsync", "durable_replicas": 1}
SLOTS: Final = [key_slot(f"s{shard:02d}".encode()) for shard in range(SHARDS)]
"""The slot of each shard."""
PATIENCE_SECONDS: Final = 60
MOVES: Final = 5
ANSWERS_BETWEEN: Final = 30
TAKE_OVER_SECONDS: Final = 15.0
"""How long a call may go without an answer when a master dies; the servers need two or three, a busy machine more."""
HAND_OVER_SECONDS: Final = 8.0
"""The same when a master hands over by command; the servers need a few milliseconds."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    """Run a cluster that syncs every change; each test leaves it sound."""
    with EmbeddedCluster.temporary(appendonly=True, options=ALWAYS) as running:
        yield running


@pytest.fixture
def sentinels() -> Iterator[EmbeddedSentinels]:
    """Run a master and its replica that sync every change, and their sentinels."""
    with EmbeddedSentinels.temporary(appendonly=True, options=ALWAYS) as running:
        yield running


async def test_slots_move_under_load(
    run_service: RunService, cluster: EmbeddedCluster, new_request: MakeRequest
) -> None:
    """Shard after shard moves to another master while all are used; each stands half way until somebody needs it."""
    async with run_service(cluster.url) as channel, traffic_on(channel, new_request) as traffic:
        for slot in SLOTS[:MOVES]:
            await traffic.go_on(ANSWERS_BETWEEN)
            move = await asyncio.to_thread(begin_move, cluster, slot)
            await asyncio.to_thread(move.move_keys, 2)
            await told_more_often(cluster, "TRYAGAIN", errors_told(cluster, "TRYAGAIN"))

            await asyncio.to_thread(end_move, move)

    await asyncio.to_thread(cluster.wait_until_healthy)
    traffic.tell_figures()
    assert traffic.problems == []
    assert errors_told(cluster, "MOVED") > 0


async def told_more_often(cluster: EmbeddedCluster, kind: str, before: int) -> None:
    """Wait until the nodes have answered with an error of this kind once more."""
    await asyncio.to_thread(
        wait_until,
        lambda: errors_told(cluster, kind) > before,
        f"a node answered {kind}",
        seconds=PATIENCE_SECONDS,
    )


def errors_told(cluster: EmbeddedCluster, kind: str) -> int:
    """Return how often the nodes have answered with an error of this kind."""
    told = [node.execute("INFO", "errorstats") for node in cluster.nodes if node.running]
    return sum(errors.get(f"errorstat_{kind}", {"count": 0})["count"] for errors in told)


async def test_a_slot_that_moved_is_followed_within_the_call(
    run_service: RunService, cluster: EmbeddedCluster, new_request: MakeRequest
) -> None:
    """Who asks the former owner is told of the new one, and its caller hears nothing of it."""
    async with run_service(cluster.url) as channel:
        stub = CheckoutSessionServiceStub(channel)
        saved = (await stub.SaveAttempt(new_request())).attempt
        move = await asyncio.to_thread(begin_move, cluster, slot_of(saved.attempt_id))
        await asyncio.to_thread(end_move, move)

        found = await outcome(stub.GetAttempt(pb.GetAttemptRequest(attempt_id=saved.attempt_id)))

    assert found == pb.GetAttemptResponse(attempt=saved)


async def test_a_slot_half_way_is_waited_for(
    run_service: RunService, cluster: EmbeddedCluster, new_request: MakeRequest
) -> None:
    """While some keys of a shard are here and some there nobody can serve it; the call lasts as long, and succeeds."""
    async with run_service(cluster.url, store_timeout_seconds=PATIENCE_SECONDS) as channel:
        stub = CheckoutSessionServiceStub(channel)
        request = new_request()
        saved = (await stub.SaveAttempt(request)).attempt
        told_before = errors_told(cluster, "TRYAGAIN")
        move = await asyncio.to_thread(begin_move, cluster, slot_of(saved.attempt_id))
        await asyncio.to_thread(move.move_keys, 1)
        repeating = asyncio.ensure_future(outcome(stub.SaveAttempt(request)))
        await told_more_often(cluster, "TRYAGAIN", told_before)

        await asyncio.to_thread(end_move, move)

        assert await repeating == pb.SaveAttemptResponse(attempt=saved, replayed=True)


def slot_of(attempt_id: str) -> int:
    """Return the slot of an attempt's keys."""
    return key_slot(keys_of(attempt_id).due.encode())


async def outcome(call: Awaitable[object]) -> object:
    """Return what a call answered, or the error that it failed with."""
    try:
        return await call
    except grpc.aio.AioRpcError as failure:
        return read_error(failure)


def begin_move(cluster: EmbeddedCluster, slot: int) -> SlotMove:
    """Begin to move a slot to whichever master follows its own."""
    masters = cluster.primaries
    after = masters.index(cluster.primary_of(slot)) + 1
    return cluster.begin_move(slot, masters[after % len(masters)])


def end_move(move: SlotMove) -> None:
    """Move what is left of it."""
    while move.move_keys(100):
        pass
    move.finish()


async def test_every_master_hands_over_under_load(
    run_service: RunService, cluster: EmbeddedCluster, new_request: MakeRequest
) -> None:
    """By command a replica takes over with all that its master knew, and the service follows by itself."""
    masters = cluster.primaries
    async with run_service(cluster.url) as channel, traffic_on(channel, new_request) as traffic:
        for master in masters:
            await traffic.go_on(ANSWERS_BETWEEN)

            await asyncio.to_thread(cluster.fail_over, master)

            await traffic.go_on(ANSWERS_BETWEEN)

    await asyncio.to_thread(cluster.wait_until_healthy)
    traffic.tell_figures()
    assert traffic.problems == []
    assert traffic.longest_outage < HAND_OVER_SECONDS
    assert not set(masters) & set(cluster.primaries)


async def test_a_killed_master_is_replaced_under_load(
    run_service: RunService, cluster: EmbeddedCluster, new_request: MakeRequest
) -> None:
    """Its replica takes over, and the service follows by itself: every shard is served again, and none lost a thing.

    An attempt is acknowledged when it is on two disks; where one of them is gone, it has to come back for that.
    """
    master = cluster.primary_of(SLOTS[0])
    replica = cluster.replica_of(master)
    async with run_service(cluster.url, **ON_TWO_DISKS) as channel, traffic_on(channel, new_request) as traffic:
        await traffic.go_on(ANSWERS_BETWEEN)
        with cluster.automatic_failover(node_timeout_ms=1000):
            await asyncio.to_thread(master.kill)
            await asyncio.to_thread(cluster.wait_until_promoted, replica)
        await asyncio.to_thread(master.start)

        await traffic.go_on(10 * ANSWERS_BETWEEN)

    await asyncio.to_thread(cluster.wait_until_healthy)
    traffic.tell_figures()
    assert traffic.problems == []
    assert traffic.refusals > 0
    assert traffic.longest_outage < TAKE_OVER_SECONDS


async def test_a_killed_master_behind_sentinels_is_replaced_under_load(
    run_service: RunService, sentinels: EmbeddedSentinels, new_request: MakeRequest
) -> None:
    """The sentinels name its replica, and the service follows by itself; nothing on two disks is lost."""
    master, replica = sentinels.primary, sentinels.replica
    sentinels.automatic_failover(down_after_ms=500)
    async with run_service(sentinels.url, **ON_TWO_DISKS) as channel, traffic_on(channel, new_request) as traffic:
        await traffic.go_on(ANSWERS_BETWEEN)
        await asyncio.to_thread(master.kill)
        await asyncio.to_thread(sentinels.wait_until_promoted, replica)
        await asyncio.to_thread(master.start)
        # The sentinels would tell it too, after ten seconds.
        await asyncio.to_thread(master.execute, "REPLICAOF", LOOPBACK, replica.port)

        await traffic.go_on(10 * ANSWERS_BETWEEN)

    traffic.tell_figures()
    assert traffic.problems == []
    assert traffic.refusals > 0
    assert traffic.longest_outage < TAKE_OVER_SECONDS
