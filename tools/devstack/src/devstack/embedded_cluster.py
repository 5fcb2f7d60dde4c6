"""A real cluster of Valkey nodes on loopback: its slots can move, and its primaries hand over to their replicas."""

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import redis

from devstack.embedded_valkey import EmbeddedValkey
from devstack.ports import LOOPBACK, free_port
from devstack.processes import ProcessFailed, wait_until

SLOTS: Final = 16_384
HEALTHY_SECONDS: Final = 60.0
"""Limit for the nodes to agree. It takes a second or two on an idle machine."""
_MOVE_MS: Final = 10_000
_FAILOVER_SECONDS: Final = 6.0
"""A replica gives up a takeover after five seconds."""


class ClusterNode(EmbeddedValkey):
    """One node. Its cluster bus has a port of its own."""

    name = "valkey-node"
    _bus_port: int | None = None

    def _configuration(self, port: int) -> Path:
        if self._bus_port is None or self._port is None:  # later the other nodes know both ports
            self._bus_port = free_port()
        self._options["cluster-port"] = str(self._bus_port)
        return super()._configuration(port)

    @property
    def bus_port(self) -> int:
        """The port of its cluster bus. Raises ProcessFailed before the first start."""
        if self._bus_port is None:
            raise ProcessFailed(f"{self.name} is not started")
        return self._bus_port


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A line of CLUSTER NODES: a node's view of another or of itself."""

    id: str
    port: int
    flags: frozenset[str]
    primary_id: str
    epoch: int
    slots: frozenset[int]

    @property
    def is_primary(self) -> bool:
        """True for a primary that is not marked as failed."""
        return "master" in self.flags and not self.flags & {"fail", "fail?", "handshake", "noaddr"}


