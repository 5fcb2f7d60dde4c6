"""Lets a buyer finish the first charge of a subscription, where the bank refused it or asks for the buyer."""

from collections.abc import Iterable, Mapping

from payments_gateway.domain.stripe_billing import StripeSubscriptionsPort
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripeUnavailable, UnsupportedStripeObject
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus


class IncompletePayments:
    """Asks Stripe for the client secrets of open first charges. They are handed on, never stored and never logged."""

    def __init__(self, billing: StripeSubscriptionsPort) -> None:
        """Ask this Billing."""
        self._billing = billing

    async def client_secrets(self, subscriptions: Iterable[Subscription]) -> Mapping[str, str]:
        """Return the client secret of each subscription whose first charge the buyer can finish now, by our id.

        While Stripe is away nothing can be paid either: there is no secret then, and no failure.
        """
        found = {each.id: await self._secret_of(each) for each in subscriptions}
        return {each: secret for each, secret in found.items() if secret is not None}

    async def _secret_of(self, subscription: Subscription) -> str | None:
        if subscription.status is not SubscriptionStatus.INCOMPLETE or subscription.stripe_subscription_id is None:
            return None
        try:
            shown = await self._billing.retrieve(subscription.stripe_subscription_id, with_client_secret=True)
        except (StripeUnavailable, NotFoundAtStripe, UnsupportedStripeObject):
            return None
        # What is recorded may be older than this answer: a charge that was finished since must not be offered again.
        if shown.state.status is not SubscriptionStatus.INCOMPLETE or not shown.awaits_buyer:
            return None
        return shown.client_secret
