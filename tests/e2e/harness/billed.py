"""Equality of a Stripe subscription with its row and with what the API shows, field by field.

Every field of all three is either compared or listed as left out, so that a forgotten one fails.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from .stores import Row
from .system import System

Fields = Mapping[str, Any]

_EXPANDED: Final = ("items.data.price.product", "discounts.source.coupon")

# Fields that the shop and its buyers do not need, or that tell the same as another one.
_LEFT_OUT: Final = frozenset(
    {
        "application",
        "application_fee_percent",
        "automatic_tax",
        "billing_cycle_anchor",
        "billing_cycle_anchor_config",
        "billing_mode",
        "billing_schedules",
        "billing_thresholds",
        "cancellation_details",
        "created",
        "customer_account",
        "days_until_due",
        "default_source",
        "default_tax_rates",
        "description",
        "invoice_settings",
        "livemode",
        "managed_payments",
        "metadata",
        "next_pending_invoice_item_invoice",
        "object",
        "on_behalf_of",
        "payment_settings",
        "pending_invoice_item_interval",
        "pending_setup_intent",
        "pending_update",
        "schedule",
        "start_date",
        "test_clock",
        "transfer_data",
        "trial_settings",
        "trial_start",
    }
)
_ITEM_LEFT_OUT: Final = frozenset(
    {
        "billing_thresholds",
        "created",
        "current_period_start",
        "current_trial",
        "metadata",
        "object",
        "plan",
        "subscription",
        "tax_rates",
    }
)
_DISCOUNT_LEFT_OUT: Final = frozenset(
    {
        "checkout_session",
        "customer",
        "customer_account",
        "invoice",
        "invoice_item",
        "object",
        "promotion_code",
        "start",
        "subscription",
    }
)
_OUR_COLUMNS: Final = frozenset(
    {
        "activation_began_at",
        "activation_failed_at",
        "activation_failure",
        "activation_generation",
        "cancel_requested_at",
        "checkout_attempt_id",
        "contact_email",
        "contact_name",
        "contact_phone",
        "created_at",
        "currency",
        "erased_at",
        "id",
        "intent_id",
        "interval",
        "interval_count",
        "payment_outcome",
        "position",
        "shipping_city",
        "shipping_country",
        "shipping_line1",
        "shipping_line2",
        "shipping_postal_code",
        "shipping_state",
        "stripe_payment_method_id",
        "trial_days",
        "user_id",
        "version",
    }
)
"""Columns of what was bought, by whom, and of the activation."""
_OUR_BODY: Final = frozenset(
    {
        "activationFailedAt",
        "activationFailure",
        "boughtItems",
        "checkoutAttemptId",
        "createdAt",
        "id",
        "payment",
    }
)


async def stripe_subscription(system: System, subscription_id: str) -> dict[str, Any]:
    """Return a Stripe subscription with the products and coupons that its row shows."""
    shown = await system.stripe.v1.subscriptions.retrieve_async(subscription_id, {"expand": [*_EXPANDED]})
    items = await system.stripe.v1.subscription_items.list_async(
        {"subscription": subscription_id, "expand": ["data.price.product", "data.discounts.source.coupon"]}
    )
    subscription = shown.to_dict()
    subscription["items"]["data"] = [each.to_dict() for each in items.data]
    return subscription


async def require_equal(system: System, at_stripe: Fields, body: Fields) -> None:
    """Fail unless the row of a Stripe subscription, and what the API shows of it, equal it."""
    row = await system.orders_db.subscription(at_stripe["id"])
    assert row is not None
    items = await system.orders_db.rows(
        "SELECT * FROM subscription_billed_items WHERE subscription_id = $1 ORDER BY position", UUID(row["id"])
    )
    assert _stripe_fields(at_stripe) - _LEFT_OUT == _COMPARED
    assert row.keys() - _OUR_COLUMNS == _expected_row(at_stripe).keys()
    assert body.keys() - _OUR_BODY == _expected_body(at_stripe).keys()
    assert _recorded(row, _expected_row(at_stripe)) == _expected_row(at_stripe)
    assert [_recorded_item(item) for item in items] == [_expected_item(each) for each in _items(at_stripe)]
    assert {name: body[name] for name in body.keys() - _OUR_BODY} == _expected_body(at_stripe)


_COMPARED: Final = frozenset(
    {
        "cancel_at",
        "cancel_at_period_end",
        "canceled_at",
        "collection_method",
        "currency",
        "customer",
        "default_payment_method",
        "discounts",
        "ended_at",
        "id",
        "items",
        "latest_invoice",
        "pause_collection",
        "status",
        "trial_end",
    }
)


def _stripe_fields(at_stripe: Fields) -> set[str]:
    for item in _items(at_stripe):
        compared = {"id", "current_period_end", "discounts", "price", "quantity"}
        assert item.keys() - _ITEM_LEFT_OUT == compared
    for discount in _discounts(at_stripe):
        assert discount.keys() - _DISCOUNT_LEFT_OUT == {"id", "end", "source", "subscription_item"}
    return set(at_stripe)


def _items(at_stripe: Fields) -> Sequence[Fields]:
    return list(at_stripe["items"]["data"])


def _discounts(at_stripe: Fields) -> Sequence[Fields]:
    """Return the discounts of a subscription, and of its items."""
    return [*at_stripe["discounts"], *(each for item in _items(at_stripe) for each in item["discounts"])]


def _expected_row(at_stripe: Fields) -> dict[str, Any]:
    pause = at_stripe["pause_collection"] or {}
    times = ("trial_end", "cancel_at", "canceled_at", "ended_at")
    return {
        **{name: at_stripe[name] for name in ("status", "cancel_at_period_end", "collection_method")},
        **{name: _time(at_stripe[name]) for name in times},
        "stripe_subscription_id": at_stripe["id"],
        "stripe_customer_id": at_stripe["customer"],
        "current_period_end": _time(max(item["current_period_end"] for item in _items(at_stripe))),
        "latest_invoice_id": at_stripe["latest_invoice"],
        "pause_behavior": pause.get("behavior"),
        "pause_resumes_at": _time(pause.get("resumes_at")),
        "discounts": [_expected_discount(each) for each in _discounts(at_stripe)],
        "default_payment_method_id": at_stripe["default_payment_method"],
    }


def _recorded(row: Row, expected: Fields) -> dict[str, Any]:
    return {name: row[name] for name in expected} | {"discounts": json.loads(row["discounts"])}


def _expected_discount(discount: Fields) -> dict[str, Any]:
    coupon, end = discount["source"]["coupon"], _time(discount["end"])
    return {
        "stripe_discount_id": discount["id"],
        "coupon_id": coupon["id"],
        "name": coupon["name"] or "",
        "percent_off": coupon["percent_off"],
        "amount_off_minor": coupon["amount_off"],
        "currency": coupon["currency"],
        "ends_at": end and end.isoformat(),
        "stripe_item_id": discount["subscription_item"],
        "duration": coupon["duration"],
    }


def _expected_item(item: Fields) -> dict[str, Any]:
    price = item["price"]
    return {
        "stripe_item_id": item["id"],
        "price_id": price["id"],
        "product_id": price["product"]["id"],
        "name": price["product"]["name"],
        "quantity": item["quantity"],
        "unit_amount_minor": price["unit_amount"],
        "currency": price["currency"],
        "interval": price["recurring"]["interval"],
        "interval_count": price["recurring"]["interval_count"],
        "current_period_end": _time(item["current_period_end"]),
    }


def _recorded_item(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("subscription_id", "position")}


def _expected_body(at_stripe: Fields) -> dict[str, Any]:
    row, items = _expected_row(at_stripe), [_expected_item(each) for each in _items(at_stripe)]
    pause = at_stripe["pause_collection"]
    return {
        "status": at_stripe["status"],
        "items": [_shown_item(each) for each in items],
        "currency": at_stripe["currency"],
        "amount": sum(each["quantity"] * each["unit_amount_minor"] for each in items),
        "interval": items[0]["interval"],
        "intervalCount": items[0]["interval_count"],
        "discounts": [_shown_discount(each) for each in row["discounts"]],
        "trialEnd": _shown_time(row["trial_end"]),
        "currentPeriodEnd": _shown_time(row["current_period_end"]),
        "cancelAtPeriodEnd": at_stripe["cancel_at_period_end"],
        "cancelAt": _shown_time(row["cancel_at"]),
        "endsWithPeriod": at_stripe["cancel_at_period_end"]
        or at_stripe["cancel_at"] in {item["current_period_end"] for item in _items(at_stripe)},
        "canceledAt": _shown_time(row["canceled_at"]),
        "pauseCollection": pause and {"behavior": pause["behavior"], "resumesAt": _shown_time(row["pause_resumes_at"])},
        "collectionMethod": at_stripe["collection_method"],
        "defaultPaymentMethodId": at_stripe["default_payment_method"],
        "endedAt": _shown_time(row["ended_at"]),
    }


def _shown_item(item: Fields) -> dict[str, Any]:
    return {
        "id": item["stripe_item_id"],
        "priceId": item["price_id"],
        "productId": item["product_id"],
        "name": item["name"],
        "quantity": item["quantity"],
        "unitAmount": item["unit_amount_minor"],
        "currency": item["currency"],
        "interval": item["interval"],
        "intervalCount": item["interval_count"],
        "currentPeriodEnd": _shown_time(item["current_period_end"]),
    }


def _shown_discount(discount: Fields) -> dict[str, Any]:
    return {
        "id": discount["stripe_discount_id"],
        "couponId": discount["coupon_id"],
        "name": discount["name"] or None,
        "percentOff": discount["percent_off"],
        "amountOff": discount["amount_off_minor"],
        "currency": discount["currency"],
        "endsAt": discount["ends_at"] and discount["ends_at"].replace("+00:00", "Z"),
        "itemId": discount["stripe_item_id"],
        "duration": discount["duration"],
    }


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _shown_time(time: datetime | None) -> str | None:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else None
