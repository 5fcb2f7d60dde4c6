"""The tables of subscriptions and customers, and the constraints that decide their races."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from orders.domain.checkout import BillingInterval
from orders.domain.purchases import Outcome
from orders.domain.subscriptions import InvoiceStatus, SubscriptionStatus
from orders.postgres.table_base import WHO_BOUGHT, Row, holds_nobody

ONE_ROW_PER_STRIPE_SUBSCRIPTION = "subscriptions_stripe_subscription_id_key"


class SubscriptionRow(Row):
    """A subscription that an attempt began: one for each of its billing intervals.

    Its foreign key says that it hangs on a purchase, never on a quarantined payment (P3), in the cart's currency.
    """

    __tablename__ = "subscriptions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    checkout_attempt_id: Mapped[str | None]
    intent_id: Mapped[str]
    user_id: Mapped[str | None]
    stripe_customer_id: Mapped[str]
    stripe_payment_method_id: Mapped[str]
    stripe_subscription_id: Mapped[str | None]
    status: Mapped[SubscriptionStatus]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    interval: Mapped[BillingInterval]
    interval_count: Mapped[int] = mapped_column(Integer)
    current_period_end: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    payment_outcome: Mapped[Outcome] = mapped_column(server_default=text("'purchase'::payment_outcome"))
    currency: Mapped[str]
    position: Mapped[int] = mapped_column(Integer)
    trial_days: Mapped[int] = mapped_column(Integer)
    activation_generation: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    activation_began_at: Mapped[datetime | None]
    activation_failure: Mapped[str | None]
    trial_end: Mapped[datetime | None]
    cancel_at_period_end: Mapped[bool] = mapped_column(server_default=text("false"))
    cancel_at: Mapped[datetime | None]
    canceled_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    latest_invoice_id: Mapped[str | None]
    contact_name: Mapped[str | None]
    contact_email: Mapped[str | None]
    contact_phone: Mapped[str | None]
    shipping_line1: Mapped[str | None]
    shipping_line2: Mapped[str | None]
    shipping_city: Mapped[str | None]
    shipping_state: Mapped[str | None]
    shipping_postal_code: Mapped[str | None]
    shipping_country: Mapped[str | None]
    erased_at: Mapped[datetime | None]

    __table_args__ = (
        # Led by the attempt, so it serves the look-up by attempt too.
        UniqueConstraint("checkout_attempt_id", "interval", "interval_count", name="subscriptions_one_per_interval"),
        UniqueConstraint("stripe_subscription_id"),
        ForeignKeyConstraint(
            ["intent_id", "payment_outcome", "currency"],
            ["payments.intent_id", "payments.outcome", "payments.currency"],
            name="subscriptions_hang_on_a_purchase",
        ),
        CheckConstraint("payment_outcome = 'purchase'", name="payment_outcome"),
        CheckConstraint("interval_count >= 1", name="interval_count"),
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("position >= 0", name="position"),
        CheckConstraint("trial_days BETWEEN 0 AND 730", name="trial_days"),
        CheckConstraint("activation_generation >= 1", name="activation_generation"),
        CheckConstraint(
            "(stripe_subscription_id IS NULL) = (status IN ('pending', 'activation_failed'))", name="bound_iff_created"
        ),
        CheckConstraint(
            "stripe_subscription_id IS NOT NULL OR NOT cancel_at_period_end AND num_nonnulls(current_period_end,"
            " trial_end, cancel_at, canceled_at, ended_at, latest_invoice_id) = 0",
            name="state_only_when_bound",
        ),
        CheckConstraint("(activation_failure IS NULL) = (status <> 'activation_failed')", name="failure_iff_failed"),
        CheckConstraint("(shipping_line1 IS NULL) = (shipping_country IS NULL)", name="address_whole_or_none"),
        CheckConstraint(
            "erased_at IS NOT NULL OR contact_name IS NOT NULL AND contact_email IS NOT NULL",
            name="contact_unless_erased",
        ),
        CheckConstraint(holds_nobody(*WHO_BOUGHT), name="erased_holds_nobody"),
        Index("subscriptions_of_user", "user_id", "created_at", "id"),
        # What activation still owes: an operator's list, and short.
        Index("subscriptions_unbound", "created_at", "id", postgresql_where=text("stripe_subscription_id IS NULL")),
    )


class SubscriptionItemRow(Row):
    """One line of a subscription, in the order of the cart."""

    __tablename__ = "subscription_items"

    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscriptions.id"), primary_key=True)
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


class SubscriptionInvoiceRow(Row):
    """One charge of a subscription, as Stripe showed it last. A credit makes the total negative."""

    __tablename__ = "subscription_invoices"

    stripe_invoice_id: Mapped[str] = mapped_column(primary_key=True)
    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscriptions.id"))
    status: Mapped[InvoiceStatus]
    billing_reason: Mapped[str | None]
    total_minor: Mapped[int]
    amount_paid_minor: Mapped[int]
    currency: Mapped[str]
    attempt_count: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]
    period_start: Mapped[datetime | None]
    period_end: Mapped[datetime | None]
    next_payment_attempt: Mapped[datetime | None]
    updated_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("amount_paid_minor >= 0", name="amount_paid_minor"),
        CheckConstraint("attempt_count >= 0", name="attempt_count"),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
        Index("subscription_invoices_newest", "subscription_id", "created_at", "stripe_invoice_id"),
    )


class CustomerRow(Row):
    """The Stripe customer of a user: one each, both ways."""

    __tablename__ = "customers"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    stripe_customer_id: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("stripe_customer_id"),)
