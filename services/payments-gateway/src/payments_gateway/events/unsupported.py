"""Objects that this version did not understand. Their events were acknowledged; a newer version tries them (ADR 40)."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from payments_gateway.domain.stripe_events import EventRetriesPort, EventRetry, object_id
from payments_gateway.domain.webhook_events import WebhookEvent

_REASON: Final = "UnsupportedStripeObject"


class UnsupportedObjects:
    """`UnsupportedObjectsPort`: one retry for each object. `version` is that of this gateway."""

    def __init__(self, retries: EventRetriesPort, *, version: str, now: Callable[[], datetime]) -> None:
        self._retries = retries
        self._version = version
        self._now = now

    async def put(self, event: WebhookEvent) -> None:
        """Have another version of the gateway try the object again."""
        await self._retries.put(
            EventRetry(object_id(event), None, event, self._now(), _REASON, not_understood_by=self._version)
        )
