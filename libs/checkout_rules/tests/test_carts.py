"""Rules of a checkout context: a context that breaks one rule has one violation, which names the field."""

from typing import Any, Final

import pytest

from checkout.common.v1 import common_pb2
from checkout_rules.carts import context_violations
from checkout_rules.limits import (
    MAX_ADDRESS_CHARACTERS,
    MAX_CART_LINES,
    MAX_ID_BYTES,
    MAX_NAME_CHARACTERS,
    MAX_TEXT_CHARACTERS,
)

PAYMENT: Final = common_pb2.Intent.KIND_PAYMENT
SETUP: Final = common_pb2.Intent.KIND_SETUP
MONTH: Final = common_pb2.Recurring.INTERVAL_MONTH

Context = common_pb2.CheckoutContext

TEXTS: Final = {  # by path: the limit, and True where the text is required
    "user_id": (MAX_ID_BYTES, False),
    "contact.name": (MAX_NAME_CHARACTERS, True),
    "contact.email": (MAX_TEXT_CHARACTERS, True),
    "contact.phone": (MAX_TEXT_CHARACTERS, False),
    "shipping_address.line1": (MAX_ADDRESS_CHARACTERS, True),
    "shipping_address.line2": (MAX_ADDRESS_CHARACTERS, False),
    "shipping_address.city": (MAX_ADDRESS_CHARACTERS, False),
    "shipping_address.state": (MAX_ADDRESS_CHARACTERS, False),
    "shipping_address.postal_code": (MAX_ADDRESS_CHARACTERS, False),
    "shipping_option.shipping_rate_id": (MAX_ID_BYTES, True),
    "shipping_option.name": (MAX_NAME_CHARACTERS, True),
    "items[0].price_id": (MAX_ID_BYTES, True),
    "items[0].product_id": (MAX_ID_BYTES, True),
    "items[0].name": (MAX_NAME_CHARACTERS, True),
}


def fields_refused(context: Context, kind: common_pb2.Intent.Kind.ValueType = PAYMENT) -> list[str]:
    """Return the paths of the violations."""
    return [violation.field for violation in context_violations(context, kind)]


def put(context: Context, path: str, value: object) -> None:
    """Set the field at a path."""
    *way, last = path.replace("[0]", ".0").split(".")
    owner: Any = context
    for step in way:
        owner = owner[int(step)] if step.isdecimal() else getattr(owner, step)
    setattr(owner, last, value)


def add_line(context: Context, **fields: Any) -> common_pb2.LineItem:
    """Add a one-time line of a price of its own, worth nothing unless the fields say so."""
    item = context.items.add(price_id=f"price_{len(context.items)}", product_id="prod", name="Plate", quantity=1)
    item.unit_price.currency = "eur"
    item.MergeFrom(common_pb2.LineItem(**fields))
    return item


def add_recurring(context: Context, *, interval: int = MONTH, interval_count: int = 1, trial_days: int = 0) -> None:
    """Add a recurring line, so that the cart is a mixed one."""
    item = add_line(context, recurring=common_pb2.Recurring(interval_count=interval_count, trial_days=trial_days))
    item.recurring.interval = interval  # type: ignore[assignment]  # any number may come over the wire
    context.stripe_customer_id = "cus_1"


def keep_recurring_only(context: Context) -> None:
    """Make it a cart of one subscription, for a setup intent."""
    add_recurring(context)
    del context.items[0]
    context.ClearField("shipping_option")
    context.total.minor_units = 0


