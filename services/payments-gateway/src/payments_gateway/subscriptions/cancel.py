"""Ends a user's subscription: with its period, at once, or not after all.

Stripe is asked first: its state is the truth, and the row follows it.
"""

from enum import Enum
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


class CancelMode(Enum):
    """How a subscription is to end."""

    AT_PERIOD_END = "at_period_end"
    """What is paid for is still delivered."""
    NOW = "now"
    UNDO = "undo"
    """It goes on after all."""


class SubscriptionNotActiveYet(Exception):
    """The subscription does not exist at Stripe, so that nothing of it can be cancelled there."""


class SubscriptionEnded(Exception):
    """The subscription has ended: nothing brings it back."""


class SubscriptionCancel:
    """Cancels subscriptions for their owners. Safe to repeat after a crash at any line."""

    def __init__(
        self, subscriptions: SubscriptionsPort, billing: StripeSubscriptionsPort, sync: SubscriptionSync
    ) -> None:
        """Cancel subscriptions of this book at Stripe."""
        self._subscriptions = subscriptions
        self._billing = billing
        self._sync = sync

    async def cancel(self, subscription_id: str, user_id: str, mode: CancelMode) -> Subscription:
        """Do as the owner wishes; return the subscription as it then is. Ending what has ended changes nothing.

        Raises SubscriptionNotFound, SubscriptionNotActiveYet, SubscriptionEnded, SubscriptionRefused,
        ConflictRetriesExhausted, StripeUnavailable, ServiceUnavailable.
        """
        row = await self._subscriptions.get_subscription(subscription_id)
        if row.user_id != user_id:
            raise SubscriptionNotFound
        if row.status in _NOT_AT_STRIPE or row.stripe_subscription_id is None:
            raise SubscriptionNotActiveYet
        if row.status not in ENDED_STATUSES:
            shown = await self._changed(row.stripe_subscription_id, mode)
            row = await self._sync.apply_snapshot(row, shown, self._billing)
        if row.status in ENDED_STATUSES and mode is CancelMode.UNDO:
            raise SubscriptionEnded
        return row

    async def _changed(self, stripe_subscription_id: str, mode: CancelMode) -> StripeSubscription:
        try:
            if mode is CancelMode.NOW:
                return await self._billing.cancel_now(stripe_subscription_id)
            ends = mode is CancelMode.AT_PERIOD_END
            return await self._billing.cancel_at_period_end(stripe_subscription_id, ends=ends)
        except (NotFoundAtStripe, SubscriptionRefused) as refused:
            return await self._ended_meanwhile(stripe_subscription_id, refused)

    async def _ended_meanwhile(self, stripe_subscription_id: str, refused: Exception) -> StripeSubscription:
        """Return the subscription if that is why it could not be changed; it is news to the row."""
        try:
            shown = await self._billing.retrieve(stripe_subscription_id)
        except NotFoundAtStripe:
            raise SubscriptionEnded from None
        if shown.state.status not in ENDED_STATUSES:
            raise refused
        return shown
