"""Connections to PostgreSQL: the pool, its limits, and the translation of its errors."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final
from urllib.parse import parse_qs
from weakref import WeakSet

import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
from sqlalchemy import Executable, event, exc, text
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from orders.postgres.session_settings import (
    DatabaseLimits,
    refuse_pooler,
    set_in_each_transaction,
    settings_of_session,
    verify_session,
)
from orders.postgres.tls import ReloadingTls
from orders.usecases.unit_of_work import DatabaseReadOnly, DatabaseUnavailable
from servicekit.urls import split_url

_log = logging.getLogger(__name__)

_READ_ONLY: Final = "25006"

_WRITE_NO_ROW: Final = text("SELECT pg_logical_emit_message(true, 'orders', '')")

_warned: WeakSet[Any] = WeakSet()
"""Sessions in which PostgreSQL has sent a warning since their last commit began."""

# Error classes and codes of PostgreSQL that pass by themselves: the same statement may succeed later.
_TRANSIENT_CLASSES: Final = frozenset({"08", "28", "40", "53", "57", "58"})
_TRANSIENT_CODES: Final = frozenset(
    {
        "25P03",  # idle_in_transaction_session_timeout
        "25P04",  # transaction_timeout
        "3D000",  # the database does not exist (yet)
        "55P03",  # lock_timeout
    }
)


class StatementRejected(Exception):
    """PostgreSQL rejected a statement for good.

    Names the kind of error and the constraint, but not the message, which quotes the row (P7).
    """

    def __init__(self, sqlstate: str | None, constraint: str | None) -> None:
        super().__init__(f"sqlstate {sqlstate}, constraint {constraint}")
        self.constraint = constraint


async def open_session(url: str, **options: Any) -> Any:
    """Connect with asyncpg to a server that takes writes, unless the URL has another target_session_attrs.

    `url` is a libpq URL: postgresql://user@host:port/database. The options are asyncpg's. Connects to all hosts at
    once: one after the other, a host that does not answer would use up the time for the others.
    """
    options = {"target_session_attrs": _target_session_attrs(url)} | options
    # asyncpg parses the rest of the URL, so every libpq parameter works, such as sslmode.
    attempts = {asyncio.ensure_future(asyncpg.connect(each, **options)) for each in _url_of_each_host(url)}
    pending, session = attempts, None
    try:
        while session is None and pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            session = next((each.result() for each in done if not each.exception()), None)
        return session or done.pop().result()
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(lambda ended: _discard(ended, session))


def _discard(attempt: "asyncio.Future[Any]", chosen: Any) -> None:
    if not attempt.cancelled() and not attempt.exception() and attempt.result() is not chosen:
        attempt.result().terminate()


async def open_verified_session(url: str, settings: dict[str, str], **options: Any) -> Any:
    """Open a session with these settings. Raises PoolerInTheWay if it has others. The options are asyncpg's."""
    with refuse_pooler():
        session = await open_session(url, server_settings=settings, **options)
        await verify_session(session, settings)
        return session


def open_engine(url: str, limits: DatabaseLimits) -> AsyncEngine:
    """Return an engine on asyncpg that is not connected yet. `url` is that of `open_session`."""
    tls = ReloadingTls(url)

    async def connect() -> Any:
        options = tls.options
        session = await _open_session_with_settings(
            url,
            limits,
            timeout=limits.connect_timeout_seconds,
            # The server ends a slow statement; this limit is for a server that does not answer at all.
            command_timeout=limits.statement_timeout_seconds + 1,
            **options,
        )
        tls.remember(session, options)
        session.add_log_listener(_note_warning)
        return session

    engine = create_async_engine(
        "postgresql+asyncpg://",
        pool_size=limits.pool_size,
        max_overflow=0,
        pool_timeout=limits.connect_timeout_seconds,
        hide_parameters=True,  # They are names and addresses (P7).
        **(_pooled(connect) if limits.transaction_pooling else {"async_creator": connect}),
    )
    if limits.transaction_pooling:
        set_in_each_transaction(engine, limits)
    event.listen(engine.sync_engine, "handle_error", _discard_read_only_sessions)
    event.listen(engine.sync_engine, "checkout", tls.discard_outdated)
    return engine


async def _open_session_with_settings(url: str, limits: DatabaseLimits, **options: Any) -> Any:
    if limits.transaction_pooling:
        # The pooler selects the server, and tells its clients about another one than the next transaction may get.
        pooled = {"statement_cache_size": 0, "target_session_attrs": "any"}
        return await open_session(url, server_settings={"application_name": "orders"}, **pooled, **options)
    return await open_verified_session(url, settings_of_session(limits), **options)


