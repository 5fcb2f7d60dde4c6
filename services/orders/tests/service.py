"""Service under test on a real gRPC server in this process, and an operator's connection to its database."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from checkout.orders.v1 import operator_pb2_grpc
from checkout.orders.v1 import orders_pb2_grpc as pb_grpc
from orders.api.servicer import SERVICE_NAME
from orders.bootstrap import built_server
from orders.settings import OrdersSettings
from servicekit.errors import ReportedError, read_error
from servicekit.grpc_defaults import DEFAULT_MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    Client: TypeAlias = pb_grpc.OrdersServiceAsyncStub
    OperatorClient: TypeAlias = operator_pb2_grpc.OperatorServiceAsyncStub
else:
    # At run time there is one class for both kinds of channel.
    Client = pb_grpc.OrdersServiceStub
    OperatorClient = operator_pb2_grpc.OperatorServiceStub

T = TypeVar("T")

KEYS = "k1:" + base64.b64encode(bytes(range(32))).decode()
OTHER_KEYS = "k2:" + base64.b64encode(bytes(range(1, 33))).decode()

UNAVAILABLE = ReportedError(grpc.StatusCode.UNAVAILABLE, "database_unavailable")
VERSION_CONFLICT = ReportedError(grpc.StatusCode.ABORTED, "version_conflict")
MISMATCH = ReportedError(grpc.StatusCode.FAILED_PRECONDITION, "stripe_subscription_mismatch")

_LONG_TIMEOUTS: dict[str, object] = {
    "connect_timeout_seconds": 20,
    "statement_timeout_seconds": 20,
    "lock_timeout_seconds": 15,
    "call_timeout_seconds": 40,
}
_OPTIONS = [
    ("grpc.enable_retries", 0),  # A test sees the first answer.
    ("grpc.max_receive_message_length", DEFAULT_MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", DEFAULT_MAX_MESSAGE_BYTES),
]

_LOCK_WAITERS = """
    SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'orders' AND wait_event_type = 'Lock'
"""

_HOLD_EVENTS = """
    SELECT pg_advisory_lock(1);
    CREATE FUNCTION hold_event() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END';
    CREATE TRIGGER hold_event BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION hold_event();
"""


def settings_for(database_url: str, **others: object) -> OrdersSettings:
    """Return settings for a server on a free port, with timeouts for a busy machine."""
    values = {"listen": "127.0.0.1:0", "database_url": database_url, "drain_seconds": 1, "encryption_keys": KEYS}
    return OrdersSettings.model_validate(values | _LONG_TIMEOUTS | others)


@asynccontextmanager
async def served(database_url: str, **others: object) -> AsyncIterator[grpc.aio.Channel]:
    """Run the service with these settings and give a channel to it."""
    async with built_server(settings_for(database_url, **others)) as server:
        port = await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS) as channel:
                yield channel
        finally:
            await server.stop()


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[Any]:
    """Connect to the database as an operator."""
    connection = await asyncpg.connect(database_url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def events_held(database_url: str) -> AsyncIterator[None]:
    """Hold everybody who inserts an event into the outbox, in the middle of the statement that inserts it.

    A lock of the table would hold the statement before it sees anything.
    """
    async with connected(database_url) as connection:
        await connection.execute(_HOLD_EVENTS)
        try:
            yield
        finally:
            await connection.execute("SELECT pg_advisory_unlock_all(); DROP FUNCTION hold_event CASCADE")


async def count(connection: Any, *tables: str) -> list[int]:
    """Return the number of rows of each table."""
    return [await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables]  # noqa: S608 - the test's own words


async def lock_waiters(connection: Any) -> list[int]:
    """Return the processes of PostgreSQL in which the service waits for a lock."""
    return list(await connection.fetchval(_LOCK_WAITERS))


async def until(holds: Callable[[], Awaitable[object]], *, seconds: float = 20) -> None:
    """Wait until it holds; fail after the time."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - nothing here could signal an event
            await asyncio.sleep(0.01)


async def serving(channel: grpc.aio.Channel) -> bool:
    """Return the readiness of the service."""
    health: Any = health_pb2_grpc.HealthStub(channel)  # its stubs know no methods
    answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def error_of(call: Awaitable[object]) -> ReportedError:
    """Return the error of a call; fail if it succeeds."""
    try:
        await call
    except grpc.aio.AioRpcError as failure:
        return read_error(failure)
    raise AssertionError("the call did not fail")


async def outcomes(calls: Sequence[Awaitable[T]]) -> tuple[list[T], list[ReportedError]]:
    """Run calls at once; return their answers and their errors."""
    answers: list[T] = []
    errors: list[ReportedError] = []
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, grpc.aio.AioRpcError):
            errors.append(read_error(outcome))
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            answers.append(outcome)
    return answers, errors
