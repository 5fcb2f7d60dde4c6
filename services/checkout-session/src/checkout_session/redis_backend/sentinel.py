"""The primary that Sentinels watch over."""

import copy
from collections.abc import Sequence
from typing import cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from checkout_session.redis_backend.connection import PROTOCOL, Limits
from checkout_session.redis_backend.lost_connections import notice_in_pool
from checkout_session.redis_backend.primaries import Primary, StandalonePrimaries
from checkout_session.redis_backend.tls import use_in_pool
from checkout_session.redis_backend.url import RedisAddress
from checkout_session.redis_backend.write_confirmation import Confirmations
from servicekit.certificates import Certificates


class Sentinels(Sentinel):
    """Client of the Sentinels that keeps all of them, however many connections look up the primary at once.

    redis-py moves the Sentinel that answered first to the front of the list, while other lookups iterate over it. A
    Sentinel is then in the list twice and another one is lost, until only one is left.
    """

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the primary's address, using a copy of the list.."""
        lookup = copy.copy(self)
        lookup.sentinels = list(self.sentinels)
        address: tuple[str, int] = await Sentinel.discover_master(lookup, service_name)
        self.sentinels = lookup.sentinels
        return address


class _PrimaryPool(SentinelConnectionPool, BlockingConnectionPool):
    """Bounded pool of connections to the primary that the Sentinels name when each connection is opened."""


def connect_sentinel(
    address: RedisAddress, limits: Limits, certificates: Certificates | None = None
) -> tuple[Redis, Sentinels]:
    """Return a client of the primary, and the client of the Sentinels, which must be closed too.

    A Sentinel that does not answer takes half the timeout, so that another one can be asked within it.
    """
    sentinels = Sentinels(  # type: ignore[no-untyped-call]  # redis-py left it untyped
        address.hosts,
        sentinel_kwargs={
            "username": address.sentinel_username,
            "password": address.sentinel_password,
            "ssl": address.tls,
            "socket_timeout": limits.redis_timeout_seconds / 2,
            "socket_connect_timeout": limits.redis_timeout_seconds / 2,
            "retry": Retry(NoBackoff(), retries=0),  # the next Sentinel is asked instead
            "protocol": PROTOCOL,
        },
    )
    primary = sentinels.master_for(
        address.service,
        connection_pool_class=_PrimaryPool,
        max_connections=limits.max_connections,
        timeout=limits.redis_timeout_seconds,
        db=address.db,
        username=address.username,
        password=address.password,
        ssl=address.tls,
        **limits.connection_options,
    )
    for client in (primary, *sentinels.sentinels):
        use_in_pool(client.connection_pool, certificates)
        notice_in_pool(client.connection_pool)
    return primary, sentinels


class SentinelPrimaries(StandalonePrimaries):
    """Implements Primaries for the primary that the Sentinels name; closes both clients in `aclose`."""

    def __init__(self, redis: Redis, sentinels: Sentinel, confirmations: Confirmations | None = None) -> None:
        super().__init__(redis, confirmations)
        self._sentinels = sentinels

    async def primaries(self) -> Sequence[Primary]:
        """See Primaries.primaries. Leaves a deposed primary, which learns of it seconds later and accepts writes."""
        pool = cast("SentinelConnectionPool", self._redis.connection_pool)
        connected_to = pool.master_address
        named = await pool.get_master_address()  # type: ignore[no-untyped-call]  # redis-py left it untyped
        if connected_to not in {None, named}:
            await self.reconnect()
        return await super().primaries()

    async def aclose(self) -> None:
        """See Primaries.aclose."""
        await super().aclose()
        await self._sentinels.aclose()