def _pooled(connect: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    """Return options of an engine that prepares no statement by name: the pooler may lead the next one elsewhere."""

    def creator() -> Any:
        driver = asyncpg_dialect.dialect.import_dbapi()  # type: ignore[no-untyped-call] # SQLAlchemy left it untyped
        return driver.connect(
            async_creator_fn=connect, prepared_statement_cache_size=0, prepared_statement_name_func=str
        )

    return {"creator": creator, "isolation_level": "READ COMMITTED"}


async def affected(connection: AsyncConnection, statement: Executable, values: dict[str, Any]) -> bool:
    """Execute a statement with RETURNING; True if it affected a row."""
    return (await connection.execute(statement, values)).first() is not None


async def commit(connection: AsyncConnection) -> None:
    """Commit a transaction. Raises DatabaseUnavailable if a synchronous standby may not have it.

    If a commit is cancelled while it waits for synchronous standbys, PostgreSQL sends a warning and reports success,
    but the transaction may be lost with this server.
    """
    session = (await connection.get_raw_connection()).driver_connection
    _warned.discard(session)
    await connection.commit()
    if session in _warned:
        raise _unavailable("committed with a warning")


@asynccontextmanager
async def durable_transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Run the block in a transaction. Its commit waits for the synchronous standbys, also if the block changes nothing.

    A repeat may find its work done by a commit that no standby has yet: what it then reports must not be lost either.
    """
    with translate_errors():
        async with engine.connect() as connection:
            await connection.execute(_WRITE_NO_ROW)
            yield connection
            await commit(connection)


def _note_warning(session: Any, message: Any) -> None:
    if message.severity_en == "WARNING":
        _warned.add(session)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate the driver's errors to DatabaseUnavailable or StatementRejected, which quote no data (P7)."""
    try:
        yield
    except exc.TimeoutError as error:
        raise _unavailable("no free connection in the pool") from error
    except exc.DBAPIError as error:
        if _is_read_only(error):
            raise _read_only() from None
        if not _is_encoding_error(error) and _is_transient(sqlstate_of(error)):
            raise _unavailable(sqlstate_of(error) or type(error.orig).__name__) from None
        raise StatementRejected(sqlstate_of(error), constraint_of(error)) from None
    except asyncpg.PostgresError as error:
        if _is_transient(error.sqlstate):
            raise _unavailable(error.sqlstate) from None
        raise StatementRejected(error.sqlstate, error.constraint_name) from None
    except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
        raise _unavailable(type(error).__name__) from error


def sqlstate_of(error: exc.DBAPIError) -> str | None:
    """Return PostgreSQL's error code; None if the error is the driver's own."""
    return getattr(error.orig, "sqlstate", None)


def constraint_of(error: exc.DBAPIError) -> str | None:
    """Return the name of the violated constraint, if any."""
    return getattr(getattr(error.orig, "__cause__", None), "constraint_name", None)


def _unavailable(cause: str) -> DatabaseUnavailable:
    # Callers learn only that they may retry; the cause is for the operator.
    _log.warning("database unavailable", extra={"cause": cause})
    return DatabaseUnavailable()


def _read_only() -> DatabaseReadOnly:
    _log.warning("database unavailable", extra={"cause": "read-only"})
    return DatabaseReadOnly()


def _discard_read_only_sessions(context: ExceptionContext) -> None:
    # A session may stay read-only after the database has become writable again. The pool discards this one and all
    # that were opened before now, since each would fail one more call.
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _is_read_only(error: exc.DBAPIError) -> bool:
    no_primary = isinstance(getattr(error.orig, "__cause__", None), asyncpg.exceptions.TargetServerAttributeNotMatched)
    return no_primary or sqlstate_of(error) == _READ_ONLY


def _is_encoding_error(error: exc.DBAPIError) -> bool:
    # asyncpg raises a ValueError for a parameter that it cannot encode, which no retry changes.
    return isinstance(getattr(error.orig, "__cause__", None), ValueError)


def _is_transient(sqlstate: str | None) -> bool:
    return sqlstate is None or sqlstate[:2] in _TRANSIENT_CLASSES or sqlstate in _TRANSIENT_CODES


def _url_of_each_host(url: str) -> list[str]:
    found = re.fullmatch(r"(\w+://(?:[^/?#@]*@)?)([^/?#]*)(.*)", url)
    return [url] if found is None else [f"{found[1]}{host}{found[3]}" for host in found[2].split(",")]


def _target_session_attrs(url: str) -> str | None:
    # An argument of asyncpg.connect overrides the URL.
    return None if "target_session_attrs" in parse_qs(split_url(url).query) else "read-write"
