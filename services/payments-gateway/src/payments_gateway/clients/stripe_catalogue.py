"""The catalogue, kept by Stripe as Prices, Products and ShippingRates."""

import logging
import unicodedata
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, TypeVar

import stripe

from payments_gateway.catalogue import Catalogue, Price, ShippingRate
from payments_gateway.intents import StripeUnavailable
from payments_gateway.money import Money

_log = logging.getLogger(__name__)

Item = TypeVar("Item")

_PAGE: Final = 100
_LONGEST_NAME: Final = 5000
"""In characters; Stripe's own limit."""
_UNNAMED_SHIPPING: Final = "Shipping"
"""Stripe lets a shipping rate go without a display name; an order does not."""


class StripeCatalogue:
    """Reads everything that is active, page by page."""

    def __init__(self, client: stripe.StripeClient) -> None:
        """Use a client that was built once."""
        self._v1 = client.v1

    async def read(self) -> Catalogue:
        """Read everything that is active now. Raises StripeUnavailable."""
        try:
            prices = await self._v1.prices.list_async({"active": True, "limit": _PAGE, "expand": ["data.product"]})
            rates = await self._v1.shipping_rates.list_async({"active": True, "limit": _PAGE})
            return Catalogue(
                prices={price.id: price async for price in _readable(prices, read_price)},
                shipping_rates={rate.id: rate async for rate in _readable(rates, read_shipping_rate)},
            )
        except stripe.StripeError:  # a refusal; what may pass was named by StripeHttp
            raise StripeUnavailable from None


async def _readable(listed: Any, read: Callable[[Mapping[str, Any]], Item | None]) -> AsyncIterator[Item]:
    """Yield what can be read: one object of a form we do not know must not close the whole shop."""
    async for shown in listed.auto_paging_iter():
        try:
            item = read(shown.to_dict())
        except (AttributeError, KeyError, TypeError, ValueError):
            _log.exception("an object at Stripe cannot be read and is not sold", extra={"stripe_id": shown.id})
            continue
        if item is not None:
            yield item


def read_price(fields: Mapping[str, Any]) -> Price:
    """Read a price, with its product expanded, from Stripe's JSON."""
    product = fields["product"]
    unit_amount = fields.get("unit_amount")
    images = product.get("images") or []
    return Price(
        id=fields["id"],
        product_id=product["id"],
        name=product.get("name") or "",
        description=product.get("description"),
        image_url=images[0] if images else None,
        unit_price=None if unit_amount is None else Money(unit_amount, fields["currency"]),
        not_sold_because=_why_not_sold(fields, product),
    )


def _why_not_sold(price: Mapping[str, Any], product: Mapping[str, Any]) -> str | None:
    objections = {
        "is not for sale: its product is inactive": not product.get("active", False),
        "is a subscription price, and subscriptions are not sold": price.get("recurring") is not None,
        "is not for sale: its product has no usable name": not _is_recordable(product.get("name") or ""),
        "is priced in tiers": price.get("billing_scheme") == "tiered",
        "is priced by packages": price.get("transform_quantity") is not None,
        "is priced by the buyer": price.get("custom_unit_amount") is not None,
        "has no whole amount in minor units": price.get("unit_amount") is None,
    }
    return next((objection for objection, holds in objections.items() if holds), None)


def _is_recordable(name: str) -> bool:
    """Whether an order can keep the name; found out only after the payment, it would be a quarantine."""
    unstorable = any(unicodedata.category(character) in {"Cc", "Cs"} for character in name)
    return bool(name.strip()) and len(name) <= _LONGEST_NAME and not unstorable


def read_shipping_rate(fields: Mapping[str, Any]) -> ShippingRate | None:
    """Read a shipping rate from Stripe's JSON; None for one without a fixed amount."""
    fixed = fields.get("fixed_amount")
    if fixed is None:
        return None
    name = fields.get("display_name") or ""
    return ShippingRate(
        id=fields["id"],
        name=name if _is_recordable(name) else _UNNAMED_SHIPPING,
        amount=Money(fixed["amount"], fixed["currency"]),
    )
