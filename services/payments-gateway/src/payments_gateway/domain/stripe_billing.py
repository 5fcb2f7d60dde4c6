"""Subscriptions and invoices at Stripe Billing, and the port to them."""

from dataclasses import dataclass
from typing import Protocol

from payments_gateway.domain.subscriptions import (
    StripeSubscriptionState,
    Subscription,
    SubscriptionInvoice,
)


@dataclass(frozen=True, slots=True)
class StripeInvoice:
    """Snapshot of an invoice at Stripe."""

    invoice: SubscriptionInvoice
    stripe_subscription_id: str | None
    """The subscription that it bills; None for another invoice."""


@dataclass(frozen=True, slots=True)
class StripeSubscription:
    """Snapshot of a subscription at Stripe."""

    state: StripeSubscriptionState
    subscription_id: str | None
    """metadata.subscriptionId; None if it is not ours."""
    latest_invoice: SubscriptionInvoice | None
    """None if it has none, or if Stripe returned only its id."""
    client_secret: str | None = None
    """Client secret of the open invoice's payment. None unless it was requested, and if no invoice is open."""

    def __repr__(self) -> str:
        """Omit the client secret: a repr may end in a log."""
        return f"StripeSubscription({self.state.stripe_subscription_id}, {self.state.status.value})"

    @property
    def id(self) -> str:
        """Id at Stripe."""
        return self.state.stripe_subscription_id


class SubscriptionRefused(Exception):
    """Stripe refuses for good to create or change the subscription."""

    def __init__(self, code: str) -> None:
        """Carry Stripe's error code, such as resource_missing."""
        super().__init__(f"refused by Stripe: {code}")
        self.code = code


class StripeSubscriptionsPort(Protocol):
    """Stripe's subscriptions.

    Every method may raise StripeUnavailable, and UnsupportedStripeObject where it returns an object.
    """

    async def create(self, subscription: Subscription) -> StripeSubscription:
        """Create the Stripe subscription, once per activation generation however often it is called.

        Raises IdempotencyKeyExhausted where this generation's key replays a failure, SubscriptionRefused.
        """

    async def find_existing(self, subscription: Subscription) -> str | None:
        """Return the id of the customer's Stripe subscription that names this one; None if there is none.

        It may be one that cannot be stored.
        """

    async def retrieve(self, stripe_subscription_id: str, *, with_client_secret: bool = False) -> StripeSubscription:
        """Return a subscription's present state, with its latest invoice. Raises NotFoundAtStripe."""

    async def find_by_item(self, stripe_item_id: str) -> str:
        """Return the id of the Stripe subscription that has an item. Raises NotFoundAtStripe."""

    async def retrieve_invoice(self, stripe_invoice_id: str) -> StripeInvoice:
        """Return an invoice's present state. Raises NotFoundAtStripe."""

    async def cancel_at_period_end(self, stripe_subscription_id: str, *, ends: bool) -> StripeSubscription:
        """Cancel the subscription at the end of its current period, or take that back, whoever asked for it.

        An end at another date stays. Raises NotFoundAtStripe, SubscriptionRefused.
        """

    async def cancel_now(self, stripe_subscription_id: str) -> StripeSubscription:
        """Cancel the subscription at once; an ended one is returned as it is. Raises NotFoundAtStripe.

        UnsupportedStripeObject comes after the effect.
        """
