"""Client secrets for the first charges of subscriptions that were declined or need the buyer."""

from collections.abc import Iterable, Mapping

from payments_gateway.domain.stripe_billing import StripeSubscriptionsPort
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripeUnavailable, UnsupportedStripeObject
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus


class IncompletePayments:
    """Retrieves client secrets of open first charges. They are never stored and never logged."""

    def __init__(self, billing: StripeSubscriptionsPort) -> None:
        self._billing = billing

    async def client_secrets(self, subscriptions: Iterable[Subscription]) -> Mapping[str, str]:
        """Return, by subscription id, the client secret of each first charge that the buyer can complete now.

        It is left out while Stripe is unavailable: nothing can be paid then either.
        """
        found = {each.id: await self._client_secret(each) for each in subscriptions}
        return {each: secret for each, secret in found.items() if secret is not None}

    async def _client_secret(self, subscription: Subscription) -> str | None:
        if subscription.status is not SubscriptionStatus.INCOMPLETE or subscription.stripe_subscription_id is None:
            return None
        try:
            snapshot = await self._billing.retrieve(subscription.stripe_subscription_id, with_client_secret=True)
        except (StripeUnavailable, NotFoundAtStripe, UnsupportedStripeObject):
            return None
        # The recorded state may be older: a charge that was completed since must not be offered again.
        if snapshot.state.status is not SubscriptionStatus.INCOMPLETE or not snapshot.awaits_buyer:
            return None
        return snapshot.client_secret
