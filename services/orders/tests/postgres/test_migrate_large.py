"""Migration of large tables beside readers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, NullPool
from sqlalchemy.ext.asyncio import create_async_engine

from orders.postgres.connection import open_session
from orders.postgres.migrations.steps import add_constraint, create_index_concurrently

from ..service import connected

pytestmark = pytest.mark.long

ROWS: Final = 500_000

FILL: Final = f"""
    INSERT INTO payments (intent_id, kind, attempt_id, outcome, amount_minor, currency, livemode, intent_created_at,
                          channel, decided_at)
    SELECT 'pi_' || number, 'payment', 'attempt_' || number, 'purchase', 7990, 'eur', false, at, 'webhook', at
      FROM generate_series(1, {ROWS}) number, LATERAL (SELECT now() - number * interval '1 minute' AS at)
"""  # noqa: S608 - a constant

READ: Final = "SELECT amount_minor FROM payments WHERE intent_id = 'pi_' || $1::text"
WRITE: Final = "UPDATE payments SET stripe_event_id = 'evt_1' WHERE intent_id = 'pi_' || $1::text"


async def test_neither_an_index_nor_a_constraint_blocks_anybody_for_long(own_database_url: str) -> None:
    """No read and no write takes 100 ms longer than the slowest before the migration."""
    async with connected(own_database_url) as sql:
        await sql.execute(FILL)
        await sql.execute("VACUUM ANALYZE payments")

    usual = await _slowest_beside(own_database_url, asyncio.sleep(5))
    slowest = await _slowest_beside(own_database_url, _migrate(own_database_url))

    assert slowest < usual + 0.1, f"{slowest:.3f} s beside the migration, {usual:.3f} s before it"
    async with connected(own_database_url) as sql:
        assert await sql.fetchval("SELECT convalidated FROM pg_constraint WHERE conname = 'payments_intent_id_check'")
        assert await sql.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'payments_by_amount'::regclass")


async def _migrate(database_url: str) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: open_session(database_url), poolclass=NullPool
    )
    async with engine.connect() as connection:
        await connection.run_sync(_run_steps)
    await engine.dispose()


def _run_steps(connection: Connection) -> None:
    context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
    with context.begin_transaction(_per_migration=True), Operations.context(context):
        add_constraint("payments", "payments_intent_id_check", "CHECK (intent_id ~ '^[a-z]+_[0-9a-z]{1,40}$')")
        create_index_concurrently("payments_by_amount", "payments (amount_minor, decided_at)")


async def _slowest_beside(database_url: str, work: Any) -> float:
    """Read and write all the time while the work lasts; return the seconds of the slowest statement."""
    async with _measured(database_url, READ) as reads, _measured(database_url, WRITE) as writes:
        await work
    return max(*reads, *writes)


@asynccontextmanager
async def _measured(database_url: str, statement: str) -> AsyncIterator[list[float]]:
    seconds: list[float] = []
    async with connected(database_url) as sql:
        prepared = await sql.prepare(statement)
        ended = asyncio.Event()

        async def measure() -> None:
            number = 0
            while not ended.is_set():
                number = number % ROWS + 1
                began = time.monotonic()
                await prepared.fetch(str(number))
                seconds.append(time.monotonic() - began)

        measuring = asyncio.create_task(measure())
        yield seconds
        ended.set()
        await measuring
