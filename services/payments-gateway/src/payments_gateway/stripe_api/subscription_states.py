"""State of a Stripe subscription, read from Stripe's JSON. What Stripe's types call nullable may be null.

Source: https://docs.stripe.com/api/subscriptions/object and the types of stripe-node 23.1.0.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from checkout_rules.limits import MAX_SUBSCRIPTION_DISCOUNTS
from payments_gateway.domain.attempts import Interval
from payments_gateway.domain.subscriptions import (
    ENDED_STATUSES,
    BilledItem,
    Discount,
    PauseCollection,
    StripeSubscriptionState,
    SubscriptionStatus,
)
from payments_gateway.stripe_api.fields import (
    read_amount,
    read_count,
    read_currency,
    read_id,
    read_name,
    read_optional_time,
    read_percent,
    read_reference,
)

STATE_FIELDS: Final = (
    # A changed plan may have a price that no catalogue knows, so its product's name comes along.
    "items.data.price.product",
    # The amount in the subscription's currency, where the price has several.
    # Source: https://docs.stripe.com/api/prices/object#price_object-currency_options
    "items.data.price.currency_options",
    # Source: https://docs.stripe.com/changelog/clover/2025-09-30/add-discount-source-property
    "discounts.source.coupon",
)
"""Fields of a subscription to expand. Each has at most the four levels that Stripe expands.
Source: https://docs.stripe.com/api/expanding_objects"""
ITEM_FIELDS: Final = ("data.price.product", "data.price.currency_options", "data.discounts.source.coupon")
"""Fields of a list of items to expand. From the subscription, the coupon would be the fifth level."""


def lacks_items(fields: Mapping[str, Any]) -> bool:
    """Return True if the items have to be listed: there are more of them, or one has discounts of its own.

    An ended subscription bills nothing any more.
    """
    items = fields["items"]
    incomplete = items.get("has_more") or any(item.get("discounts") for item in items["data"])
    return bool(incomplete) and fields["status"] not in ENDED_STATUSES


def state_from_stripe(fields: Mapping[str, Any]) -> StripeSubscriptionState:
    """Read a subscription with STATE_FIELDS. Raises one of UNREADABLE if it cannot be stored."""
    items = fields["items"]["data"]
    discounts = [each for place in (fields, *items) for each in place.get("discounts") or ()]
    return StripeSubscriptionState(
        stripe_subscription_id=read_id(fields["id"]),
        status=SubscriptionStatus(fields["status"]),
        current_period_end=_latest_time(item.get("current_period_end") for item in items),
        trial_end=read_optional_time(fields.get("trial_end")),
        cancel_at_period_end=bool(fields.get("cancel_at_period_end")),
        cancel_at=read_optional_time(fields.get("cancel_at")),
        canceled_at=read_optional_time(fields.get("canceled_at")),
        ended_at=read_optional_time(fields.get("ended_at")),
        latest_invoice_id=read_reference(fields.get("latest_invoice")),
        items=tuple(_item_from_stripe(item, fields["currency"]) for item in items),
        pause_collection=_pause_from_stripe(fields.get("pause_collection")),
        # One that is not expanded is an ended subscription's.
        discounts=tuple(_discount_from_stripe(each) for each in discounts if isinstance(each, Mapping))[
            :MAX_SUBSCRIPTION_DISCOUNTS
        ],
        default_payment_method_id=read_reference(fields.get("default_payment_method")),
        collection_method=read_id(fields["collection_method"]),
    )


def _item_from_stripe(item: Mapping[str, Any], currency: str) -> BilledItem:
    price, recurring = item["price"], item["price"].get("recurring")
    quantity, amount = item.get("quantity"), _unit_amount(item["price"], currency)
    product = price["product"] if isinstance(price["product"], Mapping) else {}
    return BilledItem(
        stripe_item_id=read_id(item["id"]),
        price_id=read_id(price["id"]),
        product_id=read_id(product.get("id") or price["product"]),
        name=read_name(product.get("name")),
        quantity=None if quantity is None else read_count(quantity),
        unit_amount=None if amount is None else read_amount(amount, currency).minor_units,
        currency=read_currency(currency),
        interval=Interval(recurring["interval"]) if recurring else None,
        interval_count=read_count(recurring["interval_count"]) if recurring else None,
        current_period_end=read_optional_time(item.get("current_period_end")),
    )


def _unit_amount(price: Mapping[str, Any], currency: str) -> Any:
    """Return the amount of one unit in the subscription's currency; None if one unit has none."""
    if price.get("transform_quantity") is not None:
        return None  # the amount is that of a package
    if price["currency"] == currency:
        return price.get("unit_amount")
    return ((price.get("currency_options") or {}).get(currency) or {}).get("unit_amount")


def _pause_from_stripe(pause: Mapping[str, Any] | None) -> PauseCollection | None:
    return PauseCollection(read_id(pause["behavior"]), read_optional_time(pause.get("resumes_at"))) if pause else None


def _discount_from_stripe(discount: Mapping[str, Any]) -> Discount:
    source = discount["source"]["coupon"]
    coupon = source if isinstance(source, Mapping) else {}
    percent, amount = coupon.get("percent_off"), coupon.get("amount_off")
    return Discount(
        stripe_discount_id=read_id(discount["id"]),
        coupon_id=read_reference(source),
        name=read_name(coupon.get("name")),
        percent_off=None if percent is None else read_percent(percent),
        amount_off=None if amount is None else read_amount(amount, coupon["currency"]),
        ends_at=read_optional_time(discount.get("end")),
        stripe_item_id=read_reference(discount.get("subscription_item")),
    )


def _latest_time(seconds: Iterable[int | None]) -> datetime | None:
    return read_optional_time(max((each for each in seconds if each is not None), default=None))
