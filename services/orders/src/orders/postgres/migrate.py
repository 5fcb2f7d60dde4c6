"""Migration of the database to the schema of this code, beside services that read and write (ADR 45)."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from alembic import command
from sqlalchemy import NullPool, exc, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from orders.postgres.connection import open_verified_session, sqlstate_of
from orders.postgres.migrations import alembic_config, head_revision
from orders.postgres.schema_version import SchemaVersion

_log = logging.getLogger(__name__)

_CONNECT_SECONDS: Final = 10
_MIGRATION_LOCK: Final = 0x0DE5
"""Key of the advisory lock. Any number will do that nothing else in the database locks."""

_LOCK_TRIES: Final = 60
_PAUSE_SECONDS: Final = (0.5, 1.5)
_LOCK_ERRORS: Final = frozenset({"55P03", "40P01"})
"""lock_timeout and deadlock_detected."""

_SETTINGS: Final = {
    "application_name": "orders-migrate",
    # While a statement waits for its lock, every later reader of the table waits behind it.
    "lock_timeout": "500",  # milliseconds
    # An index of a large table takes as long as it takes, whatever the server's default.
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}

_HAS_SCHEMA: Final = text("SELECT to_regclass('schema_compatibility') IS NOT NULL")
_VERSION: Final = text("SELECT version_num, oldest_code FROM alembic_version, schema_compatibility")


class LocksNotAcquired(Exception):
    """Other transactions held a lock that the migration needs, each time it tried. What it committed stays."""


class CodeTooOld(Exception):
    """The schema no longer has what this code needs."""

    def __init__(self, found: SchemaVersion) -> None:
        super().__init__(f"the schema is at {found.revision} and needs code of revision {found.oldest_code} or newer")


async def upgrade(database_url: str, *, lock_tries: int = _LOCK_TRIES) -> None:
    """Migrate a database to the head revision, each revision in its own transaction.

    Concurrent migrations wait for each other. A newer schema on which this code may run is left as it is. Raises
    CodeTooOld and LocksNotAcquired, and PoolerInTheWay: its lock is a session's.
    """
    async with _opened(database_url) as connection:
        await _wait_for_other_migrations(connection)
        found = await _find_version(connection)
        head = head_revision()
        if found is not None and found.has_outgrown(head):
            raise CodeTooOld(found)
        if found is not None and found.is_ahead_of(head):
            _log.warning("the schema is newer than this code, which may run on it", extra={"revision": found.revision})
            return
        await _run_revisions(connection, lock_tries)


@asynccontextmanager
async def _opened(database_url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: open_verified_session(database_url, _SETTINGS, timeout=_CONNECT_SECONDS),
        poolclass=NullPool,
        hide_parameters=True,
    )
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def _wait_for_other_migrations(connection: AsyncConnection) -> None:
    """Take the lock of the session. A statement that waited for it would make a concurrent index build wait for us."""
    lock = text("SELECT pg_try_advisory_lock(:lock)")
    while not await connection.scalar(lock, {"lock": _MIGRATION_LOCK}):
        await connection.commit()
        _log.info("another migration runs")
        await _pause()
    await connection.commit()


async def _find_version(connection: AsyncConnection) -> SchemaVersion | None:
    has_schema = await connection.scalar(_HAS_SCHEMA)
    row = (await connection.execute(_VERSION)).one_or_none() if has_schema else None
    await connection.commit()  # Alembic begins the transactions of the revisions only outside of one.
    return SchemaVersion(row.version_num, row.oldest_code) if row else None


async def _run_revisions(connection: AsyncConnection, tries: int) -> None:
    for left in reversed(range(tries)):
        try:
            await connection.run_sync(lambda synchronous: command.upgrade(alembic_config(synchronous), "head"))
        except exc.DBAPIError as error:
            if sqlstate_of(error) not in _LOCK_ERRORS:
                raise
            _log.warning("another transaction holds a lock", extra={"tries_left": left})
            await connection.rollback()
            if left:
                await _pause()
        else:
            return await connection.commit()
    raise LocksNotAcquired


async def _pause() -> None:
    await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 - spreads migrations, hides nothing
