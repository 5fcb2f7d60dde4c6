"""Bodies for the storefront: catalogue and configuration."""

from typing import Literal

from pydantic import Field

from payments_gateway.api.fields import Body
from payments_gateway.domain.attempts import Recurring
from payments_gateway.domain.catalogue import Catalogue, Price


class RecurringBody(Body):
    """Billing interval of a price."""

    interval: Literal["day", "week", "month", "year"]
    interval_count: int = Field(description="Number of intervals between two charges.", examples=[1])
    trial_days: int = Field(description="Days before the first charge; 0 for none.", examples=[14])


class CatalogueItemBody(Body):
    """A price that can be put into a cart."""

    price_id: str
    product_id: str
    name: str
    description: str | None
    image_url: str | None = None
    unit_amount: int = Field(description="Minor units.")
    currency: str
    type: Literal["one_time", "recurring"]
    recurring: RecurringBody | None = Field(default=None, description="With type recurring.")


class ShippingOptionBody(Body):
    """A shipping option that can be chosen."""

    id: str
    name: str
    amount: int = Field(description="Minor units.")
    currency: str


class CatalogueBody(Body):
    """Everything on sale."""

    items: list[CatalogueItemBody]
    shipping_options: list[ShippingOptionBody]


class ConfigBody(Body):
    """Settings with which the frontend loads Stripe.js, and links that it shows."""

    publishable_key: str
    stripe_js_url: str
    customer_portal_url: str | None = Field(
        default=None,
        description="Stripe's customer portal, where buyers can end their subscriptions. Absent if the shop has none.",
    )
    demo_sign_in_url: str | None = Field(
        default=None, description="Where the demo's frontend signs a customer in. Absent outside demos."
    )


def catalogue_to_body(catalogue: Catalogue) -> CatalogueBody:
    """Show everything on sale."""
    return CatalogueBody(
        items=[_price_to_body(price) for price in catalogue.sellable_prices()],
        shipping_options=[
            ShippingOptionBody(
                id=rate.id, name=rate.name, amount=rate.amount.minor_units, currency=rate.amount.currency
            )
            for rate in catalogue.shipping_rates.values()
        ],
    )


def _price_to_body(price: Price) -> CatalogueItemBody:
    if price.unit_price is None:
        raise ValueError(f"sellable price {price.id} has no unit price")
    return CatalogueItemBody(
        price_id=price.id,
        product_id=price.product_id,
        name=price.name,
        description=price.description,
        image_url=price.image_url,
        unit_amount=price.unit_price.minor_units,
        currency=price.unit_price.currency,
        type="recurring" if price.recurring else "one_time",
        recurring=_recurring_to_body(price.recurring) if price.recurring else None,
    )


def _recurring_to_body(recurring: Recurring) -> RecurringBody:
    return RecurringBody(
        interval=recurring.interval.value,
        interval_count=recurring.interval_count,
        trial_days=recurring.trial_days,
    )
