"""A master is another one than a moment ago: what is asked next goes to the new one, idle or not."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from redis.crc import key_slot

from checkout_session.domain.attempts import Attempt, Intent, IntentKind
from checkout_session.domain.durability import IN_MEMORY
from checkout_session.redis_backend.attempt_store import RedisAttempts, Retention
from checkout_session.redis_backend.keys import SHARD_COUNT_KEY, keys_of
from checkout_session.redis_backend.primaries import Masters
from checkout_session.redis_backend.readiness import RedisReadiness
from checkout_session.redis_backend.topology import Limits, open_masters
from devstack.embedded_cluster import ClusterNode, EmbeddedCluster, cluster_nodes
from devstack.embedded_sentinels import EmbeddedSentinels
from devstack.ports import LOOPBACK
from devstack.processes import wait_until
from servicekit.encryption import Keyring

LIMITS: Final = Limits(max_connections=8, redis_timeout_seconds=5, store_timeout_seconds=10)
PATIENCE_SECONDS: Final = 60
AT_ONCE: Final = 5
AT_LEAST_TWICE: Final = 2


@pytest.fixture(scope="module")
def handed_over() -> Iterator[EmbeddedCluster]:
    """Run a cluster whose masters the tests change."""
    with EmbeddedCluster.temporary(options={"enable-debug-command": "yes"}) as running:
        yield running


@pytest.fixture
def attempt() -> Attempt:
    """Give an attempt that was never stored."""
    return Attempt(
        attempt_id=str(uuid.uuid4()),
        request_hash=b"h" * 32,
        intent=Intent("pi_first", IntentKind.PAYMENT),
        user_id="",
        content=b"",
        created_at=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
    )


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Masters]:
    """Give the masters at an address, known by their first check."""
    masters = open_masters(url, IN_MEMORY, LIMITS)
    try:
        await check(masters)
        yield masters
    finally:
        await masters.aclose()


async def check(masters: Masters) -> None:
    """Run a readiness check."""
    await RedisReadiness(masters, IN_MEMORY, timeout_seconds=LIMITS.store_timeout_seconds).check()


def store_on(masters: Masters) -> RedisAttempts:
    """Return a store."""
    return RedisAttempts(masters, Retention(), keyring=Keyring.unencrypted(), timeout_seconds=10)


async def test_a_deposed_master_is_left_at_the_next_check(attempt: Attempt) -> None:
    """It does not know yet, closes no connection and takes every change: what it took would be lost."""
    with EmbeddedSentinels.temporary() as sentinels:
        async with opened(sentinels.url) as masters:
            promoted = sentinels.fail_over()

            await check(masters)

            await store_on(masters).save(attempt)
            assert promoted.execute("EXISTS", keys_of(attempt.attempt_id).attempt) == 1


async def test_an_idle_service_stays_ready_when_a_master_hands_over(handed_over: EmbeddedCluster) -> None:
    """No refused call has told it, and still its next check finds the new master."""
    async with opened(handed_over.url) as masters:
        handed_over.fail_over(handed_over.primaries[0])

        await check(masters)
    handed_over.wait_until_healthy()


async def test_nodes_that_have_not_heard_who_took_over_are_asked_again(
    handed_over: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """News of a failover takes its time to every node, and a look at the topology asks any of them."""
    master, *others = handed_over.primaries
    last_to_hear = [handed_over.replica_of(other) for other in others]  # they have no vote, the failover needs them not
    ask_first(last_to_hear, monkeypatch)
    async with opened(handed_over.url) as masters:
        with deaf(last_to_hear):
            handed_over.fail_over(master)
            asked = times_asked(last_to_hear)
            checked = asyncio.create_task(check(masters))
            await asyncio.to_thread(
                wait_until,
                lambda: checked.done() or times_asked(last_to_hear) >= asked + AT_LEAST_TWICE,
                "they were asked again",
                seconds=PATIENCE_SECONDS,
            )
            assert not checked.done()

        await checked
    handed_over.wait_until_healthy()


async def test_a_slot_on_its_way_is_asked_for_at_a_node_that_owns_none_yet(
    handed_over: EmbeddedCluster, newcomer: ClusterNode
) -> None:
    """A node that has just joined is in no topology, and takes a command only right after ASKING."""
    slot = key_slot(SHARD_COUNT_KEY.encode())
    async with opened(handed_over.url) as masters:
        source = handed_over.primary_of(slot)
        handed_over.begin_move(slot, newcomer).move_keys(1)

        for _ in range(AT_ONCE):
            await check(masters)

        assert newcomer.execute("INFO", "commandstats")["cmdstat_asking"]["calls"] >= AT_ONCE
        for node in (source, newcomer):
            node.execute("CLUSTER", "SETSLOT", slot, "STABLE")


@pytest.fixture
def newcomer(handed_over: EmbeddedCluster, tmp_path: Path) -> Iterator[ClusterNode]:
    """Run a node that has joined the cluster and owns no slot."""
    fellow = handed_over.nodes[0]
    told = {"cluster-enabled": "yes", "masterauth": handed_over.password}
    with ClusterNode(tmp_path / "newcomer", appendonly=False, options=told, password=handed_over.password) as node:
        node.execute("CLUSTER", "MEET", LOOPBACK, fellow.port, fellow.bus_port)
        everybody = len(handed_over.nodes) + 1
        wait_until(
            lambda: all(met(each) == everybody and serves(each) for each in (node, *handed_over.nodes)),
            "the newcomer has met everybody, and all is well in its eyes",
            seconds=PATIENCE_SECONDS,
        )
        yield node


def ask_first(nodes: Sequence[ClusterNode], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a look at the topology, which asks nodes in any order until one answers, begin with these."""
    ports = {node.port for node in nodes}
    monkeypatch.setattr(random, "shuffle", lambda asked: asked.sort(key=lambda node: node.port not in ports))


@contextmanager
def deaf(nodes: Sequence[ClusterNode]) -> Iterator[None]:
    """Meanwhile, let these nodes hear nothing of their fellows."""
    for node in nodes:
        node.execute("DEBUG", "DROP-CLUSTER-PACKET-FILTER", -2)  # packets of every type
    try:
        yield
    finally:
        for node in nodes:
            node.execute("DEBUG", "DROP-CLUSTER-PACKET-FILTER", -1)


def times_asked(nodes: Sequence[ClusterNode]) -> int:
    """Return how often these nodes told the topology."""
    told = [node.execute("INFO", "commandstats").get("cmdstat_cluster|slots", {}) for node in nodes]
    return sum(each.get("calls", 0) for each in told)


def met(node: ClusterNode) -> int:
    """Return how many nodes one knows."""
    return sum("handshake" not in member.flags for member in cluster_nodes(node))


def serves(node: ClusterNode) -> bool:
    """Tell whether a node finds the cluster well."""
    return "cluster_state:ok" in node.execute("CLUSTER", "INFO")
