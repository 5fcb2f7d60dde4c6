from collections.abc import AsyncIterator
from typing import Any

import pytest

from payments_gateway.domain.attempts import Interval, Recurring
from payments_gateway.domain.catalogue import Price, ShippingRate
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.stripe_api.catalogue import StripeCatalogue, price_from_stripe, shipping_rate_from_stripe

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
    """Give a Stripe that responds as told."""
    async with stripe_stand_in() as served:
        yield served


def listed(*objects: dict[str, Any], url: str, has_more: bool = False) -> dict[str, Any]:
    """Return a page of a list."""
    return {"object": "list", "url": url, "has_more": has_more, "data": list(objects)}


def test_a_price_is_read_with_its_product() -> None:
    """Name, description and picture are the product's."""
    assert price_from_stripe(PRICE) == Price(
        id="price_mug",
        product_id="prod_mug",
        name="Mug",
        description="Holds coffee",
        image_url="https://img.example/mug.png",
        unit_price=Money(1250, "usd"),
        unsellable_reason=None,
    )


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
def test_a_recurring_price_is_sellable(changes: dict[str, Any], metadata: dict[str, str], expected: Recurring) -> None:
    """With its interval, and the trial of its metadata."""
    found = price_from_stripe({**PRICE, "recurring": {**MONTHLY, **changes}, "metadata": metadata})

    assert (found.recurring, found.unsellable_reason) == (expected, None)


@pytest.mark.parametrize("changes", [{"unit_amount": 0}, {"metadata": {"trial_days": "soon"}}])
def test_a_one_time_price_is_sellable(changes: dict[str, Any]) -> None:
    """Also a free one, and one whose metadata means something else."""
    found = price_from_stripe({**PRICE, **changes})

    assert (found.recurring, found.unsellable_reason) == (None, None)


@pytest.mark.parametrize("name", ["M" * 250, "M" * 251, "M" * 5000])
def test_a_long_name_is_shortened(name: str) -> None:
    """The product is sold; an order stores at most 250 characters of its name."""
    price = price_from_stripe({**PRICE, "product": {**PRODUCT, "name": name}})
    rate = shipping_rate_from_stripe({**RATE, "display_name": name})

    shortened = name if len(name) == 250 else "M" * 249 + "…"
    assert price.unsellable_reason is None
    assert rate is not None
    assert (price.name, rate.name) == (shortened, shortened)


NO_NAME = "is not for sale: its product has no usable name"
NO_TRIAL = "has trial_days that are not a number from 0 to 730"
NO_INTERVAL = "has an unsupported billing interval"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"product": {**PRODUCT, "active": False}}, "is not for sale: its product is inactive"),
        ({"product": {"id": "prod_mug", "deleted": True}}, "is not for sale: its product is inactive"),
        *[({"product": {**PRODUCT, "name": name}}, NO_NAME) for name in (None, "", "  ", "Mug\0", "\ud800")],
        ({"product": {**PRODUCT, "id": "p" * 256}}, "is not for sale: its id or that of its product is too long"),
        ({"billing_scheme": "tiered", "unit_amount": None}, "is priced in tiers"),
        ({"transform_quantity": {"divide_by": 10, "round": "up"}}, "is priced by packages"),
        ({"custom_unit_amount": {"minimum": 1}, "unit_amount": None}, "is priced by the buyer"),
        ({"unit_amount": None, "unit_amount_decimal": "0.5"}, "has no whole amount in minor units"),
        ({"recurring": MONTHLY, "billing_scheme": "tiered", "unit_amount": None}, "is priced in tiers"),
        ({"recurring": MONTHLY, "unit_amount": None}, "has no whole amount in minor units"),
        ({"recurring": {**MONTHLY, "usage_type": "metered"}}, "is metered"),
        ({"recurring": {**MONTHLY, "meter": "mtr_1"}, "unit_amount": None}, "is metered"),
        ({"recurring": {**MONTHLY, "interval": "decade"}}, NO_INTERVAL),
        *[({"recurring": {**MONTHLY, "interval_count": count}}, NO_INTERVAL) for count in (37, 0, None)],
        *[
            ({"recurring": MONTHLY, "metadata": {"trial_days": days}}, NO_TRIAL)
            for days in ("731", "-1", "", "a week", "1.5", " 7", "\u0667", "0000")
        ],
    ],
)
def test_an_unsellable_price_says_why(changes: dict[str, Any], reason: str) -> None:
    """As a phrase that follows the name of the cart's line."""
    found = price_from_stripe({**PRICE, **changes})

    assert (found.unsellable_reason, found.recurring) == (reason, None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ShippingRate("shr_post", "Post", Money(500, "usd"))),
        ({"display_name": None}, ShippingRate("shr_post", "Shipping", Money(500, "usd"))),
        ({"fixed_amount": None}, None),
    ],
)
def test_a_shipping_rate_has_a_name_and_a_fixed_amount(changes: dict[str, Any], expected: ShippingRate | None) -> None:
    """Stripe allows one without a name, an order does not; one without a fixed amount is not offered."""
    assert shipping_rate_from_stripe({**RATE, **changes}) == expected


async def test_an_unreadable_price_does_not_close_the_shop(stand_in: StripeStandIn) -> None:
    """It is left out; the rest is sold."""
    odd = {"id": "price_odd", "object": "price", "product": "prod_not_expanded"}
    stand_in.answer(listed(odd, PRICE, url="/v1/prices"))
    stand_in.answer(listed(RATE, url="/v1/shipping_rates"))

    catalogue = await StripeCatalogue(stand_in.client).read()

    assert list(catalogue.prices) == ["price_mug"]


async def test_everything_active_is_read_page_by_page(stand_in: StripeStandIn) -> None:
    """In Stripe's order, with products expanded."""
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
async def test_a_failure_on_any_page_fails_the_read(stand_in: StripeStandIn, failing: int) -> None:
    """Half a catalogue would refuse prices that are on sale."""
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


async def test_one_price_is_retrieved_with_its_product(stand_in: StripeStandIn) -> None:
    """One request."""
    stand_in.answer(PRICE)

    found = await StripeCatalogue(stand_in.client).find_price("price_mug")

    assert found == price_from_stripe(PRICE)
    [sent] = stand_in.sent
    assert (sent.path, sent.fields) == ("/v1/prices/price_mug", {"expand[0]": "product"})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {**PRICE, "active": False}),
        (200, {**PRICE, "product": "prod_not_expanded"}),
        (404, {"error": {"type": "invalid_request_error", "code": "resource_missing"}}),
    ],
)
async def test_a_price_that_is_not_on_sale_is_not_found(
    stand_in: StripeStandIn, status: int, body: dict[str, Any]
) -> None:
    """Inactive, unreadable, or not there."""
    stand_in.answer(body, status=status)

    assert await StripeCatalogue(stand_in.client).find_price("price_mug") is None


async def test_a_price_that_cannot_be_looked_up_is_not_missing(stand_in: StripeStandIn) -> None:
    """Stripe refused the request, or failed."""
    stand_in.refuse(400, "invalid_request_error")
    stand_in.refuse(500, "api_error")

    for _ in range(2):
        with pytest.raises(StripeUnavailable):
            await StripeCatalogue(stand_in.client).find_price("price_mug")
