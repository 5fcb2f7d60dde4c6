"""Following a subscription from its purchase to its Stripe subscription, and through that one's life.

A caller reads the row's version before it asks Stripe. The state that it read at Stripe is written only if the row
still has that version, so a slow answer never replaces a newer one.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from orders.domain.outbox import OutboxEvent
from orders.domain.pagination import Cursor, Page, PageRequest, paginate
from orders.domain.subscriptions import (
    StripeSnapshot,
    StripeSubscriptionMismatch,
    Subscription,
    SubscriptionActivated,
    SubscriptionCancelled,
    SubscriptionNotFound,
    SubscriptionStatus,
    UnfinishedSubscription,
)
from orders.usecases.unit_of_work import UnitOfWork, UnitOfWorkFactory, VersionConflict
from servicekit.violations import FieldViolation, InvalidRequest

_log = logging.getLogger(__name__)


class SubscriptionWriter:
    """Writes activations and state changes of subscriptions."""

    def __init__(self, begin: UnitOfWorkFactory, now: Callable[[], datetime]) -> None:
        self._begin = begin
        self._now = now

    async def begin_activation(self, subscription_id: UUID, abandon_generation: int) -> Subscription:
        """Record that the subscription is about to be created at Stripe. Raises SubscriptionNotFound."""
        async with self._begin() as unit:
            await unit.subscriptions.begin_activation(subscription_id, abandon_generation, self._now())
            current = await _get(unit, subscription_id)
            await unit.commit()
        return current

    async def activate(self, subscription_id: UUID, snapshot: StripeSnapshot) -> Subscription:
        """Bind the subscription to its Stripe subscription. One that is bound to it already is returned unchanged.

        Raises SubscriptionNotFound, VersionConflict, StripeSubscriptionMismatch.
        """
        async with self._begin() as unit:
            before = await _get(unit, subscription_id)
            if await unit.subscriptions.bind(subscription_id, snapshot):
                await _put_invoice(unit, subscription_id, snapshot)
                bound = await _get(unit, subscription_id)
                if bound.status is not before.status:  # A cancelled one was announced.
                    await self._announce(unit, bound)
            else:
                await unit.subscriptions.lock(subscription_id)
                bound = await _get(unit, subscription_id)
                _require_bound(bound, snapshot)
            await unit.commit()
        return bound

    async def cancel_pending(self, subscription_id: UUID, expected_version: int) -> Subscription:
        """Cancel a subscription that is not bound. One that is cancelled already is returned unchanged.

        Raises SubscriptionNotFound, VersionConflict, SubscriptionActivated.
        """
        async with self._begin() as unit:
            cancelled = await unit.subscriptions.cancel_pending(subscription_id, expected_version, self._now())
            if not cancelled:
                await unit.subscriptions.lock(subscription_id)
            current = await _get(unit, subscription_id)
            if cancelled:
                await self._announce(unit, current)
            await unit.commit()
        if current.cancel_requested_at is None:
            raise SubscriptionActivated if current.state else VersionConflict
        return current

    async def fail(self, subscription_id: UUID, expected_version: int, failure: str) -> Subscription:
        """Record a definite refusal by Stripe. One that is bound, cancelled or failed already is returned unchanged.

        Raises SubscriptionNotFound, VersionConflict.
        """
        async with self._begin() as unit:
            failed = await unit.subscriptions.fail_activation(subscription_id, expected_version, failure, self._now())
            if not failed:
                await unit.subscriptions.lock(subscription_id)
            current = await _get(unit, subscription_id)
            if failed:
                await self._announce(unit, current)
            await unit.commit()
        if not failed and current.status is SubscriptionStatus.PENDING:
            raise VersionConflict
        return current

    async def retry(
        self, subscription_id: UUID, expected_version: int | None, payment_method_id: str | None
    ) -> Subscription:
        """Let a failed activation begin again. One that is pending with the payment method is returned unchanged.

        Raises SubscriptionNotFound, VersionConflict, SubscriptionActivated, SubscriptionCancelled, InvalidRequest.
        """
        async with self._begin() as unit:
            retried = await unit.subscriptions.retry_activation(subscription_id, expected_version, payment_method_id)
            if not retried:
                await unit.subscriptions.lock(subscription_id)
            current = await _get(unit, subscription_id)
            if retried:
                await self._announce(unit, current)
            await unit.commit()
        require_pending(current, payment_method_id)
        if retried:
            _log.info("a failed activation begins again", extra={"subscription": str(subscription_id)})
        return current

    async def apply(self, subscription_id: UUID, snapshot: StripeSnapshot) -> Subscription:
        """Write a state that was read at Stripe.

        Raises SubscriptionNotFound, VersionConflict, StripeSubscriptionMismatch.
        """
        async with self._begin() as unit:
            before = await _get(unit, subscription_id)
            if not await unit.subscriptions.apply_state(subscription_id, snapshot):
                current = await _get(unit, subscription_id)
                raise VersionConflict if current.is_bound_to(snapshot.state) else StripeSubscriptionMismatch
            await _put_invoice(unit, subscription_id, snapshot)
            applied = await _get(unit, subscription_id)
            if applied.state != before.state:
                await self._announce(unit, applied)
            await unit.commit()
        return applied

    async def _announce(self, unit: UnitOfWork, changed: Subscription) -> None:
        await unit.enqueue_event(OutboxEvent.subscription_changed(changed), self._now())


async def _get(unit: UnitOfWork, subscription_id: UUID) -> Subscription:
    return _required(await unit.subscriptions.find(subscription_id))


def _required(subscription: Subscription | None) -> Subscription:
    if subscription is None:
        raise SubscriptionNotFound
    return subscription


def _require_bound(current: Subscription, snapshot: StripeSnapshot) -> None:
    if current.state is None:
        raise VersionConflict
    if not current.is_bound_to(snapshot.state):
        raise StripeSubscriptionMismatch


def require_pending(current: Subscription, payment_method_id: str | None) -> None:
    """Raise what a failed activation that was to begin again met instead, unless it is pending with the method."""
    if current.cancel_requested_at is not None:
        raise SubscriptionCancelled
    if current.state is not None:
        raise SubscriptionActivated
    if current.payment_method_id is None and payment_method_id is None:
        raise InvalidRequest([FieldViolation("payment_method_id", "is required, the subscription has none")])
    has_it = payment_method_id in (None, current.payment_method_id)
    if current.status is not SubscriptionStatus.PENDING or not has_it:
        raise VersionConflict


async def _put_invoice(unit: UnitOfWork, subscription_id: UUID, snapshot: StripeSnapshot) -> None:
    invoice = snapshot.invoice
    if invoice is not None and not await unit.subscriptions.put_invoice(subscription_id, invoice):
        raise StripeSubscriptionMismatch


class SubscriptionReader:
    """Reads subscriptions."""

    def __init__(self, begin: UnitOfWorkFactory) -> None:
        self._begin = begin

    async def get(self, subscription_id: UUID) -> Subscription:
        """Return one subscription. Raises SubscriptionNotFound."""
        async with self._begin() as unit:
            return await _get(unit, subscription_id)

    async def get_by_stripe_id(self, stripe_subscription_id: str) -> Subscription:
        """Return the subscription that is bound to a Stripe subscription. Raises SubscriptionNotFound."""
        async with self._begin() as unit:
            return _required(await unit.subscriptions.find_by_stripe_id(stripe_subscription_id))

    async def list_of_user(self, user_id: str, request: PageRequest) -> Page[Subscription]:
        """Return a user's subscriptions, newest first, without their invoices."""
        async with self._begin() as unit:
            rows = await unit.subscriptions.list_of_user(user_id, request.after, request.size + 1)
        return paginate(rows, request.size, lambda each: Cursor(each.created_at, str(each.id)))

    async def list_unfinished(self, created_before: datetime, request: PageRequest) -> Page[UnfinishedSubscription]:
        """Return subscriptions that are still to be activated or cancelled at Stripe, oldest first."""
        async with self._begin() as unit:
            rows = await unit.subscriptions.list_unfinished(created_before, request.after, request.size + 1)
        return paginate(rows, request.size, lambda each: Cursor(each.created_at, str(each.id)))
