"""Settings that every transaction of orders needs, and how a session or a pooler keeps them (ADR 48)."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
from sqlalchemy import Connection, bindparam, event, func, select, true
from sqlalchemy.ext.asyncio import AsyncEngine

from orders.usecases.unit_of_work import DatabaseUnavailable

_log = logging.getLogger(__name__)

_SETTINGS: Final = "SELECT name, setting FROM pg_settings WHERE name = ANY($1)"


class PoolerInTheWay(DatabaseUnavailable):
    """A pooler does not keep what a session was opened with, and no setting says that there is one."""


@dataclass(frozen=True, slots=True)
class DatabaseLimits:
    """Size of the pool, and timeouts."""

    pool_size: int
    connect_timeout_seconds: float
    statement_timeout_seconds: float
    lock_timeout_seconds: float
    transaction_timeout_seconds: float
    transaction_pooling: bool = False
    """The URL leads to a pooler that may give each transaction another session."""


def settings_of_session(limits: DatabaseLimits) -> dict[str, str]:
    """Return what a session is opened with."""
    return {
        "application_name": "orders",
        # A statement after a lock sees everything that was committed while it waited (ADR 27).
        "default_transaction_isolation": "read committed",
        # Idle sessions of a machine that vanished would use up max_connections.
        "tcp_keepalives_idle": "60",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
        **_settings_of_transaction(limits),
    }


async def verify_session(session: Any, wanted: Mapping[str, str]) -> None:
    """Raise PoolerInTheWay if a session has other settings than those that it was opened with."""
    found = {row["name"]: row["setting"] for row in await session.fetch(_SETTINGS, _verified(wanted))}
    ignored = sorted(name for name, value in found.items() if value != wanted[name])
    if ignored:
        await session.close()
        raise _pooler_in_the_way(f"without {', '.join(ignored)}")


def set_in_each_transaction(engine: AsyncEngine, limits: DatabaseLimits) -> None:
    """Begin each transaction of an engine with its settings: its session may be another one than before."""
    values = _settings_of_transaction(limits)
    statement = select(*(func.set_config(name, bindparam(name), true()) for name in values))

    def begin(connection: Connection) -> None:
        connection.execute(statement, values)

    event.listen(engine.sync_engine, "begin", begin)


@contextmanager
def refuse_pooler() -> Iterator[None]:
    """Translate the errors by which a pooler shows itself to PoolerInTheWay."""
    try:
        yield
    except (
        asyncpg.ProtocolViolationError,  # PgBouncer: "unsupported startup parameter"
        asyncpg.DuplicatePreparedStatementError,
        asyncpg.InvalidSQLStatementNameError,
    ) as error:
        raise _pooler_in_the_way(f"with {type(error).__name__}") from error


def _pooler_in_the_way(how: str) -> PoolerInTheWay:
    message = f"a pooler opens sessions {how}: see ORDERS_TRANSACTION_POOLING"
    _log.error(message)
    return PoolerInTheWay(message)


def _settings_of_transaction(limits: DatabaseLimits) -> dict[str, str]:
    return {
        # A recorded purchase is on disk, also that of each synchronous standby, whatever the server's default.
        "synchronous_commit": "on",
        # PostgreSQL warns if a commit is not on a standby: see commit().
        "client_min_messages": "warning",
        "statement_timeout": _milliseconds(limits.statement_timeout_seconds),
        "lock_timeout": _milliseconds(limits.lock_timeout_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(2 * limits.statement_timeout_seconds),
        # If this machine vanishes, a transaction that PostgreSQL does not take for idle would keep its locks for hours.
        "transaction_timeout": _milliseconds(limits.transaction_timeout_seconds),
        # Every statement here is short: compiling it costs more than running it.
        "jit": "off",
    }


def _verified(wanted: Mapping[str, str]) -> list[str]:
    # A Unix socket has no keepalives.
    return [name for name in wanted if not name.startswith("tcp_keepalives")]


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
