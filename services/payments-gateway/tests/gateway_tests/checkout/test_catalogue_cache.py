import pytest

from payments_gateway.checkout.catalogue_cache import CatalogueUnavailable
from payments_gateway.domain.stripe_errors import StripeKeyRefused, StripePermissionMissing, StripeUnavailable

from ..assembly import Gateway
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
    assert gateway.source.reads == 1


async def test_an_unknown_price_refreshes_the_catalogue(gateway: Gateway) -> None:
    """It may have been created just now."""
    gateway.source.catalogue = NEW

    assert await gateway.catalogue.with_prices(["price_new"]) is NEW


async def test_made_up_prices_share_a_recent_answer(gateway: Gateway) -> None:
    """However many carts arrive within the pause, Stripe is asked once."""
    for _ in range(10):
        assert await gateway.catalogue.with_prices(["price_made_up"]) is SHOP

    assert gateway.source.reads == 2


@pytest.mark.parametrize(
    ("failure", "reason", "retry_after"),
    [
        (StripeUnavailable(7.0), "the catalogue could not be loaded from Stripe", 7.0),
        (StripeKeyRefused(), "Stripe refuses our secret key", None),
        (StripePermissionMissing(), "our restricted key may not read prices, products or shipping rates", None),
        (KeyError("odd"), "the catalogue could not be loaded from Stripe", None),
    ],
)
async def test_a_price_is_not_called_unknown_when_the_refresh_fails(
    gateway: Gateway, failure: Exception, reason: str, retry_after: float | None
) -> None:
    """The failure names its reason and the time to wait; known prices are still sold."""
    gateway.source.failure = failure

    for _ in range(2):
        with pytest.raises(CatalogueUnavailable) as unavailable:
            await gateway.catalogue.with_prices(["price_new"])

    assert (str(unavailable.value), unavailable.value.retry_after_seconds) == (reason, retry_after)
    assert await gateway.catalogue.with_prices(["price_mug"]) is SHOP
    assert gateway.source.reads == 2


async def test_nothing_is_sold_by_a_catalogue_that_is_missing_or_too_old(gateway: Gateway) -> None:
    """Until it is loaded again."""
    gateway.clock.advance(7200)

    for unusable in (Gateway(), gateway):
        with pytest.raises(CatalogueUnavailable):
            unusable.catalogue.current()
        with pytest.raises(CatalogueUnavailable):
            await unusable.catalogue.with_prices(["price_mug"])
