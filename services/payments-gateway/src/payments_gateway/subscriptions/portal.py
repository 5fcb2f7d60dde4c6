"""Sessions of Stripe's customer portal, where a signed-in buyer changes the payment method and reads invoices."""

import logging
from typing import Protocol

from payments_gateway.domain.intents import CustomerMissing
from payments_gateway.domain.subscriptions import SubscriptionNotFound, SubscriptionsPort

_log = logging.getLogger(__name__)


class PortalNotConfigured(Exception):
    """Stripe opens no portal: nobody saved its settings in the Dashboard, or it refuses the return URL."""


class PortalSessionsPort(Protocol):
    """Stripe's portal sessions."""

    async def create(self, customer_id: str, return_url: str | None) -> str:
        """Return the URL of a new session; whoever has it acts as the customer for some minutes.

        Raises CustomerMissing, PortalNotConfigured, StripeUnavailable, UnsupportedStripeObject.
        """


class CustomerPortal:
    """Opens the portal for the owners of subscriptions. A session's URL is never stored and never logged."""

    def __init__(
        self, subscriptions: SubscriptionsPort, sessions: PortalSessionsPort, *, return_url: str | None
    ) -> None:
        """Send buyers back to return_url; None leaves that to the settings in the Dashboard."""
        self._subscriptions = subscriptions
        self._sessions = sessions
        self._return_url = return_url

    async def open(self, subscription_id: str, user_id: str) -> str:
        """Return the URL of a session for the subscription's customer.

        Raises SubscriptionNotFound, also while it is not bound: the portal would not show it. Raises CustomerMissing,
        PortalNotConfigured, StripeUnavailable, UnsupportedStripeObject, ServiceUnavailable.
        """
        subscription = await self._subscriptions.get_subscription(subscription_id)
        if subscription.user_id != user_id or not subscription.is_bound:
            raise SubscriptionNotFound
        try:
            return await self._sessions.create(subscription.stripe_customer_id, self._return_url)
        except CustomerMissing:
            _log.warning("customer of a subscription was deleted at Stripe", extra={"subscription": subscription.id})
            raise
        except PortalNotConfigured:
            _log.exception("Stripe opens no customer portal: save its settings in the Dashboard")
            raise
