"""A service on a Redis that could lose attempts is not ready, and its log says why."""

import asyncio
import uuid
from typing import Final

import pytest
from redis.asyncio import Redis

from checkout_session.domain.durability import IN_MEMORY
from checkout_session.redis_backend.connection import Limits, connect
from checkout_session.redis_backend.keys import SHARD_COUNT_KEY, SHARDS
from checkout_session.redis_backend.primaries import StandalonePrimaries
from checkout_session.redis_backend.readiness import RedisReadiness, require_safe
from devstack.embedded_valkey import EmbeddedValkey
from servicekit.health import NotReady
from tests.containers.choice import RedisServer

from ..harness import opened, run_service, until_ready

NOEVICTION: Final = {"maxmemory_policy": "noeviction"}
LIMITS: Final = Limits(max_connections=3, redis_timeout_seconds=5)


def readiness_of(redis: Redis, *, shards: int = SHARDS) -> RedisReadiness:
    """Return the check of a client's server."""
    return RedisReadiness(StandalonePrimaries(redis), IN_MEMORY, timeout_seconds=5, shards=shards)


async def test_the_first_check_writes_the_shard_count(redis: Redis) -> None:
    """It stays for ever, and a Redis that this version filled is ready again."""
    await readiness_of(redis).check()
    await readiness_of(redis).check()

    assert await redis.get(SHARD_COUNT_KEY) == str(SHARDS).encode()
    assert await redis.ttl(SHARD_COUNT_KEY) == -1


async def test_another_shard_count_is_refused_and_kept(redis: Redis) -> None:
    """A Redis that a version with another number filled must not be changed."""
    await redis.set(SHARD_COUNT_KEY, "32")

    with pytest.raises(NotReady, match=r"holds b'32', this version counts 64 shards"):
        await readiness_of(redis).check()

    assert await redis.get(SHARD_COUNT_KEY) == b"32"


async def test_of_versions_with_different_shard_counts_one_is_ready(redis: Redis, valkey: RedisServer) -> None:
    """When two versions meet an empty Redis at the same moment, the first count stays, and only one version serves."""
    narrow = connect(valkey.url, LIMITS)  # so that checks are at different steps
    counts = (32, 64) * 10
    checks = [readiness_of(narrow, shards=count).check for count in counts]
    for _ in range(40):
        await redis.delete(SHARD_COUNT_KEY)

        results = await asyncio.gather(*(check() for check in checks), return_exceptions=True)

        assert len({count for count, result in zip(counts, results, strict=True) if result is None}) == 1
    await narrow.aclose()


async def test_a_redis_that_does_not_answer_is_refused() -> None:
    """The reason names the error."""
    redis = connect("redis://127.0.0.1:1/0", Limits(redis_timeout_seconds=1))

    with pytest.raises(NotReady, match="redis does not answer: ConnectionError"):
        await readiness_of(redis).check()

    await redis.aclose()


async def test_no_admin_rights_are_needed(redis: Redis, valkey: RedisServer) -> None:
    """The checks work where CONFIG is forbidden, as at a managed Redis."""
    name, password = "checkout-session", uuid.uuid4().hex
    commands = ["+@read", "+@write", "+@scripting", "+@connection", "+info", "+time", "-@admin"]
    await redis.acl_setuser(name, enabled=True, passwords=[f"+{password}"], commands=commands, keys=["*"])
    restricted = connect(f"redis://{name}:{password}@127.0.0.1:{valkey.port}/0", LIMITS)

    await readiness_of(restricted).check()

    await restricted.aclose()
    await redis.acl_deluser(name)


@pytest.mark.parametrize(
    "info",
    [
        {"redis_version": "7.2.0"},
        {"redis_version": "10.0.0"},
        {"redis_version": "7.1.0", "server_name": "valkey", "valkey_version": "8.1.8"},
    ],
)
def test_a_recent_server_is_accepted(info: dict[str, str]) -> None:
    """Redis from 7.2, and every Valkey."""
    require_safe(info | NOEVICTION)


@pytest.mark.parametrize("version", ["6.2.14", "7.1.9"])
def test_an_old_server_is_refused(version: str) -> None:
    """Before 7.2 there is no WAITAOF."""
    with pytest.raises(NotReady, match=f"redis {version} is too old"):
        require_safe({"redis_version": version} | NOEVICTION)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_an_evicting_redis_is_refused(policy: str) -> None:
    """An evicted attempt is a lost order. A change at run time is enough to make the service ready."""
    with EmbeddedValkey.temporary(appendonly=False, options={"maxmemory-policy": policy}) as server:
        async with opened(server.url) as primaries:
            with pytest.raises(NotReady, match=f"maxmemory-policy is {policy}"):
                await RedisReadiness(primaries, IN_MEMORY, timeout_seconds=5).check()
        async with run_service(server.url) as channel:
            await until_ready(channel, ready=False)

            await asyncio.to_thread(server.execute, "CONFIG", "SET", "maxmemory-policy", "noeviction")

            await until_ready(channel, ready=True)
