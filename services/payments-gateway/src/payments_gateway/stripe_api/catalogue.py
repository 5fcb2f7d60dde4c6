"""The catalogue as Stripe's Prices, Products and ShippingRates."""

import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, TypeVar

import stripe

from checkout_rules.fields import is_storable_id
from checkout_rules.limits import MAX_INTERVAL_COUNTS, MAX_TRIAL_DAYS
from payments_gateway.domain.attempts import Interval, Recurring
from payments_gateway.domain.catalogue import Catalogue, Price, ShippingRate
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.stripe_api.calls import UNREADABLE, is_missing
from payments_gateway.stripe_api.fields import is_usable_name, shortened

_log = logging.getLogger(__name__)

Item = TypeVar("Item")

_PAGE_SIZE: Final = 100
_UNNAMED_SHIPPING: Final = "Shipping"
"""Name of a shipping rate without display name: Stripe allows that, an order does not."""
_TRIAL_DAYS_KEY: Final = "trial_days"
"""Metadata key of a price for the days before its first charge. Holdfast's own: Stripe has none on prices."""
_TRIAL_DAYS: Final = re.compile(r"[0-9]{1,3}")


class StripeCatalogue:
    """`CataloguePort` over Stripe's API."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._v1 = client.v1

    async def read(self) -> Catalogue:
        """Read all active prices and shipping rates. Raises StripeUnavailable."""
        try:
            prices = await self._v1.prices.list_async({"active": True, "limit": _PAGE_SIZE, "expand": ["data.product"]})
            rates = await self._v1.shipping_rates.list_async({"active": True, "limit": _PAGE_SIZE})
            return Catalogue(
                prices={price.id: price async for price in _readable(prices, price_from_stripe)},
                shipping_rates={rate.id: rate async for rate in _readable(rates, shipping_rate_from_stripe)},
            )
        except stripe.StripeError:  # a rejection; StripeHttp raises its own errors
            raise StripeUnavailable from None

    async def find_price(self, price_id: str) -> Price | None:
        """Read an active price; None if there is none, or it is unreadable. Raises StripeUnavailable."""
        try:
            shown = await self._v1.prices.retrieve_async(price_id, {"expand": ["product"]})
        except stripe.StripeError as error:
            if isinstance(error, stripe.InvalidRequestError) and is_missing(error):
                return None
            raise StripeUnavailable from None
        return _read(shown, price_from_stripe) if shown.active else None


async def _readable(listed: Any, read: Callable[[Mapping[str, Any]], Item | None]) -> AsyncIterator[Item]:
    """Yield the readable objects of a list: an unreadable one must not close the whole shop."""
    async for shown in listed.auto_paging_iter():
        if (item := _read(shown, read)) is not None:
            yield item


def _read(shown: Any, read: Callable[[Mapping[str, Any]], Item | None]) -> Item | None:
    try:
        return read(shown.to_dict())
    except UNREADABLE:
        _log.exception("Stripe object cannot be read and is not sold", extra={"stripe_id": shown.id})
        return None


def price_from_stripe(fields: Mapping[str, Any]) -> Price:
    """Read a price, with its product expanded, from Stripe's JSON. Raises one of UNREADABLE."""
    product = fields["product"]
    unit_amount = fields.get("unit_amount")
    images = product.get("images") or []
    unsellable_reason = _unsellable_reason(fields, product)
    return Price(
        id=fields["id"],
        product_id=product["id"],
        name=shortened(product.get("name") or ""),
        description=product.get("description"),
        image_url=images[0] if images else None,
        unit_price=None if unit_amount is None else Money(unit_amount, fields["currency"]),
        unsellable_reason=unsellable_reason,
        recurring=_recurring(fields) if unsellable_reason is None else None,
    )


def _unsellable_reason(price: Mapping[str, Any], product: Mapping[str, Any]) -> str | None:
    reasons = {
        "is not for sale: its product is inactive": not product.get("active", False),
        "is not for sale: its product has no usable name": not is_usable_name(product.get("name") or ""),
        "is not for sale: its id or that of its product is too long": not (
            is_storable_id(price["id"]) and is_storable_id(product["id"])
        ),
        "is priced in tiers": price.get("billing_scheme") == "tiered",
        "is priced by packages": price.get("transform_quantity") is not None,
        "is priced by the buyer": price.get("custom_unit_amount") is not None,
        **_unsellable_recurring_reasons(price),
        "has no whole amount in minor units": price.get("unit_amount") is None,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _unsellable_recurring_reasons(price: Mapping[str, Any]) -> Mapping[str, bool]:
    recurring = price.get("recurring")
    if recurring is None:
        return {}
    return {
        "is metered": recurring.get("usage_type") != "licensed" or recurring.get("meter") is not None,
        "has an unsupported billing interval": not _is_offered(recurring),
        f"has {_TRIAL_DAYS_KEY} that are not a number from 0 to {MAX_TRIAL_DAYS}": _trial_days(price) is None,
    }


def _is_offered(recurring: Mapping[str, Any]) -> bool:
    maximum = MAX_INTERVAL_COUNTS.get(str(recurring.get("interval")), 0)
    return type(count := recurring.get("interval_count")) is int and 1 <= count <= maximum


def _trial_days(price: Mapping[str, Any]) -> int | None:
    """Return the days before the first charge; None if the metadata holds no such number."""
    text = (price.get("metadata") or {}).get(_TRIAL_DAYS_KEY, "0")
    days = int(text) if isinstance(text, str) and _TRIAL_DAYS.fullmatch(text) else None
    return days if days is not None and days <= MAX_TRIAL_DAYS else None


def _recurring(price: Mapping[str, Any]) -> Recurring | None:
    """Read the interval of a sellable price; None for a one-time price."""
    recurring = price.get("recurring")
    if recurring is None:
        return None
    return Recurring(Interval(recurring["interval"]), recurring["interval_count"], _trial_days(price) or 0)


def shipping_rate_from_stripe(fields: Mapping[str, Any]) -> ShippingRate | None:
    """Read a shipping rate from Stripe's JSON; None if it has no fixed amount. Raises one of UNREADABLE."""
    fixed = fields.get("fixed_amount")
    if fixed is None:
        return None
    name = fields.get("display_name") or ""
    return ShippingRate(
        id=fields["id"],
        name=shortened(name) if is_usable_name(name) else _UNNAMED_SHIPPING,
        amount=Money(fixed["amount"], fixed["currency"]),
    )
