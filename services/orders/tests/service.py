"""The service under test: its stub, and a plain connection to its database."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from checkout.orders.v1 import orders_pb2_grpc as pb_grpc
from orders.api.servicer import SERVICE_NAME
from orders.bootstrap import built_server
from orders.settings import OrdersSettings
from servicekit.errors import ReportedError, read_error

if TYPE_CHECKING:
    Client: TypeAlias = pb_grpc.OrdersServiceAsyncStub
else:
    # At run time there is one class for both kinds of channel.
    Client = pb_grpc.OrdersServiceStub

KEYS = "k1:" + base64.b64encode(bytes(range(32))).decode()

OPTIONS = [
    ("grpc.enable_retries", 0),  # A test sees the first answer.
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.max_send_message_length", 8 * 1024 * 1024),
]


def settings_for(database_url: str, **others: object) -> OrdersSettings:
    """Return settings for a server on a free port."""
    return OrdersSettings.model_validate(
        {"listen": "127.0.0.1:0", "database_url": database_url, "drain_seconds": 1, "encryption_keys": KEYS, **others}
    )


@asynccontextmanager
async def served(settings: OrdersSettings) -> AsyncIterator[grpc.aio.Channel]:
    """Run the service in this process and give a channel to it."""
    async with built_server(settings) as server:
        port = await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
                yield channel
        finally:
            await server.stop()


async def count(connection: Any, table: str) -> int:
    """Return how many rows a table has."""
    return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - the test's own words


async def until(holds: Callable[[], Awaitable[bool]], *, seconds: float = 10) -> None:
    """Return once it holds; fail when it does not in time."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - nothing here could signal an event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[Any]:
    """Connect to the database as an operator would."""
    connection = await asyncpg.connect(database_url)
    try:
        yield connection
    finally:
        await connection.close()


async def serving(channel: grpc.aio.Channel) -> bool:
    """Return whether the service says that it may be sent work."""
    health: Any = health_pb2_grpc.HealthStub(channel)  # its stubs know no methods
    answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def refusal(call: Awaitable[object]) -> ReportedError:
    """Return the error that a call answers; fail if it answers something else."""
    try:
        await call
    except grpc.aio.AioRpcError as failure:
        return read_error(failure)
    raise AssertionError("the call was not refused")
