"""Migration of the database to the schema of this code, and the readiness check that compares the two."""

import logging
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from orders.postgres.connection import StatementRejected, open_session, translate_errors
from orders.usecases.retrying import Retrier
from orders.usecases.unit_of_work import DatabaseReadOnly, DatabaseUnavailable
from servicekit.health import NotReady

_log = logging.getLogger(__name__)

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_CONNECT_SECONDS: Final = 10
_MIGRATION_LOCK: Final = 0x0DE5
"""Key of the advisory lock. Any number will do that nothing else in the database locks."""

_STATE: Final = text("""
    SELECT version_num, current_setting('transaction_read_only')::boolean AS read_only,
           current_setting('log_error_verbosity') <> 'terse' OR current_setting('log_parameter_max_length') <> '0'
           OR current_setting('log_parameter_max_length_on_error') <> '0' AS logs_data,
           NOT current_setting('fsync')::boolean AS not_durable
      FROM alembic_version
""")
_WARNINGS: Final = {
    # Only PostgreSQL's administrator can change it: an error message quotes the rejected row (P7).
    "logs_data": "PostgreSQL's log may quote rows and parameters: see docs/privacy.md",
    "not_durable": "PostgreSQL's fsync is off, so it may lose committed transactions: see docs/deployment.md",
}


def head_revision() -> str:
    """Return the revision that this code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise LookupError("the package has no migrations")
    return head


async def upgrade(database_url: str) -> None:
    """Migrate a database to the head revision, in one transaction. Concurrent migrations wait for each other."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: open_session(
            database_url, timeout=_CONNECT_SECONDS, server_settings={"application_name": "orders-migrate"}
        ),
        poolclass=NullPool,
        hide_parameters=True,
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            # While a migration waits for a long transaction, everybody else waits behind it: better it fails.
            await connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            await connection.run_sync(lambda synchronous: command.upgrade(_config(synchronous), "head"))
    finally:
        await engine.dispose()


class SchemaReadiness:
    """Readiness check: the code works on its own revision only, and would misread any other."""

    def __init__(self, engine: AsyncEngine, retrier: Retrier) -> None:
        self._engine = engine
        self._retrier = retrier
        self._head = head_revision()
        self._warned: set[str] = set()

    async def check(self) -> None:
        """Raise NotReady unless the database answers, takes writes and has the revision of this code."""
        try:
            found = await self._retrier.run(self._revisions)
        except DatabaseReadOnly as error:
            raise NotReady("the database is read-only") from error
        except DatabaseUnavailable as error:
            raise NotReady("the database does not answer") from error
        except StatementRejected as error:
            raise NotReady("the database has no schema: run `orders migrate`") from error
        if found != [self._head]:
            raise NotReady(f"the schema is at {', '.join(found) or 'no revision'}, this code needs {self._head}")

    async def _revisions(self) -> list[str]:
        with translate_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_STATE)).all()
                if any(row.read_only for row in rows):
                    await connection.invalidate()  # This session stays read-only when the database no longer is.
                    raise DatabaseReadOnly
                self._warn({name for name in _WARNINGS if any(getattr(row, name) for row in rows)})
                return [str(row.version_num) for row in rows]

    def _warn(self, names: set[str]) -> None:
        for name in sorted(names - self._warned):
            _log.warning(_WARNINGS[name])
        self._warned |= names


def _config(connection: Connection | None = None) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
