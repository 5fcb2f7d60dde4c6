"""The statements of the hot path, built once: building them costs more than PostgreSQL takes to run them."""

from sqlalchemy import ARRAY, Table, Uuid, any_, bindparam, case, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or

from orders.decisions import Outcome, QuarantineReason
from orders.schema import OrderItemRow, OrderRow, OutboxRow, PaymentRow, Row


def _table(of: type[Row]) -> Table:
    return Row.metadata.tables[of.__tablename__]


PAYMENTS = _table(PaymentRow)
ORDERS = _table(OrderRow)
ITEMS = _table(OrderItemRow)

# Under names of their own, because orders are read together with their payments.
ORDER_COLUMNS = tuple(column.label(f"order_{column.name}") for column in ORDERS.columns)

_waits_for_its_attempt = (PAYMENTS.c.quarantine_reason == QuarantineReason.ATTEMPT_MISSING) & (
    PAYMENTS.c.resolved_at.is_(None)
)

# P3: the primary key and the one purchase per attempt both stand in the way of a second decision. No constraint is
# named: of two inserts at the same moment the later one may run into any of the table's unique indexes first.
DECIDE = insert_or(PAYMENTS).on_conflict_do_nothing().returning(PAYMENTS.c.intent_id)

PROMOTE = (
    update(PAYMENTS)
    .where(PAYMENTS.c.intent_id == bindparam("promoted_intent_id"), _waits_for_its_attempt)
    .returning(PAYMENTS.c.intent_id)
)

# P4: only where there is no content yet, so that what came first stays. What was erased does not come back.
COMPLETE = (
    update(PAYMENTS)
    .where(
        PAYMENTS.c.intent_id == bindparam("completed_intent_id"),
        PAYMENTS.c.outcome == Outcome.QUARANTINED,
        PAYMENTS.c.attempt_content.is_(None),
        PAYMENTS.c.erased_at.is_(None),
    )
    .values(
        quarantine_reason=case(
            (_waits_for_its_attempt, bindparam("better_reason", type_=PAYMENTS.c.quarantine_reason.type)),
            else_=PAYMENTS.c.quarantine_reason,
        )
    )
)

ADD_ORDER = insert_or(ORDERS).on_conflict_do_nothing(index_elements=[ORDERS.c.number]).returning(ORDERS.c.id)

ADD_ITEMS = insert(ITEMS)

ANNOUNCE = insert(_table(OutboxRow))

FIND_DECISION = (
    select(*PAYMENTS.columns, *ORDER_COLUMNS)
    .outerjoin(ORDERS, ORDERS.c.payment_intent_id == PAYMENTS.c.intent_id)
    .where(PAYMENTS.c.intent_id == bindparam("intent_id"))
)

FIND_PURCHASE = (
    select(*PAYMENTS.columns, *ORDER_COLUMNS)
    .join(ORDERS, ORDERS.c.payment_intent_id == PAYMENTS.c.intent_id)
    .where(PAYMENTS.c.attempt_id == bindparam("attempt_id"), PAYMENTS.c.outcome == Outcome.PURCHASE)
)

FIND_ORDER = select(*ORDER_COLUMNS).where(ORDERS.c.id == bindparam("order_id"))

FIND_ITEMS = (
    select(*ITEMS.columns, ORDERS.c.currency)
    .join(ORDERS, ORDERS.c.id == ITEMS.c.order_id)
    .where(ITEMS.c.order_id == any_(bindparam("order_ids", type_=ARRAY(Uuid))))
    .order_by(ITEMS.c.order_id, ITEMS.c.position)
)

LIST_ORDERS = (
    select(*ORDER_COLUMNS)
    .where(ORDERS.c.user_id == bindparam("user_id"))
    .order_by(ORDERS.c.created_at.desc(), ORDERS.c.id.desc())
)

LIST_QUARANTINED = (
    select(*PAYMENTS.columns)
    .where(PAYMENTS.c.outcome == Outcome.QUARANTINED)
    .order_by(PAYMENTS.c.decided_at.desc(), PAYMENTS.c.intent_id.desc())
)

_head = bindparam("head", type_=PAYMENTS.c.attempt_content.type)

_sealed_otherwise = (
    (PAYMENTS.c.outcome == Outcome.QUARANTINED)
    & PAYMENTS.c.attempt_content.is_not(None)
    & (func.substring(PAYMENTS.c.attempt_content, 1, func.octet_length(_head)) != _head)
)

# Locked: whoever reseals, completes or erases the same row at the same moment waits, and then sees what stands.
LIST_SEALED_OTHERWISE = (
    select(PAYMENTS.c.decided_at, PAYMENTS.c.intent_id, PAYMENTS.c.attempt_content)
    .where(_sealed_otherwise)
    .order_by(PAYMENTS.c.decided_at, PAYMENTS.c.intent_id)
    .with_for_update()
)

COUNT_SEALED_OTHERWISE = select(func.count()).select_from(PAYMENTS).where(_sealed_otherwise)

RESEAL = update(PAYMENTS).where(PAYMENTS.c.intent_id == bindparam("resealed_intent_id"))
