"""Cancels a user's subscription at once or at the end of its period, or takes the latter back.

The change is made at Stripe first, whose state is authoritative, and then written to orders. A subscription that is not
bound to one at Stripe is cancelled in orders, at once in any mode: no period has been paid (ADR 29). The caller is told
so only when no request that is under way can create it any more. One whose first charge is open is cancelled at once,
too: Stripe lets nothing else be changed then. None is cancelled at once while a payment of it is at the bank.
Source: https://docs.stripe.com/api/subscriptions/object#subscription_object-status
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from payments_gateway.domain.errors import ConflictRetriesExhausted, PaymentProcessing, VersionConflict
from payments_gateway.domain.stripe_billing import StripeSubscription, StripeSubscriptionsPort, SubscriptionRefused
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripeUnavailable, UnsupportedStripeObject
from payments_gateway.domain.subscriptions import (
    ENDED_STATUSES,
    Subscription,
    SubscriptionActivated,
    SubscriptionNotFound,
    SubscriptionsPort,
    SubscriptionStatus,
)
from payments_gateway.subscriptions.activation import Activation, report_charged
from payments_gateway.subscriptions.open_payments import OpenPayments
from payments_gateway.subscriptions.sync import SubscriptionSync
from servicekit.unavailable import ServiceUnavailable

_log = logging.getLogger(__name__)

_MAX_CONFLICTS: Final = 5
"""Writes of an activation that may be met before it is done."""


class CancelMode(StrEnum):
    """Time at which a subscription ends."""

    AT_PERIOD_END = "at_period_end"
    """The paid period is still delivered."""
    NOW = "now"
    UNDO = "undo"
    """Take back AT_PERIOD_END."""


class SubscriptionEnded(Exception):
    """The subscription has ended and cannot be resumed."""


class SubscriptionCancel:
    """Cancels subscriptions for their owners. Safe to repeat after a crash at any line."""

    def __init__(
        self,
        subscriptions: SubscriptionsPort,
        billing: StripeSubscriptionsPort,
        open_payments: OpenPayments,
        activation: Activation,
        sync: SubscriptionSync,
        *,
        creation_takes: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        """Set creation_takes to the longest time for which a request that creates a subscription is under way."""
        self._subscriptions = subscriptions
        self._billing = billing
        self._open_payments = open_payments
        self._activation = activation
        self._sync = sync
        self._creation_takes = creation_takes
        self._now = now

    async def cancel(self, subscription_id: str, user_id: str, mode: CancelMode) -> Subscription:
        """Apply the mode and return the subscription's present state. Cancelling an ended one changes nothing.

        Raises SubscriptionNotFound, SubscriptionEnded, SubscriptionRefused, PaymentProcessing,
        ConflictRetriesExhausted, StripeUnavailable, ServiceUnavailable.
        """
        subscription = await self._subscriptions.get_subscription(subscription_id)
        if subscription.user_id != user_id:
            raise SubscriptionNotFound
        if not subscription.is_bound and mode is not CancelMode.UNDO:
            subscription = await self._cancel_pending(subscription)
        if subscription.stripe_subscription_id is not None and subscription.status not in ENDED_STATUSES:
            snapshot = await self._change(subscription, subscription.stripe_subscription_id, mode)
            subscription = await self._sync.apply_snapshot(subscription, snapshot, self._billing)
        if subscription.status in ENDED_STATUSES and mode is CancelMode.UNDO:
            raise SubscriptionEnded
        return subscription

    async def _cancel_pending(self, subscription: Subscription) -> Subscription:
        """Cancel a subscription that is not bound; return it unchanged if it is bound meanwhile."""
        for _ in range(_MAX_CONFLICTS):
            try:
                cancelled = await self._subscriptions.cancel_pending(subscription.id, subscription.version)
            except (VersionConflict, SubscriptionActivated):
                subscription = await self._subscriptions.get_subscription(subscription.id)
                if subscription.is_bound:
                    return subscription
            else:
                return await self._end_activation(cancelled)
        raise ConflictRetriesExhausted

    async def _end_activation(self, cancelled: Subscription) -> Subscription:
        """End an activation that is under way. Raises StripeUnavailable while it may still charge the buyer.

        Once the requests that were under way at the cancel are over, whoever finds it at Stripe later cancels it.
        """
        if not cancelled.may_need_activation:
            self._require_failed_requests_over(cancelled)
            return cancelled
        try:
            return await self._activation.activate(cancelled.id)
        except (StripeUnavailable, UnsupportedStripeObject, ConflictRetriesExhausted, ServiceUnavailable) as error:
            cancelled_at = cancelled.cancel_requested_at or self._now()
            remaining = cancelled_at + self._creation_takes - self._now()
            if remaining > timedelta():
                raise StripeUnavailable(remaining.total_seconds()) from error
            _log.warning(
                "a cancelled subscription may still be created at Stripe",
                extra={"subscription": cancelled.id, "reason": type(error).__name__},
            )
            return cancelled

    def _require_failed_requests_over(self, cancelled: Subscription) -> None:
        """Raise StripeUnavailable while a request beside the one that Stripe refused may still charge the buyer."""
        failed_at = cancelled.activation_failed_at
        if failed_at is None or cancelled.is_bound or cancelled.payment_method_id is None:
            return  # none was ever sent, or it was found
        remaining = failed_at + self._creation_takes - self._now()
        if remaining > timedelta():
            raise StripeUnavailable(remaining.total_seconds())

    async def _change(
        self, subscription: Subscription, stripe_subscription_id: str, mode: CancelMode
    ) -> StripeSubscription:
        try:
            ends = mode is CancelMode.AT_PERIOD_END
            if mode is CancelMode.NOW or (
                ends and await self._awaits_first_charge(subscription, stripe_subscription_id)
            ):
                return await self._end(subscription, stripe_subscription_id)
            found = await self._find_ending(subscription, stripe_subscription_id) if ends else None
            return found or await self._billing.cancel_at_period_end(stripe_subscription_id, ends=ends)
        except (NotFoundAtStripe, SubscriptionRefused) as refused:
            return await self._retrieve_ended(stripe_subscription_id, refused)

    async def _end(self, subscription: Subscription, stripe_subscription_id: str) -> StripeSubscription:
        """End the subscription at once. Raises PaymentProcessing while a payment of it is at the bank.

        Such a payment can neither be cancelled nor refunded before it has arrived, and an end would not stop it.
        Source: https://docs.stripe.com/payments/paymentintents/lifecycle (processing)
        """
        payment = await self._open_payments.find(stripe_subscription_id)
        if payment is not None and payment.is_under_way:
            raise PaymentProcessing(subscription.checkout_attempt_id, subscription.user_id)
        ended = await self._billing.cancel_now(stripe_subscription_id)
        # The buyer may have paid in this moment.
        has_begun = payment is not None and await self._open_payments.is_under_way(payment)
        if has_begun or (subscription.status is SubscriptionStatus.INCOMPLETE and _is_paid(ended)):
            report_charged(subscription)
        return ended

    async def _awaits_first_charge(self, subscription: Subscription, stripe_subscription_id: str) -> bool:
        """Return True if no period has been paid that it could end with. The row may be older than the payment."""
        if subscription.status is not SubscriptionStatus.INCOMPLETE:
            return False
        found = await self._billing.retrieve(stripe_subscription_id)
        return found.state.status is SubscriptionStatus.INCOMPLETE

    async def _find_ending(self, subscription: Subscription, stripe_subscription_id: str) -> StripeSubscription | None:
        """Return the subscription if it ends within its period anyway, so that an earlier end is not postponed.

        Stripe is asked again, because that end may have been taken back since the row was written.
        """
        if subscription.state is None or not subscription.state.ends_within_the_period:
            return None
        found = await self._billing.retrieve(stripe_subscription_id)
        return found if found.state.ends_within_the_period else None

    async def _retrieve_ended(self, stripe_subscription_id: str, refused: Exception) -> StripeSubscription:
        """Return the subscription if it has ended meanwhile, else raise the refusal."""
        try:
            snapshot = await self._billing.retrieve(stripe_subscription_id)
        except NotFoundAtStripe:
            raise SubscriptionEnded from None
        if snapshot.state.status not in ENDED_STATUSES:
            raise refused
        return snapshot


def _is_paid(ended: StripeSubscription) -> bool:
    return ended.latest_invoice is not None and ended.latest_invoice.amount_paid.minor_units > 0
