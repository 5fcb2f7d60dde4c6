"""The webhook events that the gateway handles."""

from dataclasses import dataclass

from payments_gateway.domain.attempts import IntentRef
from payments_gateway.domain.intents import StripeIntent


@dataclass(frozen=True, slots=True)
class IntentSucceeded:
    """An intent succeeded."""

    intent: StripeIntent


@dataclass(frozen=True, slots=True)
class UnreadableIntentSucceeded:
    """An intent succeeded, and its event shows it in a form that is not relied on: another API version's."""

    ref: IntentRef
    livemode: bool | None
    """None if the event does not say it."""


@dataclass(frozen=True, slots=True)
class RefundChanged:
    """A refund was created or changed."""

    refund_id: str


@dataclass(frozen=True, slots=True)
class ChargeRefunded:
    """A charge was refunded, in full or in part; the event does not name the refund."""

    charge_id: str


@dataclass(frozen=True, slots=True)
class DisputeChanged:
    """A dispute was created or changed."""

    dispute_id: str


@dataclass(frozen=True, slots=True)
class SubscriptionChanged:
    """A subscription or one of its invoices was created or changed."""

    stripe_subscription_id: str
    subscription_id: str | None
    """metadata.subscriptionId in the event."""
    stripe_invoice_id: str | None
    """Id of the invoice, if the event is about one."""
    livemode: bool | None
    """None if the event's object does not say it."""


@dataclass(frozen=True, slots=True)
class SubscriptionItemChanged:
    """A subscription item's discount began or ended; the event does not name the subscription."""

    stripe_item_id: str


WebhookEvent = (
    IntentSucceeded
    | UnreadableIntentSucceeded
    | RefundChanged
    | ChargeRefunded
    | DisputeChanged
    | SubscriptionChanged
    | SubscriptionItemChanged
)
