"""The connection to PostgreSQL: its pool, its limits, and what it means when it fails."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit
from weakref import WeakSet

import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
from sqlalchemy import event, exc
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from orders.postgres.tls import RenewedConnections
from orders.usecases.unit_of_work import DatabaseReadOnly, DatabaseUnavailable

_log = logging.getLogger(__name__)

_READ_ONLY = "25006"

_warned: WeakSet[Any] = WeakSet()
"""Sessions to which PostgreSQL has said something that it found worth a warning."""

# PostgreSQL's error classes and codes that pass by themselves: the same statement may succeed later.
_PASSING_CLASSES = frozenset({"08", "28", "40", "53", "57", "58"})
_PASSING_CODES = frozenset(
    {
        "25P03",  # idle in transaction for too long
        "25P04",  # transaction timeout
        "3D000",  # the database is not there (yet)
        "55P03",  # lock timeout
    }
)


class StatementRefused(Exception):
    """PostgreSQL refused a statement for good.

    Says which kind of error and which constraint, but not the message: that quotes the row (P7).
    """

    def __init__(self, sqlstate: str | None, constraint: str | None) -> None:
        super().__init__(f"sqlstate {sqlstate}, constraint {constraint}")
        self.constraint = constraint


@dataclass(frozen=True, slots=True)
class DatabaseLimits:
    """How many connections, and how long they may wait for what."""

    pool_size: int
    connect_timeout_seconds: float
    statement_timeout_seconds: float
    lock_timeout_seconds: float


async def open_session(url: str, **options: Any) -> Any:
    """Connect with asyncpg, to a server that takes writes unless the URL's target_session_attrs says otherwise.

    `url` is a libpq URL: postgresql://user@host:port/database. The options are asyncpg's.
    """
    # asyncpg reads the URL itself, so it may say whatever libpq understands: sslmode, several hosts.
    return await asyncpg.connect(url, target_session_attrs=_wanted_session(url), **options)


def open_engine(url: str, limits: DatabaseLimits) -> AsyncEngine:
    """Return an engine on asyncpg; nothing is connected yet. `url` is what `open_session` takes."""
    renewed = RenewedConnections(url)

    async def connect() -> Any:
        options = renewed.options
        session = await open_session(
            url,
            timeout=limits.connect_timeout_seconds,
            # The server ends a slow statement; this is for a server that does not answer at all.
            command_timeout=limits.statement_timeout_seconds + 1,
            server_settings=_server_settings(limits),
            **options,
        )
        renewed.remember(session, options)
        session.add_log_listener(_note_warning)
        return session

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=limits.pool_size,
        max_overflow=0,
        pool_timeout=limits.connect_timeout_seconds,
        hide_parameters=True,  # They are names and addresses (P7).
    )
    event.listen(engine.sync_engine, "handle_error", _drop_read_only_sessions)
    event.listen(engine.sync_engine, "checkout", renewed.refuse_outdated)
    return engine


async def commit(connection: AsyncConnection) -> None:
    """Commit a transaction. Raises DatabaseUnavailable if it is not where it has to be: the same may be tried again.

    When somebody cancels a commit that waits for synchronous standbys, PostgreSQL warns and reports success: what is
    committed here may be lost with this server.
    """
    session = (await connection.get_raw_connection()).driver_connection
    _warned.discard(session)
    await connection.commit()
    if session in _warned:
        raise _away("committed with a warning")


def _note_warning(session: Any, message: Any) -> None:
    if message.severity_en == "WARNING":
        _warned.add(session)


@contextmanager
def named_failures() -> Iterator[None]:
    """Turn what the driver raises into DatabaseUnavailable or StatementRefused, neither quoting any data (P7)."""
    try:
        yield
    except exc.TimeoutError as error:
        raise _away("no connection free") from error
    except exc.DBAPIError as error:
        if _found_read_only(error):
            raise _read_only() from None
        if not _refused_by_driver(error) and _passes(sqlstate_of(error)):
            raise _away(sqlstate_of(error) or type(error.orig).__name__) from None
        raise StatementRefused(sqlstate_of(error), constraint_of(error)) from None
    except asyncpg.PostgresError as error:
        if _passes(error.sqlstate):
            raise _away(error.sqlstate) from None
        raise StatementRefused(error.sqlstate, error.constraint_name) from None
    except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
        raise _away(type(error).__name__) from error


def sqlstate_of(error: exc.DBAPIError) -> str | None:
    """Return PostgreSQL's code for what went wrong; None when the driver could not even ask."""
    return getattr(error.orig, "sqlstate", None)


def constraint_of(error: exc.DBAPIError) -> str | None:
    """Return the name of the constraint that was violated, if any."""
    return getattr(getattr(error.orig, "__cause__", None), "constraint_name", None)


def _away(cause: str) -> DatabaseUnavailable:
    # The caller learns only that it may try again; the cause is for the operator.
    _log.warning("database unavailable", extra={"cause": cause})
    return DatabaseUnavailable()


def _read_only() -> DatabaseReadOnly:
    _log.warning("database unavailable", extra={"cause": "read-only"})
    return DatabaseReadOnly()


def _drop_read_only_sessions(context: ExceptionContext) -> None:
    # A session may stay read-only after the database has become writable again. The pool must keep neither this one
    # nor those that began before now: each would refuse one more call.
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _found_read_only(error: exc.DBAPIError) -> bool:
    none_to_be_had = isinstance(
        getattr(error.orig, "__cause__", None), asyncpg.exceptions.TargetServerAttributeNotMatched
    )
    return none_to_be_had or sqlstate_of(error) == _READ_ONLY


def _refused_by_driver(error: exc.DBAPIError) -> bool:
    # asyncpg raises a ValueError for a parameter that it cannot encode: no second try will change that.
    return isinstance(getattr(error.orig, "__cause__", None), ValueError)


def _passes(sqlstate: str | None) -> bool:
    return sqlstate is None or sqlstate[:2] in _PASSING_CLASSES or sqlstate in _PASSING_CODES


def _wanted_session(url: str) -> str | None:
    # What is passed to asyncpg overrides the URL.
    return None if "target_session_attrs" in parse_qs(urlsplit(url).query) else "read-write"


def _server_settings(limits: DatabaseLimits) -> dict[str, str]:
    return {
        "application_name": "orders",
        # A recorded purchase is on the disk, and on that of each synchronous standby, whatever the default.
        "synchronous_commit": "on",
        # That it is not on a standby is told by a warning: see commit.
        "client_min_messages": "warning",
        "statement_timeout": _milliseconds(limits.statement_timeout_seconds),
        "lock_timeout": _milliseconds(limits.lock_timeout_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(2 * limits.statement_timeout_seconds),
        # Every statement here is short: compiling it costs more than running it.
        "jit": "off",
    }


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
