"""Lists of Stripe's intents by time of creation, and the port to them: one request shows a hundred."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from payments_gateway.domain.attempts import IntentKind
from payments_gateway.domain.intents import StripeIntent


@dataclass(frozen=True, slots=True)
class ListPosition:
    """Last intent of a page, after which the next page begins."""

    intent_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class IntentPage:
    """A page of intents, newest first."""

    intents: tuple[StripeIntent, ...]
    """PaymentIntents show their refunds. Those in a form that cannot be read, as of other software, are left out."""
    end: ListPosition | None
    """None if no page follows."""


class IntentListsPort(Protocol):
    """Lists of intents at Stripe. May raise StripeUnavailable."""

    async def page(
        self, kind: IntentKind, created_from: datetime, created_to: datetime, *, after: ListPosition | None = None
    ) -> IntentPage:
        """Return at most a hundred intents created within both times, to the second, or those after a position."""
