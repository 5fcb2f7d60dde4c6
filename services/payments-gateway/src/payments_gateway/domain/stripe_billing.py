"""Stripe Billing as the gateway knows it, and the port to it."""

from dataclasses import dataclass
from typing import Protocol

from payments_gateway.domain.subscriptions import (
    InvoiceStatus,
    StripeSubscriptionState,
    Subscription,
    SubscriptionInvoice,
)


@dataclass(frozen=True)
class StripeInvoice:
    """An invoice as Stripe showed it at one moment."""

    shown: SubscriptionInvoice
    stripe_subscription_id: str | None
    """What it charges for; None for an invoice of no subscription."""


@dataclass(frozen=True)
class StripeSubscription:
    """A subscription as Stripe showed it at one moment."""

    state: StripeSubscriptionState
    subscription_id: str | None
    """metadata.subscriptionId; None when it is not ours."""
    livemode: bool
    latest_invoice: SubscriptionInvoice | None
    """None where it has none, or where only its id was shown."""
    client_secret: str | None = None
    """Lets the buyer finish the payment of the latest invoice. Only where it was asked for."""

    def __repr__(self) -> str:
        """Leave the client secret out: a repr may end in a log."""
        return f"StripeSubscription({self.state.stripe_subscription_id}, {self.state.status.value})"

    @property
    def id(self) -> str:
        """Stripe's id."""
        return self.state.stripe_subscription_id

    @property
    def awaits_buyer(self) -> bool:
        """Whether its latest charge is still open, so that the buyer can pay it."""
        return self.latest_invoice is not None and self.latest_invoice.status is InvoiceStatus.OPEN


class SubscriptionRefused(Exception):
    """Stripe refuses for good to do this with a subscription."""

    def __init__(self, code: str) -> None:
        """Carry Stripe's error code, such as resource_missing."""
        super().__init__(f"refused by Stripe: {code}")
        self.code = code


class StripeSubscriptionsPort(Protocol):
    """Stripe's subscriptions.

    Every method may raise StripeUnavailable, and UnsupportedStripeObject where it returns an object.
    """

    async def create(self, subscription: Subscription) -> StripeSubscription:
        """Make the Stripe subscription, once per generation of its activation, however often it is called.

        Raises IdempotencyKeyExhausted when this generation's key is of no more use, SubscriptionRefused.
        """

    async def find_existing(self, subscription: Subscription) -> StripeSubscription | None:
        """Look through all the customer's Stripe subscriptions for the one that was made for this one."""

    async def retrieve(self, stripe_subscription_id: str, *, with_client_secret: bool = False) -> StripeSubscription:
        """Return a subscription, with its latest invoice, as it stands now. Raises NotFoundAtStripe."""

    async def retrieve_invoice(self, stripe_invoice_id: str) -> StripeInvoice:
        """Return an invoice as it stands now. Raises NotFoundAtStripe."""

    async def cancel_at_period_end(self, stripe_subscription_id: str, *, ends: bool) -> StripeSubscription:
        """Let the subscription end with its current period, or not after all.

        Raises NotFoundAtStripe, SubscriptionRefused.
        """

    async def cancel_now(self, stripe_subscription_id: str) -> StripeSubscription:
        """End the subscription at once; one that has ended is returned as it is. Raises NotFoundAtStripe."""
