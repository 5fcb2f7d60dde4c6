"""Rows of subscriptions to and from what they stand for: one function each way."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row

from orders.domain.checkout import LineItem, Money, Recurring
from orders.domain.payments import Intent
from orders.domain.subscriptions import Activation, StripeState, Subscription, SubscriptionInvoice
from orders.postgres.rows import address_of, contact_of, line_values, recipient_values


def subscription_values(subscription: Subscription, position: int) -> dict[str, Any]:
    """Return the row of a subscription that begins; its position is that among those of its attempt."""
    return {
        "id": subscription.id,
        "checkout_attempt_id": subscription.checkout_attempt_id,
        "intent_id": subscription.intent.id,
        "user_id": subscription.user_id,
        "stripe_customer_id": subscription.stripe_customer_id,
        "stripe_payment_method_id": subscription.payment_method_id,
        "status": subscription.status,
        "version": subscription.version,
        "interval": subscription.recurring.interval,
        "interval_count": subscription.recurring.interval_count,
        "trial_days": subscription.recurring.trial_days,
        "currency": subscription.currency,
        "position": position,
        "created_at": subscription.created_at,
        "updated_at": subscription.created_at,
        **recipient_values(subscription.contact, subscription.shipping_address),
    }


def subscription_item_values(subscription: Subscription) -> list[dict[str, Any]]:
    """Return the rows of a subscription's items."""
    return [
        {"subscription_id": subscription.id, **line_values(item, position)}
        for position, item in enumerate(subscription.items)
    ]


def state_values(state: StripeState, version: int, at: datetime) -> dict[str, Any]:
    """Return the columns that say what Stripe showed."""
    return {
        "status": state.status,
        "current_period_end": state.current_period_end,
        "trial_end": state.trial_end,
        "cancel_at_period_end": state.cancel_at_period_end,
        "cancel_at": state.cancel_at,
        "canceled_at": state.canceled_at,
        "ended_at": state.ended_at,
        "latest_invoice_id": state.latest_invoice_id,
        "version": version,
        "updated_at": at,
    }


def invoice_values(invoice: SubscriptionInvoice) -> dict[str, Any]:
    """Return the row of an invoice, but for whose it is."""
    return {
        "stripe_invoice_id": invoice.stripe_invoice_id,
        "status": invoice.status,
        "billing_reason": invoice.billing_reason,
        "total_minor": invoice.total.minor_units,
        "amount_paid_minor": invoice.amount_paid.minor_units,
        "currency": invoice.total.currency,
        "attempt_count": invoice.attempt_count,
        "created_at": invoice.created_at,
        "period_start": invoice.period_start,
        "period_end": invoice.period_end,
        "next_payment_attempt": invoice.next_payment_attempt,
    }


def subscription_of(row: Row[Any], items: list[Row[Any]], invoices: list[SubscriptionInvoice]) -> Subscription:
    """Read a subscription from its row, its items' rows and its invoices."""
    recurring = Recurring(row.interval, row.interval_count, row.trial_days)
    return Subscription(
        id=row.id,
        checkout_attempt_id=row.checkout_attempt_id,
        intent=Intent(row.intent_id, row.intent_kind),
        user_id=row.user_id,
        stripe_customer_id=row.stripe_customer_id,
        payment_method_id=row.stripe_payment_method_id,
        contact=contact_of(row),
        shipping_address=address_of(row),
        recurring=recurring,
        currency=row.currency,
        items=tuple(_item_of(item, row.currency, recurring) for item in items),
        version=row.version,
        created_at=row.created_at,
        activation=Activation(row.activation_generation, row.activation_began_at, row.activation_failure),
        status=row.status,
        state=_state_of(row),
        invoices=tuple(invoices),
        erased_at=row.erased_at,
    )


def invoice_of(row: Row[Any]) -> SubscriptionInvoice:
    """Read an invoice from its row."""
    return SubscriptionInvoice(
        stripe_invoice_id=row.stripe_invoice_id,
        status=row.status,
        billing_reason=row.billing_reason,
        total=Money(row.total_minor, row.currency),
        amount_paid=Money(row.amount_paid_minor, row.currency),
        attempt_count=row.attempt_count,
        created_at=row.created_at,
        period_start=row.period_start,
        period_end=row.period_end,
        next_payment_attempt=row.next_payment_attempt,
    )


def _item_of(row: Row[Any], currency: str, recurring: Recurring) -> LineItem:
    price = Money(row.unit_amount_minor, currency)
    return LineItem(row.price_id, row.product_id, row.name, row.quantity, price, recurring)


def _state_of(row: Row[Any]) -> StripeState | None:
    if row.stripe_subscription_id is None:
        return None
    return StripeState(
        stripe_subscription_id=row.stripe_subscription_id,
        status=row.status,
        current_period_end=row.current_period_end,
        trial_end=row.trial_end,
        cancel_at_period_end=row.cancel_at_period_end,
        cancel_at=row.cancel_at,
        canceled_at=row.canceled_at,
        ended_at=row.ended_at,
        latest_invoice_id=row.latest_invoice_id,
    )
