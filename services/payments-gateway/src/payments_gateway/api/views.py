"""Domain objects to response bodies, one function each."""

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Final

from payments_gateway.api.bodies import (
    BoughtItemBody,
    BoughtShippingBody,
    BuyerBody,
    CatalogueBody,
    CatalogueItemBody,
    CheckoutBody,
    CheckoutStatusBody,
    FirstPaymentBody,
    OrderBody,
    OrderSummaryBody,
    PurchaseBody,
    RecurringBody,
    RecurringSumBody,
    ShippedToBody,
    ShippingOptionBody,
    SubscriptionBody,
)
from payments_gateway.checkout.carts import RecurringSum
from payments_gateway.checkout.initiate import Checkout
from payments_gateway.checkout.status import CheckoutStatus
from payments_gateway.domain.attempts import LineItem, Recurring, ShippingOption
from payments_gateway.domain.catalogue import Catalogue, Price
from payments_gateway.domain.purchases import Order, PaymentDecision, Purchase
from payments_gateway.domain.subscriptions import Subscription, SubscriptionItem

_NONE_OPEN: Final[Mapping[str, str]] = MappingProxyType({})


def checkout_body(checkout: Checkout) -> CheckoutBody:
    """Show a checkout that the buyer can pay."""
    return CheckoutBody(
        client_secret=checkout.client_secret,
        checkout_attempt_id=checkout.attempt_id,
        intent_type=checkout.kind.value,
        intent_amount=checkout.amount.minor_units,
        amount_due_today=checkout.amount_due_today.minor_units,
        currency=checkout.amount.currency,
        recurring=[_recurring_sum_body(charged) for charged in checkout.recurring],
        pay_by=checkout.pay_by,
    )


def _recurring_sum_body(charged: RecurringSum) -> RecurringSumBody:
    return RecurringSumBody(
        **dict(_recurring_body(charged.recurring)),
        amount=charged.amount.minor_units,
        currency=charged.amount.currency,
    )


def _recurring_body(recurring: Recurring) -> RecurringBody:
    return RecurringBody(
        interval=recurring.interval.value,
        interval_count=recurring.interval_count,
        trial_days=recurring.trial_days,
    )


def decision_body(decision: PaymentDecision | None) -> PurchaseBody:
    """Show what a payment became; None is a payment under way."""
    if decision is None:
        return PurchaseBody(status="processing")
    if isinstance(decision, Purchase):
        return purchase_body(decision)
    return PurchaseBody(status="needs_review")


def purchase_body(purchase: Purchase) -> PurchaseBody:
    """Show a purchase without anything personal: a guest's attempt id is a capability for no more than this."""
    return _purchase_body(purchase, {})


def _purchase_body(purchase: Purchase, incomplete_payments: Mapping[str, str]) -> PurchaseBody:
    return PurchaseBody(
        status="completed",
        order=_order_summary_body(purchase.order) if purchase.order else None,
        subscriptions=[subscription_body(each, incomplete_payments) for each in purchase.subscriptions],
    )


def subscription_body(
    subscription: Subscription, incomplete_payments: Mapping[str, str] = _NONE_OPEN
) -> SubscriptionBody:
    """Show a subscription; incomplete_payments holds client secrets of open first charges, by subscription id."""
    state = subscription.state
    secret = incomplete_payments.get(subscription.id)
    return SubscriptionBody(
        id=subscription.id,
        status=subscription.status.value,
        checkout_attempt_id=subscription.checkout_attempt_id,
        items=[_item_body(item) for item in subscription.items],
        currency=subscription.amount.currency,
        amount=subscription.amount.minor_units,
        interval=subscription.recurring.interval.value,
        interval_count=subscription.recurring.interval_count,
        trial_end=state.trial_end if state else None,
        current_period_end=state.current_period_end if state else None,
        cancel_at_period_end=state is not None and state.cancel_at_period_end,
        ended_at=state.ended_at if state else None,
        created_at=subscription.created_at,
        payment=FirstPaymentBody(client_secret=secret) if secret else None,
    )


def status_body(status: CheckoutStatus) -> CheckoutStatusBody:
    """Show where a checkout stands."""
    return CheckoutStatusBody(
        status=status.state.value,
        purchase=_purchase_body(status.purchase, status.incomplete_payments) if status.purchase else None,
    )


def _order_summary_body(order: Order) -> OrderSummaryBody:
    return OrderSummaryBody(
        id=order.id,
        number=order.number,
        checkout_attempt_id=order.checkout_attempt_id,
        status=order.status.value,
        total_amount=order.total.minor_units,
        currency=order.total.currency,
        refunded_amount=order.refunded.minor_units if order.refunded else None,
        disputed_amount=order.disputed.minor_units if order.disputed else None,
        items=[_item_body(item) for item in order.items],
        shipping_option=_shipping_body(order.shipping_option) if order.shipping_option else None,
        created_at=order.created_at,
    )


def order_body(order: Order) -> OrderBody:
    """Show an order to its owner."""
    return OrderBody(
        **dict(_order_summary_body(order)),
        contact=BuyerBody(**asdict(order.contact)),
        shipping_address=ShippedToBody(**asdict(order.shipping_address)) if order.shipping_address else None,
    )


def _item_body(item: LineItem | SubscriptionItem) -> BoughtItemBody:
    return BoughtItemBody(
        price_id=item.price_id,
        product_id=item.product_id,
        name=item.name,
        quantity=item.quantity,
        unit_amount=item.unit_price.minor_units,
    )


def _shipping_body(option: ShippingOption) -> BoughtShippingBody:
    return BoughtShippingBody(id=option.shipping_rate_id, name=option.name, amount=option.amount.minor_units)


def catalogue_body(catalogue: Catalogue) -> CatalogueBody:
    """Show everything on sale."""
    return CatalogueBody(
        items=[_catalogue_item_body(price) for price in catalogue.sellable_prices()],
        shipping_options=[
            ShippingOptionBody(
                id=rate.id, name=rate.name, amount=rate.amount.minor_units, currency=rate.amount.currency
            )
            for rate in catalogue.shipping_rates.values()
        ],
    )


def _catalogue_item_body(price: Price) -> CatalogueItemBody:
    if price.unit_price is None:  # such a price is never sold, see unsellable_reason
        raise ValueError(f"{price.id} has no unit price")
    return CatalogueItemBody(
        price_id=price.id,
        product_id=price.product_id,
        name=price.name,
        description=price.description,
        image_url=price.image_url,
        unit_amount=price.unit_price.minor_units,
        currency=price.unit_price.currency,
        type="recurring" if price.recurring else "one_time",
        recurring=_recurring_body(price.recurring) if price.recurring else None,
    )
