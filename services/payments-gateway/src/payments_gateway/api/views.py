"""Domain objects to response bodies, one function each."""

from dataclasses import asdict

from payments_gateway.api.bodies import (
    BoughtItemBody,
    BoughtShippingBody,
    BuyerBody,
    CatalogueBody,
    CatalogueItemBody,
    CheckoutBody,
    CheckoutStatusBody,
    OrderBody,
    OrderSummaryBody,
    PurchaseBody,
    ShippedToBody,
    ShippingOptionBody,
)
from payments_gateway.attempts import LineItem, ShippingOption
from payments_gateway.catalogue import Catalogue, Price
from payments_gateway.checkout_status import CheckoutStatus
from payments_gateway.initiate import Checkout
from payments_gateway.purchases import Order, PaymentDecision, Purchase


def checkout_body(checkout: Checkout) -> CheckoutBody:
    """Show a checkout that the buyer can pay."""
    return CheckoutBody(
        client_secret=checkout.client_secret,
        checkout_attempt_id=checkout.attempt_id,
        intent_type="payment",
        intent_amount=checkout.amount.minor_units,
        amount_due_today=checkout.amount.minor_units,
        currency=checkout.amount.currency,
        recurring=[],
        pay_by=checkout.pay_by,
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
    return PurchaseBody(status="completed", order=_order_summary_body(purchase.order))


def status_body(status: CheckoutStatus) -> CheckoutStatusBody:
    """Show where a checkout stands."""
    return CheckoutStatusBody(
        status=status.state.value, purchase=purchase_body(status.purchase) if status.purchase else None
    )


def _order_summary_body(order: Order) -> OrderSummaryBody:
    return OrderSummaryBody(
        id=order.id,
        number=order.number,
        checkout_attempt_id=order.checkout_attempt_id,
        status=order.status.value,
        total_amount=order.total.minor_units,
        currency=order.total.currency,
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


def _item_body(item: LineItem) -> BoughtItemBody:
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
        items=[_catalogue_item_body(price) for price in catalogue.sold_prices()],
        shipping_options=[
            ShippingOptionBody(
                id=rate.id, name=rate.name, amount=rate.amount.minor_units, currency=rate.amount.currency
            )
            for rate in catalogue.shipping_rates.values()
        ],
    )


def _catalogue_item_body(price: Price) -> CatalogueItemBody:
    if price.unit_price is None:  # such a price is never sold, see not_sold_because
        raise ValueError(f"{price.id} has no unit price")
    return CatalogueItemBody(
        price_id=price.id,
        product_id=price.product_id,
        name=price.name,
        description=price.description,
        image_url=price.image_url,
        unit_amount=price.unit_price.minor_units,
        currency=price.unit_price.currency,
        type="one_time",
    )
