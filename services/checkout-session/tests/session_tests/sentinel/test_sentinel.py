"""The primary behind Sentinels: it is found again after a failover, and no Sentinel is forgotten."""

import asyncio
from collections.abc import Iterator
from typing import Final

import pytest

from checkout_session.domain.durability import IN_MEMORY
from checkout_session.redis_backend.keys import keys_of
from checkout_session.redis_backend.readiness import RedisReadiness
from checkout_session.redis_backend.sentinel import connect_sentinel
from checkout_session.redis_backend.url import parse_url
from devstack.embedded_sentinels import PRIMARY_NAME, EmbeddedSentinels
from devstack.ports import LOOPBACK

from ..harness import DEFAULT_TIMEOUTS, GENEROUS, new_attempt, opened, run_service, store_on
from ..traffic import traffic_on

LOOKUPS: Final = 20
FAILOVER_SECONDS: Final = 15.0
"""Longest time without an answer; the servers need two or three seconds, a busy machine more."""


@pytest.fixture
def failing_over() -> Iterator[EmbeddedSentinels]:
    """Run a primary and its replica, which sync every change, and their Sentinels, for one failover."""
    with EmbeddedSentinels.temporary(appendonly=True, options={"appendfsync": "always"}) as running:
        yield running


async def test_no_sentinel_is_forgotten_by_concurrent_lookups(sentinels: EmbeddedSentinels) -> None:
    """The first one does not answer, so every lookup goes on to the second: afterwards all three are known."""
    redis, client = connect_sentinel(parse_url(sentinels.url), GENEROUS)
    silent = sentinels.sentinels[0]
    all_ports = sorted(sentinel.port for sentinel in sentinels.sentinels)
    await asyncio.to_thread(silent.stop)

    addresses = await asyncio.gather(*(client.discover_master(PRIMARY_NAME) for _ in range(LOOKUPS)))

    known = sorted(sentinel.connection_pool.connection_kwargs["port"] for sentinel in client.sentinels)
    await redis.aclose()
    await client.aclose()
    await asyncio.to_thread(silent.start)
    assert {port for _, port in addresses} == {sentinels.primary.port}
    assert known == all_ports


async def test_a_deposed_primary_is_left_at_the_next_check(failing_over: EmbeddedSentinels) -> None:
    """It does not know yet, closes no connection and accepts every change, which would be lost."""
    attempt = new_attempt()
    async with opened(failing_over.url) as primaries:
        check = RedisReadiness(primaries, IN_MEMORY, timeout_seconds=10).check
        await check()
        promoted = failing_over.fail_over()

        await check()

        await store_on(primaries).save(attempt)
        assert promoted.execute("EXISTS", keys_of(attempt.attempt_id).attempt) == 1


@pytest.mark.long
async def test_a_killed_primary_is_replaced_under_load(failing_over: EmbeddedSentinels) -> None:
    """The service follows the Sentinels by itself, and nothing that was on two disks is lost."""
    primary, replica = failing_over.primary, failing_over.replica
    failing_over.automatic_failover(down_after_ms=500)
    async with (
        run_service(failing_over.url, durability="fsync", durable_replicas=1, **DEFAULT_TIMEOUTS) as channel,
        traffic_on(channel) as traffic,
    ):
        await traffic.until_answered(30)
        await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(failing_over.wait_until_promoted, replica)
        await asyncio.to_thread(primary.start)
        # The Sentinels would do it too, after ten seconds.
        await asyncio.to_thread(primary.execute, "REPLICAOF", LOOPBACK, replica.port)

        await traffic.until_answered(300)

    assert traffic.problems == []
    assert traffic.refusals > 0
    assert traffic.longest_outage < FAILOVER_SECONDS
