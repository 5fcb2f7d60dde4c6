"""Clients of Redis: bounded, reconnecting by themselves, for one server, a cluster, or a master behind Sentinels."""

import copy
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import ExponentialBackoff, NoBackoff

from checkout_session.redis_backend.tls import renew_in_cluster, renew_in_pool
from checkout_session.redis_backend.url import RedisAddress
from servicekit.certificates import Certificates

_CLIENT_NAME: Final = "checkout-session"
_PROTOCOL: Final = 2
"""RESP3 only adds push messages, which nothing here listens to."""


def connect(
    url: str, *, max_connections: int, timeout_seconds: float, certificates: Certificates | None = None
) -> Redis:
    """Return a client with a bounded pool that reconnects by itself. It connects when it is first used.

    A command is sent again up to twice when its connection fails: every script may be repeated.
    """
    pool = BlockingConnectionPool.from_url(
        url, max_connections=max_connections, timeout=timeout_seconds, **_patience(timeout_seconds)
    )
    renew_in_pool(pool, certificates)
    return Redis.from_pool(pool)


def connect_cluster(
    address: RedisAddress, *, max_connections: int, timeout_seconds: float, certificates: Certificates | None = None
) -> RedisCluster:
    """Return a client of a cluster, to be used through ClusterMasters. It connects when it is first used."""
    cluster = RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
        # Nodes that came back under other addresses are found by the names that were configured.
        dynamic_startup_nodes=False,
        require_full_coverage=False,  # what has no master fails by itself, and fails readiness
        max_connections=2 * max_connections,  # those that are being closed count as well
        username=address.username,
        password=address.password,
        ssl=address.tls,
        **_patience(timeout_seconds),
    )
    renew_in_cluster(cluster, certificates)
    return cluster


class Sentinels(Sentinel):
    """Sentinels of which none is forgotten, however many connections ask at once where the master is.

    redis-py puts the one that answered first, into the very list through which others go at that moment: it then has
    one of them twice and another no more, until it knows but one.
    """

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the master's address, asking through a list of one's own. Raises MasterNotFoundError."""
        search = copy.copy(self)
        search.sentinels = list(self.sentinels)
        found: tuple[str, int] = await Sentinel.discover_master(search, service_name)
        self.sentinels = search.sentinels
        return found


class MasterPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the master that the Sentinels name when each is made. Whoever finds all busy waits for one."""


def connect_by_sentinel(
    address: RedisAddress, *, max_connections: int, timeout_seconds: float, certificates: Certificates | None = None
) -> tuple[Redis, Sentinels]:
    """Return a client of the master, and the client of the Sentinels, which must be closed as well.

    A Sentinel that does not answer costs half the time limit, so that another one can still be asked within it.
    """
    sentinel = Sentinels(  # type: ignore[no-untyped-call]  # redis-py left it untyped
        address.hosts,
        sentinel_kwargs={
            "username": address.sentinel_username,
            "password": address.sentinel_password,
            "ssl": address.tls,
            "socket_timeout": timeout_seconds / 2,
            "socket_connect_timeout": timeout_seconds / 2,
            "retry": Retry(NoBackoff(), retries=0),  # the next Sentinel is asked instead
            "protocol": _PROTOCOL,
        },
    )
    master = sentinel.master_for(
        address.service,
        connection_pool_class=MasterPool,
        max_connections=max_connections,
        timeout=timeout_seconds,
        db=address.db,
        username=address.username,
        password=address.password,
        ssl=address.tls,
        **_patience(timeout_seconds),
    )
    for client in (master, *sentinel.sentinels):
        renew_in_pool(client.connection_pool, certificates)
    return master, sentinel


async def connect_anew(redis: Redis) -> None:
    """Let go of every connection, so that what comes next resolves the address again.

    A master that is demoted closes no connection: who stayed on one would be refused every change for ever.
    """
    pool = redis.connection_pool
    await pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]  # redis-py left it untyped
    await pool.disconnect(inuse_connections=False)


def _patience(timeout_seconds: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(ExponentialBackoff(cap=0.2, base=0.02), retries=2),
        "protocol": _PROTOCOL,
        "client_name": _CLIENT_NAME,
    }
