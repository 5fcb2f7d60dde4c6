"""The statements on subscriptions and customers, built once. Their conditions decide every race."""

from typing import Any

from sqlalchemy import ARRAY, Integer, Select, Uuid, any_, bindparam, case, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or

from orders.domain.subscriptions import MOST_INVOICES, SubscriptionStatus
from orders.postgres.statements import PAYMENTS, SUBSCRIPTIONS, table_of
from orders.postgres.subscription_tables import CustomerRow, SubscriptionInvoiceRow, SubscriptionItemRow

SUBSCRIPTION_ITEMS = table_of(SubscriptionItemRow)
INVOICES = table_of(SubscriptionInvoiceRow)
CUSTOMERS = table_of(CustomerRow)

# No ON CONFLICT: who writes these holds the attempt's decision, so another row of the interval is no race to lose
# quietly but a bug, and the purchase must not be recorded without it (P3).
ADD_SUBSCRIPTIONS = insert(SUBSCRIPTIONS)

ADD_SUBSCRIPTION_ITEMS = insert(SUBSCRIPTION_ITEMS)

_wanted = SUBSCRIPTIONS.c.id == bindparam("wanted_id")
_unwritten_since = SUBSCRIPTIONS.c.version == bindparam("expected_version")
_unbound = SUBSCRIPTIONS.c.stripe_subscription_id.is_(None)
_abandoned = SUBSCRIPTIONS.c.activation_generation == bindparam("abandoned_generation", type_=Integer)

# Only a transaction that writes, if only a lock, waits for synchronous standbys when it commits.
HOLD_SUBSCRIPTION = select(SUBSCRIPTIONS.c.id).where(_wanted).with_for_update()

# A begin that finds the generation begun writes nothing: two who activate at once must not overtake each other.
BEGIN_ACTIVATION = (
    update(SUBSCRIPTIONS)
    .where(_wanted, _unbound, or_(SUBSCRIPTIONS.c.activation_began_at.is_(None), _abandoned))
    .values(
        activation_generation=SUBSCRIPTIONS.c.activation_generation + case((_abandoned, 1), else_=0),
        version=SUBSCRIPTIONS.c.version + 1,
    )
)

BIND = update(SUBSCRIPTIONS).where(_wanted, _unwritten_since, _unbound).returning(SUBSCRIPTIONS.c.id)

FAIL_ACTIVATION = (
    update(SUBSCRIPTIONS)
    .where(
        _wanted,
        _unwritten_since,
        _unbound,
        or_(
            SUBSCRIPTIONS.c.status == SubscriptionStatus.PENDING,
            SUBSCRIPTIONS.c.activation_began_at.is_not(None),
        ),
    )
    .values(activation_generation=SUBSCRIPTIONS.c.activation_generation + 1)
    .returning(SUBSCRIPTIONS.c.id)
)

# What was read at Stripe is written only where nobody wrote since the version was read before: otherwise a slow
# reader of an old state would overwrite a newer one.
APPLY_STATE = (
    update(SUBSCRIPTIONS)
    .where(_wanted, _unwritten_since, SUBSCRIPTIONS.c.stripe_subscription_id == bindparam("bound_to"))
    .returning(SUBSCRIPTIONS.c.id)
)

_new_invoice = insert_or(INVOICES)

# Under the lock that the subscription's row holds by now, so the newest sighting of an invoice is the last one written.
PUT_INVOICE = _new_invoice.on_conflict_do_update(
    index_elements=[INVOICES.c.stripe_invoice_id],
    set_={
        column.name: column
        for column in _new_invoice.excluded
        if column.name not in ("stripe_invoice_id", "subscription_id")
    },
    where=INVOICES.c.subscription_id == _new_invoice.excluded.subscription_id,
).returning(INVOICES.c.stripe_invoice_id)


def _subscriptions() -> Select[Any]:
    """Select subscriptions with the kind of the intent that set them up."""
    return select(*SUBSCRIPTIONS.columns, PAYMENTS.c.kind.label("intent_kind")).join(
        PAYMENTS, PAYMENTS.c.intent_id == SUBSCRIPTIONS.c.intent_id
    )


FIND_SUBSCRIPTION = _subscriptions().where(_wanted)

FIND_BOUND = _subscriptions().where(SUBSCRIPTIONS.c.stripe_subscription_id == bindparam("bound_to"))

FIND_OF_ATTEMPT = (
    _subscriptions()
    .where(SUBSCRIPTIONS.c.checkout_attempt_id == bindparam("attempt_id"))
    .order_by(SUBSCRIPTIONS.c.position)
)

LIST_SUBSCRIPTIONS = (
    _subscriptions()
    .where(SUBSCRIPTIONS.c.user_id == bindparam("user_id"))
    .order_by(SUBSCRIPTIONS.c.created_at.desc(), SUBSCRIPTIONS.c.id.desc())
)

_ids = bindparam("subscription_ids", type_=ARRAY(Uuid))

FIND_SUBSCRIPTION_ITEMS = (
    select(*SUBSCRIPTION_ITEMS.columns)
    .where(SUBSCRIPTION_ITEMS.c.subscription_id == any_(_ids))
    .order_by(SUBSCRIPTION_ITEMS.c.subscription_id, SUBSCRIPTION_ITEMS.c.position)
)

_newest_first = (INVOICES.c.created_at.desc(), INVOICES.c.stripe_invoice_id.desc())
_place = func.row_number().over(partition_by=INVOICES.c.subscription_id, order_by=_newest_first).label("place")
_ranked = select(*INVOICES.columns, _place).where(INVOICES.c.subscription_id == any_(_ids)).subquery()

FIND_INVOICES = (
    select(_ranked).where(_ranked.c.place <= MOST_INVOICES).order_by(_ranked.c.subscription_id, _ranked.c.place)
)

# The first writer wins. No constraint is named: somebody else may have this customer, too.
ADD_CUSTOMER = insert_or(CUSTOMERS).on_conflict_do_nothing().returning(CUSTOMERS.c.user_id)

REPLACE_CUSTOMER = (
    update(CUSTOMERS)
    .where(CUSTOMERS.c.user_id == bindparam("wanted_user"), CUSTOMERS.c.stripe_customer_id == bindparam("replaced"))
    .returning(CUSTOMERS.c.user_id)
)

FIND_CUSTOMER = select(CUSTOMERS.c.stripe_customer_id).where(CUSTOMERS.c.user_id == bindparam("wanted_user"))
