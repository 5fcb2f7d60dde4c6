"""State of a Stripe subscription, read from Stripe's JSON. What Stripe's types call nullable may be null.

What cannot be read is null too, and logged: it must not block the rest, the end of the subscription above all (ADR 36).
Source: https://docs.stripe.com/api/subscriptions/object and the types of stripe-node 23.1.0.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from checkout_rules.limits import MAX_SUBSCRIPTION_DISCOUNTS, MAX_SUBSCRIPTION_ITEMS
from payments_gateway.domain.attempts import Interval
from payments_gateway.domain.money import Money
from payments_gateway.domain.subscriptions import (
    BilledItem,
    Discount,
    PauseCollection,
    StripeSubscriptionState,
    SubscriptionStatus,
)
from payments_gateway.stripe_api.calls import UNREADABLE
from payments_gateway.stripe_api.fields import (
    read_amount,
    read_catalogue_id,
    read_count,
    read_currency,
    read_id,
    read_name,
    read_optional_time,
    read_percent,
    read_reference,
    read_time,
)

_log = logging.getLogger(__name__)

T = TypeVar("T")

STATE_FIELDS: Final = (
    # A changed plan may have a price that no catalogue knows, so its product's name comes along.
    "items.data.price.product",
    # The amount in the subscription's currency, where the price has several.
    # Source: https://docs.stripe.com/api/prices/object#price_object-currency_options
    "items.data.price.currency_options",
    # Coupons have several, too: https://docs.stripe.com/api/coupons/object#coupon_object-currency_options
    # Source: https://docs.stripe.com/changelog/clover/2025-09-30/add-discount-source-property
    "discounts.source.coupon.currency_options",
)
"""Fields of a subscription to expand. Each has at most the four levels that Stripe expands.
Source: https://docs.stripe.com/api/expanding_objects"""
LISTED_ITEM_FIELDS: Final = ("data.price.product", "data.price.currency_options", "data.discounts.source.coupon")
"""Fields of a list of items to expand. From the subscription, the coupon would be the fifth level."""
ITEM_FIELDS: Final = ("price.product", "price.currency_options", "discounts.source.coupon.currency_options")
"""Fields of one item to expand. From the list, the amounts of its coupons would be the fifth level."""

_NOT_AT_STRIPE: Final = (SubscriptionStatus.PENDING, SubscriptionStatus.ACTIVATION_FAILED)
_STATUSES: Final = {each.value: each for each in SubscriptionStatus if each not in _NOT_AT_STRIPE}
_UNREADABLE_ID: Final = "unreadable"
"""Stands for an id that cannot be stored. What it is of is kept, so that no sum leaves it out."""


def lacks_items(fields: Mapping[str, Any]) -> bool:
    """Return True if the items have to be listed: there are more of them, or one has discounts of its own."""
    items = fields["items"]
    return bool(items.get("has_more") or any(item.get("discounts") for item in items["data"]))


def lacks_amounts(item: Mapping[str, Any], currency: str) -> bool:
    """Return True if a listed item has to be retrieved: an amount off is shown in another currency."""
    coupons = [
        _fields_of(_fields_of(_fields_of(each).get("source")).get("coupon")) for each in item.get("discounts") or ()
    ]
    return any(coupon.get("amount_off") is not None and coupon.get("currency") != currency for coupon in coupons)


def state_from_stripe(fields: Mapping[str, Any]) -> StripeSubscriptionState:
    """Read a subscription with STATE_FIELDS. Raises one of UNREADABLE if it has no id, no items or no currency."""
    currency, shown = read_currency(fields["currency"]), fields["items"]["data"]
    items = tuple(_item_from_stripe(_fields_of(item), currency) for item in shown)
    discounts = [each for place in (fields, *shown) for each in place.get("discounts") or ()]
    time = partial(_time_from_stripe, fields)
    return StripeSubscriptionState(
        stripe_subscription_id=read_id(fields["id"]),
        status=_readable("status", _STATUSES.__getitem__, fields["status"]) or SubscriptionStatus.UNKNOWN,
        current_period_end=max(filter(None, (item.current_period_end for item in items)), default=None),
        trial_end=time("trial_end"),
        cancel_at_period_end=bool(fields.get("cancel_at_period_end")),
        cancel_at=time("cancel_at"),
        canceled_at=time("canceled_at"),
        ended_at=time("ended_at"),
        latest_invoice_id=_readable("latest_invoice", read_reference, fields.get("latest_invoice")),
        items=_stored_items(items),
        pause_collection=_readable("pause_collection", _pause_from_stripe, fields.get("pause_collection")),
        discounts=tuple(
            _discount_from_stripe(each, currency) for each in _first("discounts", discounts, MAX_SUBSCRIPTION_DISCOUNTS)
        ),
        default_payment_method_id=_readable(
            "default_payment_method", read_reference, fields.get("default_payment_method")
        ),
        collection_method=_readable("collection_method", read_id, fields.get("collection_method")),
    )


