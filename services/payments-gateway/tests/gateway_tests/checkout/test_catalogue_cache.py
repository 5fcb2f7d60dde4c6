import asyncio

import pytest

from payments_gateway.checkout.catalogue_cache import CatalogueCache, CatalogueUnavailable
from payments_gateway.domain.stripe_errors import StripeKeyRefused, StripeUnavailable

from ..assembly import until
from ..fakes import FakeCatalogueSource, FakeClock
from ..samples import SHOP, catalogue, price

NEW = catalogue(price("price_new", 100))


class Book:
    """A price book whose clock and source are the test's."""

    def __init__(self, *, refresh_seconds: float = 3600, max_age_seconds: float = 7200) -> None:
        self.clock = FakeClock()
        self.source = FakeCatalogueSource(SHOP)
        self.catalogue = CatalogueCache(
            self.source,
            refresh_seconds=refresh_seconds,
            max_age_seconds=max_age_seconds,
            pause_seconds=2,
            monotonic=self.clock.seconds,
        )


@pytest.fixture
async def shelf() -> Book:
    """Give a book that has been read once."""
    shelf = Book()
    async with shelf.catalogue.refresh_in_background():
        await until(lambda: shelf.source.reads == 1)
    return shelf


async def test_a_book_that_was_never_read_sells_nothing() -> None:
    """There are no prices to sell by."""
    with pytest.raises(CatalogueUnavailable):
        Book().catalogue.current()


async def test_the_catalogue_is_read_once_and_kept(shelf: Book) -> None:
    """Looking up what is known asks nobody."""
    assert shelf.catalogue.current() is SHOP
    assert await shelf.catalogue.with_prices(["price_mug", "price_pen"]) is SHOP
    assert shelf.source.reads == 1


async def test_nothing_that_goes_wrong_ends_the_reading() -> None:
    """Prices go on being read after a failure that nobody expected."""
    shelf = Book(refresh_seconds=0.01)
    shelf.source.failure = KeyError("odd")

    async with shelf.catalogue.refresh_in_background():
        await until(lambda: shelf.source.reads >= 1)
        shelf.source.failure = None
        shelf.clock.advance(10)
        await until(lambda: shelf.source.reads >= 2, seconds=5)

        assert shelf.catalogue.current() is SHOP


async def test_an_unknown_price_is_read_again(shelf: Book) -> None:
    """It may have been created just now."""
    shelf.source.catalogue = NEW
    shelf.clock.advance(2)

    found = await shelf.catalogue.with_prices(["price_new"])

    assert found is NEW
    assert shelf.catalogue.current() is NEW


async def test_unknown_prices_do_not_make_stripe_busy(shelf: Book) -> None:
    """However many carts with made-up prices arrive, Stripe is asked at most every two seconds."""
    for _ in range(10):
        await shelf.catalogue.with_prices(["price_made_up"])
    at_once = shelf.source.reads
    for _ in range(10):
        shelf.clock.advance(0.5)
        await shelf.catalogue.with_prices(["price_made_up"])

    assert at_once == 1
    assert shelf.source.reads == 1 + 2


async def test_a_failing_read_is_not_repeated_at_once_either(shelf: Book) -> None:
    """Stripe being away is no reason to ask it more often."""
    shelf.source.failure = StripeUnavailable()
    shelf.clock.advance(2)

    for _ in range(10):
        with pytest.raises(CatalogueUnavailable):
            await shelf.catalogue.with_prices(["price_made_up"])

    assert shelf.source.reads == 2


async def test_a_failing_read_keeps_the_old_prices(shelf: Book) -> None:
    """Amounts of Stripe's prices never change, so the old ones may be sold by for a while."""
    shelf.source.failure = StripeUnavailable()
    shelf.clock.advance(7200)
    with pytest.raises(CatalogueUnavailable):
        await shelf.catalogue.with_prices(["price_made_up"])

    found = await shelf.catalogue.with_prices(["price_mug"])

    assert found is SHOP


@pytest.mark.parametrize(
    ("failure", "reason", "retry_after"),
    [
        (StripeUnavailable(7.0), "the catalogue could not be read from Stripe", 7.0),
        (StripeKeyRefused(), "Stripe refuses our secret key", None),
    ],
)
async def test_a_price_that_could_not_be_looked_for_is_not_called_unknown(
    shelf: Book, failure: StripeUnavailable, reason: str, retry_after: float | None
) -> None:
    """It may have been created just now: the buyer is to come again, and an operator is told why."""
    shelf.source.failure = failure
    shelf.clock.advance(2)

    with pytest.raises(CatalogueUnavailable) as unavailable:
        await shelf.catalogue.with_prices(["price_new"])

    assert (str(unavailable.value), unavailable.value.retry_after_seconds) == (reason, retry_after)


