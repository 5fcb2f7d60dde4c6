import asyncio

import pytest

from payments_gateway.checkout.catalogue_cache import CatalogueUnavailable
from payments_gateway.domain.stripe_errors import StripeKeyRefused, StripePermissionMissing, StripeUnavailable

from ..assembly import Gateway
from ..fakes import until
from ..samples import SHOP, catalogue, price

NEW = catalogue(price("price_new", 100))


@pytest.fixture
def gateway(gateway: Gateway) -> Gateway:
    """Give a gateway whose catalogue was loaded a second ago."""
    gateway.clock.advance(1)
    return gateway


async def test_known_prices_need_no_request(gateway: Gateway) -> None:
    """Stripe is read once."""
    assert gateway.catalogue.current() is SHOP
    assert await gateway.catalogue.with_prices(["price_mug", "price_pen"]) is SHOP
    assert (gateway.source.reads, gateway.source.looked_up) == (1, [])


async def test_a_new_price_is_looked_up_once(gateway: Gateway) -> None:
    """It was created just now. From then on the catalogue lists it first, as Stripe does."""
    gateway.source.catalogue = NEW

    carts = [await gateway.catalogue.with_prices(["price_mug", "price_new"]) for _ in range(2)]

    assert [list(cart.prices) for cart in carts] == [["price_new", *SHOP.prices]] * 2
    assert gateway.catalogue.current() is carts[1]
    assert (gateway.source.reads, gateway.source.looked_up) == (1, ["price_new"])


async def test_a_made_up_price_is_looked_up_once_in_a_while(gateway: Gateway) -> None:
    """However many carts ask at once and soon after; a price that comes on sale is sold after that while."""
    gateway.source.released.clear()
    asking = [asyncio.create_task(gateway.catalogue.with_prices(["price_new"])) for _ in range(20)]
    await until(lambda: bool(gateway.source.looked_up))
    asking[0].cancel()
    gateway.source.released.set()

    assert [cart.prices for cart in await asyncio.gather(*asking[1:])] == [SHOP.prices] * 19
    gateway.source.catalogue = NEW
    assert "price_new" not in (await gateway.catalogue.with_prices(["price_new"])).prices
    assert gateway.source.looked_up == ["price_new"]
    async with asyncio.timeout(5):
        while "price_new" not in (await gateway.catalogue.with_prices(["price_new"])).prices:  # noqa: ASYNC110 — only time ends it
            await asyncio.sleep(0.01)
    assert gateway.source.looked_up == ["price_new"] * 2


@pytest.mark.parametrize(
    "price_id", ["gold-monthly", "price_", "../price_mug", "price_a/b", "price_\u0663", "price_a\n"]
)
async def test_an_id_of_another_form_waits_for_the_refresh(gateway: Gateway, price_id: str) -> None:
    """Stripe gives none such to a new price."""
    gateway.source.catalogue = catalogue(price(price_id, 100))

    assert price_id not in (await gateway.catalogue.with_prices([price_id])).prices
    assert gateway.source.looked_up == []


async def test_a_flood_of_made_up_prices_asks_stripe_at_a_bounded_rate(gateway: Gateway) -> None:
    """Prices beyond it are not called unknown; known ones are still sold."""
    gateway.source.released.clear()
    asking = [asyncio.create_task(gateway.catalogue.with_prices([f"price_{number}"])) for number in range(250)]
    await until(lambda: sum(each.done() for each in asking) + len(gateway.source.looked_up) == len(asking))
    gateway.source.released.set()
    answered = await asyncio.gather(*asking, return_exceptions=True)

    assert [isinstance(each, CatalogueUnavailable) for each in answered] == [False] * 200 + [True] * 50
    assert len(gateway.source.looked_up) == 200
    assert await gateway.catalogue.with_prices(["price_mug"]) is SHOP


@pytest.mark.parametrize(
    ("failure", "reason", "retry_after"),
    [
        (StripeUnavailable(7.0), "the catalogue could not be loaded from Stripe", 7.0),
        (StripeKeyRefused(), "Stripe refuses our secret key", None),
        (StripePermissionMissing(), "our restricted key may not read prices, products or shipping rates", None),
    ],
)
async def test_a_price_is_not_called_unknown_when_its_look_up_fails(
    gateway: Gateway, failure: Exception, reason: str, retry_after: float | None
) -> None:
    """The failure names its reason and the time to wait; it is not remembered, and known prices are still sold."""
    gateway.source.failure = failure

    with pytest.raises(CatalogueUnavailable) as unavailable:
        await gateway.catalogue.with_prices(["price_new"])

    gateway.source.failure = None
    assert (str(unavailable.value), unavailable.value.retry_after_seconds) == (reason, retry_after)
    assert (await gateway.catalogue.with_prices(["price_mug", "price_new"])).prices == SHOP.prices


async def test_nothing_is_sold_by_a_catalogue_that_is_missing_or_too_old(gateway: Gateway) -> None:
    """Until it is loaded again, whatever the failure is."""
    gateway.source.failure = KeyError("odd")
    await gateway.catalogue._cache.refresh()
    gateway.clock.advance(7200)

    for unusable in (Gateway(), gateway):
        with pytest.raises(CatalogueUnavailable, match="the catalogue could not be loaded from Stripe"):
            unusable.catalogue.current()
        with pytest.raises(CatalogueUnavailable):
            await unusable.catalogue.with_prices(["price_mug"])
