"""Payments of subscriptions' open invoices: charges that were declined, need the buyer, or are at the bank."""

from collections.abc import Iterable, Mapping
from typing import Final

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.intents import IntentNotFound, IntentReader, StripeIntent
from payments_gateway.domain.stripe_billing import StripeSubscription, StripeSubscriptionsPort
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripeUnavailable, UnsupportedStripeObject
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus

_UNPAID: Final = frozenset(
    {
        SubscriptionStatus.INCOMPLETE,
        SubscriptionStatus.PAST_DUE,
        SubscriptionStatus.UNPAID,
        SubscriptionStatus.PAUSED,
    }
)
"""Statuses in which the payment of the open invoice lets the subscription go on.

Source: https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses (unpaid: "pay the most recent
invoice", which is offered while it is open, not a draft), and for a pause after a failed renewal, whose invoice
"remains collectible", https://docs.stripe.com/changelog/endive/2026-09-30/pause-on-payment-failure. Most pauses leave
no open invoice.
"""


class OpenPayments:
    """Retrieves open payments. Their client secrets are never stored and never logged."""

    def __init__(self, billing: StripeSubscriptionsPort, intents: IntentReader) -> None:
        self._billing = billing
        self._intents = intents

    async def client_secrets(self, subscriptions: Iterable[Subscription]) -> Mapping[str, str]:
        """Return, by subscription id, the client secret of each open payment that the buyer can make now.

        It is left out while Stripe is unavailable: nothing can be paid then either.
        """
        found = {each.id: await self._client_secret(each) for each in subscriptions}
        return {each: secret for each, secret in found.items() if secret is not None}

    async def _client_secret(self, subscription: Subscription) -> str | None:
        if subscription.status not in _UNPAID or subscription.stripe_subscription_id is None:
            return None
        try:
            snapshot = await self._billing.retrieve(subscription.stripe_subscription_id, with_client_secret=True)
            # The recorded state may be older: a charge that was completed since must not be offered again.
            payment = await self._payment_of(snapshot) if snapshot.state.status in _UNPAID else None
        except (StripeUnavailable, NotFoundAtStripe, UnsupportedStripeObject, IntentNotFound):
            return None
        # A bank debit stays open, and the subscription incomplete, while it is processing.
        return snapshot.client_secret if payment is not None and payment.is_payable else None

    async def find(self, stripe_subscription_id: str) -> StripeIntent | None:
        """Return the payment of a subscription's open invoice. None if none is open, or if it cannot be read.

        Raises StripeUnavailable.
        """
        try:
            return await self._payment_of(await self._billing.retrieve(stripe_subscription_id, with_client_secret=True))
        except (NotFoundAtStripe, UnsupportedStripeObject, IntentNotFound):
            return None

    async def is_under_way(self, payment: StripeIntent) -> bool:
        """Return True if a payment that was found before is at the bank now, or paid. Raises StripeUnavailable."""
        try:
            return (await self._intents.retrieve(payment.ref)).is_under_way
        except IntentNotFound:
            return False

    async def _payment_of(self, snapshot: StripeSubscription) -> StripeIntent | None:
        secret = snapshot.client_secret
        return await self._intents.retrieve(_intent_of(secret)) if secret is not None else None


def _intent_of(client_secret: str) -> IntentRef:
    """Return the PaymentIntent of an invoice's confirmation secret, which is always the secret of one.

    Source: https://docs.stripe.com/api/invoices/object#invoice_object-confirmation_secret-type
    """
    return IntentRef(client_secret.partition("_secret_")[0], IntentKind.PAYMENT)
