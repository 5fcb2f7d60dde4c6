"""Bad luck with the database: nothing is half-written, the caller hears in time, and all is well again by itself."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
import pytest

from checkout.orders.v1 import orders_pb2 as pb
from servicekit.errors import ReportedError
from servicekit.json_logging import JsonFormatter
from tests.containers.choice import PostgresServer

from .reports import aside, purchase
from .service import Client, connected, count, refusal, served, serving, settings_for, until
from .silent_wire import Wire

UNAVAILABLE = ReportedError(grpc.StatusCode.UNAVAILABLE, "database_unavailable")
WAITING = """
    SELECT array_agg(pid) FROM pg_stat_activity
     WHERE application_name = 'orders' AND wait_event_type = 'Lock' AND datname = current_database()
"""


@asynccontextmanager
async def held(database_url: str, table: str) -> AsyncIterator[None]:
    """Keep everybody from writing to a table."""
    async with connected(database_url) as other, other.transaction():
        await other.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield


@contextmanager
def away(postgres: PostgresServer) -> Iterator[None]:
    """Stop the server for a while."""
    postgres.stop()
    try:
        yield
    finally:
        postgres.start()


async def written(sql: Any) -> list[int]:
    """Return how much stands in the tables."""
    return [await count(sql, table) for table in ("payments", "orders", "order_items", "outbox")]


@pytest.mark.parametrize("table", ["payments", "orders", "order_items", "outbox"])
async def test_p3_a_connection_that_dies_halfway_leaves_nothing(database_url: str, sql: Any, table: str) -> None:
    """Killed before each statement in turn: not a row stays, and the same report is recorded afterwards."""
    report = purchase()
    async with served(settings_for(database_url, database_tries=1)) as channel:
        async with held(database_url, table):
            call = asyncio.ensure_future(refusal(Client(channel).RecordPurchase(report)))
            await until(lambda: waiting(sql))
            await sql.execute(
                "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", await sql.fetchval(WAITING)
            )
            error = await call

        left = await written(sql)
        assert error == UNAVAILABLE
        assert left == [0, 0, 0, 0]
        again = await Client(channel).RecordPurchase(report)

    assert not again.already_recorded
    assert await written(sql) == [1, 1, 3, 1]


async def waiting(sql: Any) -> bool:
    """Return whether the service waits for a lock."""
    return await sql.fetchval(WAITING) is not None


async def test_p3_a_connection_that_dies_halfway_is_not_the_callers_business(
    database_url: str, orders: Client, sql: Any
) -> None:
    """The transaction is run again within the call, as a whole."""
    async with held(database_url, "outbox"):
        call = asyncio.ensure_future(orders.RecordPurchase(purchase()))
        await until(lambda: waiting(sql))
        await sql.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", await sql.fetchval(WAITING))
        await until(lambda: waiting(sql))

    answer = await call

    assert not answer.already_recorded
    assert await written(sql) == [1, 1, 3, 1]


def causes_told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the SQLSTATEs that the log gives for calls that were told as unavailable."""
    return [record.__dict__["cause"] for record in caplog.records if record.message == "database unavailable"]


