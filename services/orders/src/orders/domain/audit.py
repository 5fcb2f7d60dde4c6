"""Payment decisions as an audit compares them with Stripe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from orders.domain.checkout import Money
from orders.domain.pagination import PageRequest
from orders.domain.payments import Intent, IntentKind


@dataclass(frozen=True, slots=True)
class RecordedPayment:
    """Payment decision without personal data."""

    intent: Intent
    attempt_id: str
    received: Money | None
    livemode: bool
    intent_created_at: datetime
    decided_at: datetime
    quarantined: bool
    """False for a purchase."""
    refunded: Mapping[str, int]
    """Sums, in minor units, of the refunds that succeeded or are under way, by currency."""


@dataclass(frozen=True, slots=True)
class PaymentIds:
    """Ids of intents and of attempts."""

    intents: Sequence[str]
    attempts: Sequence[str]


@dataclass(frozen=True, slots=True)
class PaymentRange:
    """Page of the decisions on intents of one kind that were created from a time on, the last first."""

    kind: IntentKind
    created_from: datetime
    page: PageRequest
