"""Tables of subscriptions and customers, with the constraints that decide their races."""

from datetime import datetime
from typing import Any
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
from orders.postgres.table_base import PERSONAL_COLUMNS, Row, erased_has_no_personal_data

ONE_ROW_PER_STRIPE_SUBSCRIPTION = "subscriptions_stripe_subscription_id_key"


class SubscriptionRow(Row):
    """Subscription of an attempt: one for each billing interval.

    Its foreign key enforces that it belongs to a purchase, never to a quarantined payment (P3), in the same currency.
    """

    __tablename__ = "subscriptions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    checkout_attempt_id: Mapped[str | None]
    intent_id: Mapped[str]
    payment_outcome: Mapped[Outcome] = mapped_column(server_default=text("'purchase'::payment_outcome"))
    currency: Mapped[str]
    position: Mapped[int] = mapped_column(Integer)
    interval: Mapped[BillingInterval]
    interval_count: Mapped[int] = mapped_column(Integer)
    trial_days: Mapped[int] = mapped_column(Integer)
    user_id: Mapped[str | None]
    contact_name: Mapped[str | None]
    contact_email: Mapped[str | None]
    contact_phone: Mapped[str | None]
    shipping_line1: Mapped[str | None]
    shipping_line2: Mapped[str | None]
    shipping_city: Mapped[str | None]
    shipping_state: Mapped[str | None]
    shipping_postal_code: Mapped[str | None]
    shipping_country: Mapped[str | None]
    stripe_customer_id: Mapped[str]
    stripe_payment_method_id: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    activation_generation: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    activation_began_at: Mapped[datetime | None]
    activation_failure: Mapped[str | None]
    activation_failed_at: Mapped[datetime | None]
    stripe_subscription_id: Mapped[str | None]
    status: Mapped[SubscriptionStatus]
    current_period_end: Mapped[datetime | None]
    trial_end: Mapped[datetime | None]
    cancel_at_period_end: Mapped[bool] = mapped_column(server_default=text("false"))
    cancel_at: Mapped[datetime | None]
    canceled_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    latest_invoice_id: Mapped[str | None]
    pause_behavior: Mapped[str | None]
    pause_resumes_at: Mapped[datetime | None]
    discounts: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'::jsonb"))
    default_payment_method_id: Mapped[str | None]
    collection_method: Mapped[str | None]
    created_at: Mapped[datetime]
    erased_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]

    __table_args__ = (
        # Its first column is the attempt, so it serves the look-up by attempt too.
        UniqueConstraint("checkout_attempt_id", "interval", "interval_count", name="subscriptions_one_per_interval"),
        UniqueConstraint("stripe_subscription_id"),
        ForeignKeyConstraint(
            ["intent_id", "payment_outcome", "currency"],
            ["payments.intent_id", "payments.outcome", "payments.currency"],
            name="subscriptions_belong_to_purchase_fkey",
        ),
        CheckConstraint("payment_outcome = 'purchase'", name="payment_outcome"),
        CheckConstraint("interval_count >= 1", name="interval_count"),
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("position >= 0", name="position"),
        CheckConstraint("trial_days BETWEEN 0 AND 730", name="trial_days"),
        CheckConstraint("activation_generation >= 1", name="activation_generation"),
        CheckConstraint(
            "(stripe_subscription_id IS NULL) = (status IN ('pending', 'activation_failed')"
            " OR status = 'canceled' AND cancel_requested_at IS NOT NULL AND stripe_subscription_id IS NULL)",
            name="stripe_id_iff_activated",
        ),
        CheckConstraint(
            "cancel_requested_at IS NULL OR status NOT IN ('pending', 'activation_failed')", name="cancelled_has_ended"
        ),
        CheckConstraint("stripe_payment_method_id IS NOT NULL OR status <> 'pending'", name="pending_can_be_created"),
        CheckConstraint(
            "stripe_subscription_id IS NOT NULL OR NOT cancel_at_period_end AND discounts = '[]'::jsonb AND"
            " num_nonnulls(current_period_end, trial_end, cancel_at, canceled_at, ended_at, latest_invoice_id,"
            " pause_behavior, default_payment_method_id, collection_method) = 0",
            name="stripe_state_needs_stripe_id",
        ),
        CheckConstraint("pause_behavior IS NOT NULL OR pause_resumes_at IS NULL", name="pause_complete"),
        CheckConstraint("jsonb_typeof(discounts) = 'array'", name="discounts"),
        CheckConstraint("(activation_failure IS NULL) = (status <> 'activation_failed')", name="failure_iff_failed"),
        CheckConstraint("activation_failure IS NULL OR activation_failed_at IS NOT NULL", name="failed_has_time"),
        CheckConstraint("(shipping_line1 IS NULL) = (shipping_country IS NULL)", name="address_complete"),
        CheckConstraint(
            "erased_at IS NOT NULL OR contact_name IS NOT NULL AND contact_email IS NOT NULL",
            name="contact_unless_erased",
        ),
        CheckConstraint(erased_has_no_personal_data(*PERSONAL_COLUMNS), name="erased_has_no_personal_data"),
        Index("subscriptions_by_user", "user_id", "created_at", "id"),
        # Subscriptions that are still to be activated, or cancelled while they were: few, and asked for often.
        Index(
            "subscriptions_unfinished",
            "created_at",
            "id",
            postgresql_where=text(
                "stripe_subscription_id IS NULL AND status <> 'activation_failed'"
                " AND (status <> 'canceled' OR activation_began_at IS NOT NULL)"
            ),
        ),
        # For the code of 0.1.0.
        Index(
            "subscriptions_not_activated",
            "created_at",
            "id",
            postgresql_where=text(
                "stripe_subscription_id IS NULL AND (status <> 'canceled' OR activation_began_at IS NOT NULL)"
            ),
        ),
    )