async def test_a_read_that_broke_calls_no_price_unknown_either(shelf: Book) -> None:
    """Nor is it repeated at once: who comes soon after is told to come again."""
    shelf.source.failure = KeyError("odd")
    shelf.clock.advance(2)
    with pytest.raises(KeyError):
        await shelf.catalogue.with_prices(["price_new"])

    with pytest.raises(CatalogueUnavailable):
        await shelf.catalogue.with_prices(["price_new"])

    assert shelf.source.reads == 2


async def test_a_price_is_looked_for_again_when_the_one_who_read_hung_up(shelf: Book) -> None:
    """A read that was broken off tells nothing, and those who waited for it read for themselves."""
    shelf.source.catalogue = NEW
    shelf.source.released.clear()
    shelf.clock.advance(2)
    reader, waiting = (asyncio.create_task(shelf.catalogue.with_prices(["price_new"])) for _ in range(2))
    await until(lambda: shelf.source.reads == 2)

    reader.cancel()
    shelf.source.released.set()

    assert await waiting is NEW
    assert shelf.source.reads == 3


async def test_after_a_read_that_succeeds_a_price_is_unknown_for_good(shelf: Book) -> None:
    """A failure of before is forgotten: the cart is judged by what was read since."""
    shelf.source.failure = StripeUnavailable()
    shelf.clock.advance(2)
    with pytest.raises(CatalogueUnavailable):
        await shelf.catalogue.with_prices(["price_made_up"])
    shelf.source.failure = None
    shelf.clock.advance(2)

    assert await shelf.catalogue.with_prices(["price_made_up"]) is SHOP


async def test_prices_that_are_too_old_are_not_sold_by(shelf: Book) -> None:
    """From max_age on the catalogue counts as unknown, until it is read again."""
    shelf.clock.advance(7200.5)

    with pytest.raises(CatalogueUnavailable):
        shelf.catalogue.current()
    with pytest.raises(CatalogueUnavailable):
        await shelf.catalogue.with_prices(["price_mug"])


async def test_carts_that_arrive_together_share_one_read(shelf: Book) -> None:
    """Twenty carts with a new price: one reads, the others wait for its answer."""
    shelf.source.catalogue = NEW
    shelf.source.released.clear()
    shelf.clock.advance(2)

    waiting = [asyncio.create_task(shelf.catalogue.with_prices(["price_new"])) for _ in range(20)]
    await until(lambda: shelf.source.reads == 2)
    shelf.source.released.set()
    found = await asyncio.gather(*waiting)

    assert shelf.source.reads == 2
    assert found == [NEW] * 20


async def test_while_it_is_read_again_the_old_catalogue_is_sold_by(shelf: Book) -> None:
    """Known prices wait for nobody."""
    shelf.source.released.clear()
    shelf.clock.advance(2)
    waiting = asyncio.create_task(shelf.catalogue.with_prices(["price_new"]))
    await until(lambda: shelf.source.reads == 2)

    found = await shelf.catalogue.with_prices(["price_mug"])

    assert found is SHOP
    shelf.source.released.set()
    await waiting


async def test_the_age_counts_from_when_the_read_began(shelf: Book) -> None:
    """An answer that took long is as old as the question."""
    shelf.source.released.clear()
    shelf.clock.advance(2)
    waiting = asyncio.create_task(shelf.catalogue.with_prices(["price_new"]))
    await until(lambda: shelf.source.reads == 2)
    shelf.clock.advance(7201)
    shelf.source.released.set()

    with pytest.raises(CatalogueUnavailable):
        await waiting


async def test_the_book_is_read_again_in_the_background() -> None:
    """What is on sale is at most a refresh behind, without anybody asking."""
    shelf = Book(refresh_seconds=0.001)

    async with shelf.catalogue.refresh_in_background():
        await until(lambda: shelf.source.reads == 1)
        shelf.source.catalogue = NEW
        shelf.clock.advance(2)
        await until(lambda: shelf.catalogue.current() is NEW)

    assert shelf.source.reads == 2


async def test_the_background_outlives_a_failing_read() -> None:
    """Stripe comes back, and so do the prices."""
    shelf = Book(refresh_seconds=0.001)

    async with shelf.catalogue.refresh_in_background():
        await until(lambda: shelf.source.reads == 1)
        shelf.source.failure = StripeUnavailable()
        shelf.clock.advance(2)
        await until(lambda: shelf.source.reads == 2)
        shelf.source.failure, shelf.source.catalogue = None, NEW
        shelf.clock.advance(2)
        await until(lambda: shelf.catalogue.current() is NEW)


async def test_leaving_ends_the_background() -> None:
    """No task is left behind, not even one in the middle of a read."""
    shelf = Book()
    shelf.source.released.clear()

    async with shelf.catalogue.refresh_in_background():
        await until(lambda: shelf.source.reads == 1)

    assert asyncio.all_tasks() == {asyncio.current_task()}
