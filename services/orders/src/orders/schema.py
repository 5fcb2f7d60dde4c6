"""The tables, and the constraints that keep the promises when every line of code fails to.

The names are part of the operator's interface: they query these tables. Money is a whole number of minor units.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from orders.decisions import Outcome, QuarantineReason
from orders.order import OrderStatus
from orders.payments import IntentKind, Road

ONE_PURCHASE_PER_ATTEMPT = "payments_one_purchase_per_attempt"

PERSONAL_IN_ORDER = (
    "user_id",
    "contact_name",
    "contact_email",
    "contact_phone",
    "shipping_line1",
    "shipping_line2",
    "shipping_city",
    "shipping_state",
    "shipping_postal_code",
    "shipping_country",
)
"""The columns of `orders` that say who bought. An erased order has none of them."""


class BillingInterval(StrEnum):
    """The unit of a subscription's billing interval."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class SubscriptionStatus(StrEnum):
    """Where a subscription stands: Stripe's words, and two for the time before Stripe knows it."""

    PENDING = "pending"
    ACTIVATION_FAILED = "activation_failed"
    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


def _enum(words: type[StrEnum], name: str) -> Enum:
    return Enum(words, name=name, values_callable=lambda members: [member.value for member in members])


def _holds_nobody(*columns: str) -> str:
    return f"erased_at IS NULL OR num_nonnulls({', '.join(columns)}) = 0"


class Row(DeclarativeBase):
    """A table of the service."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a plain class attribute
        str: Text,
        int: BigInteger,
        bytes: LargeBinary,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        IntentKind: _enum(IntentKind, "intent_kind"),
        Outcome: _enum(Outcome, "payment_outcome"),
        QuarantineReason: _enum(QuarantineReason, "quarantine_reason"),
        Road: _enum(Road, "payment_road"),
        OrderStatus: _enum(OrderStatus, "order_status"),
        SubscriptionStatus: _enum(SubscriptionStatus, "subscription_status"),
        BillingInterval: _enum(BillingInterval, "billing_interval"),
    }


class PaymentRow(Row):
    """The decision on a succeeded intent. This table alone decides P3."""

    __tablename__ = "payments"

    intent_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[IntentKind]
    attempt_id: Mapped[str]
    outcome: Mapped[Outcome]
    amount_minor: Mapped[int | None]
    currency: Mapped[str | None]
    livemode: Mapped[bool]
    user_id: Mapped[str | None]
    quarantine_reason: Mapped[QuarantineReason | None]
    attempt_content: Mapped[bytes | None]
    road: Mapped[Road]
    stripe_event_id: Mapped[str | None]
    decided_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    erased_at: Mapped[datetime | None]

    __table_args__ = (
        Index(ONE_PURCHASE_PER_ATTEMPT, "attempt_id", unique=True, postgresql_where=text("outcome = 'purchase'")),
        Index("payments_quarantined", "decided_at", "intent_id", postgresql_where=text("outcome = 'quarantined'")),
        # What an order must agree with: the target of its foreign key (P3, P5).
        UniqueConstraint("intent_id", "outcome", "amount_minor", "currency", name="payments_received_key"),
        CheckConstraint("(outcome = 'quarantined') = (quarantine_reason IS NOT NULL)", name="reason_iff_quarantined"),
        CheckConstraint("(kind = 'payment') = (amount_minor IS NOT NULL)", name="amount_iff_payment"),
        CheckConstraint("(amount_minor IS NULL) = (currency IS NULL)", name="amount_with_currency"),
        CheckConstraint("amount_minor >= 0", name="amount_minor"),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
        CheckConstraint("outcome = 'quarantined' OR attempt_content IS NULL", name="content_only_quarantined"),
        CheckConstraint("outcome = 'quarantined' OR resolved_at IS NULL", name="resolved_only_quarantined"),
        CheckConstraint(_holds_nobody("user_id", "attempt_content"), name="erased_holds_nobody"),
    )


class OrderRow(Row):
    """A paid order. Its foreign key makes P5 a constraint: its total is what Stripe received."""

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
            name="orders_total_is_what_was_received",
        ),
        # With the foreign key: no order hangs on a quarantined payment (P3).
        CheckConstraint("payment_outcome = 'purchase'", name="payment_outcome"),
        CheckConstraint("total_minor = items_minor + shipping_minor", name="total_is_items_and_shipping"),
        CheckConstraint("total_minor >= 0 AND items_minor >= 0 AND shipping_minor >= 0", name="sums"),
        CheckConstraint("(shipping_line1 IS NULL) = (shipping_country IS NULL)", name="address_whole_or_none"),
        CheckConstraint("(shipping_rate_id IS NULL) = (shipping_rate_name IS NULL)", name="rate_whole_or_none"),
        CheckConstraint("shipping_rate_id IS NOT NULL OR shipping_minor = 0", name="no_shipping_no_amount"),
        CheckConstraint(
            "erased_at IS NOT NULL OR contact_name IS NOT NULL AND contact_email IS NOT NULL",
            name="contact_unless_erased",
        ),
        CheckConstraint(_holds_nobody(*PERSONAL_IN_ORDER), name="erased_holds_nobody"),
        Index("orders_of_user", "user_id", "created_at", "id"),
    )


class OrderItemRow(Row):
    """One line of an order, in the order of the cart."""

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


class SubscriptionRow(Row):
    """A subscription that an attempt began: one for each of its billing intervals."""

    __tablename__ = "subscriptions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    checkout_attempt_id: Mapped[str | None]
    intent_id: Mapped[str | None] = mapped_column(ForeignKey("payments.intent_id"))
    user_id: Mapped[str | None]
    stripe_customer_id: Mapped[str | None]
    stripe_payment_method_id: Mapped[str | None]
    stripe_subscription_id: Mapped[str | None]
    status: Mapped[SubscriptionStatus]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    interval: Mapped[BillingInterval]
    interval_count: Mapped[int] = mapped_column(Integer)
    current_period_end: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        # Led by the attempt, so it serves the look-up by attempt too.
        UniqueConstraint("checkout_attempt_id", "interval", "interval_count", name="subscriptions_one_per_interval"),
        UniqueConstraint("stripe_subscription_id"),
        CheckConstraint("interval_count >= 1", name="interval_count"),
        CheckConstraint("version >= 1", name="version"),
        Index("subscriptions_of_user", "user_id", "created_at", "id"),
    )


class OutboxRow(Row):
    """What others should hear about: ids and sums only, no personal data (P7)."""

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
            "payload - ARRAY['order_id', 'attempt_id', 'intent_id', 'reason', 'total_minor', 'amount_minor',"
            " 'currency'] = '{}'::jsonb",
            name="ids_and_sums_only",
        ),
    )
