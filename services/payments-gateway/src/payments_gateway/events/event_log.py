"""Log of the events that webhooks have handled, written in batches beside their answers.

A batch that cannot be written is dropped: the backfill then handles its events once more, which changes nothing.
"""

import logging
from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter

from payments_gateway.domain.stripe_events import EventLogPort, HandledEvent
from payments_gateway.write_behind import WriteBehind
from servicekit.unavailable import ServiceUnavailable

_log = logging.getLogger(__name__)

EVENTS: Final = Counter("holdfast_event_log_events", "Handled events, by what became of their log row.", ["outcome"])

_FLUSH_SECONDS: Final = 1.0


class EventLog(WriteBehind[HandledEvent]):
    """Buffer of handled events."""

    def __init__(self, log: EventLogPort, *, flush_seconds: float = _FLUSH_SECONDS) -> None:
        super().__init__(flush_seconds=flush_seconds)
        self._log = log

    def add(self, event: HandledEvent) -> None:
        """Log an event with the next batch. One too many is dropped."""
        if not self.offer(event):
            EVENTS.labels("dropped").inc()

    async def _write(self, batch: Sequence[HandledEvent]) -> None:
        try:
            await self._log.log(batch)
        except ServiceUnavailable as unavailable:
            _log.warning("event log not written", extra={"count": len(batch), "reason": str(unavailable)})
            EVENTS.labels("dropped").inc(len(batch))
        else:
            EVENTS.labels("written").inc(len(batch))
