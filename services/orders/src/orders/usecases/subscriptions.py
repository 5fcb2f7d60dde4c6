"""Following a subscription from its purchase to its Stripe subscription, and through that one's life.

Whoever asks Stripe reads the row's version first. What Stripe said is written only where that version still holds, so
an answer that was overtaken on its way is never written over a newer one.
"""

from collections.abc import Callable
from dataclasses import astuple
from datetime import datetime
from uuid import UUID

from orders.domain.pagination import Cursor, Page, PageRequest, bytes_of, cut_page
from orders.domain.subscriptions import (
    Sighting,
    StripeSubscriptionMismatch,
    Subscription,
    SubscriptionNotFound,
    SubscriptionStatus,
    VersionMismatch,
)
from orders.usecases.unit_of_work import BeginUnit, Ledger


class SubscriptionLife:
    """Writes what happens to a subscription."""

    def __init__(self, begin: BeginUnit, now: Callable[[], datetime]) -> None:
        self._begin = begin
        self._now = now

    async def begin_activation(self, subscription_id: UUID, abandon_generation: int) -> Subscription:
        """Note that its creation at Stripe is about to be tried. Raises SubscriptionNotFound."""
        async with self._begin() as ledger:
            await ledger.begin_activation(subscription_id, abandon_generation, self._now())
            standing = await _standing(ledger, subscription_id)
            await ledger.commit()
        return standing

    async def activate(self, subscription_id: UUID, sighting: Sighting) -> Subscription:
        """Bind it to the Stripe subscription that was made for it; once bound to that one, answer it as it stands.

        Raises SubscriptionNotFound, VersionMismatch, StripeSubscriptionMismatch.
        """
        async with self._begin() as ledger:
            at = self._now()
            if await ledger.bind(subscription_id, sighting.expected_version, sighting.state, at):
                await _put_invoice(ledger, subscription_id, sighting, at)
            else:
                await ledger.hold_subscription(subscription_id)
                _refuse_binding(await _standing(ledger, subscription_id), sighting)
            bound = await _standing(ledger, subscription_id)
            await ledger.commit()
        return bound

    async def fail(self, subscription_id: UUID, expected_version: int, failure: str) -> Subscription:
        """Note that Stripe refused for good; where that is known, or it is bound, answer it as it stands.

        Raises SubscriptionNotFound, VersionMismatch.
        """
        async with self._begin() as ledger:
            failed = await ledger.fail_activation(subscription_id, expected_version, failure, self._now())
            if not failed:
                await ledger.hold_subscription(subscription_id)
            standing = await _standing(ledger, subscription_id)
            await ledger.commit()
        if not failed and standing.status is SubscriptionStatus.PENDING:
            raise VersionMismatch
        return standing

    async def apply(self, subscription_id: UUID, sighting: Sighting) -> Subscription:
        """Write what was read at Stripe. Raises SubscriptionNotFound, VersionMismatch, StripeSubscriptionMismatch."""
        async with self._begin() as ledger:
            at = self._now()
            if not await ledger.apply_state(subscription_id, sighting, at):
                _refuse_state(await _standing(ledger, subscription_id), sighting)
            await _put_invoice(ledger, subscription_id, sighting, at)
            applied = await _standing(ledger, subscription_id)
            await ledger.commit()
        return applied


async def _standing(ledger: Ledger, subscription_id: UUID) -> Subscription:
    standing = await ledger.subscription(subscription_id)
    if standing is None:
        raise SubscriptionNotFound
    return standing


async def _put_invoice(ledger: Ledger, subscription_id: UUID, sighting: Sighting, at: datetime) -> None:
    if sighting.invoice is not None and not await ledger.put_invoice(subscription_id, sighting.invoice, at):
        raise StripeSubscriptionMismatch


def _refuse_binding(standing: Subscription, sighting: Sighting) -> None:
    """Raise unless it is bound to that Stripe subscription already."""
    if standing.state is None:
        raise VersionMismatch
    if not standing.is_bound_to(sighting.state):
        raise StripeSubscriptionMismatch


def _refuse_state(standing: Subscription, sighting: Sighting) -> None:
    if not standing.is_bound_to(sighting.state):
        raise StripeSubscriptionMismatch
    raise VersionMismatch


_SUBSCRIPTION_BYTES = 1024
_ITEM_BYTES = 128


class SubscriptionReader:
    """Reads what was begun and how it stands."""

    def __init__(self, begin: BeginUnit) -> None:
        self._begin = begin

    async def by_id(self, subscription_id: UUID) -> Subscription:
        """Return one subscription. Raises SubscriptionNotFound."""
        async with self._begin() as ledger:
            return _found(await ledger.subscription(subscription_id))

    async def bound_to(self, stripe_subscription_id: str) -> Subscription:
        """Return the subscription of a Stripe subscription. Raises SubscriptionNotFound."""
        async with self._begin() as ledger:
            return _found(await ledger.subscription_bound_to(stripe_subscription_id))

    async def of_user(self, user_id: str, request: PageRequest) -> Page[Subscription]:
        """Return a user's subscriptions, newest first, without their invoices."""
        async with self._begin() as ledger:
            rows = await ledger.subscriptions_of(user_id, request.before, request.size + 1)
        return cut_page(rows, request.size, weigh=_weigh, cursor=_cursor)


def _found(subscription: Subscription | None) -> Subscription:
    if subscription is None:
        raise SubscriptionNotFound
    return subscription


def _cursor(subscription: Subscription) -> Cursor:
    return Cursor(subscription.created_at, str(subscription.id))


def _weigh(subscription: Subscription) -> int:
    items = sum(_ITEM_BYTES + bytes_of(item.price_id, item.product_id, item.name) for item in subscription.items)
    return _SUBSCRIPTION_BYTES + _weigh_ids(subscription) + _weigh_recipient(subscription) + items


def _weigh_ids(subscription: Subscription) -> int:
    state = subscription.state
    return bytes_of(
        subscription.checkout_attempt_id,
        subscription.intent.id,
        subscription.user_id,
        subscription.stripe_customer_id,
        subscription.payment_method_id,
        subscription.activation.failure,
        # The Stripe id is there twice: by itself and in the state.
        *((state.stripe_subscription_id, state.stripe_subscription_id, state.latest_invoice_id) if state else ()),
    )


def _weigh_recipient(subscription: Subscription) -> int:
    contact = astuple(subscription.contact) if subscription.contact else ()
    address = astuple(subscription.shipping_address) if subscription.shipping_address else ()
    return bytes_of(*contact, *address)
