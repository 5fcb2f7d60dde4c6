"""Checkout attempts, and the port to checkout-session, which stores them."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from payments_gateway.domain.money import Money


class IntentKind(StrEnum):
    """Stripe's two intent resources: PaymentIntent and SetupIntent."""

    PAYMENT = "payment"
    SETUP = "setup"
    UNKNOWN = "unknown"
    """A kind of a newer version: shown in lists, and left to that version."""


KNOWN_KINDS: Final = (IntentKind.PAYMENT, IntentKind.SETUP)
"""Kinds that this version handles."""


@dataclass(frozen=True, slots=True)
class IntentRef:
    """A Stripe intent, by id."""

    id: str
    kind: IntentKind


@dataclass(frozen=True, slots=True)
class Contact:
    """Contact data of the buyer."""

    name: str
    email: str
    phone: str | None


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address in Stripe's fields; country is ISO 3166-1 alpha-2."""

    line1: str
    line2: str | None
    city: str | None
    state: str | None
    postal_code: str | None
    country: str


@dataclass(frozen=True, slots=True)
class ShippingOption:
    """The Stripe ShippingRate that the buyer chose, as it was at that time."""

    shipping_rate_id: str
    name: str
    amount: Money


class Interval(StrEnum):
    """The unit of a billing interval, in Stripe's values."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    UNKNOWN = "unknown"
    """Added by a newer version of orders."""


@dataclass(frozen=True, slots=True)
class Recurring:
    """Billing interval and trial of a recurring price."""

    interval: Interval
    interval_count: int
    """Number of intervals between two charges."""
    trial_days: int
    """Days before the first charge; 0 for none."""

    @property
    def period(self) -> tuple[Interval, int]:
        """Unit and count of the billing interval."""
        return self.interval, self.interval_count


@dataclass(frozen=True, slots=True)
class LineItem:
    """One priced line of a cart."""

    price_id: str
    product_id: str
    name: str
    quantity: int
    unit_price: Money
    recurring: Recurring | None = None
    """None for a one-time price."""

    @property
    def amount(self) -> Money:
        """The unit price times the quantity."""
        return self.unit_price.times(self.quantity)


@dataclass(frozen=True, slots=True)
class CheckoutContext:
    """Content of a checkout: everything that fulfilment needs and Stripe must not receive (P1)."""

    user_id: str | None
    """From a verified token; None for a guest."""
    contact: Contact
    shipping_address: Address | None
    shipping_option: ShippingOption | None
    items: tuple[LineItem, ...]
    total: Money
    """Amount of the intent: the one-time lines and the shipping; 0 for a SetupIntent. Stripe must receive exactly this
    (P5)."""
    pay_by: datetime
    supersedes: str | None
    """Id of the attempt that this one replaces."""
    stripe_customer_id: str | None = None
    """Customer that the subscriptions bill. Set exactly when a line is recurring."""


class CloseReason(StrEnum):
    """Reason for which an attempt accepts no further saves."""

    SUPERSEDED = "superseded"
    PAY_BY_PASSED = "pay_by_passed"
    UNKNOWN = "unknown"
    """Added by a newer version of checkout-session."""


class DeleteReason(StrEnum):
    """Reason for which an attempt's content was deleted."""

    RECORDED = "recorded"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A stored attempt."""

    attempt_id: str
    request_hash: bytes
    context: CheckoutContext
    intent: IntentRef
    close_reason: CloseReason | None
    successor: str | None = None
    """Id of the attempt that superseded it."""

    @property
    def user_id(self) -> str | None:
        """Owner of the attempt; None for a guest."""
        return self.context.user_id


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Record left of a deleted attempt; it has no content."""

    attempt_id: str
    reason: DeleteReason
    close_reason: CloseReason | None
    user_id: str | None
    successor: str | None = None
    """Id of the attempt that superseded it."""


@dataclass(frozen=True, slots=True)
class UnreadableAttempt:
    """A stored attempt whose content cannot be decrypted now: its key is not configured, or it was changed."""

    attempt_id: str
    user_id: str | None
    intent: IntentRef
    encrypted_content: bytes = field(repr=False)
    key_id: str
    """Id of the key that the content is encrypted with; empty if it is unknown."""
    close_reason: CloseReason | None
    successor: str | None = None
    """Id of the attempt that superseded it."""


FoundAttempt = Attempt | UnreadableAttempt | Tombstone
"""Everything that checkout-session may know about an attempt id."""


@dataclass(frozen=True, slots=True)
class ClosedAttempt:
    """Result of closing an attempt."""

    found: FoundAttempt | None
    """The attempt or tombstone under the id; None if it was never saved."""
    successor: str | None
    """Id of the attempt that superseded it, which may be another one than the caller named."""


@dataclass(frozen=True, slots=True)
class SavedAttempt:
    """Result of a save."""

    attempt: Attempt
    """The attempt as it is stored."""
    replayed: bool
    """True if an earlier save had stored it."""


class AttemptClosed(Exception):
    """The attempt was superseded, paid or cancelled: its id accepts no further saves."""


class RequestHashMismatch(Exception):
    """The attempt id is stored with another request."""


class AttemptTooLarge(Exception):
    """The checkout has more content than checkout-session stores for one attempt."""


class AttemptsPort(Protocol):
    """checkout-session, which owns attempts. Every method may raise ServiceUnavailable."""

    async def save(
        self, attempt_id: str, request_hash: bytes, context: CheckoutContext, intent: IntentRef
    ) -> SavedAttempt:
        """Store an attempt, or return the stored one. Raises AttemptClosed, RequestHashMismatch, AttemptTooLarge."""

    async def find(self, attempt_id: str) -> FoundAttempt | None:
        """Return the attempt or its tombstone; None if the id was never saved or its tombstone has expired."""

    async def close(self, attempt_id: str, reason: CloseReason, successor: str | None = None) -> ClosedAttempt:
        """Reject further saves and keep the content. The first successor stays, and is returned."""

    async def delete(self, attempt_id: str, reason: DeleteReason) -> None:
        """Delete the content and leave a tombstone, only where P4 allows it."""

    async def delete_all(self, attempt_ids: Sequence[str], reason: DeleteReason) -> None:
        """Delete at most 1,000 attempts like `delete`. After an error any of them may be deleted."""


def is_attempt_id(text: str) -> bool:
    """Return True for a canonical, lower-case UUID, the form of every id that Holdfast generates."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
