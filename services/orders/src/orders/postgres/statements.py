"""Statements on payments, orders and the outbox. Building one costs more than running it, so they are built once."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    ScalarSelect,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as postgres_insert

from orders.domain.purchases import AWAITING_REASONS, QuarantineReason
from orders.domain.refunds import DISPUTED_STATUSES, REFUNDED_STATUSES
from orders.domain.settlements import Settlement
from orders.postgres.subscription_tables import SubscriptionRow
from orders.postgres.tables import DisputeRow, OrderItemRow, OrderRow, OutboxRow, PaymentRow, RefundRow, Row


def table_of(row: type[Row]) -> Table:
    """Return the table of a row class."""
    return Row.metadata.tables[row.__tablename__]


PAYMENTS = table_of(PaymentRow)
ORDERS = table_of(OrderRow)
ORDER_ITEMS = table_of(OrderItemRow)
SUBSCRIPTIONS = table_of(SubscriptionRow)
REFUNDS = table_of(RefundRow)
DISPUTES = table_of(DisputeRow)
OUTBOX = table_of(OutboxRow)

# Literals: by a parameter, PostgreSQL's generic plans could not tell that a partial index has the rows.
IS_PURCHASE = PAYMENTS.c.outcome == literal_column("'purchase'")
IS_QUARANTINED = PAYMENTS.c.outcome == literal_column("'quarantined'")


def amounts_by_currency(
    table: Table, statuses: Sequence[StrEnum], intent_id: ColumnElement[str] = ORDERS.c.payment_intent_id
) -> ScalarSelect[Any]:
    """Select the sums of an intent's refunds or disputes, as a JSON object of minor units by currency."""
    of_intent = table.c.intent_id == intent_id
    counts = or_(*(table.c.status == status for status in statuses))
    sums = (
        select(table.c.currency, func.sum(table.c.amount_minor).label("sum_minor"))
        .where(of_intent, counts)
        .group_by(table.c.currency)
        .correlate(ORDERS, PAYMENTS)
        .subquery()
    )
    return select(func.jsonb_object_agg(sums.c.currency, sums.c.sum_minor, type_=JSONB)).scalar_subquery()


# Prefixed, because orders are read together with their payments. Refunds and disputes are summed when the order is
# read: they may be written before or after the order, and no stored sum can be out of date.
_ORDER_COLUMNS = (
    *(column.label(f"order_{column.name}") for column in ORDERS.columns),
    amounts_by_currency(REFUNDS, REFUNDED_STATUSES).label("order_refunded"),
    amounts_by_currency(DISPUTES, DISPUTED_STATUSES).label("order_disputed"),
)


def _lock(locked_id: str) -> ColumnElement[Any]:
    hashed = func.hashtextextended(bindparam(locked_id, type_=Text), literal_column("0"))
    return func.pg_advisory_xact_lock(hashed).label(locked_id)


# The lock of everything that decides, refunds or disputes an intent, or decides an intent of an attempt, whether or not
# it has a row yet (ADR 27). A statement of its own: those after it see what was committed while it waited. A unit of
# work takes that of the intent, then that of the attempt, both before any row, and nobody who holds a row waits for
# them, so they are part of no deadlock. Ids with the same hash share a lock.
LOCK_ID = select(_lock("locked_id"))

# PostgreSQL takes them in the order of the columns.
LOCK_INTENT_AND_ATTEMPT = select(_lock("intent_id"), _lock("attempt_id"))

SELECT_SUMS = select(
    amounts_by_currency(REFUNDS, REFUNDED_STATUSES, bindparam("intent_id", type_=Text)).label("refunded"),
    amounts_by_currency(DISPUTES, DISPUTED_STATUSES, bindparam("intent_id", type_=Text)).label("disputed"),
)

_key = PAYMENTS.c.intent_id == bindparam("key_intent_id")
_unresolved = PAYMENTS.c.resolved_at.is_(None)
_awaits_attempt = PAYMENTS.c.quarantine_reason.in_(AWAITING_REASONS) & _unresolved
# Unresolved, it would have become the purchase, and its refund failed.
_refund_failed = (PAYMENTS.c.quarantine_reason == QuarantineReason.REFUNDED) & _unresolved

# P3: both the primary key and the index for one purchase per attempt refuse a second decision. ON CONFLICT names no
# constraint, because the later of two concurrent inserts may hit either of the table's unique indexes first.
INSERT_DECISION = postgres_insert(PAYMENTS).on_conflict_do_nothing().returning(PAYMENTS.c.intent_id)

# While an operator refunds it, it becomes no purchase (ADR 42).
_promotable = (_key, PAYMENTS.c.erased_at.is_(None), PAYMENTS.c.refund_begun_at.is_(None))

PROMOTE_TO_PURCHASE = (
    update(PAYMENTS).where(*_promotable, _awaits_attempt | _refund_failed).returning(PAYMENTS.c.intent_id)
)

