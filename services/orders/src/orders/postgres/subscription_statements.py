"""Statements on subscriptions and customers, built once. Their conditions decide every race."""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    DateTime,
    Integer,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    delete,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as postgres_insert

from orders.domain.subscriptions import MAX_INVOICES, SubscriptionStatus
from orders.postgres.statements import PAYMENTS, SUBSCRIPTIONS, table_of
from orders.postgres.subscription_tables import (
    CustomerRow,
    SubscriptionBilledItemRow,
    SubscriptionInvoiceRow,
    SubscriptionItemRow,
)

SUBSCRIPTION_ITEMS = table_of(SubscriptionItemRow)
BILLED_ITEMS = table_of(SubscriptionBilledItemRow)
INVOICES = table_of(SubscriptionInvoiceRow)
CUSTOMERS = table_of(CustomerRow)

# No ON CONFLICT: the writer holds the attempt's decision, so another row of the same interval is a bug, and the
# purchase must fail with it (P3).
INSERT_SUBSCRIPTIONS = insert(SUBSCRIPTIONS)

INSERT_SUBSCRIPTION_ITEMS = insert(SUBSCRIPTION_ITEMS)

_key = SUBSCRIPTIONS.c.id == bindparam("key_id")
_has_version = SUBSCRIPTIONS.c.version == bindparam("expected_version")
_unbound = SUBSCRIPTIONS.c.stripe_subscription_id.is_(None)
_pending = SUBSCRIPTIONS.c.status == SubscriptionStatus.PENDING
_failed = SUBSCRIPTIONS.c.status == SubscriptionStatus.ACTIVATION_FAILED
_not_cancelled = SUBSCRIPTIONS.c.cancel_requested_at.is_(None)
_abandoned = SUBSCRIPTIONS.c.activation_generation == bindparam("abandoned_generation", type_=Integer)

# A commit waits for the synchronous standbys only if the transaction wrote something, if only a lock.
LOCK_SUBSCRIPTION = select(SUBSCRIPTIONS.c.id).where(_key).with_for_update()

# A generation that has started already is left alone, so that two concurrent activations do not overtake each other. A
# caller that comes after a definite refusal starts nothing: only RETRY_ACTIVATION lets a failed one begin again.
# A cancelled subscription starts no generation: abandoning the one that was under way ends its activation.
BEGIN_ACTIVATION = (
    update(SUBSCRIPTIONS)
    .where(_key, _unbound, or_(and_(SUBSCRIPTIONS.c.activation_began_at.is_(None), _pending), _abandoned))
    .where(not_(_failed))
    .values(
        activation_began_at=case((_not_cancelled, bindparam("began_at", type_=DateTime(timezone=True)))),
        activation_generation=SUBSCRIPTIONS.c.activation_generation + case((_abandoned, 1), else_=0),
        version=SUBSCRIPTIONS.c.version + 1,
    )
)

# A cancelled subscription is bound only after it has ended at Stripe.
BIND = (
    update(SUBSCRIPTIONS)
    .where(_key, _has_version, _unbound, or_(_not_cancelled, bindparam("has_ended", type_=Boolean)))
    .returning(SUBSCRIPTIONS.c.id)
)

CANCEL_PENDING = (
    update(SUBSCRIPTIONS)
    .where(_key, _has_version, _unbound, _not_cancelled)
    .values(status=SubscriptionStatus.CANCELED, activation_failure=None, version=SUBSCRIPTIONS.c.version + 1)
    .returning(SUBSCRIPTIONS.c.id)
)

FAIL_ACTIVATION = (
    update(SUBSCRIPTIONS)
    .where(_key, _has_version, _pending)
    .values(activation_generation=SUBSCRIPTIONS.c.activation_generation + 1)
    .returning(SUBSCRIPTIONS.c.id)
)

# The refusal advanced the generation and nobody began it, so the other payment method meets an unused key.
_payment_method = func.coalesce(bindparam("payment_method_id", type_=Text), SUBSCRIPTIONS.c.stripe_payment_method_id)
_expected = bindparam("expected_version", type_=BigInteger)
RETRY_ACTIVATION = (
    update(SUBSCRIPTIONS)
    .where(
        _key,
        _failed,
        or_(_expected.is_(None), SUBSCRIPTIONS.c.version == _expected),
        _payment_method.is_not(None),
    )
    .values(
        status=SubscriptionStatus.PENDING,
        activation_failure=None,
        stripe_payment_method_id=_payment_method,
        version=SUBSCRIPTIONS.c.version + 1,
    )
    .returning(SUBSCRIPTIONS.c.id)
)

# A state is written only if nobody wrote after the version was read: a slow reader of an old state must not replace a
# newer one.
APPLY_STATE = (
    update(SUBSCRIPTIONS)
    .where(_key, _has_version, SUBSCRIPTIONS.c.stripe_subscription_id == bindparam("bound_to"))
    .returning(SUBSCRIPTIONS.c.id)
)

