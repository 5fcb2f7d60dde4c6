"""Requests and responses about subscriptions."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2
from orders.api.carts import BILLING_INTERVALS
from orders.api.field_reader import FieldReader
from orders.api.messages import intent_to_proto, money_to_proto, timestamp_to_proto
from orders.api.stripe_states import STATUSES, state_from_proto, state_to_proto
from orders.domain.checkout import LineItem, Money, Recurring
from orders.domain.subscriptions import (
    InvoiceStatus,
    StripeSnapshot,
    Subscription,
    SubscriptionInvoice,
)
from servicekit.enum_codec import EnumCodec

_INVOICE_STATUSES: Final = EnumCodec(InvoiceStatus, orders_pb2.InvoiceStatus)


@dataclass(frozen=True, slots=True)
class BeginActivation:
    """Activation to begin. `abandon_generation` is 0 to continue with the current generation."""

    subscription_id: UUID
    abandon_generation: int


@dataclass(frozen=True, slots=True)
class PendingCancel:
    """Subscription to cancel before it is created at Stripe."""

    subscription_id: UUID
    expected_version: int


@dataclass(frozen=True, slots=True)
class ActivationFailure:
    """Definite refusal by Stripe to create a subscription, with its error code."""

    subscription_id: UUID
    expected_version: int
    failure: str


@dataclass(frozen=True, slots=True)
class ActivationRetry:
    """Failed activation to begin again: None for any version, and for the present payment method."""

    subscription_id: UUID
    expected_version: int | None
    payment_method_id: str | None


def subscription_key_from_proto(request: orders_pb2.GetSubscriptionRequest) -> UUID | str:
    """Read the id of a subscription: a UUID for our id, a text for Stripe's."""
    by = request.WhichOneof("by")
    with FieldReader() as fields:
        fields.require(by, "by", "is required")
        fields.raise_if_invalid()
        if by == "stripe_subscription_id":
            return fields.id("stripe_subscription_id", request.stripe_subscription_id)
        return fields.uuid("subscription_id", request.subscription_id)


def begin_activation_from_proto(request: orders_pb2.BeginActivationRequest) -> BeginActivation:
    """Read an activation to begin."""
    with FieldReader() as fields:
        subscription_id = fields.uuid("subscription_id", request.subscription_id)
        fields.require(request.abandon_generation >= 0, "abandon_generation", "must not be negative")
    return BeginActivation(subscription_id, request.abandon_generation)


def pending_cancel_from_proto(request: orders_pb2.CancelPendingSubscriptionRequest) -> PendingCancel:
    """Read a subscription to cancel."""
    with FieldReader() as fields:
        return PendingCancel(
            subscription_id=fields.uuid("subscription_id", request.subscription_id),
            expected_version=fields.version("expected_version", request.expected_version),
        )


def activation_failure_from_proto(request: orders_pb2.FailActivationRequest) -> ActivationFailure:
    """Read a definite refusal by Stripe."""
    with FieldReader() as fields:
        return ActivationFailure(
            subscription_id=fields.uuid("subscription_id", request.subscription_id),
            expected_version=fields.version("expected_version", request.expected_version),
            failure=fields.id("failure", request.failure),
        )


def activation_retry_from_proto(request: orders_pb2.RetryActivationRequest) -> ActivationRetry:
    """Read a failed activation to begin again."""
    with FieldReader() as fields:
        return ActivationRetry(
            subscription_id=fields.uuid("subscription_id", request.subscription_id),
            expected_version=fields.version("expected_version", request.expected_version, least=0) or None,
            payment_method_id=fields.optional_id("payment_method_id", request.payment_method_id),
        )


def snapshot_from_proto(
    request: orders_pb2.ActivateSubscriptionRequest | orders_pb2.ApplySubscriptionStateRequest,
) -> tuple[UUID, StripeSnapshot]:
    """Read a state at Stripe, and the id of its subscription."""
    with FieldReader() as fields:
        subscription_id = fields.uuid("subscription_id", request.subscription_id)
        version = fields.version("expected_version", request.expected_version)
        fields.require(request.HasField("state"), "state", "is required")
        fields.raise_if_invalid()
        state = state_from_proto(fields, request.state)
        invoice = _invoice_from_proto(fields, request.invoice) if request.HasField("invoice") else None
    return subscription_id, StripeSnapshot(version, state, invoice)


