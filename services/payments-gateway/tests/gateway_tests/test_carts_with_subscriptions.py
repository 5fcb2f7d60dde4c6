from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_gateway.checkout.carts import Cart, amount_due_today, price_cart, recurring_sums
from payments_gateway.checkout.initiate import intent_kind
from payments_gateway.domain.attempts import IntentKind, Interval, LineItem, Recurring
from payments_gateway.domain.money import MAX_CHARGE, Money
from servicekit.violations import InvalidRequest

from .samples import MONTHLY, MONTHLY_AFTER_A_WEEK, SHOP, WEEKLY_AFTER_A_FORTNIGHT, YEARLY, cart

RHYTHMS = [(f"price_every_{days}", 1) for days in range(2, 9)]
BOXES = [(f"price_box_{number}", 1) for number in range(1, 23)]


@dataclass(frozen=True)
class Comes:
    """What a cart comes to, in minor units."""

    kind: IntentKind
    intent: int
    today: int
    recurring: tuple[tuple[Recurring, int], ...] = ()


def come_to(asked: Cart) -> Comes:
    """Price a cart."""
    priced = price_cart(asked, SHOP)
    recurring = tuple((charged.recurring, charged.amount.minor_units) for charged in recurring_sums(priced.items))
    today = amount_due_today(priced.total, priced.items)
    return Comes(intent_kind(priced.total), priced.total.minor_units, today.minor_units, recurring)


def refused(asked: Cart) -> list[tuple[str, str]]:
    """Price a cart that must be refused, and return the fields and why."""
    with pytest.raises(InvalidRequest) as refusal:
        price_cart(asked, SHOP)
    return [(violation.field, violation.description) for violation in refusal.value.violations]


PAYMENT, SETUP = IntentKind.PAYMENT, IntentKind.SETUP


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(cart(("price_mug", 2)), Comes(PAYMENT, 2500, 2500), id="one-time"),
        pytest.param(
            cart(("price_mug", 1), shipping_option_id="shr_post"), Comes(PAYMENT, 1750, 1750), id="one-time, shipped"
        ),
        pytest.param(cart(("price_club", 2)), Comes(SETUP, 0, 1800, ((MONTHLY, 1800),)), id="subscription"),
        pytest.param(
            cart(("price_club", 1), ("price_care", 2)), Comes(SETUP, 0, 1600, ((MONTHLY, 1600),)), id="one interval"
        ),
        pytest.param(
            cart(("price_almanac", 1), ("price_club", 1), ("price_care", 1)),
            Comes(SETUP, 0, 10250, ((YEARLY, 9000), (MONTHLY, 1250))),
            id="two intervals",
        ),
        pytest.param(
            cart(("price_paper_trial", 3)), Comes(SETUP, 0, 0, ((WEEKLY_AFTER_A_FORTNIGHT, 600),)), id="trial"
        ),
        pytest.param(
            cart(("price_box_trial", 1), ("price_almanac", 1)),
            Comes(SETUP, 0, 9000, ((MONTHLY_AFTER_A_WEEK, 2900), (YEARLY, 9000))),
            id="trial in one of two intervals",
        ),
        pytest.param(
            cart(("price_mug", 1), ("price_club", 1), shipping_option_id="shr_post"),
            Comes(PAYMENT, 1750, 2650, ((MONTHLY, 900),)),
            id="mixed, shipped",
        ),
        pytest.param(
            cart(("price_mug", 1), ("price_paper_trial", 1), ("price_club", 1)),
            Comes(PAYMENT, 1250, 2150, ((WEEKLY_AFTER_A_FORTNIGHT, 200), (MONTHLY, 900))),
            id="mixed, with a trial",
        ),
        pytest.param(
            cart(("price_gift", 1), ("price_club", 1)),
            Comes(SETUP, 0, 900, ((MONTHLY, 900),)),
            id="subscription with a free line",
        ),
        pytest.param(
            cart(("price_gift", 1), ("price_club", 1), shipping_option_id="shr_free"),
            Comes(SETUP, 0, 900, ((MONTHLY, 900),)),
            id="subscription, shipped for nothing",
        ),
        pytest.param(cart(("price_letter", 1)), Comes(SETUP, 0, 0, ((YEARLY, 0),)), id="free subscription"),
        pytest.param(cart(*BOXES[:20]), Comes(SETUP, 0, 2000, ((MONTHLY, 2000),)), id="twenty lines in an interval"),
        pytest.param(
            cart(*BOXES[:20], ("price_box_1", 1)),
            Comes(SETUP, 0, 2100, ((MONTHLY, 2100),)),
            id="twenty lines, one of them twice",
        ),
        pytest.param(
            cart(*BOXES[:20], ("price_almanac", 1), ("price_mug", 1)),
            Comes(PAYMENT, 1250, 1250 + 2000 + 9000, ((MONTHLY, 2000), (YEARLY, 9000))),
            id="twenty lines in one interval, one in another",
        ),
        pytest.param(
            cart(*RHYTHMS[:4], ("price_club", 1), ("price_care", 1), RHYTHMS[0]),
            Comes(
                SETUP,
                0,
                1750,
                (
                    *((Recurring(Interval.DAY, days, 0), 200 if days == 2 else 100) for days in range(2, 6)),
                    (MONTHLY, 1250),
                ),
            ),
            id="five intervals",
        ),
        pytest.param(
            cart(("price_car", 1), ("price_yacht", 1)),
            Comes(PAYMENT, MAX_CHARGE, 2 * MAX_CHARGE, ((YEARLY, MAX_CHARGE),)),
            id="as much as can be charged, each by a charge of its own",
        ),
    ],
)
def test_what_a_cart_comes_to(asked: Cart, expected: Comes) -> None:
    """Which intent, what it takes, what is paid today, and what is charged again in each billing interval."""
    assert come_to(asked) == expected


