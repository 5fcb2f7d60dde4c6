"""Log of Stripe's events that were handled, and of those to try again (ADR 40)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, assert_never

from payments_gateway.domain.stripe_errors import UnsupportedStripeObject
from payments_gateway.domain.webhook_events import (
    ChargeRefunded,
    DisputeChanged,
    IntentSucceeded,
    RefundChanged,
    SubscriptionChanged,
    SubscriptionItemChanged,
    UnreadableIntentSucceeded,
    WebhookEvent,
)


@dataclass(frozen=True, slots=True)
class HandledEvent:
    """Event that was handled."""

    id: str
    type: str
    """Stripe's type of the event."""
    created_at: datetime
    """Time when Stripe created it."""


@dataclass(frozen=True, slots=True)
class ListedEvent:
    """Event in Stripe's list. It names its object by id only, as every API version does."""

    id: str
    type: str
    created_at: datetime
    event: WebhookEvent


@dataclass(frozen=True, slots=True)
class EventRetry:
    """Event to try again, or object that a version of the gateway did not understand."""

    id: str
    """Stripe's id of the event; of the object, where no event is known."""
    type: str | None
    """Stripe's type of the event; None if none is known."""
    event: WebhookEvent
    created_at: datetime
    reason: str
    """Word for the last failure."""
    not_understood_by: str | None = None
    """Version of the gateway that did not understand the object; None for any other failure."""
    failures: int = 0
    """Number of failed tries. orders counts them."""


@dataclass(frozen=True, slots=True)
class ClaimedRetries:
    """Due retries that were claimed."""

    retries: Sequence[EventRetry]
    waiting: int
    """All retries, due or not."""
    oldest_created_at: datetime | None = None
    """Creation of the oldest event that this version tries again; None if there is none."""


@dataclass(frozen=True, slots=True)
class ClaimedCursor:
    """Lease of a cursor."""

    position: datetime | None
    """None if the cursor was never advanced."""


class EventLogPort(Protocol):
    """Log of handled events in orders. Every method may raise ServiceUnavailable."""

    async def log(self, events: Sequence[HandledEvent]) -> None:
        """Log events that were handled, at most 1,000. A repeat changes nothing."""

    async def find_unlogged(self, event_ids: Sequence[str]) -> Sequence[str]:
        """Return those of the events, at most 1,000, that are neither logged nor waiting to be tried again."""

    async def prune(self, created_before: datetime) -> bool:
        """Delete a limited number of old log rows. False if there may be more."""


class EventRetriesPort(Protocol):
    """Events to try again, in orders. Every method may raise ServiceUnavailable."""

    async def put(self, retry: EventRetry) -> None:
        """Write a failure. The time to the next try doubles with each."""

    async def claim_due(self, limit: int, lease: timedelta, version: str) -> ClaimedRetries:
        """Claim due retries but those that this version did not understand. They are due again after the lease."""

    async def finish(self, retry: EventRetry) -> None:
        """Delete a retry that was handled, unless it failed again since it was claimed."""


class CursorsPort(Protocol):
    """Positions of reconcilers in orders. Every method may raise ServiceUnavailable."""

    async def claim(self, name: str, lease: timedelta) -> ClaimedCursor | None:
        """Lease a cursor; None while another reconciler has it."""

    async def advance(self, name: str, position: datetime, lease: timedelta) -> None:
        """Move a cursor forward, never back, and keep it for the lease; zero gives it up."""


class TooManyEvents(Exception):
    """There are more events than asked for: since `listed_from` alone, and at least as many before it."""

    def __init__(self, listed_from: datetime) -> None:
        super().__init__("more events than asked for")
        self.listed_from = listed_from


class EventsAtStripe(Protocol):
    """Stripe's list of events."""

    async def list_between(self, since: datetime, until: datetime | None, limit: int | None) -> Sequence[ListedEvent]:
        """Return the events of our own account that have an effect, oldest first. `until` None has no end.

        Raises TooManyEvents, StripeUnavailable.
        """


class UnsupportedObjectsPort(Protocol):
    """Objects that were acknowledged although this version did not understand them."""

    async def put(self, event: WebhookEvent, error: UnsupportedStripeObject) -> None:
        """Have the object tried again once it may be understood. Raises ServiceUnavailable."""


def object_id(event: WebhookEvent) -> str:
    """Return Stripe's id of the object that an event is about."""
    match event:
        case IntentSucceeded(intent):
            return intent.ref.id
        case UnreadableIntentSucceeded(ref):
            return ref.id
        case SubscriptionChanged():
            return event.stripe_invoice_id or event.stripe_subscription_id
        case RefundChanged(stripe_id) | DisputeChanged(stripe_id):
            return stripe_id
        case ChargeRefunded(stripe_id) | SubscriptionItemChanged(stripe_id):
            return stripe_id
        case _:
            assert_never(event)
