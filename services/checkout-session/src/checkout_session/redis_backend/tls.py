"""Mutual TLS with Redis: a connection shows the certificate in force, and is replaced soon after a renewal (ADR 13)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from redis.asyncio import ConnectionPool
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import SentinelManagedSSLConnection

from servicekit.certificates import Certificates

if TYPE_CHECKING:
    from ssl import SSLContext


class ReloadingConnection(SSLConnection):
    """Connection that asks to be replaced once the certificates have changed. The settings are redis-py's."""

    def __init__(self, *, certificates: Certificates, **settings: Any) -> None:
        super().__init__(**settings)
        self._certificates = certificates
        self._opened_with: SSLContext | None = None

    def should_reconnect(self) -> bool:
        """Return True if the pool should close it; redis-py asks before or after each use."""
        outdated = self.is_connected and self._opened_with is not self._certificates.current().client_context
        return outdated or bool(super().should_reconnect())  # type: ignore[no-untyped-call]  # redis-py left it untyped

    def _connection_arguments(self) -> Mapping[str, Any]:
        self._opened_with = self._certificates.current().client_context
        return {**super(SSLConnection, self)._connection_arguments(), "ssl": self._opened_with}


class ReloadingSentinelConnection(SentinelManagedSSLConnection, ReloadingConnection):
    """Reloading connection to the primary that the Sentinels name."""


def use_in_pool(pool: ConnectionPool, certificates: Certificates | None) -> None:
    """Let a pool open its connections with these certificates, if there are any."""
    if certificates is not None:
        by_sentinel = issubclass(pool.connection_class, SentinelManagedSSLConnection)
        pool.connection_class = ReloadingSentinelConnection if by_sentinel else ReloadingConnection
        pool.connection_kwargs["certificates"] = certificates


def use_in_cluster(cluster: RedisCluster, certificates: Certificates | None) -> None:
    """Let all nodes of a cluster, also those discovered later, open their connections with these certificates."""
    if certificates is None:
        return
    manager = cluster.nodes_manager
    manager.connection_kwargs.update(connection_class=ReloadingConnection, certificates=certificates)
    for node in manager.startup_nodes.values():
        node.connection_class = ReloadingConnection
        node.connection_kwargs["certificates"] = certificates
