"""The catalogue in memory: read from Stripe, kept for a short life, read again in the background."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

from payments_gateway.domain.catalogue import Catalogue, CataloguePort
from payments_gateway.domain.stripe_errors import StripeKeyRefused, StripeUnavailable
from servicekit.cancellation import cancel_until_ended

_log = logging.getLogger(__name__)

_SOONEST_FIRST_READ_AGAIN_SECONDS: Final = 2.0
"""As long as there are no prices at all, they are tried for this often."""


class CatalogueUnavailable(Exception):
    """There are no prices recent enough to sell by."""

    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        """Say why, for an operator, and when Stripe wants to be asked again."""
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class CatalogueCache:
    """Holds the catalogue. Amounts of Stripe's prices never change; what is on sale may be a refresh behind."""

    def __init__(
        self,
        source: CataloguePort,
        *,
        refresh_seconds: float,
        max_age_seconds: float,
        pause_seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        """Keep source's catalogue; never read it twice within pause_seconds. monotonic is a clock in seconds."""
        self._source = source
        self._refresh_seconds = refresh_seconds
        self._max_age_seconds = max_age_seconds
        self._pause_seconds = pause_seconds
        self._monotonic = monotonic
        self._catalogue: Catalogue | None = None
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._reading = asyncio.Lock()
        self._failure: Exception | None = None
        """Why the last read failed; None if it did not."""

    def current(self) -> Catalogue:
        """Return the catalogue. Raises CatalogueUnavailable if it was never read or is too old."""
        if self._catalogue is None or self._monotonic() - self._read_at > self._max_age_seconds:
            raise self._unavailable()
        return self._catalogue

    async def with_prices(self, price_ids: Iterable[str]) -> Catalogue:
        """Return the catalogue, read again if it lacks one of these prices: it may have been created just now.

        Raises CatalogueUnavailable, also when it lacks one and could not be read again: nobody knows the price then.
        """
        wanted = set(price_ids)
        if wanted <= self.current().prices.keys():
            return self.current()
        await self._read_unless_just_tried()
        if self._failure is not None and not wanted <= self.current().prices.keys():
            raise self._unavailable()
        return self.current()

    @asynccontextmanager
    async def refresh_in_background(self) -> AsyncIterator[None]:
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
            await asyncio.sleep(_SOONEST_FIRST_READ_AGAIN_SECONDS if missing else self._refresh_seconds)

    async def _read_unless_just_tried(self) -> None:
        async with self._reading:  # whoever waited here finds the answer of the one who read
            if self._monotonic() - self._tried_at < self._pause_seconds:
                return
            began = self._monotonic()
            try:
                self._catalogue = await self._source.read()
            except Exception as failure:
                self._note(failure)
                if not isinstance(failure, StripeUnavailable):
                    raise
                _log.warning("catalogue could not be read")
            else:
                self._read_at = began
                self._note(None)

    def _note(self, failure: Exception | None) -> None:
        """Keep how a read ended. One that is cancelled, as its reader hung up, did not: who waited reads again."""
        self._failure = failure
        self._tried_at = self._monotonic()  # from its end: those who waited meanwhile need no read of their own

    def _unavailable(self) -> CatalogueUnavailable:
        if isinstance(self._failure, StripeKeyRefused):
            return CatalogueUnavailable("Stripe refuses our secret key")
        retry_after = self._failure.retry_after_seconds if isinstance(self._failure, StripeUnavailable) else None
        return CatalogueUnavailable("the catalogue could not be read from Stripe", retry_after)
