"""The checkout attempt as the gateway knows it, and the port to the service that owns it."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from payments_gateway.domain.money import Money


class IntentKind(Enum):
    """Which of Stripe's two intent resources."""

    PAYMENT = "payment"
    SETUP = "setup"


@dataclass(frozen=True)
class IntentRef:
    """A Stripe intent, by id."""

    id: str
    kind: IntentKind


@dataclass(frozen=True)
class Contact:
    """How the shop reaches the buyer."""

    name: str
    email: str
    phone: str | None


@dataclass(frozen=True)
class Address:
    """A postal address in Stripe's terms; country is ISO 3166-1 alpha-2."""

    line1: str
    line2: str | None
    city: str | None
    state: str | None
    postal_code: str | None
    country: str


@dataclass(frozen=True)
class ShippingOption:
    """The Stripe ShippingRate that the buyer chose, as it was then."""

    shipping_rate_id: str
    name: str
    amount: Money


class Interval(Enum):
    """The unit of a billing interval, in Stripe's words."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True)
class Recurring:
    """How often a recurring price charges, and when first."""

    interval: Interval
    interval_count: int
    """How many intervals lie between two charges."""
    trial_days: int
    """Days before the first charge; 0 for none."""


@dataclass(frozen=True)
class LineItem:
    """One priced line of a cart. Its sum is unit_price times quantity."""

    price_id: str
    product_id: str
    name: str
    quantity: int
    unit_price: Money
    recurring: Recurring | None = None
    """None for a one-time price."""


@dataclass(frozen=True)
class CheckoutContext:
    """What the buyer is checking out: all that fulfilment needs and Stripe must not carry."""

    user_id: str | None
    """From a verified token; None for a guest."""
    contact: Contact
    shipping_address: Address | None
    shipping_option: ShippingOption | None
    items: tuple[LineItem, ...]
    total: Money
    """What the intent takes: the one-time lines and the shipping. Must equal what Stripe receives (P5).
    0 when the intent is a SetupIntent, which takes nothing."""
    pay_by: datetime
    supersedes: str | None
    """The attempt that this one replaces."""
    stripe_customer_id: str | None = None
    """Whom Stripe will charge again and again. Set exactly when a line is recurring."""


class CloseReason(Enum):
    """Why an attempt takes no further saves."""

    SUPERSEDED = "superseded"
    PAY_BY_PASSED = "pay_by_passed"


class DeleteReason(Enum):
    """Why an attempt's content is gone."""

    RECORDED = "recorded"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Attempt:
    """A stored attempt."""

    attempt_id: str
    request_hash: bytes
    context: CheckoutContext
    intent: IntentRef
    close_reason: CloseReason | None

    @property
    def user_id(self) -> str | None:
        """Whose attempt it is; None for a guest's."""
        return self.context.user_id


@dataclass(frozen=True)
class Tombstone:
    """What remains of a deleted attempt."""

    attempt_id: str
    reason: DeleteReason
    close_reason: CloseReason | None
    user_id: str | None


@dataclass(frozen=True)
class SavedAttempt:
    """What a save came to: the attempt as stored, and whether it stood before."""

    attempt: Attempt
    replayed: bool


class AttemptClosed(Exception):
    """The attempt was superseded, paid or given up: its id takes no further saves."""


class RequestHashMismatch(Exception):
    """The attempt's id is stored for another request."""


class AttemptTooLarge(Exception):
    """The checkout has more content than is stored for one attempt."""


class AttemptsPort(Protocol):
    """The service that owns attempts. Every method may raise ServiceUnavailable."""

    async def save(
        self, attempt_id: str, request_hash: bytes, context: CheckoutContext, intent: IntentRef
    ) -> SavedAttempt:
        """Store an attempt, or answer the one stored. Raises AttemptClosed, RequestHashMismatch, AttemptTooLarge."""

    async def find(self, attempt_id: str) -> Attempt | Tombstone | None:
        """Return the attempt or its tombstone; None if the id was never saved or is long gone."""

    async def close(self, attempt_id: str, reason: CloseReason) -> None:
        """Bar further saves, keep the content."""

    async def delete(self, attempt_id: str, reason: DeleteReason) -> None:
        """Remove the content, leave a tombstone (P4 says when)."""


def is_attempt_id(text: str) -> bool:
    """Whether text has the form of every attempt id that we give out: a UUID, canonical and in lower case."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
