"""Migration from nothing to head, and the agreement of the migrated schema with the tables of the code."""

import asyncio
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from orders.postgres.connection import open_engine
from orders.postgres.migrate import head_revision, upgrade
from orders.postgres.tables import Row

from ..service import connected, settings_for

# Everything that PostgreSQL knows about our tables, independent of the statements that created them.
CATALOGUE = """
    SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
           coalesce(pg_get_expr(d.adbin, d.adrelid), ''), a.attidentity::text
      FROM pg_attribute a
      JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attnum > 0 AND c.relname <> 'alembic_version'
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', ''
      FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
    UNION ALL
    SELECT 'index', tablename, indexname, indexdef, '', '', '' FROM pg_indexes
     WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL
    SELECT 'enum', t.typname, e.enumlabel, rank() OVER (PARTITION BY t.oid ORDER BY e.enumsortorder)::text, '', '', ''
      FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
     ORDER BY 1, 2, 3
"""


async def catalogue(engine: AsyncEngine) -> list[tuple[Any, ...]]:
    """Return everything that PostgreSQL knows about our tables."""
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(CATALOGUE))]


async def test_the_migrated_schema_is_that_of_the_tables(engine: AsyncEngine, empty_database_url: str) -> None:
    """Down to every constraint, default, index and enum value."""
    created = open_engine(empty_database_url, settings_for(empty_database_url).limits)
    async with created.begin() as connection:
        await connection.run_sync(Row.metadata.create_all)

    migrated = await catalogue(engine)

    assert migrated == await catalogue(created)
    assert len(migrated) > 100
    await created.dispose()


async def test_concurrent_migrations_wait_for_each_other(empty_database_url: str) -> None:
    """As many as a deployment may start; another one later changes nothing."""
    await asyncio.gather(*(upgrade(empty_database_url) for _ in range(4)))
    await upgrade(empty_database_url)

    async with connected(empty_database_url) as sql:
        assert await sql.fetchval("SELECT array_agg(version_num) FROM alembic_version") == [head_revision()]
