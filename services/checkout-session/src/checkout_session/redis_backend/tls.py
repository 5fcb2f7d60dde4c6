"""Mutual TLS with Redis: a connection shows the certificate in force, and none outlives its certificate for long."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from redis.asyncio import ConnectionPool
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import SentinelManagedSSLConnection

from servicekit.certificates import Certificates

if TYPE_CHECKING:
    from ssl import SSLContext


class RenewedConnection(SSLConnection):
    """Asks to be made anew, the next time that it is free, once the certificates have changed."""

    def __init__(self, *, certificates: Certificates, **settings: Any) -> None:
        """Connect with the context of the moment. The settings are redis-py's."""
        super().__init__(**settings)
        self._certificates = certificates
        self._opened_with: SSLContext | None = None

    def should_reconnect(self) -> bool:
        """Whether the pool should close it; redis-py asks before or after each use."""
        outdated = self.is_connected and self._opened_with is not self._certificates.current().client_context
        return outdated or bool(super().should_reconnect())  # type: ignore[no-untyped-call]  # redis-py left it untyped

    def _connection_arguments(self) -> Mapping[str, Any]:
        self._opened_with = self._certificates.current().client_context
        return {**super(SSLConnection, self)._connection_arguments(), "ssl": self._opened_with}


class RenewedMasterConnection(SentinelManagedSSLConnection, RenewedConnection):
    """The same, to the master that the Sentinels name."""


def renew_in_pool(pool: ConnectionPool, certificates: Certificates | None) -> None:
    """Have a pool make its connections with these contexts, if there are any."""
    if certificates is not None:
        managed = issubclass(pool.connection_class, SentinelManagedSSLConnection)
        pool.connection_class = RenewedMasterConnection if managed else RenewedConnection
        pool.connection_kwargs["certificates"] = certificates


def renew_in_cluster(cluster: RedisCluster, certificates: Certificates | None) -> None:
    """Have the nodes of a cluster, those known now and those found later, make their connections with these."""
    if certificates is None:
        return
    manager = cluster.nodes_manager
    manager.connection_kwargs.update(connection_class=RenewedConnection, certificates=certificates)
    for node in manager.startup_nodes.values():
        node.connection_class = RenewedConnection
        node.connection_kwargs["certificates"] = certificates
