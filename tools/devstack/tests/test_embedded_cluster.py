"""A real cluster: what it stores stays while slots move and masters change."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
import redis
from redis.crc import key_slot

from devstack.embedded_cluster import SLOTS, ClusterNode, EmbeddedCluster, own_entry

SHARD: Final = "{s07}"
SLOT: Final = key_slot(b"s07")


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    """Run one cluster for all of them, and see that nothing of it is left: each test leaves it sound."""
    with EmbeddedCluster.temporary() as running:
        yield running
    assert not any(node.running or node.data_dir.exists() for node in running.nodes)


@contextmanager
def client_of(cluster: EmbeddedCluster) -> Iterator[redis.RedisCluster]:
    """Connect as a client that follows redirections."""
    client = redis.RedisCluster(
        host="127.0.0.1", port=cluster.nodes[0].port, password=cluster.password, decode_responses=True
    )
    try:
        yield client
    finally:
        client.close()


def test_every_slot_has_a_master_and_every_master_a_replica(cluster: EmbeddedCluster) -> None:
    """Three of each, and the slots are shared out."""
    owned = [own_entry(master).slots for master in cluster.primaries]

    assert len(owned) == len({cluster.replica_of(master) for master in cluster.primaries}) == 3
    assert frozenset().union(*owned) == frozenset(range(SLOTS))


def test_its_address_names_every_node(cluster: EmbeddedCluster) -> None:
    """Whoever knows it finds the cluster while any node lives."""
    hosts = cluster.url.removeprefix(f"redis+cluster://:{cluster.password}@").split(",")

    assert hosts == [f"127.0.0.1:{node.port}" for node in cluster.nodes]


def test_a_slot_moves_with_its_keys(cluster: EmbeddedCluster) -> None:
    """Keys are found where their slot went."""
    with client_of(cluster) as client:
        client.mset({f"{SHARD}:{number}": number for number in range(250)})
        source = cluster.primary_of(SLOT)
        target = next(master for master in cluster.primaries if master is not source)

        cluster.move(SLOT, target)

        assert cluster.primary_of(SLOT) is target
        assert client.mget([f"{SHARD}:{number}" for number in range(250)]) == [str(number) for number in range(250)]
    cluster.wait_until_healthy()


def test_a_slot_can_stand_half_way(cluster: EmbeddedCluster) -> None:
    """Some keys are here, some there, and each node says where to ask; then the move goes on."""
    with client_of(cluster) as client:
        client.flushall()
        client.mset({f"{SHARD}:{number}": number for number in range(10)})
        source = cluster.primary_of(SLOT)
        target = next(master for master in cluster.primaries if master is not source)
        move = cluster.begin_move(SLOT, target)
        move.move_keys(5)

        answers = [_where(source, f"{SHARD}:{number}") for number in range(10)]

        while move.move_keys(5):
            pass
        move.finish()
    cluster.wait_until_healthy()
    assert sorted(set(answers)) == ["asks", "serves"]
    assert _where(source, f"{SHARD}:1") == "moved"


def _where(node: ClusterNode, key: str) -> str:
    try:
        node.execute("GET", key)
    except redis.exceptions.MovedError:  # to redis-py a kind of AskError
        return "moved"
    except redis.exceptions.AskError:
        return "asks"
    return "serves"


def test_a_master_hands_over_on_command_and_loses_nothing(cluster: EmbeddedCluster) -> None:
    """Its replica has everything before it takes over."""
    with client_of(cluster) as client:
        client.mset({f"{SHARD}:{number}": number for number in range(100)})
        master = cluster.primary_of(SLOT)

        successor = cluster.fail_over(master)

        assert cluster.primary_of(SLOT) is successor
        assert successor.execute("DBSIZE") >= 100
    cluster.wait_until_healthy()


def test_a_killed_master_is_replaced_only_where_that_is_wanted(cluster: EmbeddedCluster) -> None:
    """Without a word nobody takes over from a master that is slow; with it, its replica does, and it comes back."""
    master = cluster.primary_of(SLOT)
    replica = cluster.replica_of(master)
    before = replica.execute("CONFIG", "GET", "cluster-replica-no-failover")
    master.kill()

    with cluster.automatic_failover(node_timeout_ms=1000):
        cluster.wait_until_promoted(replica)

    cluster.wait_until_healthy()
    master.start()
    cluster.wait_until_healthy()
    assert before == {"cluster-replica-no-failover": "yes"}
    assert cluster.primary_of(SLOT) is replica
    assert cluster.replica_of(replica) is master