# For each reason: an operator decides.
SETTLE_AS_PURCHASE = (
    update(PAYMENTS)
    .where(*_promotable, IS_QUARANTINED, _unresolved)
    .values(settlement=Settlement.ORDER)
    .returning(PAYMENTS.c.intent_id)
)

# P4: content that came first stays. P7: erased content does not come back.
AMEND_QUARANTINE = (
    update(PAYMENTS)
    .where(
        _key,
        IS_QUARANTINED,
        PAYMENTS.c.attempt_content.is_(None),
        PAYMENTS.c.erased_at.is_(None),
    )
    .values(
        quarantine_reason=case(
            (_awaits_attempt, bindparam("new_reason", type_=PAYMENTS.c.quarantine_reason.type)),
            else_=PAYMENTS.c.quarantine_reason,
        ),
        reason_before_refund=case(
            (
                PAYMENTS.c.reason_before_refund.in_(AWAITING_REASONS),
                bindparam("new_reason_before_refund", type_=PAYMENTS.c.reason_before_refund.type),
            ),
            else_=PAYMENTS.c.reason_before_refund,
        ),
        stripe_customer_id=func.coalesce(PAYMENTS.c.stripe_customer_id, bindparam("new_customer_id", type_=Text)),
    )
)

# A reason before the refund tells what a refund resolved from what a person did.
RESOLVE_REFUNDED = (
    update(PAYMENTS)
    .where(_key, IS_QUARANTINED, _unresolved)
    .values(
        quarantine_reason=QuarantineReason.REFUNDED,
        reason_before_refund=func.coalesce(PAYMENTS.c.reason_before_refund, PAYMENTS.c.quarantine_reason),
    )
    .returning(PAYMENTS.c.intent_id)
)

REOPEN_REFUNDED = (
    update(PAYMENTS)
    .where(_key, PAYMENTS.c.reason_before_refund.is_not(None))
    .values(
        quarantine_reason=PAYMENTS.c.reason_before_refund,
        reason_before_refund=None,
        resolved_at=None,
        settlement=None,
        refund_begun_at=None,
    )
    .returning(PAYMENTS.c.intent_id)
)

HAS_OTHER_PURCHASE = select(
    select(PAYMENTS.c.intent_id)
    .where(
        PAYMENTS.c.attempt_id == bindparam("attempt_id"),
        IS_PURCHASE,
        PAYMENTS.c.intent_id != bindparam("intent_id"),
    )
    .exists()
)

INSERT_ORDER = postgres_insert(ORDERS).on_conflict_do_nothing(index_elements=[ORDERS.c.number]).returning(ORDERS.c.id)

PUT_ORDER_STATUS = update(ORDERS).where(ORDERS.c.id == bindparam("key_id"))

INSERT_ORDER_ITEMS = insert(ORDER_ITEMS)

INSERT_OUTBOX_EVENT = insert(OUTBOX)

# Most purchases have no subscriptions, and are spared the statements that read them.
_has_subscriptions = (
    select(SUBSCRIPTIONS.c.id)
    .where(SUBSCRIPTIONS.c.checkout_attempt_id == PAYMENTS.c.attempt_id)
    .exists()
    .label("has_subscriptions")
)

_DECISION: tuple[ColumnElement[Any], ...] = (*PAYMENTS.columns, *_ORDER_COLUMNS, _has_subscriptions)

# A statement of its own: the next one sees everything that was committed while this one waited for the lock.
LOCK_DECISION = select(PAYMENTS.c.intent_id).where(PAYMENTS.c.intent_id == bindparam("intent_id")).with_for_update()

SELECT_DECISION = (
    select(*_DECISION)
    .outerjoin(ORDERS, ORDERS.c.payment_intent_id == PAYMENTS.c.intent_id)
    .where(PAYMENTS.c.intent_id == bindparam("intent_id"))
)

SELECT_PURCHASE = (
    select(*_DECISION)
    .outerjoin(ORDERS, ORDERS.c.payment_intent_id == PAYMENTS.c.intent_id)
    .where(PAYMENTS.c.attempt_id == bindparam("attempt_id"), IS_PURCHASE)
)

SELECT_ORDER = select(*_ORDER_COLUMNS).where(ORDERS.c.id == bindparam("order_id"))

SELECT_ORDER_ITEMS = (
    select(*ORDER_ITEMS.columns, ORDERS.c.currency)
    .join(ORDERS, ORDERS.c.id == ORDER_ITEMS.c.order_id)
    .where(ORDER_ITEMS.c.order_id == any_(bindparam("order_ids", type_=ARRAY(Uuid))))
    .order_by(ORDER_ITEMS.c.order_id, ORDER_ITEMS.c.position)
)

SELECT_ORDERS_OF_USER = (
    select(*_ORDER_COLUMNS)
    .where(ORDERS.c.user_id == bindparam("user_id"))
    .order_by(ORDERS.c.created_at.desc(), ORDERS.c.id.desc())
)

SELECT_QUARANTINED = (
    select(*PAYMENTS.columns).where(IS_QUARANTINED).order_by(PAYMENTS.c.decided_at.desc(), PAYMENTS.c.intent_id.desc())
)