@pytest.mark.parametrize("path", TEXTS)
@pytest.mark.parametrize("letter", ["x", "ß", "\U0001f6d2"])
def test_a_text_may_fill_its_limit(context: Context, path: str, letter: str) -> None:
    """Bytes are counted of an id, and characters of any other text."""
    limit = TEXTS[path][0]
    put(context, path, letter * (limit // len(letter.encode()) if limit == MAX_ID_BYTES else limit))

    assert fields_refused(context) == []


@pytest.mark.parametrize("path", TEXTS)
@pytest.mark.parametrize("value", [None, "Ada\0Buyer"], ids=["long", "nul"])
def test_a_text_that_cannot_be_stored_is_refused(context: Context, path: str, value: str | None) -> None:
    """A text over the limit, or with a NUL: PostgreSQL would refuse it after the payment."""
    put(context, path, value or "x" * (TEXTS[path][0] + 1))

    assert fields_refused(context) == [path]


@pytest.mark.parametrize("path", TEXTS)
def test_only_an_optional_text_may_be_empty(context: Context, path: str) -> None:
    """A required text is named when it is missing."""
    put(context, path, "")

    assert fields_refused(context) == ([path] if TEXTS[path][1] else [])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("contact.name", " \t"),
        ("contact.email", " "),
        ("shipping_address.country", "de"),
        ("shipping_option.amount.currency", "usd"),
        ("items[0].unit_price.currency", "usd"),
        ("items[0].quantity", 0),
        ("items[0].quantity", -1),
        ("total.minor_units", 4241),
        ("stripe_customer_id", "cus_1"),
    ],
)
def test_a_field_out_of_bounds_is_named(context: Context, path: str, value: object) -> None:
    """One fault gives one violation; a wrong quantity also changes the sum."""
    put(context, path, value)

    assert [field for field in fields_refused(context) if path == "total.minor_units" or "total" not in field] == [path]


def test_a_currency_that_all_amounts_share_can_still_be_none(context: Context) -> None:
    """The currency of the total is checked, the others against it."""
    for money in (context.total, context.shipping_option.amount, context.items[0].unit_price):
        money.currency = "EUR"

    assert fields_refused(context) == ["total.currency"]


@pytest.mark.parametrize("field", ["items[0].unit_price", "shipping_option.amount"])
def test_a_negative_price_is_refused(context: Context, field: str) -> None:
    """Even where the sums agree."""
    add_line(context, unit_price=common_pb2.Money(minor_units=1_000_000))
    put(context, f"{field}.minor_units", -1)
    goods = sum(item.quantity * item.unit_price.minor_units for item in context.items)
    context.total.minor_units = goods + context.shipping_option.amount.minor_units

    assert fields_refused(context) == [f"{field}.minor_units"]


def test_a_price_appears_once(context: Context) -> None:
    """Equal lines are merged before they get here."""
    context.items.append(context.items[0])
    context.total.minor_units += 3 * 1250

    assert fields_refused(context) == ["items[1].price_id"]


@pytest.mark.parametrize(
    ("count", "refused"), [(0, ["items"]), (1, []), (MAX_CART_LINES, []), (MAX_CART_LINES + 1, ["items"])]
)
def test_a_cart_has_1_to_200_lines(context: Context, count: int, refused: list[str]) -> None:
    """The cart as a whole is named, not its lines."""
    del context.items[:]
    for _ in range(count):
        add_line(context)
    context.total.minor_units = 490

    assert fields_refused(context) == refused


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"interval": 0}, "interval"),
        ({"interval": 99}, "interval"),
        ({"interval_count": 0}, "interval_count"),
        ({"interval": common_pb2.Recurring.INTERVAL_DAY, "interval_count": 1096}, "interval_count"),
        ({"interval": common_pb2.Recurring.INTERVAL_WEEK, "interval_count": 157}, "interval_count"),
        ({"interval": common_pb2.Recurring.INTERVAL_MONTH, "interval_count": 37}, "interval_count"),
        ({"interval": common_pb2.Recurring.INTERVAL_YEAR, "interval_count": 4}, "interval_count"),
        ({"trial_days": -1}, "trial_days"),
        ({"trial_days": 731}, "trial_days"),
    ],
)
def test_terms_that_stripe_refuses_are_refused(context: Context, terms: dict[str, int], field: str) -> None:
    """Stripe bills at least once in three years, after a trial of at most two."""
    add_recurring(context, **terms)

    assert fields_refused(context) == [f"items[1].recurring.{field}"]


