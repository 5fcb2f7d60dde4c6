"""Creates bought subscriptions at Stripe, each exactly once (ADR 15).

It may run concurrently or be killed after any line: the idempotency key makes Stripe return the same subscription
again. Where Stripe may have forgotten the key, or replays a failure under it, and where an earlier generation failed,
existing subscriptions are searched before another one is created. A subscription that was cancelled meanwhile is never
created; if it is found at Stripe after all, it is cancelled there before it is bound (ADR 29).
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter

from payments_gateway.domain.errors import ConflictRetriesExhausted, VersionConflict
from payments_gateway.domain.purchases import Purchase
from payments_gateway.domain.stripe_billing import StripeSubscription, StripeSubscriptionsPort, SubscriptionRefused
from payments_gateway.domain.stripe_errors import (
    IdempotencyKeyExhausted,
    IdempotencyKeyReused,
    NotFoundAtStripe,
    StripeUnavailable,
    UnsupportedStripeObject,
)
from payments_gateway.domain.subscriptions import (
    ENDED_STATUSES,
    StripeSubscriptionMismatch,
    Subscription,
    SubscriptionNotFound,
    SubscriptionsPort,
    SubscriptionStatus,
)
from payments_gateway.subscriptions.open_payments import OpenPayments

_log = logging.getLogger(__name__)

ACTIVATIONS: Final = Counter("holdfast_activations", "Activations of subscriptions, by outcome.", ["outcome"])

_KEY_TRUSTED_FOR: Final = timedelta(hours=12)
"""Stripe may forget an idempotency key after 24 hours; half of that leaves room for clock skew."""
_KEY_ABANDONED_AFTER: Final = timedelta(hours=13)
"""A worker that still trusted the key has heard from Stripe by then, even with clock skew."""
_CREATION_ENDED_AFTER: Final = timedelta(minutes=10)
"""A worker that began before a cancellation or a refusal has heard from Stripe by then, even with clock skew."""
_MAX_ROUNDS: Final = 3
"""Keys tried, or version conflicts met, in one run; the next run continues."""
_NOT_FOUND_CODE: Final = "resource_missing"
"""Stripe's error code for a missing object."""


@dataclass(frozen=True, slots=True)
class Activated:
    """Result of activating a purchase."""

    purchase: Purchase
    """The purchase with its subscriptions' present state."""
    error: BaseException | None
    """The first failure that left a subscription pending."""


