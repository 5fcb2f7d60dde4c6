"""Objects that this version did not understand. Their events were acknowledged; a newer version tries them (ADR 40)."""

from collections.abc import Callable
from datetime import datetime

from payments_gateway.domain.stripe_errors import RefusedByOrders, UnsupportedStripeObject
from payments_gateway.domain.stripe_events import EventRetriesPort, EventRetry, object_id
from payments_gateway.domain.webhook_events import WebhookEvent


class UnsupportedObjects:
    """`UnsupportedObjectsPort`: one retry for each object. `version` is that of this gateway."""

    def __init__(self, retries: EventRetriesPort, *, version: str, now: Callable[[], datetime]) -> None:
        self._retries = retries
        self._version = version
        self._now = now

    async def put(self, event: WebhookEvent, error: UnsupportedStripeObject) -> None:
        """Have another version of the gateway try the object again; any version if it was orders that refused it.

        A rollout replaces orders after the gateways, so the same gateway may succeed a minute later.
        """
        version = None if isinstance(error, RefusedByOrders) else self._version
        reason = type(error).__name__
        await self._retries.put(EventRetry(object_id(event), None, event, self._now(), reason, version))
