"""What callers are answered about subscriptions, from the domain's terms into protobuf."""

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2
from orders.checkout import BillingInterval, LineItem, Recurring
from orders.common_responses import (
    write_address,
    write_contact,
    write_intent,
    write_moment,
    write_moment_if_any,
    write_money,
)
from orders.subscriptions import InvoiceStatus, StripeState, Subscription, SubscriptionInvoice, SubscriptionStatus

_INTERVALS = {
    BillingInterval.DAY: common_pb2.Recurring.INTERVAL_DAY,
    BillingInterval.WEEK: common_pb2.Recurring.INTERVAL_WEEK,
    BillingInterval.MONTH: common_pb2.Recurring.INTERVAL_MONTH,
    BillingInterval.YEAR: common_pb2.Recurring.INTERVAL_YEAR,
}
_STATUSES = {
    SubscriptionStatus.PENDING: orders_pb2.SUBSCRIPTION_STATUS_PENDING,
    SubscriptionStatus.ACTIVATION_FAILED: orders_pb2.SUBSCRIPTION_STATUS_ACTIVATION_FAILED,
    SubscriptionStatus.INCOMPLETE: orders_pb2.SUBSCRIPTION_STATUS_INCOMPLETE,
    SubscriptionStatus.INCOMPLETE_EXPIRED: orders_pb2.SUBSCRIPTION_STATUS_INCOMPLETE_EXPIRED,
    SubscriptionStatus.TRIALING: orders_pb2.SUBSCRIPTION_STATUS_TRIALING,
    SubscriptionStatus.ACTIVE: orders_pb2.SUBSCRIPTION_STATUS_ACTIVE,
    SubscriptionStatus.PAST_DUE: orders_pb2.SUBSCRIPTION_STATUS_PAST_DUE,
    SubscriptionStatus.UNPAID: orders_pb2.SUBSCRIPTION_STATUS_UNPAID,
    SubscriptionStatus.PAUSED: orders_pb2.SUBSCRIPTION_STATUS_PAUSED,
    SubscriptionStatus.CANCELED: orders_pb2.SUBSCRIPTION_STATUS_CANCELED,
}
_INVOICE_STATUSES = {
    InvoiceStatus.DRAFT: orders_pb2.INVOICE_STATUS_DRAFT,
    InvoiceStatus.OPEN: orders_pb2.INVOICE_STATUS_OPEN,
    InvoiceStatus.PAID: orders_pb2.INVOICE_STATUS_PAID,
    InvoiceStatus.UNCOLLECTIBLE: orders_pb2.INVOICE_STATUS_UNCOLLECTIBLE,
    InvoiceStatus.VOID: orders_pb2.INVOICE_STATUS_VOID,
}


def write_subscription(subscription: Subscription) -> orders_pb2.Subscription:
    """Write one subscription."""
    activation, state = subscription.activation, subscription.state
    return orders_pb2.Subscription(
        id=str(subscription.id),
        checkout_attempt_id=subscription.checkout_attempt_id,
        intent=write_intent(subscription.intent),
        user_id=subscription.user_id or "",
        stripe_customer_id=subscription.stripe_customer_id,
        payment_method_id=subscription.payment_method_id,
        recurring=_write_recurring(subscription.recurring),
        items=map(_write_item, subscription.items),
        version=subscription.version,
        created_at=write_moment(subscription.created_at),
        activation_generation=activation.generation,
        activation_began_at=write_moment_if_any(activation.began_at),
        activation_failure=activation.failure or "",
        status=_STATUSES[subscription.status],
        stripe_subscription_id=subscription.stripe_subscription_id or "",
        state=_write_state(state) if state else None,
        invoices=map(_write_invoice, subscription.invoices),
        contact=write_contact(subscription.contact) if subscription.contact else None,
        shipping_address=write_address(subscription.shipping_address) if subscription.shipping_address else None,
        erased_at=write_moment_if_any(subscription.erased_at),
    )


def _write_recurring(recurring: Recurring) -> common_pb2.Recurring:
    return common_pb2.Recurring(
        interval=_INTERVALS[recurring.interval],
        interval_count=recurring.interval_count,
        trial_days=recurring.trial_days,
    )


def _write_item(item: LineItem) -> orders_pb2.SubscriptionItem:
    return orders_pb2.SubscriptionItem(
        price_id=item.price_id,
        product_id=item.product_id,
        name=item.name,
        quantity=item.quantity,
        unit_price=write_money(item.unit_price),
    )


def _write_state(state: StripeState) -> orders_pb2.StripeSubscriptionState:
    return orders_pb2.StripeSubscriptionState(
        stripe_subscription_id=state.stripe_subscription_id,
        status=_STATUSES[state.status],
        current_period_end=write_moment_if_any(state.current_period_end),
        trial_end=write_moment_if_any(state.trial_end),
        cancel_at_period_end=state.cancel_at_period_end,
        cancel_at=write_moment_if_any(state.cancel_at),
        canceled_at=write_moment_if_any(state.canceled_at),
        ended_at=write_moment_if_any(state.ended_at),
        latest_invoice_id=state.latest_invoice_id or "",
    )


def _write_invoice(invoice: SubscriptionInvoice) -> orders_pb2.SubscriptionInvoice:
    return orders_pb2.SubscriptionInvoice(
        stripe_invoice_id=invoice.stripe_invoice_id,
        status=_INVOICE_STATUSES[invoice.status],
        billing_reason=invoice.billing_reason or "",
        total=write_money(invoice.total),
        amount_paid=write_money(invoice.amount_paid),
        attempt_count=invoice.attempt_count,
        created_at=write_moment(invoice.created_at),
        period_start=write_moment_if_any(invoice.period_start),
        period_end=write_moment_if_any(invoice.period_end),
        next_payment_attempt=write_moment_if_any(invoice.next_payment_attempt),
    )