class EmbeddedCluster:
    """Primaries that share the slots evenly, each with one replica, all with one password.

    Outside `automatic_failover` replicas take over only by command. On a busy machine a failover would otherwise start
    by itself and lose what the replica had not received yet.
    """

    def __init__(
        self,
        folder: Path,
        *,
        primaries: int = 3,
        node_timeout_ms: int = 5000,
        appendonly: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.password = secrets.token_hex(16)
        self._node_timeout_ms = node_timeout_ms
        settings = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": str(node_timeout_ms),
            "cluster-replica-no-failover": "yes",
            "cluster-replica-validity-factor": "0",
            "cluster-allow-replica-migration": "no",
            "masterauth": self.password,
            # Without these, a primary waits for its replicas before a full sync and before it ends.
            "repl-diskless-sync-delay": "0",
            "shutdown-timeout": "0",
            **(options or {}),
        }
        self.nodes = [
            ClusterNode(folder / f"node-{number}", appendonly=appendonly, options=settings, password=self.password)
            for number in range(2 * primaries)
        ]
        """The initial primaries, then their replicas in the same order."""
        self._primaries = primaries

    @classmethod
    @contextmanager
    def temporary(cls, *, appendonly: bool = False, options: Mapping[str, str] | None = None) -> Iterator[Self]:
        """Run a new cluster in a temporary directory and delete it afterwards."""
        with (
            tempfile.TemporaryDirectory(prefix="holdfast-cluster-") as folder,
            cls(Path(folder), appendonly=appendonly, options=options) as cluster,
        ):
            yield cluster

    def __enter__(self) -> Self:
        """Start the nodes, form a cluster, and return when all of them serve."""
        with ExitStack() as on_failure:
            on_failure.callback(self.stop)
            _concurrently(ClusterNode.start, self.nodes)
            self._form()
            self.wait_until_healthy()
            on_failure.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop every node."""
        self.stop()

    def stop(self) -> None:
        """Stop every node that runs."""
        _concurrently(ClusterNode.stop, self.nodes)

    @property
    def url(self) -> str:
        """The URL with all nodes and the password."""
        hosts = ",".join(f"{LOOPBACK}:{node.port}" for node in self.nodes)
        return f"redis+cluster://:{self.password}@{hosts}"

    @property
    def primaries(self) -> list[ClusterNode]:
        """The nodes that own slots, in the order of `nodes`."""
        return [node for node in self._running() if (me := own_entry(node)).is_primary and me.slots]

    def primary_of(self, slot: int) -> ClusterNode:
        """Return the node that owns a slot."""
        return next(node for node in self.primaries if slot in own_entry(node).slots)

    def replica_of(self, primary: ClusterNode) -> ClusterNode:
        """Return the replica of a primary."""
        primary_id = own_entry(primary).id
        return next(node for node in self._running() if own_entry(node).primary_id == primary_id)

    def configure(self, name: str, value: str) -> None:
        """Change an option on every running node."""
        for node in self._running():
            node.execute("CONFIG", "SET", name, value)

    @contextmanager
    def automatic_failover(self, *, node_timeout_ms: int) -> Iterator[None]:
        """Let replicas take over during the block, after this timeout without their primary."""
        self.configure("cluster-node-timeout", str(node_timeout_ms))
        self.configure("cluster-replica-no-failover", "no")
        try:
            yield
        finally:
            self.configure("cluster-replica-no-failover", "yes")
            self.configure("cluster-node-timeout", str(self._node_timeout_ms))

    def begin_move(self, slot: int, target: ClusterNode) -> "SlotMove":
        """Begin to move a slot. Its keys are served at the source, and missing keys are looked up at the target."""
        source = self.primary_of(slot)
        move = SlotMove(slot, source, target, self)
        target.execute("CLUSTER", "SETSLOT", slot, "IMPORTING", own_entry(source).id)
        source.execute("CLUSTER", "SETSLOT", slot, "MIGRATING", own_entry(target).id)
        return move

    def fail_over(self, primary: ClusterNode) -> ClusterNode:
        """Fail over to a primary's replica without loss. Return the new primary."""
        replica = self.replica_of(primary)
        asked_at = -_FAILOVER_SECONDS

        def has_taken_over() -> bool:
            nonlocal asked_at
            if own_entry(replica).is_primary:
                return not own_entry(primary).is_primary
            if time.monotonic() - asked_at > _FAILOVER_SECONDS:  # on a busy machine the replica may have given up
                with suppress(redis.ResponseError):  # it may be primary since the last check
                    replica.execute("CLUSTER", "FAILOVER")
                asked_at = time.monotonic()
            return False

        wait_until(has_taken_over, "the replica takes over", seconds=HEALTHY_SECONDS)
        return replica

    def wait_until_promoted(self, replica: ClusterNode) -> None:
        """Wait until a replica has become primary by itself."""
        wait_until(lambda: own_entry(replica).is_primary, "the replica takes over", seconds=HEALTHY_SECONDS)

    def wait_until_healthy(self) -> None:
        """Wait until every running node serves, all agree on the owners of slots, and every replica is in sync."""
        wait_until(lambda: _is_healthy(self._running()), "the cluster is healthy", seconds=HEALTHY_SECONDS)

    def _running(self) -> list[ClusterNode]:
        return [node for node in self.nodes if node.running]

    def _form(self) -> None:
        primaries, replicas = self.nodes[: self._primaries], self.nodes[self._primaries :]
        for number, node in enumerate(self.nodes):
            node.execute("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            for fellow in self.nodes[:number]:
                node.execute("CLUSTER", "MEET", LOOPBACK, fellow.port, fellow.bus_port)
        for number, primary in enumerate(primaries):
            first, following = (SLOTS * edge // len(primaries) for edge in (number, number + 1))
            primary.execute("CLUSTER", "ADDSLOTSRANGE", first, following - 1)
        count = len(self.nodes)
        wait_until(
            lambda: all(_knows_all(node, count) for node in self.nodes),
            "the nodes know each other",
            seconds=HEALTHY_SECONDS,
        )
        for primary, replica in zip(primaries, replicas, strict=True):
            replica.execute("CLUSTER", "REPLICATE", own_entry(primary).id)


@dataclass(frozen=True, slots=True)
class SlotMove:
    """A slot move in progress, which a test may leave half done."""

    slot: int
    source: ClusterNode
    target: ClusterNode
    _cluster: EmbeddedCluster

    def move_keys(self, most: int) -> int:
        """Move at most this many of the slot's keys. Return the number of keys found."""
        keys = self.source.execute("CLUSTER", "GETKEYSINSLOT", self.slot, most)
        if keys:
            password = self._cluster.password
            self.source.execute("MIGRATE", LOOPBACK, self.target.port, "", 0, _MOVE_MS, "AUTH", password, "KEYS", *keys)
        return len(keys)

    def finish(self) -> None:
        """Assign the slot to the target. No key may be left at the source."""
        owner = own_entry(self.target).id
        # The target first. Otherwise both would refuse a key for a moment.
        others = [node for node in self._cluster.primaries if node not in (self.target, self.source)]
        for node in (self.target, self.source, *others):
            node.execute("CLUSTER", "SETSLOT", self.slot, "NODE", owner)


def cluster_nodes(node: ClusterNode) -> list[NodeEntry]:
    """Return the cluster as one node sees it (CLUSTER NODES)."""
    return [_member(line) for line in node.execute("CLUSTER", "NODES").splitlines() if line]


def own_entry(node: ClusterNode) -> NodeEntry:
    """Return a node's entry for itself."""
    return next(member for member in cluster_nodes(node) if "myself" in member.flags)


def _member(line: str) -> NodeEntry:
    id_, address, flags, primary_id, _ping, _pong, epoch, _link, *ranges = line.split()
    slots: set[int] = set()
    for text in ranges:
        if not text.startswith("["):  # brackets mark a slot that is being moved
            first, _, last = text.partition("-")
            slots.update(range(int(first), int(last or first) + 1))
    port = int(address.partition("@")[0].rpartition(":")[2])
    return NodeEntry(id_, port, frozenset(flags.split(",")), primary_id, int(epoch), frozenset(slots))


def _knows_all(node: ClusterNode, count: int) -> bool:
    members = cluster_nodes(node)
    return len(members) == count and not any("handshake" in member.flags for member in members)


def _is_healthy(nodes: Sequence[ClusterNode]) -> bool:
    try:
        views = {_owners(node) for node in nodes}
        return len(views) == 1 and all(_serves(node) for node in nodes)
    except redis.RedisError:
        return False


def _owners(node: ClusterNode) -> frozenset[tuple[str, frozenset[int]]]:
    """Return the owners of slots as a node sees them."""
    return frozenset((member.id, member.slots) for member in cluster_nodes(node) if member.slots)


def _serves(node: ClusterNode) -> bool:
    if "cluster_state:ok" not in node.execute("CLUSTER", "INFO"):
        return False
    replication = node.execute("INFO", "replication")
    return bool(replication["role"] == "master" or replication["master_link_status"] == "up")


def _concurrently(action: Callable[[ClusterNode], None], nodes: Sequence[ClusterNode]) -> None:
    with ThreadPoolExecutor(len(nodes)) as pool:
        for outcome in [pool.submit(action, node) for node in nodes]:
            outcome.result()
