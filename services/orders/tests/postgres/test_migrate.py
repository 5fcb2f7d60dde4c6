"""Migration from nothing to head, and the agreement of the migrated schema with the tables of the code."""

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncEngine

from orders.postgres.connection import open_engine
from orders.postgres.migrate import LocksNotAcquired, upgrade
from orders.postgres.migrations import alembic_config, head_revision
from orders.postgres.schema_version import number_of
from orders.postgres.tables import Row

from ..service import connected, settings_for, until

VERSIONS = Path(__file__).parents[4] / "tests/versions"
INDEX_IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('subscriptions_unfinished')"
KILL_MIGRATION = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'orders-migrate'"

# Tables of the migrations themselves, of which the code has none.
OWN_TABLES = ("alembic_version", "schema_compatibility")

# Everything that PostgreSQL knows about our tables, independent of the statements that created them.
CATALOGUE = """
    SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
           coalesce(pg_get_expr(d.adbin, d.adrelid), ''), a.attidentity::text
      FROM pg_attribute a
      JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attnum > 0 AND c.relname <> ALL (:own_tables)
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', ''
      FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> ALL (:own_tables)
    UNION ALL
    SELECT 'index', tablename, indexname, indexdef, '', '', '' FROM pg_indexes
     WHERE schemaname = 'public' AND tablename <> ALL (:own_tables)
    UNION ALL
    SELECT 'enum', t.typname, e.enumlabel, rank() OVER (PARTITION BY t.oid ORDER BY e.enumsortorder)::text, '', '', ''
      FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
     ORDER BY 1, 2, 3
"""


async def catalogue(engine: AsyncEngine) -> list[tuple[Any, ...]]:
    """Return everything that PostgreSQL knows about our tables."""
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(CATALOGUE), {"own_tables": list(OWN_TABLES)})]


async def test_the_migrated_schema_is_that_of_the_tables(engine: AsyncEngine, empty_database_url: str) -> None:
    """Down to every constraint, default, index and enum value."""
    created = open_engine(empty_database_url, settings_for(empty_database_url).limits)
    async with created.begin() as connection:
        await connection.run_sync(Row.metadata.create_all)

    migrated = await catalogue(engine)

    assert migrated == await catalogue(created)
    assert len(migrated) > 100
    await created.dispose()


async def test_a_released_schema_is_migrated_to_that_of_the_tables(
    engine: AsyncEngine, empty_database_url: str
) -> None:
    """A released revision never changes, so a new database and an upgraded one are equal."""
    await restore_released_schema(empty_database_url)

    await upgrade(empty_database_url)

    upgraded = open_engine(empty_database_url, settings_for(empty_database_url).limits)
    assert await catalogue(upgraded) == await catalogue(engine)
    await upgraded.dispose()


async def test_an_index_build_that_was_killed_is_repeated(empty_database_url: str) -> None:
    """It had left an invalid index, which no query uses."""
    await restore_released_schema(empty_database_url)
    async with connected(empty_database_url) as other, connected(empty_database_url) as administrator:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("UPDATE subscriptions SET version = version")
        migration = asyncio.create_task(upgrade(empty_database_url))
        await until(lambda: _is_invalid(administrator))

        await administrator.execute(KILL_MIGRATION)
        with pytest.raises(exc.SQLAlchemyError):
            await migration
        await transaction.rollback()
        await upgrade(empty_database_url)

        assert await administrator.fetchval(INDEX_IS_VALID)


async def restore_released_schema(database_url: str) -> None:
    """Create the tables of the newest release."""
    released = tomllib.loads((VERSIONS / "released.toml").read_text())
    async with connected(database_url) as sql:
        await sql.execute((VERSIONS / released["schema"]).read_text())


async def test_concurrent_migrations_wait_for_each_other(empty_database_url: str) -> None:
    """As many as a deployment may start; another one later changes nothing."""
    at_once = 4
    outcomes = await asyncio.gather(*(upgrade(empty_database_url) for _ in range(at_once)), return_exceptions=True)
    await upgrade(empty_database_url)

    assert sum(outcome is None for outcome in outcomes) == at_once
    async with connected(empty_database_url) as sql:
        assert await sql.fetchval("SELECT array_agg(version_num) FROM alembic_version") == [head_revision()]


def test_revisions_are_numbered_in_their_order() -> None:
    """Readiness compares the numbers."""
    revisions = ScriptDirectory.from_config(alembic_config()).walk_revisions()

    numbers = [number_of(revision.revision) for revision in revisions][::-1]

    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_locked_out_migration_tries_again(empty_database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Soon, because everybody else queues behind a statement that waits for its lock."""
    async with connected(empty_database_url) as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("CREATE TABLE payments ()")
        migration = asyncio.create_task(upgrade(empty_database_url))
        await until(lambda: _logged(caplog, "holds a lock"))

        await transaction.rollback()
        await migration

        assert await other.fetchval("SELECT version_num FROM alembic_version") == head_revision()


async def test_a_migration_that_is_always_locked_out_fails(empty_database_url: str) -> None:
    """It leaves the schema as it was."""
    async with connected(empty_database_url) as other, other.transaction():
        await other.execute("CREATE TABLE payments ()")

        with pytest.raises(LocksNotAcquired):
            async with asyncio.timeout(20):
                await upgrade(empty_database_url, lock_tries=1)

        assert await other.fetchval("SELECT to_regclass('schema_compatibility')") is None


async def _is_invalid(sql: Any) -> bool:
    return await sql.fetchval(INDEX_IS_VALID) is False


async def _logged(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    return words in caplog.text
