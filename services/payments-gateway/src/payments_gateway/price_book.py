"""The catalogue in memory: read from Stripe, kept for a short life, read again in the background."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

from payments_gateway.catalogue import Catalogue, CatalogueSource
from payments_gateway.intents import StripeUnavailable
from servicekit.cancellation import cancel_until_ended

_log = logging.getLogger(__name__)

_LEAST_SECONDS_BETWEEN_READS: Final = 2.0
"""A cart with an unknown price makes the book read again, but not more often than this."""


class CatalogueUnavailable(Exception):
    """There are no prices recent enough to sell by."""


class PriceBook:
    """Holds the catalogue. Amounts of Stripe's prices never change; what is on sale may be a refresh behind."""

    def __init__(
        self,
        source: CatalogueSource,
        *,
        refresh_seconds: float,
        max_age_seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        """Keep source's catalogue; monotonic is a clock in seconds."""
        self._source = source
        self._refresh_seconds = refresh_seconds
        self._max_age_seconds = max_age_seconds
        self._monotonic = monotonic
        self._catalogue: Catalogue | None = None
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._reading = asyncio.Lock()

    def current(self) -> Catalogue:
        """Return the catalogue. Raises CatalogueUnavailable if it was never read or is too old."""
        if self._catalogue is None or self._monotonic() - self._read_at > self._max_age_seconds:
            raise CatalogueUnavailable
        return self._catalogue

    async def with_prices(self, price_ids: Iterable[str]) -> Catalogue:
        """Return the catalogue, read again if it lacks one of these prices: it may have been created just now."""
        catalogue = self.current()
        if all(price_id in catalogue.prices for price_id in price_ids):
            return catalogue
        await self._read_unless_just_tried()
        return self.current()

    @asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        """Read the catalogue now and again in the background while the context lasts."""
        refreshing = asyncio.create_task(self._refresh_for_ever())
        try:
            yield
        finally:
            await cancel_until_ended(refreshing, every_seconds=0.2, within_seconds=2.0)

    async def _refresh_for_ever(self) -> None:
        while True:
            try:
                await self._read_unless_just_tried()
            except Exception:  # noqa: BLE001 — whatever it was, prices must go on being read
                _log.exception("catalogue could not be read")
            missing = self._catalogue is None
            await asyncio.sleep(_LEAST_SECONDS_BETWEEN_READS if missing else self._refresh_seconds)

    async def _read_unless_just_tried(self) -> None:
        async with self._reading:  # whoever waited here finds the answer of the one who read
            if self._monotonic() - self._tried_at < _LEAST_SECONDS_BETWEEN_READS:
                return
            began = self._monotonic()
            try:
                self._catalogue = await self._source.read()
                self._read_at = began
            except StripeUnavailable:
                _log.warning("catalogue could not be read")
            finally:
                self._tried_at = self._monotonic()  # from its end: those who waited meanwhile need no read of their own
