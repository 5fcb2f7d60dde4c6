from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_gateway.checkout.carts import Cart, CartLine, amount_due_today, price_cart, recurring_sums
from payments_gateway.checkout.initiate import intent_kind
from payments_gateway.domain.attempts import IntentKind, Interval, Recurring
from payments_gateway.domain.money import Money, max_charge
from servicekit.violations import InvalidRequest

from ..samples import MONTHLY, MONTHLY_AFTER_A_WEEK, SHOP, WEEKLY_AFTER_A_FORTNIGHT, YEARLY, cart, catalogue, price

INTERVALS = [(f"price_every_{days}", 1) for days in range(2, 9)]
BOXES = [(f"price_box_{number}", 1) for number in range(1, 23)]
PAYMENT, SETUP = IntentKind.PAYMENT, IntentKind.SETUP
MAX_CHARGE = max_charge("usd")


def every(days: int) -> Recurring:
    """Return a billing interval of days."""
    return Recurring(Interval.DAY, days, 0)


def test_p6_a_line_costs_the_catalogues_price() -> None:
    """A cart line has no price of its own; name, product, price and interval are the catalogue's."""
    [mug, paper] = price_cart(cart(("price_mug", 2), ("price_paper_trial", 1)), SHOP).items

    assert [field for field in CartLine.__dataclass_fields__ if "price" in field] == ["price_id"]
    assert (mug.price_id, mug.product_id, mug.name) == ("price_mug", "prod_mug", "Name of price_mug")
    assert (mug.unit_price, mug.quantity, mug.recurring) == (Money(1250, "usd"), 2, None)
    assert paper.recurring == WEEKLY_AFTER_A_FORTNIGHT


def test_lines_of_one_price_are_merged() -> None:
    """The merged line has the position of the first of them; a free line stays."""
    priced = price_cart(cart(("price_mug", 2), ("price_gift", 1), ("price_mug", 3)), SHOP)

    assert [(item.price_id, item.quantity) for item in priced.items] == [("price_mug", 5), ("price_gift", 1)]
    assert priced.total == Money(5 * 1250, "usd")


def test_the_shipping_option_is_stored_with_its_amount() -> None:
    """It is part of the total."""
    priced = price_cart(cart(("price_mug", 1), shipping_option_id="shr_post"), SHOP)

    assert priced.shipping_option is not None
    assert priced.shipping_option.shipping_rate_id == "shr_post"
    assert priced.total == Money(1250 + 500, "usd")


@dataclass(frozen=True)
class Sums:
    """Kind of intent, and sums in minor units."""

    kind: IntentKind
    intent: int
    today: int
    recurring: tuple[tuple[Recurring, int], ...] = ()


def sums_of(asked: Cart) -> Sums:
    """Price a cart."""
    priced = price_cart(asked, SHOP)
    recurring = tuple((charge.recurring, charge.amount.minor_units) for charge in recurring_sums(priced.items))
    today = amount_due_today(priced.total, priced.items)
    return Sums(intent_kind(priced.total), priced.total.minor_units, today.minor_units, recurring)


SOLD = {
    "one-time": (cart(("price_mug", 2)), Sums(PAYMENT, 2500, 2500)),
    "Stripe's minimum": (cart(("price_cent", 50)), Sums(PAYMENT, 50, 50)),
    "yen without minor units": (cart(("price_fan_jpy", 2)), Sums(PAYMENT, 1400, 1400)),
    "odd fils with an even sum": (cart(("price_odd_kwd", 2)), Sums(PAYMENT, 2470, 2470)),
    "subscription": (cart(("price_club", 2)), Sums(SETUP, 0, 1800, ((MONTHLY, 1800),))),
    "free subscription": (cart(("price_letter", 1)), Sums(SETUP, 0, 0, ((YEARLY, 0),))),
    "trial": (cart(("price_paper_trial", 3)), Sums(SETUP, 0, 0, ((WEEKLY_AFTER_A_FORTNIGHT, 600),))),
    "trial in one of two intervals": (
        cart(("price_box_trial", 1), ("price_almanac", 1)),
        Sums(SETUP, 0, 9000, ((MONTHLY_AFTER_A_WEEK, 2900), (YEARLY, 9000))),
    ),
    "mixed, shipped, with a trial": (
        cart(("price_mug", 1), ("price_paper_trial", 1), ("price_club", 1), shipping_option_id="shr_post"),
        Sums(PAYMENT, 1750, 2650, ((WEEKLY_AFTER_A_FORTNIGHT, 200), (MONTHLY, 900))),
    ),
    "subscription with a free line and free shipping": (
        cart(("price_gift", 1), ("price_club", 1), shipping_option_id="shr_free"),
        Sums(SETUP, 0, 900, ((MONTHLY, 900),)),
    ),
    "twenty prices in one interval, one of them twice": (
        cart(*BOXES[:20], ("price_box_1", 1), ("price_almanac", 1)),
        Sums(SETUP, 0, 2100 + 9000, ((MONTHLY, 2100), (YEARLY, 9000))),
    ),
    "five intervals": (
        cart(*INTERVALS[:5], INTERVALS[0]),
        Sums(SETUP, 0, 600, ((every(2), 200), *((every(days), 100) for days in range(3, 7)))),
    ),
    "Stripe's maximum, each by a charge of its own": (
        cart(("price_car", 1), ("price_yacht", 1)),
        Sums(PAYMENT, MAX_CHARGE, 2 * MAX_CHARGE, ((YEARLY, MAX_CHARGE),)),
    ),
}