_ANOTHER_TRIAL = "must have the trial of the first line of its billing interval"
_INTERVAL_TOO_MANY = "must have one of at most 5 billing intervals"
_ONE_TOO_MANY = "must be one of at most 20 lines in its billing interval"


@pytest.mark.parametrize(
    ("asked", "violations"),
    [
        pytest.param(cart(("price_mug", 1), ("price_metered", 1)), [("items[1].priceId", "is metered")], id="metered"),
        pytest.param(
            cart(("price_club", 1), ("price_mug", 1), ("price_club_eur", 1)),
            [("items[2].priceId", "must be in the currency of the cart's first line, usd")],
            id="two currencies",
        ),
        pytest.param(
            cart(("price_club", 1), ("price_mug", 1), ("price_box_trial", 1), ("price_almanac", 1)),
            [("items[2].priceId", _ANOTHER_TRIAL)],
            id="two trials in one interval",
        ),
        pytest.param(
            cart(*BOXES, ("price_almanac", 1)),
            [("items[20].priceId", _ONE_TOO_MANY), ("items[21].priceId", _ONE_TOO_MANY)],
            id="two lines too many",
        ),
        pytest.param(
            cart(*RHYTHMS[:6], RHYTHMS[0], ("price_mug", 1), RHYTHMS[6]),
            [("items[5].priceId", _INTERVAL_TOO_MANY), ("items[8].priceId", _INTERVAL_TOO_MANY)],
            id="two intervals too many",
        ),
        pytest.param(
            cart(("price_club", 1), shipping_option_id="shr_post"),
            [("shippingOptionId", "must be free in a cart that has nothing to be paid now")],
            id="shipping with nothing to pay now",
        ),
        pytest.param(
            cart(("price_club", 1), ("price_gift", 1), shipping_option_id="shr_post"),
            [("shippingOptionId", "must be free in a cart that has nothing to be paid now")],
            id="shipping of a gift",
        ),
        pytest.param(
            cart(("price_gift", 2)), [("items", "must come to at least 50 usd in minor units")], id="only free lines"
        ),
        pytest.param(
            cart(("price_cent", 1), ("price_club", 1)),
            [("items", "must come to at least 50 usd in minor units")],
            id="mixed, too little to pay now",
        ),
        pytest.param(
            cart(("price_yacht", 2)),
            [("items", f"must come to at most {MAX_CHARGE} usd in minor units in each billing interval")],
            id="too much in an interval",
        ),
        pytest.param(
            cart(("price_dues", 49)),
            [("items", "must come to at least 50 usd in minor units in each billing interval")],
            id="too little in an interval",
        ),
        pytest.param(
            cart(("price_club_kwd", 1)),
            [("items", "must come to a multiple of 10 minor units in kwd in each billing interval")],
            id="fils that nobody takes",
        ),
    ],
)
def test_a_cart_that_cannot_be_sold_is_refused_by_name(asked: Cart, violations: list[tuple[str, str]]) -> None:
    """The refusal names the line that is in the way, or what the sums come to."""
    assert refused(asked) == violations


WARES = ["price_mug", "price_pen", "price_gift", "price_club", "price_care", "price_almanac", "price_paper_trial"]


def each_priced(lines: list[tuple[str, int]]) -> list[tuple[LineItem, int]]:
    """Price each line as if it were alone beside a mug."""
    return [(price_cart(cart(("price_mug", 1), (name, 1)), SHOP).items[-1], quantity) for name, quantity in lines]


@given(st.lists(st.tuples(st.sampled_from(WARES), st.integers(1, 50)), min_size=1, max_size=30))
def test_p5_every_line_is_charged_in_exactly_one_sum(lines: list[tuple[str, int]]) -> None:
    """The intent takes the one-time lines and nothing of the others, whose sums are those of their intervals."""
    wanted = cart(("price_mug", 1), *lines)

    priced = price_cart(wanted, SHOP)

    one_time = sum(item.unit_price.minor_units * item.quantity for item in priced.items if item.recurring is None)
    again = {charged.recurring: charged.amount.minor_units for charged in recurring_sums(priced.items)}
    trial = again.get(WEEKLY_AFTER_A_FORTNIGHT, 0)
    everything = sum(item.unit_price.minor_units * quantity for item, quantity in each_priced(lines))
    assert priced.total == Money(one_time, "usd")
    assert one_time + sum(again.values()) == everything + 1250
    assert amount_due_today(priced.total, priced.items) == Money(everything + 1250 - trial, "usd")


def test_a_line_keeps_how_often_it_is_charged() -> None:
    """Interval and trial are frozen with the price."""
    [mug, paper] = price_cart(cart(("price_mug", 1), ("price_paper_trial", 1)), SHOP).items

    assert (mug.recurring, paper.recurring) == (None, WEEKLY_AFTER_A_FORTNIGHT)
