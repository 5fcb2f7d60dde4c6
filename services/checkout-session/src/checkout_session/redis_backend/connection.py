"""Connections to one Redis server: bounded, with timeouts and retries."""

from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from checkout_session.redis_backend.lost_connections import notice_in_pool
from checkout_session.redis_backend.tls import use_in_pool
from servicekit.certificates import Certificates

PROTOCOL: Final = 2
"""RESP3 only adds push messages, which nothing here uses."""
_CLIENT_NAME: Final = "checkout-session"
_RETRY_SHARE: Final = 0.9
"""Retries must end before the call does, so that the caller gets their error."""
_WAITAOF_MARGIN_SECONDS: Final = 0.25
"""A server checks ten times a second if a wait is over. Its reply must arrive before the connection times out."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of connections and of time."""

    max_connections: int = 64
    """To one server, or to each primary of a cluster."""
    redis_timeout_seconds: float = 1.0
    """For one reply on one connection."""
    store_timeout_seconds: float = 2.0
    """For one method of the store, retries included."""

    @property
    def disk_timeout_seconds(self) -> float:
        """Time to wait for the disks."""
        return max(self.redis_timeout_seconds / 2, self.redis_timeout_seconds - _WAITAOF_MARGIN_SECONDS)

    @property
    def retry_seconds(self) -> float:
        """Time to retry a script through failovers and slot migrations."""
        return _RETRY_SHARE * self.store_timeout_seconds

    @property
    def connection_options(self) -> dict[str, Any]:
        """Options of each connection. A command is retried up to twice: every script may be repeated."""
        return {
            "socket_timeout": self.redis_timeout_seconds,
            "socket_connect_timeout": self.redis_timeout_seconds,
            "retry": Retry(ExponentialBackoff(cap=0.2, base=0.02), retries=2),
            "protocol": PROTOCOL,
            "client_name": _CLIENT_NAME,
        }


def connect(url: str, limits: Limits, certificates: Certificates | None = None) -> Redis:
    """Return a client with a bounded pool. It connects when it is first used."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=limits.max_connections,
        timeout=limits.redis_timeout_seconds,
        **limits.connection_options,
    )
    use_in_pool(pool, certificates)
    notice_in_pool(pool)
    return Redis.from_pool(pool)


async def reconnect(redis: Redis) -> None:
    """Close every connection, so that the next command resolves the address again.

    A demoted primary closes no connection, and refuses every change on it.
    """
    pool = redis.connection_pool
    await pool.update_active_connections_for_reconnect()  # type: ignore[no-untyped-call]  # redis-py left it untyped
    await pool.disconnect(inuse_connections=False)
