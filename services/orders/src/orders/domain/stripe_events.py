"""Stripe's events that were handled, and those to try again (ADR 40)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

FIRST_RETRY_AFTER: Final = timedelta(minutes=1)
"""Time until the first retry. It doubles with each failure."""
LONGEST_RETRY_AFTER: Final = timedelta(hours=1)
"""Longest time between two retries."""


class EventKind(StrEnum):
    """Effect of an event."""

    PAYMENT_SUCCEEDED = "payment_succeeded"
    SETUP_SUCCEEDED = "setup_succeeded"
    REFUND_CHANGED = "refund_changed"
    CHARGE_REFUNDED = "charge_refunded"
    DISPUTE_CHANGED = "dispute_changed"
    SUBSCRIPTION_CHANGED = "subscription_changed"
    SUBSCRIPTION_ITEM_CHANGED = "subscription_item_changed"
    UNKNOWN = "unknown"
    """A word that a newer version wrote."""


@dataclass(frozen=True, slots=True)
class HandledEvent:
    """Event that was handled."""

    id: str
    type: str
    """Stripe's type of the event."""
    created_at: datetime
    """Time when Stripe created it."""


@dataclass(frozen=True, slots=True)
class EventObject:
    """Object that an event is about."""

    kind: EventKind
    stripe_id: str
    subscription_id: str | None
    """Our id of a subscription, as its metadata name it."""
    stripe_invoice_id: str | None


@dataclass(frozen=True, slots=True)
class EventRetry:
    """Event to try again, or object that a version of the gateway did not understand."""

    id: str
    """Stripe's id of the event; of the object, where no event is known."""
    type: str | None
    """Stripe's type of the event; None if none is known."""
    object: EventObject
    created_at: datetime
    failures: int
    """Number of failed tries."""
    reason: str
    """Word for the last failure."""
    not_understood_by: str | None
    """Version of the gateway that did not understand the object; None for any other failure."""


@dataclass(frozen=True, slots=True)
class ClaimedRetries:
    """Retries that were claimed."""

    retries: list[EventRetry]
    waiting: int
    """All rows that are waiting, due or not."""
    oldest_created_at: datetime | None
    """Creation of the oldest one that the version tries again; None if there is none."""


@dataclass(frozen=True, slots=True)
class ClaimedCursor:
    """Result of claiming a cursor."""

    claimed: bool
    """False while another caller has the lease."""
    position: datetime | None
    """None if the cursor was never advanced."""
