"""Following a subscription from its purchase to its Stripe subscription, and through that one's life.

Whoever asks Stripe reads the row's version first. What Stripe said is written only where that version still holds, so
an answer that was overtaken on its way is never written over a newer one.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from orders.ledger import BeginUnit, Ledger
from orders.subscriptions import (
    Sighting,
    StripeSubscriptionMismatch,
    Subscription,
    SubscriptionNotFound,
    SubscriptionStatus,
    VersionMismatch,
)


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
