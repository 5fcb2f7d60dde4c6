"""Rules of a checkout context: every cart that is saved can be recorded once it is paid (P3, P5).

checkout-session applies them before the attempt is saved, so before the buyer can pay. orders applies them again when
it records the purchase. Adopt them at an edge:

    raise_if_invalid(within("context", context_violations(request.context, request.intent.kind)))
"""

from collections.abc import Iterator, Sequence
from typing import Final

from checkout.common.v1 import common_pb2
from checkout_rules.fields import (
    amount_violations,
    country_violations,
    currency_violations,
    id_violations,
    required_id_violations,
    required_text_violations,
    text_violations,
)
from checkout_rules.limits import (
    MAX_ADDRESS_CHARACTERS,
    MAX_BILLING_INTERVALS,
    MAX_CART_LINES,
    MAX_INTERVAL_COUNTS,
    MAX_NAME_CHARACTERS,
    MAX_SUBSCRIPTION_ITEMS,
    MAX_TEXT_CHARACTERS,
    MAX_TRIAL_DAYS,
)
from servicekit.violations import FieldViolation, within

_INTERVALS: Final = {
    common_pb2.Recurring.INTERVAL_DAY: "day",
    common_pb2.Recurring.INTERVAL_WEEK: "week",
    common_pb2.Recurring.INTERVAL_MONTH: "month",
    common_pb2.Recurring.INTERVAL_YEAR: "year",
}


def context_violations(
    context: common_pb2.CheckoutContext, kind: common_pb2.Intent.Kind.ValueType
) -> Iterator[FieldViolation]:
    """Yield the violations of a context that an intent of this kind pays for. Fields are relative to the context.

    `pay_by` and `supersedes` are not checked: they concern the attempt alone, and a paid cart is not refused for them.
    """
    yield from id_violations("user_id", context.user_id)
    yield from within("contact", _contact_violations(context.contact))
    if context.HasField("shipping_address"):
        yield from within("shipping_address", _address_violations(context.shipping_address))
    if context.HasField("shipping_option"):
        yield from within("shipping_option", _shipping_violations(context.shipping_option, context.total.currency))
    yield from currency_violations("total.currency", context.total.currency)
    if 1 <= len(context.items) <= MAX_CART_LINES:
        yield from _cart_violations(context, kind)
    else:
        yield FieldViolation("items", f"must have 1 to {MAX_CART_LINES} lines")


def _contact_violations(contact: common_pb2.Contact) -> Iterator[FieldViolation]:
    for field, value, limit in (
        ("name", contact.name, MAX_NAME_CHARACTERS),
        ("email", contact.email, MAX_TEXT_CHARACTERS),
    ):
        yield from required_text_violations(field, value if value.strip() else "", limit)
    yield from text_violations("phone", contact.phone)


def _address_violations(address: common_pb2.Address) -> Iterator[FieldViolation]:
    yield from required_text_violations("line1", address.line1, MAX_ADDRESS_CHARACTERS)
    for field in ("line2", "city", "state", "postal_code"):
        yield from text_violations(field, getattr(address, field), MAX_ADDRESS_CHARACTERS)
    yield from country_violations("country", address.country)


def _shipping_violations(option: common_pb2.ShippingOption, currency: str) -> Iterator[FieldViolation]:
    yield from required_id_violations("shipping_rate_id", option.shipping_rate_id)
    yield from required_text_violations("name", option.name, MAX_NAME_CHARACTERS)
    yield from _price_violations("amount", option.amount, currency)


def _cart_violations(
    context: common_pb2.CheckoutContext, kind: common_pb2.Intent.Kind.ValueType
) -> Iterator[FieldViolation]:
    recurring = [index for index, item in enumerate(context.items) if item.HasField("recurring")]
    yield from _items_violations(context.items, context.total.currency)
    yield from _subscriptions_violations(context.items, recurring)
    yield from _customer_violations(context.stripe_customer_id, recurs=bool(recurring))
    yield from _total_violations(context, kind)
    if kind == common_pb2.Intent.KIND_PAYMENT and len(recurring) == len(context.items):
        yield FieldViolation("items", "must have a one-time line for a payment intent")
    if kind == common_pb2.Intent.KIND_SETUP and not recurring:
        yield FieldViolation("items", "must have a recurring line for a setup intent")


