"""Versions of the schema and of the code that may run on it, and the readiness check that compares the two (ADR 45)."""

import logging
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from orders.postgres.connection import StatementRejected, translate_errors
from orders.postgres.migrations import head_revision
from orders.postgres.session_settings import PoolerInTheWay
from orders.usecases.retrying import Retrier
from orders.usecases.unit_of_work import DatabaseReadOnly, DatabaseUnavailable
from servicekit.health import NotReady

_log = logging.getLogger(__name__)

_STATE: Final = text("""
    SELECT version_num, oldest_code, current_setting('transaction_read_only')::boolean AS read_only,
           current_setting('log_error_verbosity') <> 'terse' OR current_setting('log_parameter_max_length') <> '0'
           OR current_setting('log_parameter_max_length_on_error') <> '0' AS logs_data,
           NOT current_setting('fsync')::boolean AS not_durable
      FROM alembic_version, schema_compatibility
""")
_WARNINGS: Final = {
    # Only PostgreSQL's administrator can change it: an error message quotes the rejected row (P7).
    "logs_data": "PostgreSQL's log may quote rows and parameters: see docs/privacy.md",
    "not_durable": "PostgreSQL's fsync is off, so it may lose committed transactions: see docs/deployment.md",
}


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """Revision of a database's schema, and the number of the oldest revision whose code may run on it."""

    revision: str
    oldest_code: int

    def is_behind(self, code: str) -> bool:
        """Return True if the schema lacks what the code of this revision needs."""
        return number_of(self.revision) < number_of(code)

    def is_ahead_of(self, code: str) -> bool:
        """Return True if a newer release migrated the database."""
        return number_of(self.revision) > number_of(code)

    def has_outgrown(self, code: str) -> bool:
        """Return True if the schema no longer has what the code of this revision needs."""
        return number_of(code) < self.oldest_code


def number_of(revision: str) -> int:
    """Return the place of a revision in the order: 2 of `0002_unfinished_index`."""
    return int(revision.partition("_")[0])


class SchemaReadiness:
    """Readiness check: the schema is at least that of this code, and this code is at least what the schema needs."""

    def __init__(self, engine: AsyncEngine, retrier: Retrier) -> None:
        self._engine = engine
        self._retrier = retrier
        self._head = head_revision()
        self._warned: set[str] = set()

    async def check(self) -> None:
        """Raise NotReady unless the database answers, takes writes and has a schema on which this code may run."""
        try:
            found = await self._retrier.run(self._version)
        except DatabaseReadOnly as error:
            raise NotReady("the database is read-only") from error
        except PoolerInTheWay as error:
            raise NotReady(str(error)) from error
        except DatabaseUnavailable as error:
            raise NotReady("the database does not answer") from error
        except StatementRejected as error:
            raise NotReady("the database has no schema: run `orders migrate`") from error
        if found is None:
            raise NotReady("the database has no revision: run `orders migrate`")
        if found.is_behind(self._head):
            raise NotReady(f"the schema is at {found.revision}, this code needs {self._head}: run `orders migrate`")
        if found.has_outgrown(self._head):
            raise NotReady(f"the schema needs code of revision {found.oldest_code} or newer, this is {self._head}")

    async def _version(self) -> SchemaVersion | None:
        with translate_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(_STATE)).one_or_none()
                if row is None:
                    return None
                if row.read_only:
                    await connection.invalidate()  # This session stays read-only when the database no longer is.
                    raise DatabaseReadOnly
                self._warn(row)
                return SchemaVersion(row.version_num, row.oldest_code)

    def _warn(self, row: Row[Any]) -> None:
        for name in sorted({name for name in _WARNINGS if getattr(row, name)} - self._warned):
            _log.warning(_WARNINGS[name])
            self._warned.add(name)