async def test_a_lock_that_stays_is_told_as_unavailable(
    database_url: str, sql: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for ever behind somebody else's transaction: PostgreSQL's limit for locks ends each of the tries."""
    limits = {"lock_timeout_seconds": 0.1, "statement_timeout_seconds": 30, "call_timeout_seconds": 60}
    settings = settings_for(database_url, **limits, database_tries=2)
    async with served(settings) as channel, held(database_url, "orders"):
        error = await refusal(Client(channel).RecordPurchase(purchase()))

    assert error == UNAVAILABLE
    assert causes_told(caplog) == ["55P03"] * 2
    assert await written(sql) == [0, 0, 0, 0]


async def test_a_statement_that_takes_too_long_is_told_as_unavailable(
    database_url: str, sql: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL itself ends it, and the transaction with it; the driver's own limit, a second later, is not needed."""
    await sql.execute("""
        CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END';
        CREATE TRIGGER doze BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION doze();
    """)
    settings = settings_for(database_url, statement_timeout_seconds=1, database_tries=2)
    async with served(settings) as channel:
        error = await refusal(Client(channel).RecordPurchase(purchase()))

    assert error == UNAVAILABLE
    assert causes_told(caplog) == ["57014"] * 2
    assert await written(sql) == [0, 0, 0, 0]


async def test_an_operator_reads_why_the_database_was_unavailable(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller is not told the cause, so the log is: PostgreSQL's own code for it."""
    settings = settings_for(database_url, lock_timeout_seconds=0.1, database_tries=1)
    async with served(settings) as channel, held(database_url, "orders"):
        await refusal(Client(channel).RecordPurchase(purchase()))

    assert causes_told(caplog) == ["55P03"]


async def test_the_caller_hears_before_its_deadline(database_url: str, sql: Any) -> None:
    """Whatever the database is doing; and the work that was given up leaves nothing behind."""
    async with served(settings_for(database_url)) as channel, held(database_url, "orders"):
        error = await refusal(Client(channel).RecordPurchase(purchase(), timeout=2))

    assert error == UNAVAILABLE  # afterwards it would be DEADLINE_EXCEEDED, without a reason
    assert await written(sql) == [0, 0, 0, 0]


async def test_a_database_that_was_away_is_used_again(postgres: PostgresServer, database_url: str) -> None:
    """Every call is UNAVAILABLE and readiness false while it is away; then all is well without a restart."""
    report = purchase()
    async with served(settings_for(database_url)) as channel:
        orders = Client(channel)
        await asyncio.gather(*(orders.RecordPurchase(purchase()) for _ in range(10)))
        with away(postgres):
            errors = [
                await refusal(orders.RecordPurchase(report)),
                await refusal(orders.QuarantinePayment(aside(purchase()))),
                await refusal(orders.GetPurchase(pb.GetPurchaseRequest(attempt_id="a"))),
            ]
            await until(lambda: not_serving(channel))

        answers = await asyncio.gather(*(orders.RecordPurchase(report) for _ in range(10)))
        await until(lambda: serving(channel))

    assert errors == [UNAVAILABLE] * 3
    assert sum(not answer.already_recorded for answer in answers) == 1


async def not_serving(channel: grpc.aio.Channel) -> bool:
    """Return whether the service says that it must not be sent work."""
    return not await serving(channel)


async def test_a_database_that_restarted_is_not_the_callers_business(
    postgres: PostgresServer, database_url: str
) -> None:
    """The pool's dead connections cost tries, not answers."""
    async with served(settings_for(database_url)) as channel:
        orders = Client(channel)
        await asyncio.gather(*(orders.RecordPurchase(purchase()) for _ in range(10)))
        postgres.restart()

        answers = await asyncio.gather(*(orders.RecordPurchase(purchase()) for _ in range(10)))

    assert not any(answer.already_recorded for answer in answers)


async def test_a_database_that_hangs_is_told_in_time(postgres: PostgresServer, database_url: str) -> None:
    """Connections stay open and nothing answers; once it goes on, so do we."""
    async with served(settings_for(database_url)) as channel:
        orders = Client(channel)
        await orders.RecordPurchase(purchase())
        postgres.pause()
        try:
            error = await refusal(orders.RecordPurchase(purchase(), timeout=2))
            await until(lambda: not_serving(channel))
        finally:
            postgres.resume()

        answer = await orders.RecordPurchase(purchase())

    assert error == UNAVAILABLE  # afterwards it would be DEADLINE_EXCEEDED, without a reason
    assert not answer.already_recorded


async def test_a_connection_that_goes_silent_is_given_up(postgres: PostgresServer, database_url: str) -> None:
    """As after a failover that nobody announced: the work is tried again on another connection."""
    async with Wire(postgres.port).opened() as wire:
        url = database_url.replace(f":{postgres.port}/", f":{wire.port}/")
        async with served(settings_for(url, statement_timeout_seconds=0.5, database_tries=2)) as channel:
            await Client(channel).RecordPurchase(purchase())
            wire.silence()

            answer = await Client(channel).RecordPurchase(purchase())

    assert not answer.already_recorded


async def test_p7_a_statement_that_is_refused_is_logged_without_its_row(
    orders: Client, sql: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL quotes the row that broke a constraint; neither the log nor the caller gets to read it."""
    await sql.execute("ALTER TABLE orders ADD CHECK (contact_name = 'nobody')")

    error = await refusal(orders.RecordPurchase(purchase()))

    lines = [JsonFormatter("orders").format(record) for record in caplog.records if record.levelno >= logging.ERROR]
    assert error.code is grpc.StatusCode.INTERNAL
    assert "StatementRefused" in "".join(lines)
    assert not [
        word for word in ("Ada", "Lovelace", "ada@shop.example", "London") if word in "".join([*lines, caplog.text])
    ]
    assert await written(sql) == [0, 0, 0, 0]
