"""Reads an attempt's content into what an order is made of, and finds what cannot be recorded."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from checkout.common.v1 import common_pb2
from orders.api.field_reader import ID_CHARACTERS, FieldChecks
from orders.domain.checkout import (
    Address,
    BillingInterval,
    CheckoutContext,
    Contact,
    LineItem,
    Recurring,
    ShippingOption,
)
from orders.domain.payments import IntentKind

MOST_LINES = 200
_COUNTRY = re.compile(r"[A-Z]{2}")


def read_context(checks: FieldChecks, context: common_pb2.CheckoutContext, kind: IntentKind) -> CheckoutContext:
    """Read the content of an attempt that an intent of this kind succeeded for.

    `pay_by` and `supersedes` are the attempt's own affair: no order keeps them, so no payment is refused for them.
    """
    read = CheckoutContext(
        user_id=checks.optional_text("context.user_id", context.user_id, ID_CHARACTERS),
        contact=_read_contact(checks, context.contact),
        shipping_address=_read_address(checks, context) if context.HasField("shipping_address") else None,
        shipping_option=_read_shipping(checks, context) if context.HasField("shipping_option") else None,
        items=_read_items(checks, context.items),
        total=checks.money("context.total", context.total, present=context.HasField("total")),
        stripe_customer_id=checks.optional_text(
            "context.stripe_customer_id", context.stripe_customer_id, ID_CHARACTERS
        ),
    )
    if not checks.found_any:  # Sums of what is wrong already would only add noise.
        check_recurring(checks, read)
        _check_sums(checks, read)
        _check_kind(checks, read, kind)
    return read


def _read_contact(checks: FieldChecks, contact: common_pb2.Contact) -> Contact:
    return Contact(
        name=checks.text("context.contact.name", contact.name),
        email=checks.text("context.contact.email", contact.email),
        phone=checks.optional_text("context.contact.phone", contact.phone),
    )


def _read_address(checks: FieldChecks, context: common_pb2.CheckoutContext) -> Address:
    path, address = "context.shipping_address", context.shipping_address
    in_order = _COUNTRY.fullmatch(address.country) is not None
    checks.objects_to(f"{path}.country", "must be two upper-case letters", unless=in_order)
    return Address(
        line1=checks.text(f"{path}.line1", address.line1),
        line2=checks.optional_text(f"{path}.line2", address.line2),
        city=checks.optional_text(f"{path}.city", address.city),
        state=checks.optional_text(f"{path}.state", address.state),
        postal_code=checks.optional_text(f"{path}.postal_code", address.postal_code),
        country=address.country,
    )


def _read_shipping(checks: FieldChecks, context: common_pb2.CheckoutContext) -> ShippingOption:
    path, option = "context.shipping_option", context.shipping_option
    return ShippingOption(
        shipping_rate_id=checks.text(f"{path}.shipping_rate_id", option.shipping_rate_id, ID_CHARACTERS),
        name=checks.text(f"{path}.name", option.name),
        amount=checks.money(f"{path}.amount", option.amount, present=option.HasField("amount")),
    )


def _read_items(checks: FieldChecks, items: Sequence[common_pb2.LineItem]) -> tuple[LineItem, ...]:
    checks.objects_to("context.items", f"must be 1 to {MOST_LINES} lines", unless=1 <= len(items) <= MOST_LINES)
    prices = Counter(item.price_id for item in items)
    read = []
    for index, item in enumerate(items[:MOST_LINES]):
        path = f"context.items[{index}]"
        checks.objects_to(f"{path}.price_id", "must be on one line only", unless=prices[item.price_id] == 1)
        read.append(_read_item(checks, path, item))
    return tuple(read)


def _read_item(checks: FieldChecks, path: str, item: common_pb2.LineItem) -> LineItem:
    checks.objects_to(f"{path}.quantity", "must be at least 1", unless=item.quantity >= 1)
    return LineItem(
        price_id=checks.text(f"{path}.price_id", item.price_id, ID_CHARACTERS),
        # Whoever makes a product may choose its id, as long as any text of theirs.
        product_id=checks.text(f"{path}.product_id", item.product_id),
        name=checks.text(f"{path}.name", item.name),
        quantity=item.quantity,
        unit_price=checks.money(f"{path}.unit_price", item.unit_price, present=item.HasField("unit_price")),
        recurring=read_recurring(checks, f"{path}.recurring", item.recurring) if item.HasField("recurring") else None,
    )


def _check_sums(checks: FieldChecks, context: CheckoutContext) -> None:
    """Check that the one-time lines and the shipping make the total, in one currency (P5)."""
    currency = context.total.currency
    for index, item in enumerate(context.items):
        same = item.unit_price.currency == currency
        checks.objects_to(f"context.items[{index}].unit_price.currency", "must be the total's", unless=same)
    shipped_in = context.shipping_option.amount.currency if context.shipping_option else currency
    checks.objects_to("context.shipping_option.amount.currency", "must be the total's", unless=shipped_in == currency)
    due = context.items_minor + context.shipping_minor
    checks.objects_to(
        "context.total",
        "must be the sum of the one-time lines and the shipping",
        unless=due == context.total.minor_units,
    )


def _check_kind(checks: FieldChecks, context: CheckoutContext, kind: IntentKind) -> None:
    """Check that the intent suits the cart: a payment pays for an order, a setup begins subscriptions."""
    total_minor = context.total.minor_units
    if kind is IntentKind.SETUP:
        begins = any(item.recurring for item in context.items)
        checks.objects_to("context.items", "must have a recurring line, or a setup buys nothing", unless=begins)
        checks.objects_to("context.total.minor_units", "must be zero: a setup takes no money", unless=total_minor == 0)
        return
    ordered = bool(context.one_time_items)
    checks.objects_to("context.items", "must have a one-time line, or a payment buys nothing", unless=ordered)
    checks.objects_to("context.total.minor_units", "must be above zero", unless=total_minor > 0)


MOST_LINES_OF_INTERVAL: Final = 20
"""Stripe's limit for the items of a subscription."""
LONGEST_TRIAL_DAYS: Final = 730
"""Stripe's limit for trial_period_days."""

