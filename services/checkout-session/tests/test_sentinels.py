"""Several Sentinels are there so that one may fail: none of them may be forgotten."""

import asyncio
from typing import Final

from checkout_session.redis_backend.connection import connect_by_sentinel
from checkout_session.redis_backend.url import parse_address
from devstack.embedded_sentinels import PRIMARY_NAME, EmbeddedSentinels

AT_ONCE: Final = 20


async def test_no_sentinel_is_forgotten_when_many_ask_at_once(sentinels: EmbeddedSentinels) -> None:
    """The first one does not answer, so every search goes on to the second: afterwards all three are known."""
    redis, known = connect_by_sentinel(parse_address(sentinels.url), max_connections=4, timeout_seconds=5)
    silent = sentinels.sentinels[0]
    everyone = sorted(sentinel.port for sentinel in sentinels.sentinels)
    await asyncio.to_thread(silent.stop)

    found = await asyncio.gather(*(known.discover_master(PRIMARY_NAME) for _ in range(AT_ONCE)))

    ports = sorted(client.connection_pool.connection_kwargs["port"] for client in known.sentinels)
    await redis.aclose()
    await known.aclose()
    await asyncio.to_thread(silent.start)
    assert {port for _, port in found} == {sentinels.primary.port}
    assert ports == everyone
