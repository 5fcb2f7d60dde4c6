"""Insert of a purchase that is one order: its decision, order, items and event in one statement.

Most purchases are one. A statement for each table costs orders several times what it costs PostgreSQL.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ARRAY, BindParameter, Column, Table, bindparam, func, insert, literal_column, not_, or_, select
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from orders.postgres.statements import DISPUTES, IS_PURCHASE, ORDER_ITEMS, ORDERS, OUTBOX, PAYMENTS, REFUNDS


def _columns(table: Table, *written_later: str) -> list[Column[Any]]:
    return [column for column in table.columns if column.name not in written_later]


def _value(column: Column[Any]) -> BindParameter[Any]:
    return bindparam(f"{column.table.name}_{column.name}", type_=column.type)


def _values(columns: list[Column[Any]]) -> list[Any]:
    return [_value(column).label(column.name) for column in columns]


_payment = _columns(PAYMENTS, "resolved_at", "refund_begun_at", "settlement", "erased_at")
_order = _columns(ORDERS, "payment_outcome", "erased_at")
_item = _columns(ORDER_ITEMS, "order_id")
_event = _columns(OUTBOX, "id", "published_at")

_intent_id, _attempt_id = _value(PAYMENTS.c.intent_id), _value(PAYMENTS.c.attempt_id)
# The unit of work holds the locks of the intent and the attempt, and this statement began after it got them: what is
# not there is not written before the commit (ADR 27). The constraints of the tables would refuse it all the same.
_nothing_known = not_(
    or_(
        select(PAYMENTS.c.intent_id).where(PAYMENTS.c.intent_id == _intent_id).exists(),
        select(PAYMENTS.c.intent_id).where(PAYMENTS.c.attempt_id == _attempt_id, IS_PURCHASE).exists(),
        select(REFUNDS.c.intent_id).where(REFUNDS.c.intent_id == _intent_id).exists(),
        select(DISPUTES.c.intent_id).where(DISPUTES.c.intent_id == _intent_id).exists(),
    )
)

# Everything else is inserted only with the order's row, which is the only one that another unit of work may prevent: it
# may have the order's number. The foreign keys are checked when the whole statement has run.
_inserted = (
    postgres_insert(ORDERS)
    .from_select(_order, select(*_values(_order)).where(_nothing_known), include_defaults=False)
    .on_conflict_do_nothing(index_elements=[ORDERS.c.number])
    .returning(ORDERS.c.id)
    .cte("inserted")
)
_decision = insert(PAYMENTS).from_select(_payment, select(*_values(_payment)).select_from(_inserted)).cte("decision")
_lines = (
    func.unnest(*(bindparam(_value(each).key, type_=ARRAY(each.type)) for each in _item))
    .table_valued(*(each.name for each in _item))
    .render_derived(name="line")
)
_items = (
    insert(ORDER_ITEMS)
    .from_select(
        [ORDER_ITEMS.c.order_id, *_item],
        select(_inserted.c.id, *_lines.columns).select_from(_inserted.join(_lines, literal_column("true"))),
    )
    .cte("items")
)
_INSERT_PURCHASE = (
    insert(OUTBOX)
    .from_select(_event, select(*_values(_event)).select_from(_inserted))
    .add_cte(_decision, _items)
    .returning(OUTBOX.c.id)
)

_COMPILED: Final = _INSERT_PURCHASE.compile(dialect=asyncpg.dialect())  # type: ignore[no-untyped-call] # SQLAlchemy left it untyped
_SQL: Final = str(_COMPILED)
_NAMES: Final = tuple(_COMPILED.positiontup or ())


async def insert_purchase(
    connection: AsyncConnection,
    payment: Mapping[str, Any],
    order: Mapping[str, Any],
    items: list[dict[str, Any]],
    event: Mapping[str, Any],
) -> bool:
    """Insert these rows. False, and no row, if the intent or its attempt is known, or the number is taken.

    Compiled once for all: to process each of its many parameters costs SQLAlchemy as much as another statement.
    """
    values = {
        **_named(PAYMENTS, payment),
        **_named(ORDERS, order),
        **_named(ORDER_ITEMS, {each.name: [item[each.name] for item in items] for each in _item}),
        **_named(OUTBOX, {**event, "payload": json.dumps(event["payload"])}),
    }
    result = await connection.exec_driver_sql(_SQL, tuple(values[name] for name in _NAMES))
    return result.first() is not None


def _named(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{table.name}_{name}": value for name, value in row.items()}
