"""The statements of the hot path, built once: building them costs more than PostgreSQL takes to run them."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    ScalarSelect,
    Table,
    Uuid,
    any_,
    bindparam,
    case,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as insert_or

from orders.domain.purchases import Outcome, QuarantineReason
from orders.domain.refunds import DISPUTED, REFUNDED
from orders.postgres.subscription_tables import SubscriptionRow
from orders.postgres.tables import DisputeRow, OrderItemRow, OrderRow, OutboxRow, PaymentRow, RefundRow, Row


def table_of(row: type[Row]) -> Table:
    """Return the table of a row."""
    return Row.metadata.tables[row.__tablename__]


PAYMENTS = table_of(PaymentRow)
ORDERS = table_of(OrderRow)
ITEMS = table_of(OrderItemRow)
SUBSCRIPTIONS = table_of(SubscriptionRow)

REFUNDS = table_of(RefundRow)
DISPUTES = table_of(DisputeRow)


def _sums_of_order(adjustments: Table, counted: Sequence[StrEnum]) -> ScalarSelect[Any]:
    """Return the sums of an order's refunds or disputes, as a JSON object of minor units by currency."""
    of_order = adjustments.c.intent_id == ORDERS.c.payment_intent_id
    counts = or_(*(adjustments.c.status == status for status in counted))
    by_currency = (
        select(adjustments.c.currency, func.sum(adjustments.c.amount_minor).label("sum_minor"))
        .where(of_order, counts)
        .group_by(adjustments.c.currency)
        .correlate(ORDERS)
        .subquery()
    )
    return select(func.jsonb_object_agg(by_currency.c.currency, by_currency.c.sum_minor, type_=JSONB)).scalar_subquery()


# Under names of their own, because orders are read together with their payments. What was refunded and disputed is
# summed when an order is read: whatever came first, refund or order, there is nothing that could be out of step.
ORDER_COLUMNS = (
    *(column.label(f"order_{column.name}") for column in ORDERS.columns),
    _sums_of_order(REFUNDS, REFUNDED).label("order_refunded"),
    _sums_of_order(DISPUTES, DISPUTED).label("order_disputed"),
)

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

ANNOUNCE = insert(table_of(OutboxRow))

# Asked with the rest, because most purchases have none: they are spared the look-ups.
_has_subscriptions = (
    select(SUBSCRIPTIONS.c.id)
    .where(SUBSCRIPTIONS.c.checkout_attempt_id == PAYMENTS.c.attempt_id)
    .exists()
    .label("has_subscriptions")
)

_DECISION: tuple[ColumnElement[Any], ...] = (*PAYMENTS.columns, *ORDER_COLUMNS, _has_subscriptions)

# A statement of its own: what the next one reads is as it stands once the lock is had.
LOCK_DECISION = select(PAYMENTS.c.intent_id).where(PAYMENTS.c.intent_id == bindparam("intent_id")).with_for_update()

FIND_DECISION = (
    select(*_DECISION)
    .outerjoin(ORDERS, ORDERS.c.payment_intent_id == PAYMENTS.c.intent_id)
    .where(PAYMENTS.c.intent_id == bindparam("intent_id"))
)

FIND_PURCHASE = (
    select(*_DECISION)
    .outerjoin(ORDERS, ORDERS.c.payment_intent_id == PAYMENTS.c.intent_id)
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
