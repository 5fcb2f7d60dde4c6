"""Both sides of an audit: succeeded intents at Stripe, and payment decisions in orders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.money import Money

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PaidIntent:
    """An intent that succeeded at Stripe."""

    ref: IntentRef
    created_at: datetime
    attempt_id: str | None
    """metadata.checkoutAttemptId, if it is a text."""
    received: Money | None
    """None for a SetupIntent."""
    refunded: Money | None
    """Sum of its refunds that are made or pending; None for a SetupIntent."""


@dataclass(frozen=True, slots=True)
class RecordedPayment:
    """A payment decision."""

    intent: IntentRef
    attempt_id: str
    received: Money | None
    """None, or 0, for a SetupIntent."""
    livemode: bool
    intent_created_at: datetime
    quarantined: bool
    refunded: tuple[Money, ...]
    """Sums of its refunds that are made or pending, one for each currency."""


@dataclass(frozen=True, slots=True)
class Window:
    """Intents of one kind that were created from a time on."""

    kind: IntentKind
    created_from: datetime


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A page of a list, the last created first."""

    found: Sequence[T]
    next: str | None
    """Place after which the next page starts; None on the last page."""
    looked_at: int
    """Number of things that were read for it."""


class PaidIntentsPort(Protocol):
    """Stripe's lists of intents. Every method may raise StripeUnavailable."""

    async def page(self, window: Window, after: str | None) -> Listing[PaidIntent]:
        """Return a page of the intents that succeeded, the last created first."""

    async def find(self, ref: IntentRef) -> PaidIntent | None:
        """Return an intent if it succeeded; None if it did not, or if Stripe does not know it."""


class RecordedPaymentsPort(Protocol):
    """Payment decisions in orders. Every method may raise ServiceUnavailable."""

    async def page(self, window: Window, after: str | None) -> Listing[RecordedPayment]:
        """Return a page of the decisions, the last created intent first."""

    async def find(self, intent_ids: Sequence[str]) -> Mapping[str, RecordedPayment]:
        """Return the decisions on at most 1000 intents, by the intent's id."""