@pytest.mark.parametrize(("interval", "count"), [(1, 1095), (2, 156), (3, 36), (4, 3)])
def test_the_longest_terms_are_accepted(context: Context, interval: int, count: int) -> None:
    """Once in three years, after two years of trial; recurring lines are not in the total."""
    add_recurring(context, interval=interval, interval_count=count, trial_days=730)

    assert fields_refused(context) == []


@pytest.mark.parametrize("customer", ["", "c" * 256])
def test_recurring_lines_need_a_customer(context: Context, customer: str) -> None:
    """Stripe Billing charges the customer."""
    add_recurring(context)
    context.stripe_customer_id = customer

    assert fields_refused(context) == ["stripe_customer_id"]


def test_lines_of_one_billing_interval_begin_together(context: Context) -> None:
    """They become one subscription, which has one trial; another interval may have another."""
    add_recurring(context, trial_days=14)
    add_recurring(context, trial_days=7)
    add_recurring(context, interval_count=3, trial_days=7)

    assert fields_refused(context) == ["items[2].recurring.trial_days"]


def test_a_billing_interval_has_at_most_20_lines(context: Context) -> None:
    """Another interval has its own twenty."""
    for _ in range(20):
        add_recurring(context)
        add_recurring(context, interval_count=2)
    full = fields_refused(context)
    add_recurring(context)

    assert (full, fields_refused(context)) == ([], ["items[41]"])


def test_a_cart_has_at_most_5_billing_intervals(context: Context) -> None:
    """Each becomes a subscription; more lines of the same interval make no more."""
    for count in (1, 2, 3, 4, 5, 1):
        add_recurring(context, interval_count=count)
    full = fields_refused(context)
    add_recurring(context, interval_count=6)
    add_recurring(context, interval_count=6)

    assert (full, fields_refused(context)) == ([], ["items[7]"])


def test_p5_sums_beyond_64_bits_are_compared_exactly(context: Context) -> None:
    """A product does not wrap around to the small number that the total names."""
    context.items[0].quantity = 2**62
    context.items[0].unit_price.minor_units = 4
    context.total.minor_units = 490

    assert fields_refused(context) == ["total.minor_units"]


def test_a_payment_takes_money_for_a_one_time_line(context: Context) -> None:
    """A payment of zero, or of shipping alone, would belong to no order."""
    free = Context()
    free.CopyFrom(context)
    free.ClearField("shipping_option")
    free.items[0].unit_price.minor_units = free.total.minor_units = 0
    add_recurring(context)
    del context.items[0]
    context.total.minor_units = 490

    assert fields_refused(free) == ["total.minor_units"]
    assert fields_refused(context) == ["items"]


def test_a_setup_takes_nothing_for_a_recurring_line(context: Context) -> None:
    """A setup that takes a sum, or begins no subscription, would be no purchase."""
    mixed = Context()
    mixed.CopyFrom(context)
    add_recurring(mixed)
    context.ClearField("shipping_option")
    context.items[0].unit_price.minor_units = context.total.minor_units = 0
    without_subscription = fields_refused(context, SETUP)
    keep_recurring_only(context)

    assert fields_refused(mixed, SETUP) == ["total.minor_units"]
    assert without_subscription == ["items"]
    assert fields_refused(context, SETUP) == []


def test_a_cart_need_not_be_shipped(context: Context) -> None:
    """Address and shipping option may be absent."""
    context.ClearField("shipping_address")
    context.ClearField("shipping_option")
    context.total.minor_units = 3 * 1250

    assert fields_refused(context) == []


def test_p7_no_violation_quotes_a_value(context: Context) -> None:
    """Every value may be personal data."""
    for path in TEXTS:
        put(context, path, "Ada-Secret\0")
    context.shipping_address.country = context.total.currency = "Ada-Secret"

    violations = list(context_violations(context, PAYMENT))

    assert len(violations) > len(TEXTS)
    assert not any("Ada" in violation.field + violation.description for violation in violations)
