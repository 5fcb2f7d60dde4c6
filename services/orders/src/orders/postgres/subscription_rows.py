"""Mapping between subscriptions and their rows: one function each way."""

from typing import Any

from sqlalchemy import Row

from orders.domain.checkout import CheckoutContext, LineItem, Money, Recurring
from orders.domain.payments import Intent
from orders.domain.subscriptions import Activation, StripeState, Subscription, SubscriptionInvoice
from orders.postgres.rows import item_to_row, recipient_to_row


def subscription_to_row(subscription: Subscription, context: CheckoutContext, position: int) -> dict[str, Any]:
    """Return the row of a new subscription; `position` is that among the subscriptions of its attempt."""
    return {
        "id": subscription.id,
        "checkout_attempt_id": subscription.checkout_attempt_id,
        "intent_id": subscription.intent.id,
        "user_id": subscription.user_id,
        "stripe_customer_id": subscription.stripe_customer_id,
        "stripe_payment_method_id": subscription.payment_method_id,
        "status": subscription.status,
        "activation_failure": subscription.activation.failure,
        "activation_failed_at": subscription.activation.failed_at,
        "version": subscription.version,
        "interval": subscription.recurring.interval,
        "interval_count": subscription.recurring.interval_count,
        "trial_days": subscription.recurring.trial_days,
        "currency": subscription.currency,
        "position": position,
        "created_at": subscription.created_at,
        **recipient_to_row(context.contact, context.shipping_address),
    }


def subscription_items_to_rows(subscription: Subscription) -> list[dict[str, Any]]:
    """Return the rows of a subscription's items."""
    return [
        {"subscription_id": subscription.id, **item_to_row(item, position)}
        for position, item in enumerate(subscription.items)
    ]


def state_to_row(state: StripeState, version: int) -> dict[str, Any]:
    """Return the columns of the state at Stripe, and the row's new version."""
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
    }


def invoice_to_row(invoice: SubscriptionInvoice) -> dict[str, Any]:
    """Return the row of an invoice, without the id of its subscription."""
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


def subscription_from_row(row: Row[Any], items: list[Row[Any]], invoices: list[Row[Any]]) -> Subscription:
    """Read a subscription from its row and those of its items and invoices."""
    recurring = Recurring(row.interval, row.interval_count, row.trial_days)
    return Subscription(
        id=row.id,
        checkout_attempt_id=row.checkout_attempt_id,
        intent=Intent(row.intent_id, row.intent_kind),
        user_id=row.user_id,
        stripe_customer_id=row.stripe_customer_id,
        payment_method_id=row.stripe_payment_method_id,
        recurring=recurring,
        currency=row.currency,
        items=tuple(_item_from_row(item, row.currency, recurring) for item in items),
        version=row.version,
        created_at=row.created_at,
        activation=Activation(
            row.activation_generation, row.activation_began_at, row.activation_failure, row.activation_failed_at
        ),
        status=row.status,
        state=_state_from_row(row),
        invoices=tuple(map(_invoice_from_row, invoices)),
        erased_at=row.erased_at,
        cancel_requested_at=row.cancel_requested_at,
    )


def _item_from_row(row: Row[Any], currency: str, recurring: Recurring) -> LineItem:
    price = Money(row.unit_amount_minor, currency)
    return LineItem(row.price_id, row.product_id, row.name, row.quantity, price, recurring)


def _state_from_row(row: Row[Any]) -> StripeState | None:
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


def _invoice_from_row(row: Row[Any]) -> SubscriptionInvoice:
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