def _invoice_from_proto(fields: FieldReader, message: orders_pb2.SubscriptionInvoice) -> SubscriptionInvoice:
    fields.require(message.attempt_count >= 0, "invoice.attempt_count", "must not be negative")
    times = {
        name: fields.optional_timestamp(f"invoice.{name}", getattr(message, name), present=message.HasField(name))
        for name in ("period_start", "period_end", "next_payment_attempt")
    }
    total, amount_paid = _invoice_amounts_from_proto(fields, message)
    return SubscriptionInvoice(
        stripe_invoice_id=fields.id("invoice.stripe_invoice_id", message.stripe_invoice_id),
        status=fields.enum("invoice.status", message.status, _INVOICE_STATUSES),
        billing_reason=fields.optional_id("invoice.billing_reason", message.billing_reason),
        total=total,
        amount_paid=amount_paid,
        attempt_count=message.attempt_count,
        created_at=fields.timestamp("invoice.created_at", message.created_at, present=message.HasField("created_at")),
        **times,
    )


def _invoice_amounts_from_proto(fields: FieldReader, message: orders_pb2.SubscriptionInvoice) -> tuple[Money, Money]:
    # A credit makes the total negative, so only its currency is checked.
    currency_only = common_pb2.Money(currency=message.total.currency)
    fields.money("invoice.total", currency_only, present=message.HasField("total"))
    paid = fields.money("invoice.amount_paid", message.amount_paid, present=message.HasField("amount_paid"))
    if message.HasField("total") and message.HasField("amount_paid"):
        same = paid.currency == message.total.currency
        fields.require(same, "invoice.amount_paid.currency", "must be the total's currency")
    return Money(message.total.minor_units, message.total.currency), paid


def subscription_to_proto(subscription: Subscription) -> orders_pb2.Subscription:
    """Write a subscription."""
    activation, state = subscription.activation, subscription.state
    return orders_pb2.Subscription(
        id=str(subscription.id),
        checkout_attempt_id=subscription.checkout_attempt_id,
        intent=intent_to_proto(subscription.intent),
        user_id=subscription.user_id or "",
        stripe_customer_id=subscription.stripe_customer_id,
        payment_method_id=subscription.payment_method_id or "",
        recurring=_recurring_to_proto(subscription.recurring),
        items=map(_item_to_proto, subscription.items),
        version=subscription.version,
        created_at=timestamp_to_proto(subscription.created_at),
        activation_generation=activation.generation,
        activation_began_at=timestamp_to_proto(activation.began_at),
        activation_failure=activation.failure or "",
        status=STATUSES.to_proto(subscription.status),
        stripe_subscription_id=subscription.stripe_subscription_id or "",
        state=state_to_proto(state) if state else None,
        invoices=map(_invoice_to_proto, subscription.invoices),
        erased_at=timestamp_to_proto(subscription.erased_at),
        cancel_requested_at=timestamp_to_proto(subscription.cancel_requested_at),
        activation_failed_at=timestamp_to_proto(activation.failed_at),
    )


def _recurring_to_proto(recurring: Recurring) -> common_pb2.Recurring:
    return common_pb2.Recurring(
        interval=BILLING_INTERVALS.to_proto(recurring.interval),
        interval_count=recurring.interval_count,
        trial_days=recurring.trial_days,
    )


def _item_to_proto(item: LineItem) -> orders_pb2.SubscriptionItem:
    return orders_pb2.SubscriptionItem(
        price_id=item.price_id,
        product_id=item.product_id,
        name=item.name,
        quantity=item.quantity,
        unit_price=money_to_proto(item.unit_price),
    )


def _invoice_to_proto(invoice: SubscriptionInvoice) -> orders_pb2.SubscriptionInvoice:
    return orders_pb2.SubscriptionInvoice(
        stripe_invoice_id=invoice.stripe_invoice_id,
        status=_INVOICE_STATUSES.to_proto(invoice.status),
        billing_reason=invoice.billing_reason or "",
        total=money_to_proto(invoice.total),
        amount_paid=money_to_proto(invoice.amount_paid),
        attempt_count=invoice.attempt_count,
        created_at=timestamp_to_proto(invoice.created_at),
        period_start=timestamp_to_proto(invoice.period_start),
        period_end=timestamp_to_proto(invoice.period_end),
        next_payment_attempt=timestamp_to_proto(invoice.next_payment_attempt),
    )
