"""Single-flight reads of intents for status pages: equal reads at the same moment are one request to Stripe."""

import asyncio
from typing import Final

from prometheus_client import Counter

from payments_gateway.domain.attempts import IntentRef
from payments_gateway.domain.intents import IntentReader, StripeIntent
from servicekit.deadline import without_deadline

SHARED: Final = Counter("holdfast_stripe_reads_shared", "Reads of an intent that joined a running read.")


class SingleFlightIntents:
    """The IntentReader port for callers that only show an intent. Nothing is cached.

    A read may join a request that started before it. Callers that decide anything by an intent read it themselves.
    """

    def __init__(self, intents: IntentReader) -> None:
        self._intents = intents
        self._running: dict[IntentRef, asyncio.Task[StripeIntent]] = {}

    async def retrieve(self, ref: IntentRef) -> StripeIntent:
        """Return the intent as of a moment ago."""
        reading = self._running.get(ref)
        if reading is None:
            # Callers with a later deadline may join.
            reading = asyncio.create_task(self._intents.retrieve(ref), context=without_deadline())
            self._running[ref] = reading
            reading.add_done_callback(lambda ended: self._end(ref, ended))
        else:
            SHARED.inc()
        # Shielded: the first caller may go while others still wait.
        return await asyncio.shield(reading)

    def _end(self, ref: IntentRef, ended: "asyncio.Task[StripeIntent]") -> None:
        del self._running[ref]
        if not ended.cancelled():
            ended.exception()  # retrieved, even if every caller is gone
