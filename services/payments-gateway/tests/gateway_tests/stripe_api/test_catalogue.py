from collections.abc import AsyncIterator
from typing import Any

import pytest

from payments_gateway.domain.attempts import Interval, Recurring
from payments_gateway.domain.catalogue import Price, ShippingRate
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.stripe_api.catalogue import StripeCatalogue, read_price, read_shipping_rate

from ..stripe_stand_in import StripeStandIn, stripe_stand_in

PRODUCT: dict[str, Any] = {
    "id": "prod_mug",
    "object": "product",
    "active": True,
    "name": "Mug",
    "description": "Holds coffee",
    "images": ["https://img.example/mug.png"],
}
PRICE: dict[str, Any] = {
    "id": "price_mug",
    "object": "price",
    "active": True,
    "billing_scheme": "per_unit",
    "currency": "usd",
    "custom_unit_amount": None,
    "product": PRODUCT,
    "recurring": None,
    "transform_quantity": None,
    "unit_amount": 1250,
}
MONTHLY: dict[str, Any] = {"interval": "month", "interval_count": 1, "usage_type": "licensed", "meter": None}
RATE: dict[str, Any] = {
    "id": "shr_post",
    "object": "shipping_rate",
    "display_name": "Post",
    "fixed_amount": {"amount": 500, "currency": "usd"},
}


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    """Give a Stripe that answers what it is told to."""
    async with stripe_stand_in() as served:
        yield served


def listed(*objects: dict[str, Any], url: str, has_more: bool = False) -> dict[str, Any]:
    """Return a page of a list."""
    return {"object": "list", "url": url, "has_more": has_more, "data": list(objects)}


def test_a_price_is_read_with_its_product() -> None:
    """Name, description and picture are the product's."""
    found = read_price(PRICE)

    assert found == Price(
        id="price_mug",
        product_id="prod_mug",
        name="Mug",
        description="Holds coffee",
        image_url="https://img.example/mug.png",
        unit_price=Money(1250, "usd"),
        unsellable_reason=None,
    )


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"product": {**PRODUCT, "active": False}}, "is not for sale: its product is inactive"),
        ({"product": {"id": "prod_mug", "deleted": True}}, "is not for sale: its product is inactive"),
        ({"billing_scheme": "tiered", "unit_amount": None}, "is priced in tiers"),
        ({"transform_quantity": {"divide_by": 10, "round": "up"}}, "is priced by packages"),
        ({"custom_unit_amount": {"minimum": 1}, "unit_amount": None}, "is priced by the buyer"),
        ({"unit_amount": None, "unit_amount_decimal": "0.5"}, "has no whole amount in minor units"),
    ],
)
def test_a_price_that_cannot_be_put_into_a_cart_says_why(changes: dict[str, Any], because: str) -> None:
    """In words that follow the line's name."""
    found = read_price({**PRICE, **changes})

    assert found.unsellable_reason == because


@pytest.mark.parametrize(
    ("changes", "metadata", "expected"),
    [
        ({}, {}, Recurring(Interval.MONTH, 1, trial_days=0)),
        ({"interval": "day", "interval_count": 1095}, {}, Recurring(Interval.DAY, 1095, trial_days=0)),
        ({"interval": "week", "interval_count": 2}, {"trial_days": "14"}, Recurring(Interval.WEEK, 2, trial_days=14)),
        ({"interval": "year", "interval_count": 3}, {"trial_days": "730"}, Recurring(Interval.YEAR, 3, trial_days=730)),
        ({"trial_period_days": 30}, {"trial_days": "0", "other": "x"}, Recurring(Interval.MONTH, 1, trial_days=0)),
    ],
)
def test_a_recurring_price_is_sold(changes: dict[str, Any], metadata: dict[str, str], expected: Recurring) -> None:
    """With its interval, and the trial that its metadata gives."""
    found = read_price({**PRICE, "recurring": {**MONTHLY, **changes}, "metadata": metadata})

    assert (found.recurring, found.unsellable_reason) == (expected, None)


def test_a_trial_of_a_one_time_price_says_nothing() -> None:
    """It is charged at once, and sold."""
    found = read_price({**PRICE, "metadata": {"trial_days": "soon"}})

    assert (found.recurring, found.unsellable_reason) == (None, None)


_NO_TRIAL = "has a trial_days that is no number of days from 0 to 730"
_NOT_OFFERED = "has a billing interval that is not offered"


