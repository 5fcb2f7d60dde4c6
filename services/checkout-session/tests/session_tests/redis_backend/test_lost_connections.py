"""A command on a connection that was lost a moment ago fails by an error that redis-py expects."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from checkout_session.redis_backend.cluster import connect_cluster
from checkout_session.redis_backend.connection import Limits, connect
from checkout_session.redis_backend.sentinel import connect_sentinel
from checkout_session.redis_backend.url import parse_url
from devstack.embedded_cluster import EmbeddedCluster
from devstack.embedded_sentinels import EmbeddedSentinels
from tests.containers.choice import RedisServer


async def send_when_lost(connection: Any) -> None:
    """Send a command after the transport has closed, and before anybody has noticed."""
    connection._writer.transport.abort()
    await asyncio.sleep(0)
    with pytest.raises(RedisConnectionError):
        await connection.send_command("PING")


def run_in_uvloop(test: Coroutine[None, None, None]) -> None:
    """Run a test, which hangs if the connection is left as it is."""

    async def bounded() -> None:
        async with asyncio.timeout(10):
            await test

    uvloop.run(bounded())


def test_a_server(valkey: RedisServer) -> None:
    """By uvloop, which raises RuntimeError on every version of Python."""

    async def send() -> None:
        client: Any = connect(valkey.url, Limits())
        await send_when_lost(await client.connection_pool.get_connection())
        await client.aclose()

    run_in_uvloop(send())


def test_the_primary_of_sentinels(sentinels: EmbeddedSentinels) -> None:
    """The same."""

    async def send() -> None:
        client, asked = connect_sentinel(parse_url(sentinels.url), Limits())
        pool: Any = client.connection_pool
        await send_when_lost(await pool.get_connection())
        await client.aclose()
        await asked.aclose()

    run_in_uvloop(send())


def test_a_node_of_a_cluster(cluster: EmbeddedCluster) -> None:
    """The same, for a node that was discovered."""

    async def send() -> None:
        client = connect_cluster(parse_url(cluster.url), Limits())
        await client.initialize()
        for node in client.get_primaries():
            connection: Any = node.acquire_connection()
            await connection.connect()
            await send_when_lost(connection)
        await client.aclose()

    run_in_uvloop(send())
