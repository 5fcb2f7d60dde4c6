"""The catalogue in memory: prices may be one refresh behind Stripe, amounts never change."""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Final

from payments_gateway.domain.catalogue import Catalogue, CataloguePort
from payments_gateway.domain.stripe_errors import StripeKeyRefused, StripePermissionMissing, StripeUnavailable
from servicekit.health import NotReady
from servicekit.refreshing_cache import RefreshingCache

_RETRY_SECONDS: Final = 2.0


class CatalogueUnavailable(Exception):
    """No catalogue is recent enough to sell by. The message is for an operator."""

    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds
        """Stripe's Retry-After, where it sent one."""


class CatalogueCache:
    """Holds the catalogue that `source` returned last. The arguments are those of RefreshingCache."""

    def __init__(
        self,
        source: CataloguePort,
        *,
        refresh_seconds: float,
        max_age_seconds: float,
        pause_seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._cache = RefreshingCache(
            "catalogue",
            source.read,
            refresh_seconds=refresh_seconds,
            max_age_seconds=max_age_seconds,
            pause_seconds=pause_seconds,
            retry_seconds=_RETRY_SECONDS,
            expected=StripeUnavailable,
            monotonic=monotonic,
        )

    def current(self) -> Catalogue:
        """Return the catalogue. Raises CatalogueUnavailable if it was never loaded or is too old."""
        catalogue = self._cache.current()
        if catalogue is None:
            raise self._unavailable()
        return catalogue

    async def with_prices(self, price_ids: Iterable[str]) -> Catalogue:
        """Return the catalogue, refreshed if it lacks one of these prices: the price may be new.

        Raises CatalogueUnavailable, also if a price is missing and the refresh failed: it cannot be called unknown.
        """
        wanted = set(price_ids)
        if wanted <= self.current().prices.keys():
            return self.current()
        refreshed = await self._cache.refresh_unless_recent()
        if not refreshed and not wanted <= self.current().prices.keys():
            raise self._unavailable()
        return self.current()

    async def check_ready(self) -> None:
        """Raise NotReady while there is no catalogue to sell by."""
        try:
            self.current()
        except CatalogueUnavailable as missing:
            raise NotReady(str(missing)) from None

    def refresh_in_background(self) -> AbstractAsyncContextManager[None]:
        """Load the catalogue now, and keep refreshing it while the context lasts."""
        return self._cache.refresh_in_background()

    def _unavailable(self) -> CatalogueUnavailable:
        error = self._cache.error
        if isinstance(error, StripeKeyRefused):
            return CatalogueUnavailable("Stripe refuses our secret key")
        if isinstance(error, StripePermissionMissing):
            return CatalogueUnavailable("our restricted key may not read prices, products or shipping rates")
        retry_after = error.retry_after_seconds if isinstance(error, StripeUnavailable) else None
        return CatalogueUnavailable("the catalogue could not be loaded from Stripe", retry_after)
