"""PgBouncer in transaction mode: orders works through it, or refuses it with words."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from typing import Final

import pytest
from sqlalchemy import text

from devstack.pgbouncer import PgBouncer, pgbouncer_program
from orders.postgres.connection import open_engine

from ..builders import mixed_cart, purchase
from ..command_runner import environment, run
from ..service import UNAVAILABLE, Client, connected, count, error_of, served, serving, settings_for, until
from .test_standbys import WAITERS, standby_missing

IGNORED: Final = (
    "synchronous_commit,default_transaction_isolation,client_min_messages,statement_timeout,lock_timeout,"
    "idle_in_transaction_session_timeout,transaction_timeout,jit,tcp_keepalives_idle,tcp_keepalives_interval,"
    "tcp_keepalives_count"
)
SESSIONS: Final = 3
TRANSACTION: Final = {
    "synchronous_commit": "on",
    "transaction_isolation": "read committed",
    "statement_timeout": "7s",
    "lock_timeout": "6s",
    "idle_in_transaction_session_timeout": "14s",
    "transaction_timeout": "9s",
}


@pytest.fixture(autouse=True)
def _needs_pgbouncer() -> None:
    if pgbouncer_program() is None:
        if os.environ.get("HOLDFAST_REQUIRE_PGBOUNCER") == "1":
            pytest.fail("HOLDFAST_REQUIRE_PGBOUNCER=1, but pgbouncer is not installed", pytrace=False)
        pytest.skip("needs pgbouncer")


@pytest.fixture
def pooled_url(own_database_url: str) -> Iterator[str]:
    """Run a PgBouncer with a few sessions in front of a database of the test's own."""
    with PgBouncer.temporary(own_database_url, {"default_pool_size": str(SESSIONS)}) as pooler:
        yield pooler.url


async def test_p3_concurrent_purchases_share_few_sessions(pooled_url: str, own_database_url: str) -> None:
    """Each transaction may run on another session than the last one of its connection."""
    requests = [new_request() for _ in range(6) for new_request in (mixed_cart, purchase)]
    async with served(pooled_url, transaction_pooling=True) as channel, connected(own_database_url) as sql:
        orders = Client(channel)
        first = await asyncio.gather(*(orders.RecordPurchase(each) for each in requests))
        again = await asyncio.gather(*(orders.RecordPurchase(each) for each in requests))
        ready = await serving(channel)
        sessions = await count(sql, "pg_stat_activity WHERE application_name = 'orders'")
        recorded = await count(sql, "orders")

    assert [answer.already_recorded for answer in first + again] == [False] * 12 + [True] * 12
    assert ready
    assert recorded == [12]
    assert 1 <= sessions[0] <= SESSIONS


async def test_each_transaction_has_the_settings_that_the_promises_need(pooled_url: str, own_database_url: str) -> None:
    """The server's defaults do not matter, and stay those of the pooler's other users (P3, P4)."""
    async with connected(own_database_url) as sql:
        name = await sql.fetchval("SELECT current_database()")
        for setting, value in {"synchronous_commit": "off", "default_transaction_isolation": "repeatable read"}.items():
            await sql.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")
    timeouts = {"statement_timeout_seconds": 7, "lock_timeout_seconds": 6, "call_timeout_seconds": 9}
    engine = open_engine(pooled_url, settings_for(pooled_url, transaction_pooling=True, **timeouts).limits)
    async with engine.connect() as connection:
        found = {name: (await connection.execute(text(f"SHOW {name}"))).scalar_one() for name in TRANSACTION}
    async with connected(pooled_url) as other:
        afterwards = await other.fetchval("SELECT current_setting('synchronous_commit')")
    await engine.dispose()

    assert found == TRANSACTION
    assert afterwards == "off"


async def test_p3_a_cancelled_commit_is_not_acknowledged(pooled_url: str, own_database_url: str) -> None:
    """PostgreSQL's warning that the standbys may not have it passes the pooler."""
    long = {"statement_timeout_seconds": 30, "call_timeout_seconds": 60, "database_tries": 1}
    async with (
        connected(own_database_url) as sql,
        served(pooled_url, transaction_pooling=True, **long) as channel,
        standby_missing(own_database_url),
    ):
        call = asyncio.ensure_future(error_of(Client(channel).RecordPurchase(purchase())))
        await until(lambda: sql.fetchval(WAITERS))
        await sql.execute("SELECT pg_cancel_backend(p) FROM unnest($1::int[]) p", await sql.fetchval(WAITERS))
        error = await call

    assert error == UNAVAILABLE


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "ProtocolViolationError"),
        ({"ignore_startup_parameters": IGNORED}, "synchronous_commit, transaction_timeout"),
    ],
)
async def test_p4_an_unannounced_pooler_is_refused(
    own_database_url: str, caplog: pytest.LogCaptureFixture, options: Mapping[str, str], named: str
) -> None:
    """It would drop synchronous_commit and the timeouts without a word."""
    async with connected(own_database_url) as sql:
        name = await sql.fetchval("SELECT current_database()")
        await sql.execute(f"ALTER DATABASE {name} SET synchronous_commit = 'off'")
    with PgBouncer.temporary(own_database_url, options) as pooler:
        async with served(pooler.url, database_tries=1) as channel:
            error = await error_of(Client(channel).RecordPurchase(purchase()))
            ready = await serving(channel)

    assert error == UNAVAILABLE
    assert not ready
    assert f"{named}: see ORDERS_TRANSACTION_POOLING" in caplog.text


@pytest.mark.parametrize("options", [{}, {"ignore_startup_parameters": IGNORED}])
def test_a_migration_needs_postgresql_itself(own_database_url: str, options: Mapping[str, str]) -> None:
    """Its lock is one of the session, which the pooler would give to others."""
    with PgBouncer.temporary(own_database_url, options) as pooler:
        completed = run(environment(pooler.url), "migrate")

    assert completed.code == 2
    assert "must lead to PostgreSQL itself" in completed.stderr
