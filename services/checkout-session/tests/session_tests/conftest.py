"""A real Valkey, cluster and Sentinels, and the service on a real in-process gRPC server.

Where containers are asked for, the fixture `valkey` is redis:8 and the tests that use it run. The others are left out:
clusters, Sentinels, killed servers and servers with settings of their own need to control the process, its files and
the ports that it tells its clients, which the embedded server is for; the rest use no server.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from redis.asyncio import Redis

from checkout_session.redis_backend.connection import Limits, connect
from devstack.embedded_cluster import EmbeddedCluster
from devstack.embedded_sentinels import EmbeddedSentinels
from tests.containers.choice import RedisServer, a_redis, keep_on_containers

from .harness import Stub, run_service


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On containers, keep the tests of the one shared server; `standalone` is that one among several topologies."""
    keep_on_containers(config, items, Path(__file__).parent, {"valkey", "standalone"})


@pytest.fixture(scope="session")
def valkey() -> Iterator[RedisServer]:
    """Run one Valkey, or redis:8, for every test that leaves it sound."""
    with a_redis() as server:
        yield server


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedCluster]:
    """Run one cluster for every test that leaves it sound."""
    with EmbeddedCluster.temporary() as running:
        yield running


@pytest.fixture(scope="session")
def sentinels() -> Iterator[EmbeddedSentinels]:
    """Run a primary behind Sentinels for every test that leaves them sound."""
    with EmbeddedSentinels.temporary() as running:
        yield running


@pytest.fixture
async def redis(valkey: RedisServer) -> AsyncIterator[Redis]:
    """Return a client of an empty Valkey."""
    client = connect(valkey.url, Limits(redis_timeout_seconds=5))
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
async def channel(valkey: RedisServer, redis: Redis) -> AsyncIterator[grpc.aio.Channel]:
    """Serve the empty Valkey's attempts."""
    async with run_service(valkey.url) as running:
        yield running


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Stub:
    """Return a client of the service."""
    return Stub(channel)
