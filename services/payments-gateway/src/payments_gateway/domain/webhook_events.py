"""What Stripe's webhooks tell us: every event that anything is done about is read as one of these."""

from dataclasses import dataclass

from payments_gateway.domain.intents import StripeIntent


@dataclass(frozen=True)
class IntentSucceeded:
    """An intent succeeded."""

    intent: StripeIntent


@dataclass(frozen=True)
class RefundChanged:
    """Something happened to a refund."""

    refund_id: str


@dataclass(frozen=True)
class ChargeRefunded:
    """A charge was refunded, in full or in part."""

    charge_id: str


@dataclass(frozen=True)
class DisputeChanged:
    """Something happened to a dispute."""

    dispute_id: str


@dataclass(frozen=True)
class SubscriptionChanged:
    """Something happened to a subscription, or to one of its invoices."""

    stripe_subscription_id: str
    subscription_id: str | None
    """metadata.subscriptionId, as the event shows it."""
    stripe_invoice_id: str | None
    """The invoice that it is about, if it is about one."""
    livemode: bool


WebhookEvent = IntentSucceeded | RefundChanged | ChargeRefunded | DisputeChanged | SubscriptionChanged
