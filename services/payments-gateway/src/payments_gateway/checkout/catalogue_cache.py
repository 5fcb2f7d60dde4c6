"""The catalogue in memory: prices may be one refresh behind Stripe, amounts never change (ADR 53)."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Final

from checkout_rules.limits import MAX_CART_LINES
from payments_gateway.domain.catalogue import Catalogue, CataloguePort, Price, is_new_price_id
from payments_gateway.domain.stripe_errors import StripeKeyRefused, StripePermissionMissing, StripeUnavailable
from servicekit.deadline import without_deadline
from servicekit.health import NotReady
from servicekit.refreshing_cache import RefreshingCache

_PAUSE_SECONDS: Final = 2.0
"""Least time between two reads of the catalogue, and the time until one is repeated while there is none."""
_UNKNOWN_SECONDS: Final = 15.0
"""Time for which a price that Stripe does not have, or that is inactive, is not looked up again."""
_MAX_LOOKUPS: Final = MAX_CART_LINES
"""Look-ups that run or are remembered as unknown. It bounds memory, and the rate at which made-up ids ask Stripe."""


class CatalogueUnavailable(Exception):
    """No catalogue is recent enough to sell by. The message is for an operator."""

    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds
        """Stripe's Retry-After, where it sent one."""


class CatalogueCache:
    """Holds the catalogue that `source` returned last, and the newer prices that carts asked for.

    The arguments are those of RefreshingCache; `unknown_seconds` is the time for which a price stays unknown.
    """

    def __init__(
        self,
        source: CataloguePort,
        *,
        refresh_seconds: float,
        max_age_seconds: float,
        monotonic: Callable[[], float],
        pause_seconds: float = _PAUSE_SECONDS,
        unknown_seconds: float = _UNKNOWN_SECONDS,
    ) -> None:
        self._source = source
        self._unknown_seconds = unknown_seconds
        self._lookups: dict[str, asyncio.Task[Price | None]] = {}
        self._cache = RefreshingCache(
            "catalogue",
            source.read,
            refresh_seconds=refresh_seconds,
            max_age_seconds=max_age_seconds,
            pause_seconds=pause_seconds,
            retry_seconds=pause_seconds,
            expected=StripeUnavailable,
            monotonic=monotonic,
        )

    def current(self) -> Catalogue:
        """Return the catalogue. Raises CatalogueUnavailable if it was never loaded or is too old."""
        catalogue = self._cache.current()
        if catalogue is None:
            raise _unavailable(self._cache.error)
        return catalogue

    async def with_prices(self, price_ids: Iterable[str]) -> Catalogue:
        """Return the catalogue with those of these prices that Stripe has: one that it lacks may be new.

        Raises CatalogueUnavailable, also if a price cannot be looked up: it cannot be called unknown.
        """
        missing = set(price_ids) - self.current().prices.keys()
        if not missing:
            return self.current()
        found = await asyncio.gather(*(self._look_up(price_id) for price_id in missing if is_new_price_id(price_id)))
        return self.current().including(price for price in found if price is not None)

    async def check_ready(self) -> None:
        """Raise NotReady while there is no catalogue to sell by."""
        try:
            self.current()
        except CatalogueUnavailable as missing:
            raise NotReady(str(missing)) from None

    def refresh_in_background(self) -> AbstractAsyncContextManager[None]:
        """Load the catalogue now, and keep refreshing it while the context lasts."""
        return self._cache.refresh_in_background()

    async def _look_up(self, price_id: str) -> Price | None:
        """Look a price up once for all carts that ask for it at the same time."""
        looking = self._lookups.get(price_id)
        if looking is None:
            if len(self._lookups) >= _MAX_LOOKUPS:
                raise CatalogueUnavailable("too many unknown prices are asked for", self._unknown_seconds)
            # Callers with a later deadline may join.
            looking = asyncio.create_task(self._find(price_id), context=without_deadline())
            self._lookups[price_id] = looking
            looking.add_done_callback(lambda ended: self._end(price_id, ended))
        try:
            return await asyncio.shield(looking)  # the first caller may go while others still wait
        except StripeUnavailable as error:
            raise _unavailable(error) from None

    async def _find(self, price_id: str) -> Price | None:
        price = await self._source.find_price(price_id)
        catalogue = self._cache.current()
        if price is not None and catalogue is not None:
            self._cache.amend(catalogue.including([price]))
        return price

    def _end(self, price_id: str, ended: "asyncio.Task[Price | None]") -> None:
        """Remember an unknown price for a while. The catalogue has a found one, and a failed look-up is repeated."""
        is_unknown = not ended.cancelled() and ended.exception() is None and ended.result() is None
        if is_unknown:
            asyncio.get_running_loop().call_later(self._unknown_seconds, self._lookups.pop, price_id)
        else:
            del self._lookups[price_id]


def _unavailable(error: BaseException | None) -> CatalogueUnavailable:
    if isinstance(error, StripeKeyRefused):
        return CatalogueUnavailable("Stripe refuses our secret key")
    if isinstance(error, StripePermissionMissing):
        return CatalogueUnavailable("our restricted key may not read prices, products or shipping rates")
    retry_after = error.retry_after_seconds if isinstance(error, StripeUnavailable) else None
    return CatalogueUnavailable("the catalogue could not be loaded from Stripe", retry_after)
