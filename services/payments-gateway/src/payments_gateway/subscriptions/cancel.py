"""Cancels a user's subscription at once or at the end of its period, or takes the latter back.

The change is made at Stripe first, whose state is authoritative, and then written to orders.
"""

from enum import StrEnum
from typing import Final

from payments_gateway.domain.stripe_billing import StripeSubscription, StripeSubscriptionsPort, SubscriptionRefused
from payments_gateway.domain.stripe_errors import NotFoundAtStripe
from payments_gateway.domain.subscriptions import (
    ENDED_STATUSES,
    Subscription,
    SubscriptionNotFound,
    SubscriptionsPort,
    SubscriptionStatus,
)
from payments_gateway.subscriptions.sync import SubscriptionSync

_NOT_AT_STRIPE: Final = frozenset({SubscriptionStatus.PENDING, SubscriptionStatus.ACTIVATION_FAILED})


class CancelMode(StrEnum):
    """Time at which a subscription ends."""

    AT_PERIOD_END = "at_period_end"
    """The paid period is still delivered."""
    NOW = "now"
    UNDO = "undo"
    """Take back AT_PERIOD_END."""


class SubscriptionNotActiveYet(Exception):
    """The subscription does not exist at Stripe, so it cannot be cancelled there."""


class SubscriptionEnded(Exception):
    """The subscription has ended and cannot be resumed."""


class SubscriptionCancel:
    """Cancels subscriptions for their owners. Safe to repeat after a crash at any line."""

    def __init__(
        self, subscriptions: SubscriptionsPort, billing: StripeSubscriptionsPort, sync: SubscriptionSync
    ) -> None:
        self._subscriptions = subscriptions
        self._billing = billing
        self._sync = sync

    async def cancel(self, subscription_id: str, user_id: str, mode: CancelMode) -> Subscription:
        """Apply the mode and return the subscription's present state. Cancelling an ended one changes nothing.

        Raises SubscriptionNotFound, SubscriptionNotActiveYet, SubscriptionEnded, SubscriptionRefused,
        ConflictRetriesExhausted, StripeUnavailable, ServiceUnavailable.
        """
        subscription = await self._subscriptions.get_subscription(subscription_id)
        if subscription.user_id != user_id:
            raise SubscriptionNotFound
        if subscription.status in _NOT_AT_STRIPE or subscription.stripe_subscription_id is None:
            raise SubscriptionNotActiveYet
        if subscription.status not in ENDED_STATUSES:
            snapshot = await self._change(subscription.stripe_subscription_id, mode)
            subscription = await self._sync.apply_snapshot(subscription, snapshot, self._billing)
        if subscription.status in ENDED_STATUSES and mode is CancelMode.UNDO:
            raise SubscriptionEnded
        return subscription

    async def _change(self, stripe_subscription_id: str, mode: CancelMode) -> StripeSubscription:
        try:
            if mode is CancelMode.NOW:
                return await self._billing.cancel_now(stripe_subscription_id)
            ends = mode is CancelMode.AT_PERIOD_END
            return await self._billing.cancel_at_period_end(stripe_subscription_id, ends=ends)
        except (NotFoundAtStripe, SubscriptionRefused) as refused:
            return await self._retrieve_ended(stripe_subscription_id, refused)

    async def _retrieve_ended(self, stripe_subscription_id: str, refused: Exception) -> StripeSubscription:
        """Return the subscription if it has ended meanwhile, else raise the refusal."""
        try:
            snapshot = await self._billing.retrieve(stripe_subscription_id)
        except NotFoundAtStripe:
            raise SubscriptionEnded from None
        if snapshot.state.status not in ENDED_STATUSES:
            raise refused
        return snapshot
