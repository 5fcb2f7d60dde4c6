"""Looks at intents for pages that show where a checkout stands: equal looks at the same moment are one."""

import asyncio
from typing import Final

from prometheus_client import Counter

from payments_gateway.domain.attempts import IntentRef
from payments_gateway.domain.intents import IntentReader, StripeIntent
from servicekit.deadline import without_deadline

SHARED: Final = Counter("holdfast_stripe_reads_shared", "Looks at an intent that joined one that was under way.")


class SingleFlightIntents:
    """The IntentReader port for those who only show. Nothing is kept: an answer goes to those who wait for it.

    A look may join one that was under way before it, and so be older than its question by one request to Stripe.
    Whoever decides anything by an intent must ask for themselves.
    """

    def __init__(self, intents: IntentReader) -> None:
        """Ask these."""
        self._intents = intents
        self._under_way: dict[IntentRef, asyncio.Task[StripeIntent]] = {}

    async def retrieve(self, ref: IntentRef) -> StripeIntent:
        """Return the intent as it stood a moment ago."""
        reading = self._under_way.get(ref)
        if reading is None:
            # Others may join who have more time left than the first.
            reading = asyncio.create_task(self._intents.retrieve(ref), context=without_deadline())
            self._under_way[ref] = reading
            reading.add_done_callback(lambda ended: self._end(ref, ended))
        else:
            SHARED.inc()
        # Shielded: the one who asked first may go, and the others still wait.
        return await asyncio.shield(reading)

    def _end(self, ref: IntentRef, ended: "asyncio.Task[StripeIntent]") -> None:
        del self._under_way[ref]
        if not ended.cancelled():
            ended.exception()  # seen, even if everybody who asked is gone