def _item_from_stripe(item: Mapping[str, Any], currency: str) -> BilledItem:
    price = _fields_of(item.get("price"))
    product, recurring = price.get("product"), _fields_of(price.get("recurring"))
    product_id = product.get("id") if isinstance(product, Mapping) else product
    return BilledItem(
        stripe_item_id=_readable("item", read_id, item.get("id")) or _UNREADABLE_ID,
        price_id=_readable("price", read_catalogue_id, price.get("id")) or _UNREADABLE_ID,
        product_id=_readable("product", read_catalogue_id, product_id) or _UNREADABLE_ID,
        name=read_name(_fields_of(product).get("name")),
        quantity=_readable("quantity", read_count, item.get("quantity")),
        unit_amount=_readable("unit_amount", partial(_unit_amount, currency=currency), price),
        currency=currency,
        interval=_readable("interval", Interval, recurring.get("interval")),
        interval_count=_readable("interval_count", partial(read_count, minimum=1), recurring.get("interval_count")),
        current_period_end=_time_from_stripe(item, "current_period_end"),
    )


def _unit_amount(price: Mapping[str, Any], currency: str) -> int | None:
    """Read the amount of one unit in the subscription's currency; None if one unit has none."""
    if price.get("transform_quantity") is not None:
        return None  # the amount is that of a package
    amount = _in_currency(price, "unit_amount", currency)
    return None if amount is None else read_amount(amount, currency).minor_units


def _stored_items(items: tuple[BilledItem, ...]) -> tuple[BilledItem, ...]:
    """Return the items that are stored. If that leaves some out, no amount may be shown: it would be too low."""
    stored = _first("items", items, MAX_SUBSCRIPTION_ITEMS)
    return items if len(stored) == len(items) else (*stored[:-1], replace(stored[-1], unit_amount=None))


def _pause_from_stripe(pause: Mapping[str, Any]) -> PauseCollection:
    return PauseCollection(read_id(pause["behavior"]), read_optional_time(pause.get("resumes_at")))


def _discount_from_stripe(shown: Any, currency: str) -> Discount:
    """Read a discount. One that is not expanded has an id alone: Stripe refused to list the items."""
    discount = _fields_of(shown)
    shown_coupon = _readable("source", _coupon_of, discount.get("source"))
    coupon = _fields_of(shown_coupon)
    return Discount(
        stripe_discount_id=_readable("discount", read_reference, shown) or _UNREADABLE_ID,
        coupon_id=_readable("coupon", read_catalogue_id, coupon.get("id") or shown_coupon),
        name=read_name(coupon.get("name")),
        percent_off=_readable("percent_off", read_percent, coupon.get("percent_off")),
        amount_off=_readable("amount_off", partial(_amount_off, currency=currency), coupon),
        ends_at=_time_from_stripe(discount, "end"),
        stripe_item_id=_readable("subscription_item", read_reference, discount.get("subscription_item")),
        duration=_readable("duration", read_id, coupon.get("duration")),
    )


def _coupon_of(source: Mapping[str, Any]) -> Any:
    if source["type"] != "coupon":
        raise ValueError("not a discount by coupon")
    return source["coupon"]


def _amount_off(coupon: Mapping[str, Any], currency: str) -> Money | None:
    """Read the amount in the subscription's currency; None for a percentage."""
    if coupon.get("amount_off") is None:
        return None
    return read_amount(_in_currency(coupon, "amount_off", currency), currency)


def _in_currency(fields: Mapping[str, Any], name: str, currency: str) -> Any:
    """Return an amount of a price or coupon in a currency; None if it has none in that."""
    if fields["currency"] == currency:
        return fields.get(name)
    return _fields_of(_fields_of(fields.get("currency_options")).get(currency)).get(name)


def _time_from_stripe(fields: Mapping[str, Any], name: str) -> datetime | None:
    return _readable(name, read_time, fields.get(name))


def _fields_of(shown: Any) -> Mapping[str, Any]:
    """Return the fields of an object; none if Stripe only names it, or shows none."""
    return shown if isinstance(shown, Mapping) else {}


def _first(name: str, parts: Sequence[T], maximum: int) -> Sequence[T]:
    """Return the parts that are stored; the rest is logged."""
    if len(parts) > maximum:
        _log.error("subscription has more parts than are stored", extra={"part": name, "count": len(parts)})
    return parts[:maximum]


def _readable(name: str, read: Callable[[Any], T | None], value: Any) -> T | None:
    """Read a part of a subscription. None where it is null; and where it is unreadable, which is logged."""
    if value is None:
        return None
    try:
        return read(value)
    except UNREADABLE:
        _log.exception("part of a subscription cannot be read", extra={"part": name})
        return None