class Activation:
    """Activates pending subscriptions."""

    def __init__(
        self,
        subscriptions: SubscriptionsPort,
        billing: StripeSubscriptionsPort,
        open_payments: OpenPayments,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._subscriptions = subscriptions
        self._billing = billing
        self._open_payments = open_payments
        self._now = now

    async def activate_all(self, purchase: Purchase, *, within_seconds: float | None = None) -> Activated:
        """Activate what is left of a purchase's subscriptions. A failure of one does not stop the others.

        One after the other: Stripe locks the customer of a subscription that it creates, and answers another create
        meanwhile with lock_timeout (https://docs.stripe.com/rate-limits#object-lock-timeouts). Other processes and
        purchases can still meet the lock; StripeHttp waits for them.
        """
        customer = asyncio.Lock()
        pending = [each.id for each in purchase.subscriptions if each.may_need_activation]
        tasks = {each: asyncio.create_task(self._activate_alone(each, customer)) for each in pending}
        await _wait_or_cancel(tasks.values(), within_seconds)
        errors = {each: _error_of(task) for each, task in tasks.items()}
        activated = {each: tasks[each].result() for each in pending if errors[each] is None}
        subscriptions = tuple(activated.get(each.id, each) for each in purchase.subscriptions)
        first_error = next((error for error in errors.values() if error is not None), None)
        return Activated(replace(purchase, subscriptions=subscriptions), first_error)

    async def _activate_alone(self, subscription_id: str, customer: asyncio.Lock) -> Subscription:
        async with customer:
            return await self.activate(subscription_id)

    async def activate(self, subscription_id: str) -> Subscription:
        """Create a pending subscription at Stripe, or find it there, and bind it; return its present state.

        One that was cancelled while it was being created is only searched, and cancelled at Stripe.
        A definite refusal of Stripe's is recorded, not raised. Raises StripeUnavailable, UnsupportedStripeObject,
        ConflictRetriesExhausted, ServiceUnavailable; the call may be repeated.
        """
        subscription = await self._subscriptions.begin_activation(subscription_id)
        for _ in range(_MAX_ROUNDS):
            if not subscription.may_need_activation:
                return subscription
            try:
                created = await self._find_or_create(subscription)
                if created is not None:
                    return await self.bind(subscription, created)
            except SubscriptionRefused as refused:
                subscription = await self._record_refusal(subscription, refused.code)
                continue
            except NotFoundAtStripe:
                # Stripe replays the creation of a subscription that no longer exists: its test data were deleted.
                # A person decides before another one is created.
                subscription = await self._record_refusal(subscription, _NOT_FOUND_CODE)
                continue
            except UnsupportedStripeObject:
                _log.exception("unsupported Stripe subscription", extra={"subscription": subscription.id})
                ACTIVATIONS.labels("unsupported").inc()
                raise  # it stays pending: the buyer may have been charged
            subscription = await self._subscriptions.begin_activation(
                subscription.id, abandon_generation=subscription.activation_generation
            )
        raise StripeUnavailable  # Stripe fails under every key

    async def bind(self, subscription: Subscription, created: StripeSubscription) -> Subscription:
        """Bind a subscription to the Stripe subscription that was created for it and read after it.

        That of a cancelled subscription is cancelled first: if that fails, the row still shows what is left to do.
        Raises NotFoundAtStripe, UnsupportedStripeObject, StripeUnavailable, ConflictRetriesExhausted,
        ServiceUnavailable.
        """
        for _ in range(_MAX_ROUNDS):
            try:
                if subscription.cancel_requested_at is not None and created.state.status not in ENDED_STATUSES:
                    created = await self._end(subscription, created.id)
                bound = await self._subscriptions.activate(
                    subscription.id, subscription.version, created.state, created.latest_invoice
                )
            except VersionConflict:
                subscription = await self._subscriptions.get_subscription(subscription.id)
                created = await self._billing.retrieve(created.id)
            except StripeSubscriptionMismatch:
                report_duplicate(subscription, created.id)
                return await self._require_activated(subscription.id)
            else:
                _report(bound, created)
                return bound
        raise ConflictRetriesExhausted

    async def _end(self, subscription: Subscription, stripe_subscription_id: str) -> StripeSubscription:
        """End the Stripe subscription of a cancelled one. Raises StripeSubscriptionMismatch if it is another's.

        Our id in its metadata does not decide whose it is: anybody with the dashboard can edit that.
        """
        try:
            bound = await self._subscriptions.get_subscription_by_stripe_id(stripe_subscription_id)
        except SubscriptionNotFound:
            bound = subscription
        if bound.id != subscription.id:
            raise StripeSubscriptionMismatch
        payment = await self._open_payments.find(stripe_subscription_id)
        if payment is not None and payment.is_under_way:
            # Ending it does not stop a bank debit, and may hide it. So this comes first, and again in a repeat.
            report_charged(subscription)
        return await self._billing.cancel_now(stripe_subscription_id)

    async def _find_or_create(self, subscription: Subscription) -> StripeSubscription | None:
        """Return the Stripe subscription; None if none was created and this generation's key is exhausted."""
        if subscription.cancel_requested_at is not None:
            return await self._end_existing(subscription, subscription.cancel_requested_at)
        began_at = subscription.activation_began_at
        age = self._now() - began_at if began_at else timedelta()
        if age > _KEY_TRUSTED_FOR:
            # Never create with an old key: Stripe may have forgotten it while another worker uses the next one.
            found = await self._find_existing(subscription)
            if found is None and age <= _KEY_ABANDONED_AFTER:
                raise StripeUnavailable  # a worker may still create with this key: do not use the next one yet
            return found
        if subscription.activation_failed_at is not None:
            created_late = await self._find_of_failed(subscription, subscription.activation_failed_at)
            if created_late is not None:
                return created_late
        try:
            return await self._billing.create(subscription)
        except IdempotencyKeyReused:
            # Another release sends other parameters under this key, maybe at this moment. Nobody abandons the key
            # before it is too old for that release, too.
            adopted = await self._find_existing(subscription)
            if adopted is None:
                raise StripeUnavailable from None
            return adopted
        except IdempotencyKeyExhausted:
            # The replayed failure may have come after the creation: only the list of subscriptions shows that.
            return await self._find_existing(subscription)

    async def _find_existing(self, subscription: Subscription) -> StripeSubscription | None:
        stripe_subscription_id = await self._billing.find_existing(subscription)
        return await self._billing.retrieve(stripe_subscription_id) if stripe_subscription_id else None

    async def _find_of_failed(self, subscription: Subscription, failed_at: datetime) -> StripeSubscription | None:
        """Return the Stripe subscription that an earlier generation created although it failed for another worker.

        Stripe stores no refusal under the idempotency key if it comes before the execution
        (https://docs.stripe.com/api/idempotent_requests), so a late request of that generation succeeds once the price
        or the payment method is mended.
        """
        remaining = failed_at + _CREATION_ENDED_AFTER - self._now()
        if remaining > timedelta():
            raise StripeUnavailable(remaining.total_seconds())
        return await self._find_existing(subscription)

    async def _end_existing(self, subscription: Subscription, cancelled_at: datetime) -> StripeSubscription | None:
        """End the Stripe subscription of a cancelled one; return None if none was created and none will be.

        It is read only after it was ended, so that one that cannot be read does not live on.
        """
        found = await self._billing.find_existing(subscription)
        if found is not None:
            try:
                return await self._end(subscription, found)
            except StripeSubscriptionMismatch:
                report_duplicate(subscription, found)
                raise StripeUnavailable from None  # its own may exist, too
        if self._now() - cancelled_at <= _CREATION_ENDED_AFTER:
            raise StripeUnavailable  # a worker that began before the cancellation may still create it
        return None

    async def _record_refusal(self, subscription: Subscription, code: str) -> Subscription:
        try:
            failed = await self._subscriptions.fail_activation(subscription.id, subscription.version, code)
        except VersionConflict:
            return await self._subscriptions.begin_activation(subscription.id)
        if failed.status is not SubscriptionStatus.ACTIVATION_FAILED:
            return failed  # it was bound or cancelled meanwhile
        _log.error("Stripe refused a bought subscription", extra={"subscription": subscription.id, "reason": code})
        ACTIVATIONS.labels("refused").inc()
        return failed

    async def _require_activated(self, subscription_id: str) -> Subscription:
        subscription = await self._subscriptions.get_subscription(subscription_id)
        if subscription.may_need_activation:
            raise StripeUnavailable  # the Stripe subscription is bound elsewhere: this one is still to be activated
        return subscription


def _report(bound: Subscription, created: StripeSubscription) -> None:
    """Log and count a subscription that was bound. A person gives back what one that was cancelled before was charged.

    Two workers that bind it at the same time both report it.
    """
    invoice = created.latest_invoice
    if bound.cancel_requested_at is not None and invoice is not None and invoice.amount_paid.minor_units > 0:
        report_charged(bound)
        return
    fields = {"subscription": bound.id, "status": bound.status.value}
    outcome = "canceled" if bound.cancel_requested_at else "activated"
    _log.info(f"subscription {outcome}", extra=fields)
    ACTIVATIONS.labels(outcome).inc()


def report_charged(subscription: Subscription) -> None:
    """Log and count a charge, made or at the bank, of a subscription that was cancelled. A person gives it back."""
    _log.error(
        "a cancelled subscription was charged",
        extra={"subscription": subscription.id, "status": subscription.status.value},
    )
    ACTIVATIONS.labels("charged").inc()


def report_duplicate(subscription: Subscription, stripe_subscription_id: str) -> None:
    """Log a second Stripe subscription of one subscription, or another's: a person has to correct one of the two."""
    fields = {"subscription": subscription.id, "stripe_subscription": stripe_subscription_id}
    _log.error("a second Stripe subscription exists for one subscription", extra=fields)
    ACTIVATIONS.labels("duplicate").inc()


async def _wait_or_cancel(tasks: Collection[asyncio.Task[Subscription]], within_seconds: float | None) -> None:
    """Wait until all tasks have ended; cancel those that exceed the time, or all if the caller is cancelled."""
    if not tasks:
        return
    try:
        await asyncio.wait(tasks, timeout=within_seconds)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _error_of(task: asyncio.Task[Subscription]) -> BaseException | None:
    return StripeUnavailable() if task.cancelled() else task.exception()
