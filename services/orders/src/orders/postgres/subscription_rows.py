"""Mapping between subscriptions and their rows: one function each way."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from orders.domain.checkout import BillingInterval, CheckoutContext, LineItem, Money, Recurring
from orders.domain.payments import Intent
from orders.domain.subscriptions import (
    Activation,
    BilledItem,
    Discount,
    PauseCollection,
    StripeState,
    Subscription,
    SubscriptionInvoice,
)
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
        "activation_began_at": subscription.activation.began_at,
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
    """Return the columns of the state at Stripe, without its items, and the row's new version."""
    pause = state.pause_collection
    return {
        "status": state.status,
        "current_period_end": state.current_period_end,
        "trial_end": state.trial_end,
        "cancel_at_period_end": state.cancel_at_period_end,
        "cancel_at": state.cancel_at,
        "canceled_at": state.canceled_at,
        "ended_at": state.ended_at,
        "latest_invoice_id": state.latest_invoice_id,
        "pause_behavior": pause.behavior if pause else None,
        "pause_resumes_at": pause.resumes_at if pause else None,
        "discounts": [_discount_to_json(each) for each in state.discounts],
        "default_payment_method_id": state.default_payment_method_id,
        "collection_method": state.collection_method,
        "version": version,
    }


def billed_items_to_rows(subscription_id: UUID, state: StripeState) -> list[dict[str, Any]]:
    """Return the rows of the items that Stripe bills now."""
    return [
        {"subscription_id": subscription_id, "position": position, **asdict(item)}
        for position, item in enumerate(state.items)
    ]


def _discount_to_json(discount: Discount) -> dict[str, Any]:
    amount, ends_at = discount.amount_off, discount.ends_at
    return {
        "stripe_discount_id": discount.stripe_discount_id,
        "coupon_id": discount.coupon_id,
        "name": discount.name,
        "percent_off": discount.percent_off,
        "amount_off_minor": amount.minor_units if amount else None,
        "currency": amount.currency if amount else None,
        "ends_at": ends_at.isoformat() if ends_at else None,
        "stripe_item_id": discount.stripe_item_id,
        "duration": discount.duration,
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
        items=tuple(map(_billed_item_from_json, row.billed_items or ())),
        pause_collection=PauseCollection(row.pause_behavior, row.pause_resumes_at) if row.pause_behavior else None,
        discounts=tuple(map(_discount_from_json, row.discounts)),
        default_payment_method_id=row.default_payment_method_id,
        collection_method=row.collection_method,
    )


def _billed_item_from_json(stored: Mapping[str, Any]) -> BilledItem:
    interval, period_end = stored["interval"], stored["current_period_end"]
    return BilledItem(
        stripe_item_id=stored["stripe_item_id"],
        price_id=stored["price_id"],
        product_id=stored["product_id"],
        name=stored["name"],
        quantity=stored["quantity"],
        unit_amount_minor=stored["unit_amount_minor"],
        currency=stored["currency"],
        interval=None if interval is None else BillingInterval(interval),
        interval_count=stored["interval_count"],
        current_period_end=None if period_end is None else datetime.fromisoformat(period_end),
    )


def _discount_from_json(stored: Mapping[str, Any]) -> Discount:
    amount, ends_at = stored["amount_off_minor"], stored["ends_at"]
    return Discount(
        stripe_discount_id=stored["stripe_discount_id"],
        coupon_id=stored["coupon_id"],
        name=stored["name"],
        percent_off=stored["percent_off"],
        amount_off=None if amount is None else Money(amount, stored["currency"]),
        ends_at=None if ends_at is None else datetime.fromisoformat(ends_at),
        stripe_item_id=stored["stripe_item_id"],
        duration=stored["duration"],
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
