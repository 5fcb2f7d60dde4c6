"""Failures of the database: nothing is half written, callers hear in time, and the service recovers by itself."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from prometheus_client import REGISTRY

from checkout.orders.v1 import orders_pb2 as pb
from servicekit.json_logging import JsonFormatter
from tests.containers.choice import PostgresServer

from ..builders import mixed_cart, purchase, quarantine
from ..service import UNAVAILABLE, Client, connected, count, error_of, lock_waiters, outcomes, served, serving, until
from ..silent_relay import SilentRelay

TABLES = ("payments", "orders", "order_items", "subscriptions", "subscription_items", "outbox")
NOTHING = [0] * len(TABLES)
MIXED_CART = [1, 1, 1, 2, 3, 1]


@asynccontextmanager
async def locked(database_url: str, table: str) -> AsyncIterator[None]:
    """Keep everybody from writing to a table."""
    async with connected(database_url) as other, other.transaction():
        await other.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        yield


async def kill_lock_waiters(sql: Any) -> None:
    """Wait until the service waits for a lock, and end its sessions."""
    await until(lambda: lock_waiters(sql))
    await sql.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", await lock_waiters(sql))


def logged_causes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the causes of calls that were answered as unavailable."""
    return [record.__dict__["cause"] for record in caplog.records if record.message == "database unavailable"]


@pytest.mark.parametrize("table", TABLES)
async def test_p3_a_connection_that_dies_halfway_leaves_nothing(database_url: str, sql: Any, table: str) -> None:
    """Killed before each statement in turn: no row stays, and the same report is recorded afterwards."""
    request = mixed_cart()
    async with served(database_url, database_tries=1) as channel:
        async with locked(database_url, table):
            call = asyncio.ensure_future(error_of(Client(channel).RecordPurchase(request)))
            await kill_lock_waiters(sql)
            error = await call

        left = await count(sql, *TABLES)
        again = await Client(channel).RecordPurchase(request)

    assert error == UNAVAILABLE
    assert left == NOTHING
    assert not again.already_recorded
    assert await count(sql, *TABLES) == MIXED_CART


@pytest.mark.parametrize(("new_request", "written"), [(mixed_cart, MIXED_CART), (purchase, [1, 1, 3, 0, 0, 1])])
async def test_p3_a_transaction_whose_connection_dies_is_run_again(
    database_url: str,
    orders: Client,
    sql: Any,
    new_request: Callable[[], pb.RecordPurchaseRequest],
    written: list[int],
) -> None:
    """Within the call, and as a whole."""
    async with locked(database_url, "outbox"):
        call = asyncio.ensure_future(orders.RecordPurchase(new_request()))
        await kill_lock_waiters(sql)
        await until(lambda: lock_waiters(sql))

    answer = await call

    assert not answer.already_recorded
    assert await count(sql, *TABLES) == written


async def test_p3_a_row_in_place_of_a_subscription_keeps_the_purchase_out(orders: Client, sql: Any) -> None:
    """An attempt has one row for each interval: with another one there, nothing of the purchase is written."""
    await orders.RecordPurchase(mixed_cart())
    request = mixed_cart()
    await sql.execute(
        "UPDATE subscriptions SET checkout_attempt_id = $1 WHERE position = 0", request.payment.attempt_id
    )

    error = await error_of(orders.RecordPurchase(request))

    assert error.code is grpc.StatusCode.INTERNAL
    assert await count(sql, *TABLES) == MIXED_CART


async def test_a_lock_that_stays_is_unavailable(database_url: str, sql: Any, caplog: pytest.LogCaptureFixture) -> None:
    """PostgreSQL's lock timeout ends each try; the log has its error code, which callers do not get."""
    timeouts = {"lock_timeout_seconds": 0.1, "statement_timeout_seconds": 30, "call_timeout_seconds": 60}
    async with served(database_url, **timeouts, database_tries=2) as channel, locked(database_url, "orders"):
        error = await error_of(Client(channel).RecordPurchase(purchase()))

    assert error == UNAVAILABLE
    assert logged_causes(caplog) == ["55P03"] * 2
    assert await count(sql, *TABLES) == NOTHING