# After BIND or APPLY_STATE, whose lock makes writers of the items take turns.
DELETE_BILLED_ITEMS = delete(BILLED_ITEMS).where(BILLED_ITEMS.c.subscription_id == bindparam("key_id"))

INSERT_BILLED_ITEMS = insert(BILLED_ITEMS)

_invoice = postgres_insert(INVOICES)

# The transaction has updated the subscription's row, so writers of its invoices take turns and the newest one is last.
PUT_INVOICE = _invoice.on_conflict_do_update(
    index_elements=[INVOICES.c.stripe_invoice_id],
    set_={
        column.name: column
        for column in _invoice.excluded
        if column.name not in ("stripe_invoice_id", "subscription_id")
    },
    where=INVOICES.c.subscription_id == _invoice.excluded.subscription_id,
).returning(INVOICES.c.stripe_invoice_id)


# Of one statement, so that row and items are of one version: each statement sees the last commit.
_billed = select(*BILLED_ITEMS.columns).where(BILLED_ITEMS.c.subscription_id == SUBSCRIPTIONS.c.id)
_billed_rows = _billed.correlate(SUBSCRIPTIONS).subquery()
_billed_items = select(
    func.jsonb_agg(aggregate_order_by(func.to_jsonb(_billed_rows.table_valued()), _billed_rows.c.position), type_=JSONB)
).scalar_subquery()


def _subscriptions() -> Select[Any]:
    columns = (*SUBSCRIPTIONS.columns, PAYMENTS.c.kind.label("intent_kind"), _billed_items.label("billed_items"))
    return select(*columns).join(PAYMENTS, PAYMENTS.c.intent_id == SUBSCRIPTIONS.c.intent_id)


SELECT_SUBSCRIPTION = _subscriptions().where(_key)

SELECT_BY_STRIPE_ID = _subscriptions().where(SUBSCRIPTIONS.c.stripe_subscription_id == bindparam("bound_to"))

SELECT_OF_ATTEMPT = (
    _subscriptions()
    .where(SUBSCRIPTIONS.c.checkout_attempt_id == bindparam("attempt_id"))
    .order_by(SUBSCRIPTIONS.c.position)
)

SELECT_OF_USER = (
    _subscriptions()
    .where(SUBSCRIPTIONS.c.user_id == bindparam("user_id"))
    .order_by(SUBSCRIPTIONS.c.created_at.desc(), SUBSCRIPTIONS.c.id.desc())
)

# Those whose activation failed wait for a person.
SELECT_UNFINISHED = (
    select(SUBSCRIPTIONS.c.id, SUBSCRIPTIONS.c.created_at)
    .where(
        _unbound,
        or_(SUBSCRIPTIONS.c.status != SubscriptionStatus.CANCELED, SUBSCRIPTIONS.c.activation_began_at.is_not(None)),
        not_(_failed),
        SUBSCRIPTIONS.c.created_at < bindparam("created_before", type_=DateTime(timezone=True)),
    )
    .order_by(SUBSCRIPTIONS.c.created_at, SUBSCRIPTIONS.c.id)
)

_ids = bindparam("subscription_ids", type_=ARRAY(Uuid))

SELECT_ITEMS = (
    select(*SUBSCRIPTION_ITEMS.columns)
    .where(SUBSCRIPTION_ITEMS.c.subscription_id == any_(_ids))
    .order_by(SUBSCRIPTION_ITEMS.c.subscription_id, SUBSCRIPTION_ITEMS.c.position)
)

_newest_first = (INVOICES.c.created_at.desc(), INVOICES.c.stripe_invoice_id.desc())
_rank = func.row_number().over(partition_by=INVOICES.c.subscription_id, order_by=_newest_first).label("rank")
_ranked = select(*INVOICES.columns, _rank).where(INVOICES.c.subscription_id == any_(_ids)).subquery()

SELECT_INVOICES = (
    select(_ranked).where(_ranked.c.rank <= MAX_INVOICES).order_by(_ranked.c.subscription_id, _ranked.c.rank)
)

# The first writer wins. ON CONFLICT names no constraint: another user or currency may have the customer, too.
INSERT_CUSTOMER = postgres_insert(CUSTOMERS).on_conflict_do_nothing().returning(CUSTOMERS.c.user_id)

_customer_key = and_(CUSTOMERS.c.user_id == bindparam("key_user_id"), CUSTOMERS.c.currency == bindparam("key_currency"))

REPLACE_CUSTOMER = (
    update(CUSTOMERS)
    .where(_customer_key, CUSTOMERS.c.stripe_customer_id == bindparam("replaced"))
    .returning(CUSTOMERS.c.user_id)
)

SELECT_CUSTOMER = select(CUSTOMERS.c.stripe_customer_id).where(_customer_key)

IS_CUSTOMER_ERASED = select(
    select(CUSTOMERS.c.stripe_customer_id)
    .where(CUSTOMERS.c.stripe_customer_id == bindparam("stripe_customer_id"), CUSTOMERS.c.erased_at.is_not(None))
    .exists()
)