class SubscriptionItemRow(Row):
    """Line of a subscription; `position` is that among the lines of its billing interval."""

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


class SubscriptionBilledItemRow(Row):
    """Item of the Stripe subscription, as Stripe last showed it; `subscription_items` keeps what was bought.

    All of a subscription's rows are replaced in the transaction that writes its state.
    """

    __tablename__ = "subscription_billed_items"

    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscriptions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    stripe_item_id: Mapped[str]
    price_id: Mapped[str]
    product_id: Mapped[str]
    name: Mapped[str]
    quantity: Mapped[int | None]
    unit_amount_minor: Mapped[int | None]
    currency: Mapped[str]
    interval: Mapped[BillingInterval | None]
    interval_count: Mapped[int | None] = mapped_column(Integer)
    current_period_end: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("quantity >= 0", name="quantity"),
        CheckConstraint("unit_amount_minor >= 0", name="unit_amount_minor"),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
        CheckConstraint("interval_count >= 1", name="interval_count"),
    )


class SubscriptionInvoiceRow(Row):
    """Charge of a subscription, as Stripe last showed it. A credit makes the total negative."""

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

    __table_args__ = (
        CheckConstraint("amount_paid_minor >= 0", name="amount_paid_minor"),
        CheckConstraint("attempt_count >= 0", name="attempt_count"),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
        Index("subscription_invoices_newest", "subscription_id", "created_at", "stripe_invoice_id"),
    )


class CustomerRow(Row):
    """Stripe customer of a user and a currency: one each, both ways (ADR 35).

    An erased one belongs to nobody, and stays until a person has deleted it at Stripe (ADR 14).
    """

    __tablename__ = "customers"

    stripe_customer_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str | None]
    currency: Mapped[str | None]
    erased_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("user_id", "currency"),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
        Index("customers_erased", "stripe_customer_id", postgresql_where=text("erased_at IS NOT NULL")),
        CheckConstraint(
            "num_nonnulls(user_id, currency) = CASE WHEN erased_at IS NULL THEN 2 ELSE 0 END",
            name="owner_unless_erased",
        ),
    )
