from collections.abc import AsyncIterator

import pytest

from payments_gateway.checkout.catalogue_cache import CatalogueCache, CatalogueUnavailable
from payments_gateway.domain.stripe_errors import StripeKeyRefused, StripeUnavailable

from ..fake_stripe import FakeCatalogueSource
from ..fakes import FakeClock, until
from ..samples import SHOP, catalogue, price

NEW = catalogue(price("price_new", 100))


class Shelf:
    """A catalogue cache with a clock and a source of the test's own."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.source = FakeCatalogueSource(SHOP)
        self.catalogue = CatalogueCache(
            self.source, refresh_seconds=3600, max_age_seconds=7200, pause_seconds=0.01, monotonic=self.clock.seconds
        )


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    """Give a cache that was loaded once, not just now."""
    shelf = Shelf()
    async with shelf.catalogue.refresh_in_background():
        await until(lambda: shelf.source.reads == 1)
        shelf.clock.advance(1)
        yield shelf


async def test_known_prices_need_no_request(shelf: Shelf) -> None:
    """Stripe is read once."""
    assert shelf.catalogue.current() is SHOP
    assert await shelf.catalogue.with_prices(["price_mug", "price_pen"]) is SHOP
    assert shelf.source.reads == 1


async def test_an_unknown_price_refreshes_the_catalogue(shelf: Shelf) -> None:
    """It may have been created just now."""
    shelf.source.catalogue = NEW

    assert await shelf.catalogue.with_prices(["price_new"]) is NEW


async def test_made_up_prices_share_a_recent_answer(shelf: Shelf) -> None:
    """However many carts arrive within the pause, Stripe is asked once."""
    for _ in range(10):
        assert await shelf.catalogue.with_prices(["price_made_up"]) is SHOP

    assert shelf.source.reads == 2


@pytest.mark.parametrize(
    ("failure", "reason", "retry_after"),
    [
        (StripeUnavailable(7.0), "the catalogue could not be loaded from Stripe", 7.0),
        (StripeKeyRefused(), "Stripe refuses our secret key", None),
        (KeyError("odd"), "the catalogue could not be loaded from Stripe", None),
    ],
)
async def test_a_price_is_not_called_unknown_when_the_refresh_fails(
    shelf: Shelf, failure: Exception, reason: str, retry_after: float | None
) -> None:
    """The failure names its reason and the time to wait; known prices are still sold."""
    shelf.source.failure = failure

    for _ in range(2):
        with pytest.raises(CatalogueUnavailable) as unavailable:
            await shelf.catalogue.with_prices(["price_new"])

    assert (str(unavailable.value), unavailable.value.retry_after_seconds) == (reason, retry_after)
    assert await shelf.catalogue.with_prices(["price_mug"]) is SHOP
    assert shelf.source.reads == 2


async def test_nothing_is_sold_by_a_catalogue_that_is_missing_or_too_old(shelf: Shelf) -> None:
    """Until it is loaded again."""
    shelf.clock.advance(7200)

    for unusable in (Shelf(), shelf):
        with pytest.raises(CatalogueUnavailable):
            unusable.catalogue.current()
        with pytest.raises(CatalogueUnavailable):
            await unusable.catalogue.with_prices(["price_mug"])