@pytest.mark.parametrize(("asked", "expected"), SOLD.values(), ids=SOLD)
def test_sums_of_a_cart(asked: Cart, expected: Sums) -> None:
    """Kind and amount of the intent, the amount due today, and the recurring charge of each billing interval."""
    assert sums_of(asked) == expected


_TRIAL = "must have the trial of the first line of its billing interval"
_INTERVAL_COUNT = "must have one of at most 5 billing intervals"
_INTERVAL_SIZE = "must be one of at most 20 lines in its billing interval"
_CURRENCY = "must be in the currency of the cart's first line, usd"
_MINIMUM = "must come to at least 50 usd in minor units"
_ID = [f"items[{position}].priceId" for position in range(22)]


REFUSED = {
    "not sold": (
        cart(("price_gone", 1), ("price_mug", 1), ("price_tiered", 1), ("price_metered", 1)),
        [(_ID[0], "is not for sale: unknown or inactive"), (_ID[2], "is priced in tiers"), (_ID[3], "is metered")],
    ),
    "two currencies": (
        cart(("price_mug", 1), ("price_tee_eur", 1), ("price_pen", 1), ("price_club_eur", 1)),
        [(_ID[1], _CURRENCY), (_ID[3], _CURRENCY)],
    ),
    "two trials in one interval": (
        cart(("price_club", 1), ("price_mug", 1), ("price_box_trial", 1), ("price_almanac", 1)),
        [(_ID[2], _TRIAL)],
    ),
    "two lines too many": (
        cart(*BOXES, ("price_almanac", 1)),
        [(_ID[20], _INTERVAL_SIZE), (_ID[21], _INTERVAL_SIZE)],
    ),
    "two intervals too many": (
        cart(*INTERVALS[:6], INTERVALS[0], ("price_mug", 1), INTERVALS[6]),
        [(_ID[5], _INTERVAL_COUNT), (_ID[8], _INTERVAL_COUNT)],
    ),
    "unknown shipping": (
        cart(("price_mug", 1), shipping_option_id="shr_gone"),
        [("shippingOptionId", "is not offered: unknown or inactive")],
    ),
    "shipping in another currency": (
        cart(("price_mug", 1), shipping_option_id="shr_post_eur"),
        [("shippingOptionId", "must be in the cart's currency, usd")],
    ),
    "shipping with nothing to pay now": (
        cart(("price_club", 1), ("price_gift", 1), shipping_option_id="shr_post"),
        [("shippingOptionId", "must be free in a cart that has nothing to be paid now")],
    ),
    "only free lines": (cart(("price_gift", 2)), [("items", _MINIMUM)]),
    "too little": (cart(("price_cent", 49)), [("items", _MINIMUM)]),
    "mixed, too little to pay now": (cart(("price_cent", 1), ("price_club", 1)), [("items", _MINIMUM)]),
    "too little in an interval": (cart(("price_dues", 49)), [("items", f"{_MINIMUM} in each billing interval")]),
    "too much": (
        cart(("price_car", 1), ("price_cent", 1)),
        [("items", f"must come to at most {MAX_CHARGE} usd in minor units")],
    ),
    "odd fils": (cart(("price_odd_kwd", 1)), [("items", "must come to a multiple of 10 minor units in kwd")]),
}


@pytest.mark.parametrize(("asked", "violations"), REFUSED.values(), ids=REFUSED)
def test_a_cart_that_cannot_be_sold_is_refused_by_name(asked: Cart, violations: list[tuple[str, str]]) -> None:
    """Every line that cannot be sold is named at once, and no value that was sent is quoted (P7)."""
    with pytest.raises(InvalidRequest) as refusal:
        price_cart(asked, SHOP)

    assert [(violation.field, violation.description) for violation in refusal.value.violations] == violations


def test_a_price_without_an_amount_is_never_sold() -> None:
    """Such a price on sale is a programming error, not a free item."""
    broken = replace(price("price_mug", 1), unit_price=None)

    with pytest.raises(ValueError, match="no unit price"):
        price_cart(cart(("price_mug", 1)), catalogue(broken))


PRICES = ["price_mug", "price_pen", "price_gift", "price_club", "price_care", "price_almanac", "price_paper_trial"]
UNIT_AMOUNTS = {name: amount.minor_units for name in PRICES if (amount := SHOP.prices[name].unit_price)}


@given(st.lists(st.tuples(st.sampled_from(PRICES), st.integers(1, 50)), min_size=1, max_size=30))
def test_p5_every_line_is_charged_in_exactly_one_sum(lines: list[tuple[str, int]]) -> None:
    """The intent takes the one-time lines alone; each other line is in the sum of its billing interval."""
    priced = price_cart(cart(("price_mug", 1), *lines, shipping_option_id="shr_post"), SHOP)

    one_time = sum(item.unit_price.minor_units * item.quantity for item in priced.items if item.recurring is None)
    recurring = {charge.recurring: charge.amount.minor_units for charge in recurring_sums(priced.items)}
    deferred = recurring.get(WEEKLY_AFTER_A_FORTNIGHT, 0)
    everything = 1250 + 500 + sum(UNIT_AMOUNTS[name] * quantity for name, quantity in lines)
    price_ids = [item.price_id for item in priced.items]
    assert len(price_ids) == len(set(price_ids))
    assert priced.total == Money(one_time + 500, "usd")
    assert one_time + 500 + sum(recurring.values()) == everything
    assert amount_due_today(priced.total, priced.items) == Money(everything - deferred, "usd")
