"""The catalogue, kept by Stripe as Prices, Products and ShippingRates."""

import logging
import re
import unicodedata
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, TypeVar

import stripe

from checkout_rules.limits import MAX_INTERVAL_COUNTS, MAX_TEXT_CHARACTERS, MAX_TRIAL_DAYS
from payments_gateway.domain.attempts import Interval, Recurring
from payments_gateway.domain.catalogue import Catalogue, Price, ShippingRate
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import StripeUnavailable

_log = logging.getLogger(__name__)

Item = TypeVar("Item")

_PAGE: Final = 100
_UNNAMED_SHIPPING: Final = "Shipping"
"""Stripe lets a shipping rate go without a display name; an order does not."""
_TRIAL_DAYS_KEY: Final = "trial_days"
"""Metadata key by which a price says how many days pass before its first charge. Ours: Stripe has none."""
_TRIAL_DAYS: Final = re.compile(r"[0-9]{1,3}")


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
    unsellable_reason = _why_not_sold(fields, product)
    return Price(
        id=fields["id"],
        product_id=product["id"],
        name=product.get("name") or "",
        description=product.get("description"),
        image_url=images[0] if images else None,
        unit_price=None if unit_amount is None else Money(unit_amount, fields["currency"]),
        unsellable_reason=unsellable_reason,
        recurring=_read_recurring(fields) if unsellable_reason is None else None,
    )


def _why_not_sold(price: Mapping[str, Any], product: Mapping[str, Any]) -> str | None:
    objections = {
        "is not for sale: its product is inactive": not product.get("active", False),
        "is not for sale: its product has no usable name": not _is_recordable(product.get("name") or ""),
        "is priced in tiers": price.get("billing_scheme") == "tiered",
        "is priced by packages": price.get("transform_quantity") is not None,
        "is priced by the buyer": price.get("custom_unit_amount") is not None,
        **_objections_to_recurring(price),
        "has no whole amount in minor units": price.get("unit_amount") is None,
    }
    return next((objection for objection, holds in objections.items() if holds), None)


def _objections_to_recurring(price: Mapping[str, Any]) -> Mapping[str, bool]:
    recurring = price.get("recurring")
    if recurring is None:
        return {}
    return {
        "is metered": recurring.get("usage_type") != "licensed" or recurring.get("meter") is not None,
        "has a billing interval that is not offered": not _is_offered(recurring),
        f"has a {_TRIAL_DAYS_KEY} that is no number of days from 0 to {MAX_TRIAL_DAYS}": _trial_days(price) is None,
    }


def _is_offered(recurring: Mapping[str, Any]) -> bool:
    longest = MAX_INTERVAL_COUNTS.get(str(recurring.get("interval")), 0)
    return type(count := recurring.get("interval_count")) is int and 1 <= count <= longest


def _trial_days(price: Mapping[str, Any]) -> int | None:
    """Return the days before the first charge; None for what is no such number."""
    told = (price.get("metadata") or {}).get(_TRIAL_DAYS_KEY, "0")
    days = int(told) if isinstance(told, str) and _TRIAL_DAYS.fullmatch(told) else None
    return days if days is not None and days <= MAX_TRIAL_DAYS else None


def _read_recurring(price: Mapping[str, Any]) -> Recurring | None:
    """Read how often a price that is sold charges; None for a one-time price."""
    recurring = price.get("recurring")
    if recurring is None:
        return None
    return Recurring(Interval(recurring["interval"]), recurring["interval_count"], _trial_days(price) or 0)


def _is_recordable(name: str) -> bool:
    """Whether an order can keep the name; found out only after the payment, it would be a quarantine."""
    unstorable = any(unicodedata.category(character) in {"Cc", "Cs"} for character in name)
    return bool(name.strip()) and len(name) <= MAX_TEXT_CHARACTERS and not unstorable


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
