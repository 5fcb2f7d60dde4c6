"""Tables of payments, orders, refunds, disputes and the outbox, with the constraints that enforce the promises.

Constraints hold even if the code is wrong. Names of tables and columns are part of the operator's interface. Amounts
are whole numbers of minor units.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from orders.domain.orders import OrderStatus
from orders.domain.payments import IntentKind, ReportChannel
from orders.domain.purchases import Outcome, QuarantineReason
from orders.domain.refunds import DisputeStatus, RefundStatus
from orders.domain.settlements import OperatorVerb, Settlement
from orders.postgres.subscription_tables import (
    CustomerRow,
    SubscriptionInvoiceRow,
    SubscriptionItemRow,
    SubscriptionRow,
)
from orders.postgres.table_base import PERSONAL_COLUMNS, Row, erased_has_no_personal_data

# Row's metadata is complete only if every module with tables is imported.
__all__ = [
    "ONE_PURCHASE_PER_ATTEMPT",
    "CustomerRow",
    "DisputeRow",
    "OperatorActionRow",
    "OrderItemRow",
    "OrderRow",
    "OutboxRow",
    "PaymentRow",
    "RefundRow",
    "Row",
    "SubscriptionInvoiceRow",
    "SubscriptionItemRow",
    "SubscriptionRow",
]

ONE_PURCHASE_PER_ATTEMPT = "payments_one_purchase_per_attempt"


class PaymentRow(Row):
    """Decision on a succeeded intent. This table alone decides P3."""

    __tablename__ = "payments"

    intent_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[IntentKind]
    attempt_id: Mapped[str]
    outcome: Mapped[Outcome]
    amount_minor: Mapped[int | None]
    currency: Mapped[str | None]
    livemode: Mapped[bool]
    intent_created_at: Mapped[datetime]
    stripe_payment_method_id: Mapped[str | None]
    stripe_customer_id: Mapped[str | None]
    user_id: Mapped[str | None]
    quarantine_reason: Mapped[QuarantineReason | None]
    reason_before_refund: Mapped[QuarantineReason | None]
    attempt_content: Mapped[bytes | None]
    encrypted_content: Mapped[bytes | None]
    encrypted_key_id: Mapped[str | None]
    channel: Mapped[ReportChannel]
    stripe_event_id: Mapped[str | None]
    decided_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    refund_begun_at: Mapped[datetime | None]
    settlement: Mapped[Settlement | None]
    erased_at: Mapped[datetime | None]

    __table_args__ = (
        Index(ONE_PURCHASE_PER_ATTEMPT, "attempt_id", unique=True, postgresql_where=text("outcome = 'purchase'")),
        # Keyset of the audit, in the order of Stripe's lists.
        Index("payments_by_intent_creation", "kind", "intent_created_at", "intent_id"),
        Index("payments_quarantined_attempts", "attempt_id", postgresql_where=text("outcome = 'quarantined'")),
        Index("payments_quarantined", "decided_at", "intent_id", postgresql_where=text("outcome = 'quarantined'")),
        # Those that wait for a person are few, and lie among all that were ever resolved.
        Index(
            "payments_unresolved",
            "decided_at",
            "intent_id",
            postgresql_where=text("outcome = 'quarantined' AND resolved_at IS NULL"),
        ),
        # For an erasure. Purchases are found by their orders and subscriptions.
        Index("payments_quarantined_users", "user_id", postgresql_where=text("outcome = 'quarantined'")),
        # Targets of the foreign keys of orders (P3, P5) and of subscriptions, which have no amount (P3).
        UniqueConstraint("intent_id", "outcome", "amount_minor", "currency", name="payments_amount_key"),
        UniqueConstraint("intent_id", "outcome", "currency", name="payments_outcome_key"),
        CheckConstraint("(outcome = 'quarantined') = (quarantine_reason IS NOT NULL)", name="reason_iff_quarantined"),
        # A setup intent takes no money: it has amount 0 in the cart's currency as a purchase, and none in quarantine.
        CheckConstraint(
            "(kind = 'payment' OR outcome = 'purchase') = (amount_minor IS NOT NULL)",
            name="amount_unless_quarantined_setup",
        ),
        CheckConstraint("kind = 'payment' OR coalesce(amount_minor, 0) = 0", name="setup_amount_is_zero"),
        CheckConstraint("(amount_minor IS NULL) = (currency IS NULL)", name="amount_with_currency"),
        CheckConstraint("amount_minor >= 0", name="amount_minor"),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
        # The reason that comes back if the refund fails; none where a person resolved the payment.
        CheckConstraint(
            "reason_before_refund IS NULL OR coalesce(quarantine_reason = 'refunded', false)",
            name="reason_before_refund",
        ),
        CheckConstraint(
            "outcome = 'quarantined' OR num_nonnulls(stripe_customer_id, attempt_content, encrypted_content) = 0",
            name="content_only_if_quarantined",
        ),
        # Content that checkout-session could not decrypt is replaced by content that it could.
        CheckConstraint("num_nonnulls(attempt_content, encrypted_content) <= 1", name="one_content"),
        CheckConstraint("(encrypted_content IS NULL) = (encrypted_key_id IS NULL)", name="encrypted_content_with_key"),
        CheckConstraint("outcome = 'quarantined' OR resolved_at IS NULL", name="resolved_only_if_quarantined"),
        CheckConstraint(
            "settlement IS NULL OR (settlement = 'order') = (outcome = 'purchase')", name="order_iff_settled_as_order"
        ),
        CheckConstraint(
            "settlement IS NULL OR outcome = 'purchase' OR resolved_at IS NOT NULL", name="settled_is_resolved"
        ),
        # An operator asks Stripe for a refund: no purchase comes of it meanwhile.
        CheckConstraint("outcome = 'quarantined' OR refund_begun_at IS NULL", name="no_refund_begun_of_purchase"),
        CheckConstraint(
            erased_has_no_personal_data("stripe_customer_id", "user_id", "attempt_content", "encrypted_content"),
            name="erased_has_no_personal_data",
        ),
    )


class OrderRow(Row):
    """Paid order. Its foreign key enforces P5: the total equals the amount that Stripe received."""

    __tablename__ = "orders"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[str]
    checkout_attempt_id: Mapped[str | None]
    payment_intent_id: Mapped[str]
    payment_outcome: Mapped[Outcome] = mapped_column(server_default=text("'purchase'::payment_outcome"))
    user_id: Mapped[str | None]
    status: Mapped[OrderStatus]
    total_minor: Mapped[int]
    items_minor: Mapped[int]
    shipping_minor: Mapped[int]
    adjustment_minor: Mapped[int] = mapped_column(server_default=text("0"))
    currency: Mapped[str]
    contact_name: Mapped[str | None]
    contact_email: Mapped[str | None]
    contact_phone: Mapped[str | None]
    shipping_line1: Mapped[str | None]
    shipping_line2: Mapped[str | None]
    shipping_city: Mapped[str | None]
    shipping_state: Mapped[str | None]
    shipping_postal_code: Mapped[str | None]
    shipping_country: Mapped[str | None]
    shipping_rate_id: Mapped[str | None]
    shipping_rate_name: Mapped[str | None]
    created_at: Mapped[datetime]
    erased_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("number"),
        UniqueConstraint("checkout_attempt_id"),
        UniqueConstraint("payment_intent_id"),
        ForeignKeyConstraint(
            ["payment_intent_id", "payment_outcome", "total_minor", "currency"],
            ["payments.intent_id", "payments.outcome", "payments.amount_minor", "payments.currency"],
            name="orders_total_equals_payment_fkey",
        ),
        # With the foreign key: no order belongs to a quarantined payment (P3).
        CheckConstraint("payment_outcome = 'purchase'", name="payment_outcome"),
        CheckConstraint(
            "total_minor = items_minor + shipping_minor + adjustment_minor",
            name="total_is_items_shipping_and_adjustment",
        ),
        CheckConstraint("total_minor >= 0 AND items_minor >= 0 AND shipping_minor >= 0", name="amounts"),
        CheckConstraint("(shipping_line1 IS NULL) = (shipping_country IS NULL)", name="address_complete"),
        CheckConstraint("(shipping_rate_id IS NULL) = (shipping_rate_name IS NULL)", name="shipping_rate_complete"),
        CheckConstraint("shipping_rate_id IS NOT NULL OR shipping_minor = 0", name="shipping_amount_needs_rate"),
        CheckConstraint(
            "erased_at IS NOT NULL OR contact_name IS NOT NULL AND contact_email IS NOT NULL",
            name="contact_unless_erased",
        ),
        CheckConstraint(erased_has_no_personal_data(*PERSONAL_COLUMNS), name="erased_has_no_personal_data"),
        Index("orders_by_user", "user_id", "created_at", "id"),
    )


class OrderItemRow(Row):
    """Line of an order; `position` is that in the cart."""

    __tablename__ = "order_items"

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    price_id: Mapped[str]
    product_id: Mapped[str]
    name: Mapped[str]
    quantity: Mapped[int]
    unit_amount_minor: Mapped[int]

    __table_args__ = (
        CheckConstraint("quantity >= 1", name="quantity"),
        CheckConstraint("unit_amount_minor >= 0", name="unit_amount_minor"),
    )


class RefundRow(Row):
    """Refund as Stripe last showed it. No foreign key: it may arrive before the order."""

    __tablename__ = "refunds"

    stripe_refund_id: Mapped[str] = mapped_column(primary_key=True)
    intent_id: Mapped[str]
    charge_id: Mapped[str | None]
    amount_minor: Mapped[int]
    currency: Mapped[str]
    status: Mapped[RefundStatus]
    version: Mapped[int]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("amount_minor >= 0", name="amount_minor"),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
        CheckConstraint("version >= 1", name="version"),
        Index(None, "intent_id"),
    )


class DisputeRow(Row):
    """Dispute as Stripe last showed it. No foreign key: it may arrive before the order."""

    __tablename__ = "disputes"

    stripe_dispute_id: Mapped[str] = mapped_column(primary_key=True)
    intent_id: Mapped[str]
    charge_id: Mapped[str | None]
    amount_minor: Mapped[int]
    currency: Mapped[str]
    status: Mapped[DisputeStatus]
    reason: Mapped[str | None]
    version: Mapped[int]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("amount_minor >= 0", name="amount_minor"),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
        CheckConstraint("version >= 1", name="version"),
        Index(None, "intent_id"),
    )


class OutboxRow(Row):
    """Event for other systems: ids, statuses, a reason and amounts only, no personal data (P7)."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    topic: Mapped[str]
    aggregate_id: Mapped[str]
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]

    __table_args__ = (
        Index("outbox_unpublished", "id", postgresql_where=text("published_at IS NULL")),
        CheckConstraint(
            "payload - ARRAY['order_id', 'subscription_id', 'subscription_ids', 'attempt_id', 'intent_id', 'refund_id',"
            " 'dispute_id', 'reason', 'status', 'order_status', 'total_minor', 'amount_minor', 'refunded_minor',"
            " 'disputed_minor', 'adjustment_minor', 'currency'] = '{}'::jsonb",
            name="no_personal_data",
        ),
    )


class OperatorActionRow(Row):
    """Step of an operator, with what it changed: ids, statuses and amounts only, no personal data of buyers (P7)."""

    __tablename__ = "operator_actions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    operator: Mapped[str]
    action: Mapped[OperatorVerb]
    subject: Mapped[str]
    reason: Mapped[str]
    before: Mapped[dict[str, Any]]
    after: Mapped[dict[str, Any]]

    __table_args__ = (
        Index("operator_actions_by_subject", "subject", "at", "id"),
        CheckConstraint("operator <> '' AND reason <> ''", name="operator_and_reason"),
        CheckConstraint(
            "(before || after) - ARRAY['outcome', 'reason', 'settlement', 'resolved', 'cart', 'order_id',"
            " 'subscription_ids', 'total_minor', 'adjustment_minor', 'amount_minor', 'currency', 'idempotency_key',"
            " 'refund_id', 'status', 'version', 'payment_method_id'] = '{}'::jsonb",
            name="no_personal_data",
        ),
    )