def _items_violations(items: Sequence[common_pb2.LineItem], currency: str) -> Iterator[FieldViolation]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        for violation in _item_violations(item, currency):
            yield violation.within(f"items[{index}]")
        if item.price_id in seen:
            yield FieldViolation(f"items[{index}].price_id", "must not repeat an earlier line's")
        seen.add(item.price_id)


def _item_violations(item: common_pb2.LineItem, currency: str) -> Iterator[FieldViolation]:
    yield from required_id_violations("price_id", item.price_id)
    yield from required_id_violations("product_id", item.product_id)
    yield from required_text_violations("name", item.name, MAX_NAME_CHARACTERS)
    if item.quantity < 1:
        yield FieldViolation("quantity", "must be at least 1")
    yield from _price_violations("unit_price", item.unit_price, currency)
    if item.HasField("recurring"):
        yield from within("recurring", _recurring_violations(item.recurring))


def _price_violations(field: str, money: common_pb2.Money, currency: str) -> Iterator[FieldViolation]:
    yield from amount_violations(field, money)
    if money.currency != currency:
        yield FieldViolation(f"{field}.currency", "must be the total's currency")


def _recurring_violations(recurring: common_pb2.Recurring) -> Iterator[FieldViolation]:
    unit = _INTERVALS.get(recurring.interval)
    if unit is None:
        yield FieldViolation("interval", "must be day, week, month or year")
    elif not 1 <= recurring.interval_count <= MAX_INTERVAL_COUNTS[unit]:
        yield FieldViolation("interval_count", f"must be between 1 and {MAX_INTERVAL_COUNTS[unit]} {unit}s")
    if not 0 <= recurring.trial_days <= MAX_TRIAL_DAYS:
        yield FieldViolation("trial_days", f"must be between 0 and {MAX_TRIAL_DAYS}")


def _subscriptions_violations(
    items: Sequence[common_pb2.LineItem], recurring: Sequence[int]
) -> Iterator[FieldViolation]:
    """Check that the lines of each billing interval can become one subscription."""
    trials: dict[tuple[int, int], int] = {}
    lines: dict[tuple[int, int], int] = {}
    for index in recurring:
        path, terms = f"items[{index}]", items[index].recurring
        interval = (terms.interval, terms.interval_count)
        lines[interval] = lines.get(interval, 0) + 1
        if terms.trial_days != trials.setdefault(interval, terms.trial_days):
            yield FieldViolation(f"{path}.recurring.trial_days", "must be that of its billing interval")
        if lines[interval] > MAX_SUBSCRIPTION_ITEMS:
            yield FieldViolation(path, f"must be one of at most {MAX_SUBSCRIPTION_ITEMS} lines in its billing interval")
        if lines[interval] == 1 and len(lines) > MAX_BILLING_INTERVALS:
            yield FieldViolation(path, f"must have one of at most {MAX_BILLING_INTERVALS} billing intervals")


def _customer_violations(stripe_customer_id: str, *, recurs: bool) -> Iterator[FieldViolation]:
    if recurs:
        yield from required_id_violations("stripe_customer_id", stripe_customer_id)
    elif stripe_customer_id:
        yield FieldViolation("stripe_customer_id", "must be empty without recurring lines")


def _total_violations(
    context: common_pb2.CheckoutContext, kind: common_pb2.Intent.Kind.ValueType
) -> Iterator[FieldViolation]:
    """Check that the total is the sum that Stripe will receive (P5)."""
    field, total = "total.minor_units", context.total.minor_units
    one_time = sum(
        item.unit_price.minor_units * item.quantity for item in context.items if not item.HasField("recurring")
    )
    if total != one_time + context.shipping_option.amount.minor_units:
        yield FieldViolation(field, "must equal the one-time lines and the shipping")
    if kind == common_pb2.Intent.KIND_PAYMENT and total <= 0:
        yield FieldViolation(field, "must be above zero for a payment intent")
    if kind == common_pb2.Intent.KIND_SETUP and total != 0:
        yield FieldViolation(field, "must be zero for a setup intent, which takes no money")
