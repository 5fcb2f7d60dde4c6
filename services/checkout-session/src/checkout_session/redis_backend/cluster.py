"""The masters of a Redis Cluster: each script goes to the owner of its slot, wherever that has moved (ADR 10).

redis-py knows the topology and keeps the connections. Its own dispatch is not used: it sends ASKING on one connection
and the command on another, and a confirmation must follow its script on the very connection that wrote.
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

from checkout_session.redis_backend.primaries import Master, confirmed
from checkout_session.redis_backend.scripts import Script
from checkout_session.redis_backend.write_confirmation import Confirmation, Confirmations

_SLOTS: Final = 16384
_FIRST_PAUSE_SECONDS: Final = 0.01
_LONGEST_PAUSE_SECONDS: Final = 0.2
_LOOK_AGAIN_SECONDS: Final = 0.1
"""How long a look at the topology is good for: a hundred calls that fail at once need one new look."""


class ClusterUnreachable(RedisConnectionError):
    """No node tells who owns a slot."""


class ClusterMasters:
    """Implements Masters for Redis Cluster."""

    def __init__(
        self, cluster: RedisCluster, confirmations: Confirmations, *, max_connections: int, patience_seconds: float
    ) -> None:
        """Use a cluster's client, and close it in the end.

        At most max_connections scripts run on a node at a time, the others wait. A script is repeated through
        elections and migrations of its slot for patience_seconds.
        """
        self._cluster = cluster
        self._confirmations = confirmations
        self._free: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(max_connections))
        self._patience_seconds = patience_seconds
        self._looked_at = -_LOOK_AGAIN_SECONDS

    async def run(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """See Masters.run."""
        errand = _Errand(script, keys, arguments)
        deadline = time.monotonic() + self._patience_seconds
        async for _ in _pauses():
            try:
                async with self._place_for(errand) as (node, confirmation):
                    return await errand.run_on(node, confirmation)
            except NoScriptError:
                errand.by_text = True
            except (AskError, ClusterDownError, TryAgainError, RedisConnectionError, RedisTimeoutError) as failure:
                if time.monotonic() > deadline:
                    raise
                errand.asked = await self._learn(failure)
        raise AssertionError("the pauses never end")

    async def inspect(self) -> Sequence[Master]:
        """See Masters.inspect. Raises ClusterUnreachable if a slot has no master."""
        await self._know()
        await self._follow()
        slots = self._cluster.nodes_manager.slots_cache
        if len(slots) < _SLOTS:
            raise ClusterUnreachable(f"{_SLOTS - len(slots)} slots have no master")
        return self._owners()

    async def connect_anew(self) -> None:
        """See Masters.connect_anew. Connections are renewed with each look at the topology."""
        await self._look()

    async def aclose(self) -> None:
        """See Masters.aclose."""
        await self._cluster.aclose()

    @asynccontextmanager
    async def _place_for(self, errand: "_Errand") -> AsyncIterator[tuple[ClusterNode, Confirmation | None]]:
        """Wait until the node that an errand goes to has a place for it; give the node, and what must confirm it.

        Each node has places of its own, so that one that hangs holds up nobody who needs another.
        """
        while True:
            node = await self._node_for(errand)
            async with (
                self._confirmations.of(changes=errand.script.changes, server=node.name) as confirmation,
                self._free[node.name],
            ):
                if await self._node_for(errand) is node:  # it may have been replaced while this errand waited
                    yield node, confirmation
                    return

    async def _node_for(self, errand: "_Errand") -> ClusterNode:
        return errand.asked or await self._owner(errand.keys[0])

    async def _follow(self) -> None:
        """Look until every slot has an owner that is a master. Without a call, no refusal tells of a failover.

        One look may not do: it may ask a node that has not heard yet who took over.
        """
        deadline = time.monotonic() + self._patience_seconds
        async for _ in _pauses():
            try:
                as_known = await self._as_known()
            except (RedisConnectionError, RedisTimeoutError):  # nobody took over yet, or everybody may know who did
                await self._look()
                return
            if as_known or time.monotonic() > deadline:
                return
            await self._look()

    async def _as_known(self) -> bool:
        if len(self._cluster.nodes_manager.slots_cache) < _SLOTS:
            return False
        roles = [(await node.execute_command("INFO", "replication")).get("role") for node in self._owners()]
        return set(roles) == {"master"}

    def _owners(self) -> list[ClusterNode]:
        slots = self._cluster.nodes_manager.slots_cache
        return list({nodes[0].name: nodes[0] for nodes in slots.values()}.values())

    async def _owner(self, key: str) -> ClusterNode:
        await self._know()
        nodes = self._cluster.nodes_manager.slots_cache.get(self._cluster.keyslot(key))
        if not nodes:
            raise ClusterUnreachable("a slot has no master")
        return nodes[0]

    async def _learn(self, failure: Exception) -> ClusterNode | None:
        """Take from a failure where the slot has moved; return the node that it is moving to, if it is on its way."""
        if isinstance(failure, MovedError):
            await self._cluster.nodes_manager.move_slot(failure)
        elif isinstance(failure, AskError):
            return self._node_at(failure.host, failure.port)
        elif not isinstance(failure, TryAgainError | BusyLoadingError):
            await self._look()
        return None

    def _node_at(self, host: str, port: int) -> ClusterNode:
        """Return a node that may be so new that the topology does not have it: it owns no slot yet."""
        manager = self._cluster.nodes_manager
        node = manager.get_node(host, port)
        if node is None:
            node = ClusterNode(host, port, PRIMARY, **manager.connection_kwargs)
            manager.set_nodes(manager.nodes_cache, {node.name: node})
        return node

    async def _know(self) -> None:
        """Learn the topology, unless it is known."""
        try:
            await self._cluster.initialize()
        except RedisClusterException as unknown:  # not a RedisError
            raise ClusterUnreachable("no node tells the topology") from unknown

    async def _look(self) -> None:
        """Learn the topology once more. If that fails, the old one stands until the next failure."""
        if time.monotonic() - self._looked_at < _LOOK_AGAIN_SECONDS:
            return
        self._looked_at = time.monotonic()
        with suppress(RedisClusterException, RedisConnectionError, RedisTimeoutError):
            await self._cluster.nodes_manager.initialize()


class _Errand:
    """A script on its way to the owner of its keys."""

    def __init__(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int],
    ) -> None:
        self.script = script
        self.keys = keys
        self._arguments = arguments
        self.by_text = False
        self.asked: ClusterNode | None = None
        """The node that the slot is on its way to. It takes a command only right after ASKING."""

    async def run_on(self, node: ClusterNode, confirmation: Confirmation | None) -> Any:
        """Send everything at once on one connection; return the script's answer once it is confirmed."""
        command = (self.script.by_text if self.by_text else self.script.by_digest)(self.keys, self._arguments)
        confirming = () if confirmation is None else confirmation.commands
        asking = () if self.asked is None else (("ASKING",),)
        sent = [PipelineCommand(at, *words) for at, words in enumerate((*asking, command, *confirming))]
        await node.execute_pipeline(sent)
        return confirmed(confirmation, [each.result for each in sent[len(asking) :]])


async def _pauses() -> AsyncIterator[None]:
    """Let two tries follow the first at once, for a redirection and an unknown script; then wait longer and longer."""
    for _ in range(3):
        yield
    pause = _FIRST_PAUSE_SECONDS
    while True:
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        yield
