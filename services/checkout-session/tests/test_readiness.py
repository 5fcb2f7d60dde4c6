"""A Redis that could lose attempts is not served from, and the log says why."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.asyncio import Redis

from checkout_session.domain.durability import IN_MEMORY
from checkout_session.redis_backend.connection import connect
from checkout_session.redis_backend.keys import SHARD_COUNT_KEY, SHARDS
from checkout_session.redis_backend.primaries import OneMaster
from checkout_session.redis_backend.readiness import RedisReadiness, require_sound
from devstack.embedded_valkey import EmbeddedValkey
from servicekit.health import NotReady
from tests.containers.choice import RedisServer

RunService = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
PATIENCE_SECONDS: Final = 15


@pytest.fixture
def readiness(redis: Redis) -> RedisReadiness:
    """Check the empty Valkey."""
    return RedisReadiness(OneMaster(redis), IN_MEMORY, timeout_seconds=5)


async def test_a_sound_redis_is_ready(readiness: RedisReadiness) -> None:
    """Valkey with noeviction, empty or filled by this version."""
    await readiness.check()

    await readiness.check()


async def test_the_shard_count_is_written_once(readiness: RedisReadiness, redis: Redis) -> None:
    """The first check leaves the count, for ever."""
    await readiness.check()

    assert await redis.get(SHARD_COUNT_KEY) == str(SHARDS).encode()
    assert await redis.ttl(SHARD_COUNT_KEY) == -1


async def test_another_shard_count_is_refused_and_kept(readiness: RedisReadiness, redis: Redis) -> None:
    """A Redis filled by a version that counts otherwise must not be touched."""
    await redis.set(SHARD_COUNT_KEY, "32")

    with pytest.raises(NotReady, match=r"holds b'32', this version counts 64 shards"):
        await readiness.check()

    assert await redis.get(SHARD_COUNT_KEY) == b"32"


async def test_of_versions_that_count_otherwise_one_is_ready(redis: Redis, valkey: RedisServer) -> None:
    """Two versions that meet an empty Redis at the same moment: the first count stays, and only one kind serves."""
    narrow = connect(valkey.url, max_connections=3, timeout_seconds=5)  # so that checks are at different steps
    counts = (32, 64) * 10
    checks = [RedisReadiness(OneMaster(narrow), IN_MEMORY, timeout_seconds=5, shards=count).check for count in counts]
    for _ in range(40):
        await redis.delete(SHARD_COUNT_KEY)

        verdicts = await asyncio.gather(*(check() for check in checks), return_exceptions=True)

        assert len({count for count, verdict in zip(counts, verdicts, strict=True) if verdict is None}) == 1
    await narrow.aclose()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
async def test_an_evicting_redis_is_refused(policy: str) -> None:
    """An evicted attempt is a lost order: every policy but noeviction is refused."""
    with EmbeddedValkey.temporary(appendonly=False, options={"maxmemory-policy": policy}) as server:
        redis = connect(server.url, max_connections=2, timeout_seconds=5)

        with pytest.raises(NotReady, match=f"maxmemory-policy is {policy}"):
            await RedisReadiness(OneMaster(redis), IN_MEMORY, timeout_seconds=5).check()

        await redis.aclose()


async def test_a_redis_that_does_not_answer_is_refused(valkey: RedisServer) -> None:
    """Nothing listens there."""
    redis = connect("redis://127.0.0.1:1/0", max_connections=2, timeout_seconds=1)

    with pytest.raises(NotReady, match="redis does not answer: ConnectionError"):
        await RedisReadiness(OneMaster(redis), IN_MEMORY, timeout_seconds=2).check()

    await redis.aclose()


@pytest.fixture
async def restricted(redis: Redis, valkey: RedisServer) -> AsyncIterator[Redis]:
    """Give a client whose account may do what the service needs and administrate nothing."""
    name, password = "checkout-session", uuid.uuid4().hex
    await redis.acl_setuser(
        name,
        enabled=True,
        passwords=[f"+{password}"],
        commands=["+@read", "+@write", "+@scripting", "+@connection", "+info", "+time", "-@admin"],
        keys=["*"],
    )
    client = connect(f"redis://{name}:{password}@127.0.0.1:{valkey.port}/0", max_connections=2, timeout_seconds=5)
    yield client
    await client.aclose()
    await redis.acl_deluser(name)


async def test_no_admin_rights_are_needed(restricted: Redis) -> None:
    """The checks work where CONFIG is forbidden, as at a managed Redis."""
    await RedisReadiness(OneMaster(restricted), IN_MEMORY, timeout_seconds=5).check()


@pytest.mark.parametrize(
    "server",
    [
        {"redis_version": "7.2.0"},
        {"redis_version": "8.4.1"},
        {"redis_version": "10.0.0"},
        {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.1.8"},
    ],
)
def test_a_recent_server_is_accepted(server: dict[str, str]) -> None:
    """Redis from 7.2, and every Valkey."""
    require_sound(server, {"maxmemory_policy": "noeviction"})


@pytest.mark.parametrize("version", ["6.2.14", "7.0.15", "7.1.9"])
def test_an_old_server_is_refused(version: str) -> None:
    """Before 7.2 there is no way to wait for the disk."""
    with pytest.raises(NotReady, match=f"redis {version} is too old"):
        require_sound({"redis_version": version}, {"maxmemory_policy": "noeviction"})


@pytest.fixture
def evicting() -> Iterator[EmbeddedValkey]:
    """Run a Valkey that evicts."""
    with EmbeddedValkey.temporary(appendonly=False, options={"maxmemory-policy": "allkeys-lru"}) as server:
        yield server


async def test_a_service_on_an_evicting_redis_is_not_ready_and_says_why(
    run_service: RunService, evicting: EmbeddedValkey, caplog: pytest.LogCaptureFixture
) -> None:
    """Health says not serving, the log has the reason, and putting it right at run time is enough."""
    caplog.set_level("INFO", "servicekit")
    admin = connect(evicting.url, max_connections=1, timeout_seconds=5)
    async with run_service(evicting.url) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)  # its types lack its methods
        before = await health.Check(health_pb2.HealthCheckRequest())

        await admin.config_set("maxmemory-policy", "noeviction")

        async with asyncio.timeout(PATIENCE_SECONDS):
            async for answer in health.Watch(health_pb2.HealthCheckRequest()):
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    break
    await admin.aclose()
    assert before.status == health_pb2.HealthCheckResponse.NOT_SERVING
    reasons = [getattr(record, "reason", "") for record in caplog.records if record.levelname == "WARNING"]
    assert any("maxmemory-policy is allkeys-lru" in reason for reason in reasons)


async def test_a_service_stops_whatever_its_check_is_doing(run_service: RunService, valkey: RedisServer) -> None:
    """Told to stop at any step of a check, the service ends: no cancellation is lost."""
    for steps in range(40):
        async with asyncio.timeout(PATIENCE_SECONDS) as patience:
            async with run_service(valkey.url):
                for _ in range(steps):
                    await asyncio.sleep(0)

        assert not patience.expired()
