"""Commands on a connection that was lost a moment ago.

redis-py takes an OSError for that, and connects anew. But asyncio may raise TypeError (seen on Python 3.13.5) and
uvloop RuntimeError from a write before that is known, and the caller would get INTERNAL.
"""

from collections.abc import Iterable
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import AbstractConnection


class _NoWriteWhenLost(AbstractConnection):
    """Mixin of connections."""

    async def _send_packed_command(self, command: Iterable[bytes]) -> None:
        if self._writer is not None and self._writer.transport.is_closing():
            raise ConnectionResetError("the connection was lost")
        await super()._send_packed_command(command)


def notice_in_pool(pool: ConnectionPool) -> None:
    """Let connections that a pool opens raise ConnectionResetError."""
    pool.connection_class = _noticing(pool.connection_class)


def notice_in_cluster(cluster: RedisCluster) -> None:
    """Let connections to all nodes of a cluster, also those discovered later, raise ConnectionResetError."""
    options = cluster.nodes_manager.connection_kwargs
    options["connection_class"] = _noticing(options["connection_class"])
    for node in cluster.nodes_manager.startup_nodes.values():
        node.connection_class = _noticing(node.connection_class)


def _noticing(connection: type[Any]) -> type[Any]:
    return type(connection.__name__, (_NoWriteWhenLost, connection), {})
