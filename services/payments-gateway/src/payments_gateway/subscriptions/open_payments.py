"""Client secrets of subscriptions' open invoices: charges that were declined or need the buyer."""

from collections.abc import Iterable, Mapping
from typing import Final

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.intents import IntentNotFound, IntentReader
from payments_gateway.domain.stripe_billing import StripeSubscriptionsPort
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripeUnavailable, UnsupportedStripeObject
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus

_UNPAID: Final = frozenset({SubscriptionStatus.INCOMPLETE, SubscriptionStatus.PAST_DUE})
"""Statuses in which the payment of the latest invoice makes the subscription active.

Source: https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses
"""


class OpenPayments:
    """Retrieves client secrets of open payments. They are never stored and never logged."""

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
            secret = snapshot.client_secret
            # The recorded state may be older: a charge that was completed since must not be offered again.
            if snapshot.state.status not in _UNPAID or not snapshot.awaits_buyer or secret is None:
                return None
            # A bank debit stays open, and the subscription incomplete, while it is processing.
            return secret if (await self._intents.retrieve(_intent_of(secret))).is_payable else None
        except (StripeUnavailable, NotFoundAtStripe, UnsupportedStripeObject, IntentNotFound):
            return None


def _intent_of(client_secret: str) -> IntentRef:
    """Return the PaymentIntent of an invoice's confirmation secret, which is always the secret of one.

    Source: https://docs.stripe.com/api/invoices/object#invoice_object-confirmation_secret-type
    """
    return IntentRef(client_secret.partition("_secret_")[0], IntentKind.PAYMENT)