@pytest.mark.parametrize(
    ("recurring", "changes", "because"),
    [
        ({"usage_type": "metered"}, {}, "is metered"),
        ({"meter": "mtr_1"}, {}, "is metered"),
        ({"usage_type": "metered"}, {"unit_amount": None}, "is metered"),
        ({}, {"billing_scheme": "tiered", "unit_amount": None}, "is priced in tiers"),
        ({}, {"transform_quantity": {"divide_by": 10, "round": "up"}}, "is priced by packages"),
        ({}, {"unit_amount": None, "unit_amount_decimal": "0.5"}, "has no whole amount in minor units"),
        ({"interval": "decade"}, {}, _NOT_OFFERED),
        ({"interval_count": 37}, {}, _NOT_OFFERED),
        ({"interval_count": 0}, {}, _NOT_OFFERED),
        ({"interval_count": None}, {}, _NOT_OFFERED),
        *[
            ({}, {"metadata": {"trial_days": days}}, _NO_TRIAL)
            for days in ("731", "-1", "", "a week", "1.5", " 7", "\u0667", "0000")
        ],
    ],
)
def test_a_recurring_price_that_cannot_be_put_into_a_cart_says_why(
    recurring: dict[str, Any], changes: dict[str, Any], because: str
) -> None:
    """In words that follow the line's name; it is shown nowhere."""
    found = read_price({**PRICE, "recurring": {**MONTHLY, **recurring}, **changes})

    assert (found.unsellable_reason, found.recurring) == (because, None)


@pytest.mark.parametrize("name", [None, "", "  ", "Mug\u0000", "\ud800"])
def test_a_product_whose_name_no_order_can_keep_is_not_sold(name: str | None) -> None:
    """It would be found out only after the payment."""
    found = read_price({**PRICE, "product": {**PRODUCT, "name": name}})

    assert found.unsellable_reason == "is not for sale: its product has no usable name"


def test_a_nameless_shipping_rate_gets_a_name() -> None:
    """Stripe lets it have none; an order does not."""
    found = read_shipping_rate({**RATE, "display_name": None})

    assert found == ShippingRate("shr_post", "Shipping", Money(500, "usd"))


def test_a_free_price_is_sold() -> None:
    """Zero is an amount."""
    found = read_price({**PRICE, "unit_amount": 0})

    assert (found.unit_price, found.unsellable_reason) == (Money(0, "usd"), None)


def test_a_shipping_rate_has_a_fixed_amount() -> None:
    """One without cannot be offered."""
    fixed = read_shipping_rate(RATE)
    calculated = read_shipping_rate({**RATE, "fixed_amount": None})

    assert fixed == ShippingRate("shr_post", "Post", Money(500, "usd"))
    assert calculated is None


async def test_a_price_of_an_unknown_form_does_not_close_the_shop(stand_in: StripeStandIn) -> None:
    """What cannot be read is left out; the rest is sold."""
    odd = {"id": "price_odd", "object": "price", "product": "prod_not_expanded"}
    stand_in.answer(listed(odd, PRICE, url="/v1/prices"))
    stand_in.answer(listed(RATE, url="/v1/shipping_rates"))

    catalogue = await StripeCatalogue(stand_in.client).read()

    assert list(catalogue.prices) == ["price_mug"]


async def test_everything_active_is_read_page_by_page(stand_in: StripeStandIn) -> None:
    """However many prices there are, in Stripe's order, with their products in the same answer."""
    stand_in.answer(listed(PRICE, {**PRICE, "id": "price_2"}, url="/v1/prices", has_more=True))
    stand_in.answer(listed(RATE, {**RATE, "id": "shr_odd", "fixed_amount": None}, url="/v1/shipping_rates"))
    stand_in.answer(listed({**PRICE, "id": "price_3"}, url="/v1/prices"))

    found = await StripeCatalogue(stand_in.client).read()

    assert list(found.prices) == ["price_mug", "price_2", "price_3"]
    assert list(found.shipping_rates) == ["shr_post"]
    first, rates, second = stand_in.sent
    assert first.fields == {"active": "true", "limit": "100", "expand[0]": "data.product"}
    assert rates.fields == {"active": "true", "limit": "100"}
    assert second.fields == {**first.fields, "starting_after": "price_2"}


@pytest.mark.parametrize("failing", [0, 1, 2])
async def test_a_failure_on_any_page_is_no_catalogue(stand_in: StripeStandIn, failing: int) -> None:
    """Half a catalogue would refuse what is on sale."""
    pages = [
        listed(PRICE, url="/v1/prices", has_more=True),
        listed(RATE, url="/v1/shipping_rates"),
        listed({**PRICE, "id": "price_2"}, url="/v1/prices"),
    ]
    for page in pages[:failing]:
        stand_in.answer(page)
    stand_in.refuse(500, "api_error")

    with pytest.raises(StripeUnavailable):
        await StripeCatalogue(stand_in.client).read()
