"""Log of Stripe's events, retries and cursors on PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    DateTime,
    Integer,
    Interval,
    Row,
    Text,
    any_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from orders.domain.stripe_events import (
    FIRST_RETRY_AFTER,
    LONGEST_RETRY_AFTER,
    ClaimedCursor,
    EventObject,
    EventRetry,
    HandledEvent,
)
from orders.postgres.statements import table_of
from orders.postgres.stripe_event_tables import CursorRow, EventRetryRow, StripeEventRow

_EVENTS = table_of(StripeEventRow)
_RETRIES = table_of(EventRetryRow)
_CURSORS = table_of(CursorRow)

_MAX_DOUBLINGS: Final = 30
"""Far beyond the longest pause, and within the numbers."""

_INSERT_EVENTS = postgres_insert(_EVENTS).on_conflict_do_nothing()

_ids = bindparam("event_ids", type_=ARRAY(Text))
_SELECT_KNOWN = (
    select(_EVENTS.c.event_id)
    .where(_EVENTS.c.event_id == any_(_ids))
    .union(select(_RETRIES.c.id).where(_RETRIES.c.id == any_(_ids)))
)

_oldest = (
    select(_EVENTS.c.event_id)
    .where(_EVENTS.c.created_at < bindparam("created_before", type_=DateTime(timezone=True)))
    .order_by(_EVENTS.c.created_at)
    .limit(bindparam("max_rows", type_=Integer))
)
_PRUNE = delete(_EVENTS).where(_EVENTS.c.event_id.in_(_oldest))

_retry = postgres_insert(_RETRIES)
_doubled_seconds = FIRST_RETRY_AFTER.total_seconds() * func.power(2, func.least(_RETRIES.c.failures, _MAX_DOUBLINGS))
_pause = func.make_interval(
    0, 0, 0, 0, 0, 0, func.least(_doubled_seconds, LONGEST_RETRY_AFTER.total_seconds()), type_=Interval
)
_PUT_RETRY = _retry.on_conflict_do_update(
    index_elements=[_RETRIES.c.id],
    set_={
        "failures": _RETRIES.c.failures + 1,
        "next_try_at": bindparam("failed_at", type_=DateTime(timezone=True)) + _pause,
        "reason": _retry.excluded.reason,
        "not_understood_by": _retry.excluded.not_understood_by,
    },
)

_tried_by_version = or_(
    _RETRIES.c.not_understood_by.is_(None),
    _RETRIES.c.not_understood_by != bindparam("version", type_=Text),
)
_due = (
    select(_RETRIES.c.id)
    .where(_RETRIES.c.next_try_at <= bindparam("at", type_=DateTime(timezone=True)), _tried_by_version)
    .order_by(_RETRIES.c.next_try_at)
    .limit(bindparam("max_rows", type_=Integer))
    .with_for_update(skip_locked=True)
)
_CLAIM_RETRIES = (
    update(_RETRIES)
    .where(_RETRIES.c.id.in_(_due))
    .values(next_try_at=bindparam("claimed_until", type_=DateTime(timezone=True)))
    .returning(*_RETRIES.columns)
)

_COUNT_RETRIES = select(func.count(), func.min(_RETRIES.c.created_at).filter(_tried_by_version))

_DELETE_RETRY = (
    delete(_RETRIES)
    .where(_RETRIES.c.id == bindparam("key_id"), _RETRIES.c.failures == bindparam("failures_when_claimed"))
    .returning(*_RETRIES.columns)
)

_cursor = postgres_insert(_CURSORS)

# The lease of another caller that has not ended leaves the row as it is, and returns nothing.
_CLAIM_CURSOR = _cursor.on_conflict_do_update(
    index_elements=[_CURSORS.c.name],
    set_={"leased_until": _cursor.excluded.leased_until},
    where=_CURSORS.c.leased_until <= bindparam("at", type_=DateTime(timezone=True)),
).returning(_CURSORS.c.position)

# A caller that is late must not make the others read again what they have done.
_ADVANCE_CURSOR = _cursor.on_conflict_do_update(
    index_elements=[_CURSORS.c.name],
    set_={
        "position": func.greatest(_CURSORS.c.position, _cursor.excluded.position),
        "leased_until": _cursor.excluded.leased_until,
    },
)


class PostgresStripeEventRepository:
    """Implements StripeEventRepository."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def log(self, events: Sequence[HandledEvent], at: datetime) -> None:
        """Insert the rows in the order of their ids, so that two writers of the same events do not deadlock."""
        rows = [
            {"event_id": each.id, "type": each.type, "created_at": each.created_at, "handled_at": at}
            for each in sorted(events, key=lambda event: event.id)
        ]
        if rows:
            await self._connection.execute(_INSERT_EVENTS, rows)

    async def find_known(self, event_ids: Sequence[str]) -> set[str]:
        """Use one statement."""
        return set((await self._connection.execute(_SELECT_KNOWN, {"event_ids": list(event_ids)})).scalars())

    async def prune(self, created_before: datetime, max_rows: int) -> int:
        """Delete the oldest rows."""
        values = {"created_before": created_before, "max_rows": max_rows}
        return (await self._connection.execute(_PRUNE, values)).rowcount

    async def put_retry(self, retry: EventRetry, at: datetime) -> None:
        """Insert the row, or add a failure to it."""
        await self._connection.execute(_PUT_RETRY, {**_retry_to_row(retry, at), "failed_at": at})

    async def claim_due_retries(self, limit: int, at: datetime, until: datetime, version: str) -> list[EventRetry]:
        """Update rows that no other caller is claiming."""
        values = {"at": at, "claimed_until": until, "version": version, "max_rows": limit}
        rows = (await self._connection.execute(_CLAIM_RETRIES, values)).all()
        return [_retry_from_row(row) for row in sorted(rows, key=lambda row: row.created_at)]

    async def count_retries(self, version: str) -> tuple[int, datetime | None]:
        """Use one statement."""
        waiting, oldest_created_at = (await self._connection.execute(_COUNT_RETRIES, {"version": version})).one()
        return waiting, oldest_created_at

    async def delete_retry(self, retry_id: str, failures: int) -> EventRetry | None:
        """Delete the row if it has the number of failures."""
        values = {"key_id": retry_id, "failures_when_claimed": failures}
        row = (await self._connection.execute(_DELETE_RETRY, values)).first()
        return None if row is None else _retry_from_row(row)

    async def claim_cursor(self, name: str, at: datetime, until: datetime) -> ClaimedCursor:
        """Insert the row, or update it if its lease has ended."""
        values = {"name": name, "leased_until": until, "at": at, "position": None}
        row = (await self._connection.execute(_CLAIM_CURSOR, values)).first()
        return ClaimedCursor(row is not None, None if row is None else row.position)

    async def advance_cursor(self, name: str, position: datetime, until: datetime) -> None:
        """Insert or update the row."""
        values = {"name": name, "position": position, "leased_until": until}
        await self._connection.execute(_ADVANCE_CURSOR, values)


def _retry_to_row(retry: EventRetry, at: datetime) -> dict[str, Any]:
    return {
        "id": retry.id,
        "type": retry.type,
        "kind": retry.object.kind,
        "stripe_id": retry.object.stripe_id,
        "subscription_id": retry.object.subscription_id,
        "stripe_invoice_id": retry.object.stripe_invoice_id,
        "created_at": retry.created_at,
        "failures": 1,
        "next_try_at": at + FIRST_RETRY_AFTER,
        "reason": retry.reason,
        "not_understood_by": retry.not_understood_by,
    }


def _retry_from_row(row: Row[Any]) -> EventRetry:
    return EventRetry(
        id=row.id,
        type=row.type,
        object=EventObject(row.kind, row.stripe_id, row.subscription_id, row.stripe_invoice_id),
        created_at=row.created_at,
        failures=row.failures,
        reason=row.reason,
        not_understood_by=row.not_understood_by,
    )
