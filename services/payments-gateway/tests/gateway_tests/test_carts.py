from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_gateway.checkout.carts import Cart, CartLine, PricedCart, price_cart
from payments_gateway.domain.money import MAX_CHARGE, Money
from servicekit.violations import FieldViolation, InvalidRequest

from .samples import SHOP, cart, catalogue, price


def refused(asked: Cart) -> list[tuple[str, str]]:
    """Price a cart that must be refused, and return the fields and why."""
    with pytest.raises(InvalidRequest) as refusal:
        price_cart(asked, SHOP)
    return [(violation.field, violation.description) for violation in refusal.value.violations]


def test_p6_a_line_costs_what_the_catalogue_says() -> None:
    """A cart line has no price of its own; name, product and price are the catalogue's."""
    priced = price_cart(cart(("price_mug", 2)), SHOP)

    [item] = priced.items
    assert [field for field in CartLine.__dataclass_fields__ if "price" in field] == ["price_id"]
    assert (item.price_id, item.product_id, item.name) == ("price_mug", "prod_mug", "Name of price_mug")
    assert (item.unit_price, item.quantity) == (Money(1250, "usd"), 2)


def test_lines_of_one_price_become_one() -> None:
    """Equal lines are merged where the first of them stood."""
    priced = price_cart(cart(("price_mug", 2), ("price_pen", 1), ("price_mug", 3)), SHOP)

    assert [(item.price_id, item.quantity) for item in priced.items] == [("price_mug", 5), ("price_pen", 1)]
    assert priced.total == Money(5 * 1250 + 300, "usd")


@given(st.lists(st.tuples(st.sampled_from(["price_mug", "price_pen"]), st.integers(1, 50)), min_size=1, max_size=40))
def test_p5_a_total_is_what_the_items_and_the_shipping_come_to(lines: list[tuple[str, int]]) -> None:
    """However lines repeat, no price appears twice and the total is the exact sum of what is stored."""
    priced = price_cart(cart(*lines, shipping_option_id="shr_post"), SHOP)

    price_ids = [item.price_id for item in priced.items]
    assert len(price_ids) == len(set(price_ids))
    assert sum(item.quantity for item in priced.items) == sum(quantity for _, quantity in lines)
    assert priced.total.minor_units == summed(priced)


def summed(priced: PricedCart) -> int:
    """Add the items and the shipping up."""
    shipping = priced.shipping_option.amount.minor_units if priced.shipping_option else 0
    return shipping + sum(item.unit_price.minor_units * item.quantity for item in priced.items)


@pytest.mark.parametrize(
    ("price_id", "because"),
    [
        ("price_gone", "is not for sale: unknown or inactive"),
        ("price_tiered", "is priced in tiers"),
        ("price_metered", "is metered"),
    ],
)
def test_a_line_that_cannot_be_sold_is_named(price_id: str, because: str) -> None:
    """The refusal names the line by its place in the cart and says why."""
    found = refused(cart(("price_mug", 1), (price_id, 1)))

    assert found == [("items[1].priceId", because)]


def test_every_line_that_cannot_be_sold_is_named_at_once() -> None:
    """The buyer need not find out one line at a time."""
    found = refused(cart(("price_gone", 1), ("price_mug", 1), ("price_tiered", 1)))

    assert [field for field, _ in found] == ["items[0].priceId", "items[2].priceId"]


def test_lines_in_another_currency_than_the_first_are_named() -> None:
    """A cart has one currency, its first line's."""
    found = refused(cart(("price_mug", 1), ("price_tee_eur", 1), ("price_pen", 1), ("price_fan_jpy", 1)))

    assert found == [
        (f"items[{place}].priceId", "must be in the currency of the cart's first line, usd") for place in (1, 3)
    ]


def test_shipping_is_added() -> None:
    """The shipping option is kept as it was, and its amount is part of the total."""
    priced = price_cart(cart(("price_mug", 1), shipping_option_id="shr_post"), SHOP)

    assert priced.shipping_option is not None
    assert priced.shipping_option.shipping_rate_id == "shr_post"
    assert priced.total == Money(1250 + 500, "usd")


@pytest.mark.parametrize(
    ("rate_id", "because"),
    [
        ("shr_gone", "is not offered: unknown or inactive"),
        ("shr_post_eur", "must be in the cart's currency, usd"),
    ],
)
def test_shipping_that_is_not_offered_is_named(rate_id: str, because: str) -> None:
    """An unknown rate and one in another currency are refused by name."""
    found = refused(cart(("price_mug", 1), shipping_option_id=rate_id))

    assert found == [("shippingOptionId", because)]


@pytest.mark.parametrize("line", [("price_gift", 1), ("price_cent", 49)])
def test_a_total_below_the_minimum_is_refused(line: tuple[str, int]) -> None:
    """Stripe would refuse such a charge, and nothing at all cannot be charged."""
    found = refused(cart(line))

    assert found == [("items", "must come to at least 50 usd in minor units")]


def test_a_total_at_the_minimum_is_sold() -> None:
    """The smallest charge that Stripe takes is taken."""
    priced = price_cart(cart(("price_cent", 50)), SHOP)

    assert priced.total == Money(50, "usd")


def test_a_total_above_the_maximum_is_refused() -> None:
    """Stripe takes eight digits at most."""
    most = price_cart(cart(("price_car", 1)), SHOP)
    found = refused(cart(("price_car", 1), ("price_cent", 1)))

    assert most.total.minor_units == MAX_CHARGE
    assert found == [("items", f"must come to at most {MAX_CHARGE} usd in minor units")]


def test_a_free_line_goes_along_with_a_paid_one() -> None:
    """A gift costs nothing but is part of the order."""
    priced = price_cart(cart(("price_mug", 1), ("price_gift", 1)), SHOP)

    assert [item.price_id for item in priced.items] == ["price_mug", "price_gift"]
    assert priced.total == Money(1250, "usd")


def test_yen_have_no_minor_unit() -> None:
    """Amounts are taken as they are: 2 fans of 700 yen are 1400 yen."""
    priced = price_cart(cart(("price_fan_jpy", 2)), SHOP)

    assert priced.total == Money(1400, "jpy")


def test_dinars_must_come_to_a_multiple_of_ten_fils() -> None:
    """It is the total that Stripe looks at: one odd amount is refused, two of them are sold."""
    found = refused(cart(("price_odd_kwd", 1)))
    two = price_cart(cart(("price_odd_kwd", 2)), SHOP)

    assert found == [("items", "must come to a multiple of 10 minor units in kwd")]
    assert two.total == Money(2470, "kwd")


def test_a_price_that_lost_its_amount_is_never_sold_for_nothing() -> None:
    """A price on sale without an amount is a fault of ours, not a free item."""
    broken = replace(price("price_mug", 1), unit_price=None)

    with pytest.raises(ValueError, match="no unit price"):
        price_cart(cart(("price_mug", 1)), catalogue(broken))


def test_refusals_tell_no_value() -> None:
    """A violation quotes neither the price id nor the quantity that were sent."""
    [(field, because)] = refused(cart(("price_secret", 7)))

    assert "price_secret" not in str(InvalidRequest([FieldViolation(field, because)]))
