"""A primary of the cluster is replaced: the next check and the next call reach its successor."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import pytest
from redis.crc import key_slot

from checkout_session.domain.durability import IN_MEMORY
from checkout_session.redis_backend.keys import SHARD_COUNT_KEY
from checkout_session.redis_backend.readiness import RedisReadiness
from devstack.embedded_cluster import ClusterNode, EmbeddedCluster, cluster_nodes
from devstack.ports import LOOPBACK
from devstack.processes import wait_until

from ..harness import DEADLINE_SECONDS, GENEROUS, opened

CHECKS: Final = 5


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    """Run a cluster whose primaries the tests replace."""
    with EmbeddedCluster.temporary(options={"enable-debug-command": "yes"}) as running:
        yield running


@asynccontextmanager
async def checked(url: str) -> AsyncIterator[RedisReadiness]:
    """Open a cluster, and check it once."""
    async with opened(url) as primaries:
        readiness = RedisReadiness(primaries, IN_MEMORY, timeout_seconds=GENEROUS.store_timeout_seconds)
        await readiness.check()
        yield readiness


async def test_an_idle_service_stays_ready_through_a_failover(cluster: EmbeddedCluster) -> None:
    """No call was refused, and still the next check finds the new primary."""
    async with checked(cluster.url) as readiness:
        cluster.fail_over(cluster.primaries[0])

        await readiness.check()
    cluster.wait_until_healthy()


async def test_nodes_that_do_not_know_the_new_primary_are_asked_again(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failover takes its time to reach every node, and a refresh of the topology asks any of them."""
    primary, *others = cluster.primaries
    uninformed = [cluster.replica_of(other) for other in others]  # they have no vote in the failover
    ask_first(uninformed, monkeypatch)
    async with checked(cluster.url) as readiness:
        with isolated(uninformed):
            cluster.fail_over(primary)
            before = count_questions(uninformed)
            checking = asyncio.create_task(readiness.check())
            await asyncio.to_thread(
                wait_until,
                lambda: checking.done() or count_questions(uninformed) >= before + 2,
                "they were asked again",
                seconds=DEADLINE_SECONDS,
            )
            assert not checking.done()

        await checking
    cluster.wait_until_healthy()


async def test_a_moving_slot_is_asked_for_at_a_node_that_owns_none_yet(
    cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    """A node that has just joined is in no topology, and accepts a command only right after ASKING."""
    slot = key_slot(SHARD_COUNT_KEY.encode())
    with joined(cluster, tmp_path / "new") as node:
        async with checked(cluster.url) as readiness:
            source = cluster.primary_of(slot)
            cluster.begin_move(slot, node).move_keys(1)

            for _ in range(CHECKS):
                await readiness.check()

            assert node.execute("INFO", "commandstats")["cmdstat_asking"]["calls"] >= CHECKS
            for each in (source, node):
                each.execute("CLUSTER", "SETSLOT", slot, "STABLE")


@contextmanager
def joined(cluster: EmbeddedCluster, folder: Path) -> Iterator[ClusterNode]:
    """Run a node that has joined the cluster and owns no slot."""
    member = cluster.nodes[0]
    options = {"cluster-enabled": "yes", "masterauth": cluster.password}
    with ClusterNode(folder, appendonly=False, options=options, password=cluster.password) as node:
        node.execute("CLUSTER", "MEET", LOOPBACK, member.port, member.bus_port)
        everybody = (node, *cluster.nodes)
        wait_until(
            lambda: all(knows_all(each, len(everybody)) for each in everybody),
            "every node knows every other",
            seconds=DEADLINE_SECONDS,
        )
        yield node


def knows_all(node: ClusterNode, count: int) -> bool:
    """Return True for a node that knows `count` nodes and finds the cluster healthy."""
    met = sum("handshake" not in member.flags for member in cluster_nodes(node))
    return met == count and "cluster_state:ok" in node.execute("CLUSTER", "INFO")


def ask_first(nodes: Sequence[ClusterNode], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a refresh of the topology, which asks nodes in a random order, begin with these."""
    ports = {node.port for node in nodes}
    monkeypatch.setattr(random, "shuffle", lambda order: order.sort(key=lambda node: node.port not in ports))


@contextmanager
def isolated(nodes: Sequence[ClusterNode]) -> Iterator[None]:
    """Let these nodes drop the packets of all others."""
    for node in nodes:
        node.execute("DEBUG", "DROP-CLUSTER-PACKET-FILTER", -2)  # packets of every type
    try:
        yield
    finally:
        for node in nodes:
            node.execute("DEBUG", "DROP-CLUSTER-PACKET-FILTER", -1)


def count_questions(nodes: Sequence[ClusterNode]) -> int:
    """Return how often these nodes were asked for the topology."""
    stats = [node.execute("INFO", "commandstats").get("cmdstat_cluster|slots", {}) for node in nodes]
    return sum(each.get("calls", 0) for each in stats)
