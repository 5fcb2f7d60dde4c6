"""Succeeded intents and the channel that reported them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orders.domain.checkout import Money


class IntentKind(StrEnum):
    """Kind of a Stripe intent: PaymentIntent or SetupIntent."""

    PAYMENT = "payment"
    SETUP = "setup"
    UNKNOWN = "unknown"
    """A word that a newer version wrote: shown, and left to that version."""


class ReportChannel(StrEnum):
    """Channel that reported a succeeded intent. Kept for the operator; decides nothing."""

    WEBHOOK = "webhook"
    BROWSER_RETURN = "browser_return"
    RECONCILER = "reconciler"
    UNKNOWN = "unknown"
    """A word that a newer version wrote."""


@dataclass(frozen=True, slots=True)
class Intent:
    """Stripe intent, by id."""

    id: str
    kind: IntentKind


@dataclass(frozen=True, slots=True)
class Payment:
    """Succeeded intent. `received` is None for a SetupIntent, which takes no money.

    `intent_created_at` is the time of the intent's creation at Stripe, by which its lists filter.
    `payment_method_id` is the PaymentMethod that paid or was set up; None when the report did not name it.
    `customer_id` is the Stripe customer that pays for the recurring lines; None without recurring lines. A purchase has
    it with its subscriptions, a quarantined payment here, so that an erasure can name it whatever its content is.
    """

    intent: Intent
    attempt_id: str
    received: Money | None
    livemode: bool
    intent_created_at: datetime
    payment_method_id: str | None = None
    customer_id: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentReport:
    """Report of a succeeded intent. `stripe_event_id` is None unless a webhook brought it."""

    channel: ReportChannel
    stripe_event_id: str | None
