"""Which revision of the schema this code needs, how a database gets there, and whether it is there."""

import logging
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from orders.postgres.connection import StatementRefused, named_failures, open_session
from orders.usecases.retrying import Patience
from orders.usecases.unit_of_work import DatabaseReadOnly, DatabaseUnavailable
from servicekit.health import NotReady

_log = logging.getLogger(__name__)

_MIGRATIONS = Path(__file__).parent / "migrations"
_CONNECT_SECONDS = 10

# Any number will do, as long as nothing else in the database locks it.
_MIGRATION_LOCK = 0x0DE5

_STATE = text("""
    SELECT version_num, current_setting('transaction_read_only')::boolean AS read_only,
           current_setting('log_error_verbosity') <> 'terse' OR current_setting('log_parameter_max_length') <> '0'
           OR current_setting('log_parameter_max_length_on_error') <> '0' AS log_may_quote,
           NOT current_setting('fsync')::boolean AS may_lose
      FROM alembic_version
""")
_WARNINGS: Final = {
    # Only PostgreSQL's administrator can change it, and only there: a refused row is quoted with its names (P7).
    "log_may_quote": "PostgreSQL's own log may quote rows and parameters: see docs/privacy.md",
    "may_lose": "PostgreSQL's fsync is off, so that it may lose what it has committed: see docs/deployment.md",
}


def head_revision() -> str:
    """Return the revision that this code was written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise LookupError("the package has no migrations")
    return head


async def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring a database up to a revision, in one transaction. Several at once wait for each other."""
    await _migrate(database_url, lambda connection: command.upgrade(_config(connection), revision))


async def downgrade(database_url: str, revision: str) -> None:
    """Take a database down to a revision, in one transaction. What later revisions added is lost."""
    await _migrate(database_url, lambda connection: command.downgrade(_config(connection), revision))


class SchemaReadiness:
    """The server works on one revision only: on another it would misread, or fail halfway."""

    def __init__(self, engine: AsyncEngine, patience: Patience) -> None:
        self._engine = engine
        self._patience = patience
        self._head = head_revision()
        self._warned: set[str] = set()

    async def check(self) -> None:
        """Raise NotReady unless the database answers, takes writes and has the revision of this code."""
        try:
            found = await self._patience.persist(self._found, None)
        except DatabaseReadOnly as read_only:
            raise NotReady("the database is read-only") from read_only
        except DatabaseUnavailable as away:
            raise NotReady("the database does not answer") from away
        except StatementRefused as refused:
            raise NotReady("the database has no schema of ours: run `orders migrate`") from refused
        if found != [self._head]:
            raise NotReady(f"the schema is at {', '.join(found) or 'no revision'}, this code needs {self._head}")

    async def _found(self) -> list[str]:
        with named_failures():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_STATE)).all()
                if any(row.read_only for row in rows):
                    await connection.invalidate()  # The database may be writable again and this session not.
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


async def _migrate(database_url: str, run: Any) -> None:
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
            # A migration that waits for a long transaction makes everybody else wait behind it: better it fails.
            await connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            await connection.run_sync(run)
    finally:
        await engine.dispose()
