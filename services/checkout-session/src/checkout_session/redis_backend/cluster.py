"""Primaries of a Redis Cluster: each script goes to the owner of its slot, also while the slot moves (ADR 10).

redis-py keeps the topology and the connections. Its own dispatch is not used: it sends ASKING on one connection and the
command on another, and a confirmation must follow its script on the connection that wrote.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from redis.asyncio.cluster import ClusterNode, PipelineCommand, RedisCluster
from redis.cluster import PRIMARY
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    RedisClusterException,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from checkout_session.redis_backend.connection import Limits
from checkout_session.redis_backend.lost_connections import notice_in_cluster
from checkout_session.redis_backend.primaries import Primary, confirmed
from checkout_session.redis_backend.scripts import Script
from checkout_session.redis_backend.tls import use_in_cluster
from checkout_session.redis_backend.url import RedisAddress
from checkout_session.redis_backend.write_confirmation import Confirmation, Confirmations
from servicekit.certificates import Certificates

_SLOTS: Final = 16384
_FIRST_PAUSE_SECONDS: Final = 0.01
_MAX_PAUSE_SECONDS: Final = 0.2
_REFRESH_INTERVAL_SECONDS: Final = 0.1
"""Shortest interval between two refreshes of the topology: a hundred calls that fail at once need one."""


class ClusterUnreachable(RedisConnectionError):
    """No node names the owner of a slot."""


def connect_cluster(address: RedisAddress, limits: Limits, certificates: Certificates | None = None) -> RedisCluster:
    """Return a client of a cluster, for ClusterPrimaries. It connects when it is first used."""
    cluster = RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
        # Nodes that come back under other addresses are found by the configured names.
        dynamic_startup_nodes=False,
        require_full_coverage=False,  # a slot without primary fails by itself, and fails readiness
        max_connections=2 * limits.max_connections,  # connections that are being closed count as well
        username=address.username,
        password=address.password,
        ssl=address.tls,
        **limits.connection_options,
    )
    use_in_cluster(cluster, certificates)
    notice_in_cluster(cluster)
    return cluster


class ClusterPrimaries:
    """Implements Primaries for Redis Cluster; closes the client in `aclose`.

    At most `limits.max_connections` scripts run on a node at a time, the others wait. A script is retried through
    failovers and migrations of its slot.
    """

    def __init__(self, cluster: RedisCluster, confirmations: Confirmations, limits: Limits) -> None:
        self._cluster = cluster
        self._confirmations = confirmations
        self._connection_slots: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(limits.max_connections)
        )
        self._retry_seconds = limits.retry_seconds
        self._refreshed_at = -_REFRESH_INTERVAL_SECONDS

    async def run(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """See Primaries.run."""
        call = ScriptCall(script, keys, arguments)
        deadline = time.monotonic() + self._retry_seconds
        async for _ in _backoff():
            try:
                async with self._acquire_slot(call) as (node, confirmation):
                    return await call.send(node, confirmation)
            except NoScriptError:
                call.send_text = True
            except (AskError, ClusterDownError, TryAgainError, RedisConnectionError, RedisTimeoutError) as failure:
                if time.monotonic() > deadline:
                    raise
                call.importing_node = await self._learn_from(failure)
        raise AssertionError("the backoff never ends")

    async def primaries(self) -> Sequence[Primary]:
        """See Primaries.primaries. Raises ClusterUnreachable if a slot has no primary."""
        await self._initialize()
        await self._await_primaries()
        missing = _SLOTS - len(self._slots)
        if missing:
            raise ClusterUnreachable(f"{missing} slots have no primary")
        return self._owners()

    async def reconnect(self) -> None:
        """See Primaries.reconnect. A refresh of the topology replaces the connections."""
        await self._refresh()

    async def aclose(self) -> None:
        """See Primaries.aclose."""
        await self._cluster.aclose()

    @property
    def _slots(self) -> dict[int, list[ClusterNode]]:
        """The nodes of each slot, its primary first."""
        return self._cluster.nodes_manager.slots_cache

    @asynccontextmanager
    async def _acquire_slot(self, call: "ScriptCall") -> AsyncIterator[tuple[ClusterNode, Confirmation | None]]:
        """Wait for a write slot and a connection slot of the call's node; yield the node and the confirmation.

        Each node has its own slots, so a node that hangs delays no call to another one.
        """
        while True:
            node = await self._node_for(call)
            async with (
                self._confirmations.acquire_slot(writes=call.script.writes, server=node.name) as confirmation,
                self._connection_slots[node.name],
            ):
                if await self._node_for(call) is node:  # it may have been replaced while this call waited
                    yield node, confirmation
                    return

    async def _node_for(self, call: "ScriptCall") -> ClusterNode:
        return call.importing_node or await self._owner(call.keys[0])

    async def _owner(self, key: str) -> ClusterNode:
        await self._initialize()
        nodes = self._slots.get(self._cluster.keyslot(key))
        if not nodes:
            raise ClusterUnreachable("a slot has no primary")
        return nodes[0]

    def _owners(self) -> list[ClusterNode]:
        return list({nodes[0].name: nodes[0] for nodes in self._slots.values()}.values())

    async def _await_primaries(self) -> None:
        """Refresh the topology until the owner of every slot is a primary: an idle service hears of no failover.

        One refresh may not be enough: it may ask a node that does not know the new primary yet.
        """
        deadline = time.monotonic() + self._retry_seconds
        async for _ in _backoff():
            try:
                current = await self._is_current()
            except (RedisConnectionError, RedisTimeoutError):  # no failover yet, or one that every node knows
                await self._refresh()
                return
            if current or time.monotonic() > deadline:
                return
            await self._refresh()

    async def _is_current(self) -> bool:
        if len(self._slots) < _SLOTS:
            return False
        roles = [(await node.execute_command("INFO", "replication")).get("role") for node in self._owners()]
        return set(roles) == {"master"}

    async def _learn_from(self, failure: Exception) -> ClusterNode | None:
        """Update the topology after a failure; return the node that imports the slot, if the slot is moving."""
        if isinstance(failure, MovedError):
            await self._cluster.nodes_manager.move_slot(failure)
        elif isinstance(failure, AskError):
            return self._node_at(failure.host, failure.port)
        elif not isinstance(failure, TryAgainError | BusyLoadingError):
            await self._refresh()
        return None

    def _node_at(self, host: str, port: int) -> ClusterNode:
        """Return a node that the topology may not contain yet, because it owns no slot."""
        manager = self._cluster.nodes_manager
        node = manager.get_node(host, port)
        if node is None:
            node = ClusterNode(host, port, PRIMARY, **manager.connection_kwargs)
            manager.set_nodes(manager.nodes_cache, {node.name: node})
        return node

    async def _initialize(self) -> None:
        """Load the topology, unless it is loaded."""
        try:
            await self._cluster.initialize()
        except RedisClusterException as unknown:  # not a RedisError
            raise ClusterUnreachable("no node returns the topology") from unknown

    async def _refresh(self) -> None:
        """Load the topology again. If that fails, the old one is used until the next failure."""
        if time.monotonic() - self._refreshed_at < _REFRESH_INTERVAL_SECONDS:
            return
        self._refreshed_at = time.monotonic()
        with suppress(RedisClusterException, RedisConnectionError, RedisTimeoutError):
            await self._cluster.nodes_manager.initialize()


class ScriptCall:
    """One call of a script, over all its retries."""

    def __init__(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> None:
        self.script = script
        self.keys = keys
        self._arguments = arguments
        self.send_text = False
        """True once a node did not have the script in its cache."""
        self.importing_node: ClusterNode | None = None
        """The node that imports the slot. It accepts a command only right after ASKING."""

    async def send(self, node: ClusterNode, confirmation: Confirmation | None) -> Any:
        """Pipeline everything on one connection; return the script's result once it is confirmed."""
        command = (self.script.eval if self.send_text else self.script.evalsha)(self.keys, self._arguments)
        confirming = () if confirmation is None else confirmation.commands
        asking = () if self.importing_node is None else (("ASKING",),)
        pipeline = [PipelineCommand(at, *words) for at, words in enumerate((*asking, command, *confirming))]
        await node.execute_pipeline(pipeline)
        return confirmed(confirmation, [each.result for each in pipeline[len(asking) :]])


async def _backoff() -> AsyncIterator[None]:
    """Yield three times at once, for a redirection and an uncached script; then after growing pauses."""
    for _ in range(3):
        yield
    pause = _FIRST_PAUSE_SECONDS
    while True:
        await asyncio.sleep(pause)
        pause = min(2 * pause, _MAX_PAUSE_SECONDS)
        yield
