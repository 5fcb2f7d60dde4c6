"""Succeeded intents and the channel by which the news of them came."""

from dataclasses import dataclass
from enum import StrEnum

from orders.domain.checkout import Money


class IntentKind(StrEnum):
    """Which of Stripe's two intent resources an id names."""

    PAYMENT = "payment"
    SETUP = "setup"


class ReportChannel(StrEnum):
    """By which channel the news of a succeeded intent arrived. Decides nothing."""

    WEBHOOK = "webhook"
    BROWSER_RETURN = "browser_return"
    RECONCILER = "reconciler"


@dataclass(frozen=True, slots=True)
class Intent:
    """A Stripe intent, by id."""

    id: str
    kind: IntentKind


@dataclass(frozen=True, slots=True)
class Payment:
    """A succeeded intent. `received` is None for a SetupIntent, which takes no money.

    `payment_method_id` is what paid or was set up; None where nobody said.
    """

    intent: Intent
    attempt_id: str
    received: Money | None
    livemode: bool
    payment_method_id: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentReport:
    """How the payment was reported. `stripe_event_id` is None unless a webhook brought it."""

    channel: ReportChannel
    stripe_event_id: str | None
