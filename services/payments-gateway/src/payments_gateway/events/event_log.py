"""Log of the events that webhooks have handled, written in batches beside their answers.

A batch that cannot be written is dropped: the backfill then handles its events once more, which changes nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from prometheus_client import Counter

from payments_gateway.domain.stripe_events import MAX_BATCH, EventLogPort, HandledEvent
from servicekit.cancellation import cancel_until_ended
from servicekit.unavailable import ServiceUnavailable

_log = logging.getLogger(__name__)

EVENTS: Final = Counter("holdfast_event_log_events", "Handled events, by what became of their log row.", ["outcome"])

_FLUSH_SECONDS: Final = 1.0
_FULL: Final = 100


class EventLog:
    """Buffer of handled events. `flush_seconds` is the longest time that one waits in it."""

    def __init__(self, log: EventLogPort, *, flush_seconds: float = _FLUSH_SECONDS) -> None:
        self._log = log
        self._flush_seconds = flush_seconds
        self._buffer: list[HandledEvent] = []
        self._full = asyncio.Event()

    def add(self, event: HandledEvent) -> None:
        """Log an event with the next batch. One too many is dropped."""
        if len(self._buffer) >= MAX_BATCH:
            EVENTS.labels("dropped").inc()
            return
        self._buffer.append(event)
        if len(self._buffer) >= _FULL:
            self._full.set()

    @asynccontextmanager
    async def flush_in_background(self) -> AsyncIterator[None]:
        """Write batches while the context lasts, and the last one when it is left."""
        flushing = asyncio.create_task(self._flush_forever())
        try:
            yield
        finally:
            await cancel_until_ended(flushing, every_seconds=0.2, within_seconds=2.0)
            await self.flush()

    async def flush(self) -> None:
        """Write what was added so far."""
        batch, self._buffer = self._buffer, []
        self._full.clear()
        if not batch:
            return
        try:
            await self._log.log(batch)
        except ServiceUnavailable as unavailable:
            _log.warning("event log not written", extra={"count": len(batch), "reason": str(unavailable)})
            EVENTS.labels("dropped").inc(len(batch))
        else:
            EVENTS.labels("written").inc(len(batch))

    async def _flush_forever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._flush_seconds):
                    await self._full.wait()
            await self.flush()
