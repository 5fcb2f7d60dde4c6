"""Slots move, masters hand over and masters die, all of it under load: callers are told UNAVAILABLE at worst.

Of what was acknowledged nothing is lost, nothing that was deleted returns, and what was closed stays closed.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Final

import grpc
import pytest
from redis.crc import key_slot

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.shards import SHARDS
from devstack.embedded_cluster import EmbeddedCluster, SlotMove
from devstack.embedded_sentinels import EmbeddedSentinels
from devstack.ports import LOOPBACK
from devstack.simulated_disk import SimulatedDisk

from .traffic import traffic_on

RunService = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
MakeRequest = Callable[..., pb.SaveAttemptRequest]

ALWAYS: Final = {"appendfsync": "always"}
ON_TWO_DISKS: Final = {"durability": "fsync", "durable_replicas": 1}
SLOTS: Final = [key_slot(f"s{shard:02d}".encode()) for shard in range(SHARDS)]
"""The slot of each shard."""
MOVES: Final = 24
ANSWERS_BETWEEN: Final = 30
TAKE_OVER_SECONDS: Final = 15.0
"""How long a call may go without an answer when a master dies; the servers need two or three, a busy machine more."""
HAND_OVER_SECONDS: Final = 8.0
"""The same when a master hands over by command; the servers need a few milliseconds."""


@pytest.fixture(scope="module")
def disk() -> Iterator[SimulatedDisk]:
    """Give one disk to all servers: a sync costs nothing, and is waited for."""
    with SimulatedDisk() as running:
        yield running


@pytest.fixture(scope="module")
def cluster(disk: SimulatedDisk) -> Iterator[EmbeddedCluster]:
    """Run a cluster on that disk; each test leaves it sound."""
    with EmbeddedCluster.temporary(appendonly=True, options=ALWAYS, disk=disk) as running:
        yield running


@pytest.fixture
def sentinels(disk: SimulatedDisk) -> Iterator[EmbeddedSentinels]:
    """Run a master and its replica on that disk, and their sentinels."""
    with EmbeddedSentinels.temporary(appendonly=True, options=ALWAYS, disk=disk) as running:
        yield running


async def test_slots_move_under_load(
    run_service: RunService, cluster: EmbeddedCluster, new_request: MakeRequest
) -> None:
    """Shard after shard moves to another master while all are used; each move stands half way for a while."""
    async with run_service(cluster.url) as channel, traffic_on(channel, new_request) as traffic:
        for slot in SLOTS[:MOVES]:
            await traffic.go_on(ANSWERS_BETWEEN)
            move = await asyncio.to_thread(begin_move, cluster, slot)
            await asyncio.to_thread(move.move_keys, 2)
            await traffic.go_on(ANSWERS_BETWEEN)

            await asyncio.to_thread(end_move, move)

    await asyncio.to_thread(cluster.wait_until_sound)
    assert traffic.problems == []


def begin_move(cluster: EmbeddedCluster, slot: int) -> SlotMove:
    """Begin to move a slot to whichever master follows its own."""
    masters = cluster.masters
    after = masters.index(cluster.master_of(slot)) + 1
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
    masters = cluster.masters
    async with run_service(cluster.url) as channel, traffic_on(channel, new_request) as traffic:
        for master in masters:
            await traffic.go_on(ANSWERS_BETWEEN)

            await asyncio.to_thread(cluster.fail_over, master)

            await traffic.go_on(ANSWERS_BETWEEN)

    await asyncio.to_thread(cluster.wait_until_sound)
    print(f"longest outage {traffic.longest_outage:.2f} s, {traffic.refusals} refusals")
    assert traffic.problems == []
    assert traffic.longest_outage < HAND_OVER_SECONDS
    assert not set(masters) & set(cluster.masters)


async def test_a_killed_master_is_replaced_under_load(
    run_service: RunService, cluster: EmbeddedCluster, new_request: MakeRequest
) -> None:
    """Its replica takes over, and the service follows by itself: every shard is served again, and none lost a thing.

    An attempt is acknowledged when it is on two disks; where one of them is gone, it has to come back for that.
    """
    master = cluster.master_of(SLOTS[0])
    replica = cluster.replica_of(master)
    async with run_service(cluster.url, **ON_TWO_DISKS) as channel, traffic_on(channel, new_request) as traffic:
        await traffic.go_on(ANSWERS_BETWEEN)
        with cluster.automatic_failover(node_timeout_ms=1000):
            await asyncio.to_thread(master.kill)
            await asyncio.to_thread(cluster.wait_until_taken_over, replica)
        await asyncio.to_thread(master.start)

        await traffic.go_on(10 * ANSWERS_BETWEEN)

    await asyncio.to_thread(cluster.wait_until_sound)
    print(f"longest outage {traffic.longest_outage:.2f} s, {traffic.refusals} refusals")
    assert traffic.problems == []
    assert traffic.refusals > 0
    assert traffic.longest_outage < TAKE_OVER_SECONDS


async def test_a_killed_master_behind_sentinels_is_replaced_under_load(
    run_service: RunService, sentinels: EmbeddedSentinels, new_request: MakeRequest
) -> None:
    """The sentinels name its replica, and the service follows by itself; nothing on two disks is lost."""
    master, replica = sentinels.master, sentinels.replica
    sentinels.automatic_failover(down_after_ms=500)
    async with run_service(sentinels.url, **ON_TWO_DISKS) as channel, traffic_on(channel, new_request) as traffic:
        await traffic.go_on(ANSWERS_BETWEEN)
        await asyncio.to_thread(master.kill)
        await asyncio.to_thread(sentinels.wait_until_taken_over, replica)
        await asyncio.to_thread(master.start)
        # The sentinels would tell it too, after ten seconds.
        await asyncio.to_thread(master.ask, "REPLICAOF", LOOPBACK, replica.port)

        await traffic.go_on(10 * ANSWERS_BETWEEN)

    print(f"longest outage {traffic.longest_outage:.2f} s, {traffic.refusals} refusals")
    assert traffic.problems == []
    assert traffic.refusals > 0
    assert traffic.longest_outage < TAKE_OVER_SECONDS