_INTERVALS: Final = {
    common_pb2.Recurring.INTERVAL_DAY: BillingInterval.DAY,
    common_pb2.Recurring.INTERVAL_WEEK: BillingInterval.WEEK,
    common_pb2.Recurring.INTERVAL_MONTH: BillingInterval.MONTH,
    common_pb2.Recurring.INTERVAL_YEAR: BillingInterval.YEAR,
}
_MOST_INTERVALS: Final = {
    BillingInterval.DAY: 1095,
    BillingInterval.WEEK: 156,
    BillingInterval.MONTH: 36,
    BillingInterval.YEAR: 3,
}
"""Stripe bills at least once in three years."""


def read_recurring(checks: FieldChecks, path: str, recurring: common_pb2.Recurring) -> Recurring:
    """Read how often a line charges."""
    known = _INTERVALS.get(recurring.interval)
    checks.objects_to(f"{path}.interval", "must be day, week, month or year", unless=known is not None)
    interval = known or BillingInterval.YEAR
    most = _MOST_INTERVALS[interval]
    in_bounds = known is None or 1 <= recurring.interval_count <= most
    checks.objects_to(f"{path}.interval_count", "must be 1 to what makes three years", unless=in_bounds)
    in_bounds = 0 <= recurring.trial_days <= LONGEST_TRIAL_DAYS
    checks.objects_to(f"{path}.trial_days", f"must be 0 to {LONGEST_TRIAL_DAYS}", unless=in_bounds)
    return Recurring(interval, recurring.interval_count, recurring.trial_days)


def check_recurring(checks: FieldChecks, context: CheckoutContext) -> None:
    """Check what the lines of one billing interval must have in common: together they are one subscription."""
    trials: dict[tuple[BillingInterval, int], int] = {}
    lines: Counter[tuple[BillingInterval, int]] = Counter()
    for index, item in enumerate(context.items):
        if item.recurring is None:
            continue
        path, period = f"context.items[{index}]", item.recurring.period
        lines[period] += 1
        same = item.recurring.trial_days == trials.setdefault(period, item.recurring.trial_days)
        checks.objects_to(f"{path}.recurring.trial_days", "must be that of its billing interval", unless=same)
        fits = lines[period] <= MOST_LINES_OF_INTERVAL
        checks.objects_to(path, f"must be one of {MOST_LINES_OF_INTERVAL} in its billing interval", unless=fits)
    named = context.stripe_customer_id is not None or not lines
    checks.objects_to("context.stripe_customer_id", "is required with recurring lines", unless=named)
