"""Bodies of purchases and orders."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

from pydantic import Field

from payments_gateway.api.fields import Body
from payments_gateway.api.subscription_bodies import (
    BoughtItemBody,
    SubscriptionBody,
    item_to_body,
    subscription_to_body,
)
from payments_gateway.domain.attempts import ShippingOption
from payments_gateway.domain.purchases import Order, OrderPage, PaymentDecision, Purchase

_NO_SECRETS: Final[Mapping[str, str]] = MappingProxyType({})


class BoughtShippingBody(Body):
    """The shipping option of an order."""

    id: str
    name: str
    amount: int = Field(description="Minor units.")


class OrderSummaryBody(Body):
    """An order without personal data: every holder of the attempt id may read it (P7)."""

    id: str
    number: str = Field(description="Short enough for the phone.")
    checkout_attempt_id: str
    status: Literal["paid", "partially_refunded", "refunded", "disputed", "unknown"] = Field(
        description="Follows the refunds and disputes: disputed while a dispute is open or lost, whatever was refunded;"
        " back again if a refund fails or a dispute is won. Do not ship a refunded order. unknown while the gateway is"
        " older than orders."
    )
    total_amount: int = Field(description="Minor units; what Stripe received.")
    currency: str
    refunded_amount: int | None = Field(
        default=None,
        description="Minor units; succeeded and pending refunds, without failed ones. Absent if there are none.",
        examples=[500],
    )
    disputed_amount: int | None = Field(
        default=None,
        description="Minor units; open and lost disputes, without won ones. Absent if there are none.",
    )
    adjustment_amount: int | None = Field(
        default=None,
        description="Minor units; what Stripe received less the items and the shipping, where the shop accepted a"
        " payment of another amount. Negative if less was paid. Absent without a difference.",
        examples=[-490],
    )
    items: list[BoughtItemBody]
    shipping_option: BoughtShippingBody | None = None
    created_at: datetime


class BuyerBody(Body):
    """Contact of an order's buyer."""

    email: str
    name: str
    phone: str | None = None


class ShippedToBody(Body):
    """Shipping address of an order."""

    line1: str
    line2: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str


class OrderBody(OrderSummaryBody):
    """An order as its owner reads it."""

    contact: BuyerBody
    shipping_address: ShippedToBody | None = None


class OrderPageBody(Body):
    """A page of the user's orders, newest first."""

    orders: Sequence[OrderBody]
    next_cursor: str | None = Field(default=None, description="cursor of the next page; absent on the last page.")


class PurchaseBody(Body):
    """Result of a checkout."""

    status: Literal["completed", "processing", "needs_review"]
    order: OrderSummaryBody | None = Field(default=None, description="Absent if only subscriptions were bought.")
    subscriptions: list[SubscriptionBody] = Field(
        description="One for each billing interval; empty for one-time carts."
    )
    needs_attention: bool = Field(
        default=False,
        description="True if a subscription could not begin (activation_failed): a person of the shop mends that. Tell "
        "the buyer, and do not ask for money again. False once it has begun, or was ended.",
    )
    customer_portal_url: str | None = Field(
        default=None,
        description="With subscriptions, if the shop has it: Stripe's customer portal, where the buyer can end them. "
        "It sends a login link to the buyer's e-mail address.",
        examples=["https://billing.stripe.com/p/login/test_28o"],
    )


def order_to_body(order: Order) -> OrderBody:
    """Show an order to its owner."""
    return OrderBody(
        **dict(_order_summary_to_body(order)),
        contact=BuyerBody(**asdict(order.contact)),
        shipping_address=ShippedToBody(**asdict(order.shipping_address)) if order.shipping_address else None,
    )


def order_page_to_body(page: OrderPage) -> OrderPageBody:
    """Show a page of orders to their owner."""
    return OrderPageBody(orders=[order_to_body(order) for order in page.orders], next_cursor=page.next_page_token)


def decision_to_body(decision: PaymentDecision | None, portal_url: str | None) -> PurchaseBody:
    """Show the decision about a payment; None while the payment is processing."""
    if decision is None:
        return PurchaseBody(status="processing", subscriptions=[])
    if isinstance(decision, Purchase):
        return purchase_to_body(decision, portal_url)
    return PurchaseBody(status="needs_review", subscriptions=[])


def purchase_to_body(
    purchase: Purchase, portal_url: str | None, client_secrets: Mapping[str, str] = _NO_SECRETS
) -> PurchaseBody:
    """Show a purchase without personal data (P7), with client secrets of open payments by subscription id."""
    return PurchaseBody(
        status="completed",
        order=_order_summary_to_body(purchase.order) if purchase.order else None,
        subscriptions=[subscription_to_body(each, client_secrets.get(each.id)) for each in purchase.subscriptions],
        needs_attention=purchase.needs_attention,
        customer_portal_url=portal_url if purchase.subscriptions else None,
    )


def _order_summary_to_body(order: Order) -> OrderSummaryBody:
    return OrderSummaryBody(
        id=order.id,
        number=order.number,
        checkout_attempt_id=order.checkout_attempt_id,
        status=order.status.value,
        total_amount=order.total.minor_units,
        currency=order.total.currency,
        refunded_amount=order.refunded.minor_units if order.refunded else None,
        disputed_amount=order.disputed.minor_units if order.disputed else None,
        adjustment_amount=order.adjustment.minor_units if order.adjustment else None,
        items=[item_to_body(item) for item in order.items],
        shipping_option=_shipping_to_body(order.shipping_option) if order.shipping_option else None,
        created_at=order.created_at,
    )


def _shipping_to_body(option: ShippingOption) -> BoughtShippingBody:
    return BoughtShippingBody(id=option.shipping_rate_id, name=option.name, amount=option.amount.minor_units)