async def test_a_slow_statement_is_unavailable(own_database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """PostgreSQL's statement timeout ends it, a second before the driver's."""
    async with connected(own_database_url) as sql:
        await sql.execute("""
            CREATE FUNCTION doze() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END';
            CREATE TRIGGER doze BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION doze();
        """)
        async with served(own_database_url, statement_timeout_seconds=0.5, database_tries=2) as channel:
            error = await error_of(Client(channel).RecordPurchase(purchase()))

        assert error == UNAVAILABLE
        assert logged_causes(caplog) == ["57014"] * 2
        assert await count(sql, *TABLES) == NOTHING


async def test_the_caller_gets_its_answer_before_its_deadline(database_url: str, sql: Any) -> None:
    """In any state of the database; the abandoned work, which cannot finish soon either, leaves nothing."""
    async with served(database_url) as channel, locked(database_url, "orders"):
        error = await error_of(Client(channel).RecordPurchase(purchase(), timeout=2))
        await until(lambda: nobody_waits(sql))

    assert error == UNAVAILABLE  # after the deadline it would be DEADLINE_EXCEEDED, without a reason
    assert await count(sql, *TABLES) == NOTHING


async def test_a_cancelled_call_keeps_its_connection(database_url: str, sql: Any) -> None:
    """A transaction that has begun is finished: cancelling it would cost the connection, and the work is wanted."""
    async with served(database_url, database_pool_size=1) as channel:
        orders = Client(channel)
        await orders.RecordPurchase(purchase())
        before, cancelled = await sessions(sql), cancelled_calls()
        async with locked(database_url, "orders"):
            call = asyncio.ensure_future(orders.RecordPurchase(purchase()))
            await until(lambda: lock_waiters(sql))
            call.cancel()
            await until(lambda: more_cancelled_calls(cancelled))

        await until(lambda: recorded(sql, 2))
        await orders.RecordPurchase(purchase())
        after = await sessions(sql)

    assert after == before


async def nobody_waits(sql: Any) -> bool:
    """Return True while the service waits for no lock."""
    return not await lock_waiters(sql)


async def sessions(sql: Any) -> set[int]:
    """Return the processes of PostgreSQL that serve the service."""
    rows = await sql.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'orders'"
    )
    return {row["pid"] for row in rows}


def cancelled_calls() -> float:
    """Return the number of calls whose cancellation the service has noticed."""
    labels = {"method": "/checkout.orders.v1.OrdersService/RecordPurchase", "code": "CANCELLED"}
    return REGISTRY.get_sample_value("holdfast_grpc_requests_total", labels) or 0


async def more_cancelled_calls(than: float) -> bool:
    """Return True once another one is noticed."""
    return cancelled_calls() > than


async def recorded(sql: Any, payments: int) -> bool:
    """Return True once so many payments are decided."""
    return await count(sql, "payments") == [payments]


async def test_a_stopped_database_is_used_again(postgres: PostgresServer, database_url: str) -> None:
    """Every call is UNAVAILABLE and readiness false while it is stopped; then all is well without a restart."""
    request = purchase()
    async with served(database_url) as channel:
        orders = Client(channel)
        await asyncio.gather(*(orders.RecordPurchase(purchase()) for _ in range(10)))
        postgres.stop()
        try:
            errors = [
                await error_of(orders.RecordPurchase(request)),
                await error_of(orders.QuarantinePayment(quarantine(purchase()))),
                await error_of(orders.GetPurchase(pb.GetPurchaseRequest(attempt_id="a"))),
            ]
            await until(lambda: not_serving(channel))
        finally:
            postgres.start()

        answers = await asyncio.gather(*(orders.RecordPurchase(request) for _ in range(10)))
        await until(lambda: serving(channel))

    assert errors == [UNAVAILABLE] * 3
    assert sum(not answer.already_recorded for answer in answers) == 1


async def not_serving(channel: grpc.aio.Channel) -> bool:
    """Return True while the service is not ready."""
    return not await serving(channel)


async def test_callers_do_not_notice_a_restart_of_the_database(postgres: PostgresServer, database_url: str) -> None:
    """The pool's dead connections cost tries, not answers."""
    async with served(database_url) as channel:
        orders = Client(channel)
        await asyncio.gather(*(orders.RecordPurchase(purchase()) for _ in range(10)))
        postgres.restart()

        answers = await asyncio.gather(*(orders.RecordPurchase(purchase()) for _ in range(10)))

    assert not any(answer.already_recorded for answer in answers)


async def test_a_database_that_hangs_is_unavailable_in_time(postgres: PostgresServer, database_url: str) -> None:
    """Connections stay open and nothing answers; once the database continues, so does the service."""
    async with served(database_url) as channel:
        orders = Client(channel)
        await orders.RecordPurchase(purchase())
        postgres.pause()
        try:
            error = await error_of(orders.RecordPurchase(purchase(), timeout=2))
            await until(lambda: not_serving(channel))
        finally:
            postgres.resume()

        answer = await orders.RecordPurchase(purchase())

    assert error == UNAVAILABLE  # after the deadline it would be DEADLINE_EXCEEDED, without a reason
    assert not answer.already_recorded


async def test_a_connection_that_goes_silent_is_replaced(postgres: PostgresServer, database_url: str) -> None:
    """As after a failover: the transaction is run again on another connection."""
    async with SilentRelay(postgres.port).opened() as relay:
        url = database_url.replace(f":{postgres.port}/", f":{relay.port}/")
        async with served(url, statement_timeout_seconds=0.5, database_tries=2) as channel:
            await Client(channel).RecordPurchase(purchase())
            relay.silence()

            answer = await Client(channel).RecordPurchase(purchase())

    assert not answer.already_recorded


async def test_p3_a_machine_that_vanishes_leaves_no_lock(postgres: PostgresServer, database_url: str, sql: Any) -> None:
    """At whatever message its transaction was, here after PARSE, which counts as running and not as idle."""
    request = purchase()
    async with SilentRelay(postgres.port).opened() as relay:
        url = database_url.replace(f":{postgres.port}/", f":{relay.port}/")
        short = {"statement_timeout_seconds": 1, "call_timeout_seconds": 2}
        async with served(url, **short) as vanished, served(database_url, lock_timeout_seconds=8) as channel:
            async with locked(database_url, "payments"):
                lost = asyncio.ensure_future(error_of(Client(vanished).RecordPurchase(request)))
                await until(lambda: lock_waiters(sql))
                relay.silence()

            _, errors = await outcomes([Client(channel).RecordPurchase(request)])

            await lost
    assert errors == []
    assert await count(sql, "payments") == [1]


async def test_p7_a_rejected_statement_is_logged_without_its_row(
    own_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL quotes the row that broke a constraint; neither the log nor the caller gets it."""
    async with connected(own_database_url) as sql:
        await sql.execute("ALTER TABLE orders ADD CHECK (contact_name = 'nobody')")
        async with served(own_database_url) as channel:
            error = await error_of(Client(channel).RecordPurchase(purchase()))

        assert await count(sql, *TABLES) == NOTHING
    lines = [JsonFormatter("orders").format(record) for record in caplog.records if record.levelno >= logging.ERROR]
    logged = "".join([*lines, caplog.text])
    assert error.code is grpc.StatusCode.INTERNAL
    assert "StatementRejected" in logged
    assert not [word for word in ("Ada", "Lovelace", "ada@shop.example", "London") if word in logged]
