"""Creates bought subscriptions at Stripe, each exactly once (ADR 15).

It may run twice at once, or be killed after any line: the idempotency key makes Stripe answer the same subscription
again, and where the key may be forgotten or spoilt, Stripe is asked what it made before it is asked to make anything.
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
    NotFoundAtStripe,
    StripeUnavailable,
    UnsupportedStripeObject,
)
from payments_gateway.domain.subscriptions import (
    StripeSubscriptionMismatch,
    Subscription,
    SubscriptionsPort,
    SubscriptionStatus,
)

_log = logging.getLogger(__name__)

ACTIVATIONS: Final = Counter(
    "holdfast_activations", "Subscriptions that were to be created at Stripe, and what came of it.", ["outcome"]
)

_KEY_TRUSTED_FOR: Final = timedelta(hours=12)
"""Stripe may forget an idempotency key after 24 hours; half of that leaves room for clocks that disagree."""
_KEY_LET_GO_AFTER: Final = timedelta(hours=13)
"""Whoever still trusted the key has heard from Stripe by then, whichever clock they went by."""
_ROUNDS: Final = 3
"""Two fresh keys, or two writers who were faster, are enough for one run; the next run goes on from there."""
_GONE: Final = "resource_missing"
"""Stripe's own code for what it does not know."""
_AT_ONCE: Final = 4
"""So many subscriptions of one purchase are created at the same time: it must not crowd other buyers out."""


@dataclass(frozen=True)
class Activated:
    """How far the activation of a purchase came."""

    purchase: Purchase
    """With its subscriptions as they now are."""
    error: BaseException | None
    """What kept a subscription from being settled, if anything did."""


class Activation:
    """Brings pending subscriptions to Stripe."""

    def __init__(
        self, subscriptions: SubscriptionsPort, billing: StripeSubscriptionsPort, *, now: Callable[[], datetime]
    ) -> None:
        """Create subscriptions of this book at Stripe."""
        self._subscriptions = subscriptions
        self._billing = billing
        self._now = now

    async def activate_all(self, purchase: Purchase, *, within_seconds: float | None = None) -> Activated:
        """Activate every pending subscription of a purchase, as far as that can be done now and in time.

        One that cannot be settled keeps none of the others waiting.
        """
        gate = asyncio.Semaphore(_AT_ONCE)
        pending = [one.id for one in purchase.subscriptions if one.status is SubscriptionStatus.PENDING]
        tasks = {each: asyncio.create_task(self._activate_in_turn(each, gate)) for each in pending}
        await _ended(tasks.values(), within_seconds)
        settled = {each: task.result() for each, task in tasks.items() if _failure_of(task) is None}
        failures = [failure for task in tasks.values() if (failure := _failure_of(task)) is not None]
        subscriptions = tuple(settled.get(one.id, one) for one in purchase.subscriptions)
        return Activated(replace(purchase, subscriptions=subscriptions), next(iter(failures), None))

    async def _activate_in_turn(self, subscription_id: str, gate: asyncio.Semaphore) -> Subscription:
        async with gate:
            return await self.activate(subscription_id)

    async def activate(self, subscription_id: str) -> Subscription:
        """Create a pending subscription at Stripe, or find it there; return it as it then is.

        A definite refusal of Stripe's is noted, not raised. Raises StripeUnavailable, UnsupportedStripeObject,
        ConflictRetriesExhausted, ServiceUnavailable; the same call may be made again, by anybody.
        """
        row = await self._subscriptions.begin_activation(subscription_id)
        for _ in range(_ROUNDS):
            if row.status is not SubscriptionStatus.PENDING:
                return row
            try:
                made = await self._found_or_created(row)
                if made is not None:
                    return await self.bind(row, made)
            except SubscriptionRefused as refused:
                row = await self._refused(row, refused.code)
                continue
            except NotFoundAtStripe:
                # Stripe remembers that it made it, and has it no more: its test data were wiped. Nobody makes another
                # one before a person has looked.
                row = await self._refused(row, _GONE)
                continue
            except UnsupportedStripeObject:
                _log.exception("Stripe shows a subscription that cannot be kept", extra={"subscription": row.id})
                ACTIVATIONS.labels("unusable").inc()
                raise  # the buyer may have been charged: it has not failed
            row = await self._subscriptions.begin_activation(row.id, abandon_generation=row.activation_generation)
        raise StripeUnavailable  # it fails whatever the key is

    async def bind(self, row: Subscription, made: StripeSubscription) -> Subscription:
        """Bind a subscription to the Stripe subscription that was made for it and read after the row was.

        Raises NotFoundAtStripe, UnsupportedStripeObject, StripeUnavailable, ConflictRetriesExhausted,
        ServiceUnavailable.
        """
        for _ in range(_ROUNDS):
            try:
                bound = await self._subscriptions.activate(row.id, row.version, made.state, made.latest_invoice)
            except VersionConflict:
                row = await self._subscriptions.get_subscription(row.id)
                made = await self._billing.retrieve(made.id)
            except StripeSubscriptionMismatch:
                # Nobody is charged twice without being told: a person has to end one of the two.
                known = {"subscription": row.id, "stripe_subscription": made.id}
                _log.error("a second Stripe subscription was made for one subscription", extra=known)
                ACTIVATIONS.labels("made_twice").inc()
                row = await self._subscriptions.get_subscription(row.id)
                if row.status is SubscriptionStatus.PENDING:
                    raise StripeUnavailable from None  # what was made is another one's: nothing is settled here
                return row
            else:
                _log.info("subscription activated", extra={"subscription": bound.id, "status": bound.status.value})
                ACTIVATIONS.labels("activated").inc()
                return bound
        raise ConflictRetriesExhausted

    async def _found_or_created(self, row: Subscription) -> StripeSubscription | None:
        """Return the Stripe subscription; None if this generation's key is of no use and nothing was made with it."""
        age = self._now() - row.activation_began_at if row.activation_began_at else timedelta()
        if age > _KEY_TRUSTED_FOR:
            # Nothing more is made with this key: another worker, who looked at the same moment, may go on with the
            # next one, and Stripe forget this one in between.
            found = await self._billing.find_existing(row)
            if found is None and age <= _KEY_LET_GO_AFTER:
                raise StripeUnavailable  # somebody may be about to make it with this key, and the next would be another
            return found
        try:
            return await self._billing.create(row)
        except IdempotencyKeyExhausted:
            # A stored failure may have come after the effect: only Stripe's list of what there is tells.
            return await self._billing.find_existing(row)

    async def _refused(self, row: Subscription, code: str) -> Subscription:
        try:
            failed = await self._subscriptions.fail_activation(row.id, row.version, code)
        except VersionConflict:
            return await self._subscriptions.begin_activation(row.id)
        known = {"subscription": row.id, "reason": code}
        _log.error("Stripe refuses to create a subscription that was bought", extra=known)
        ACTIVATIONS.labels("refused").inc()
        return failed


async def _ended(tasks: Collection[asyncio.Task[Subscription]], within_seconds: float | None) -> None:
    """Wait until all tasks have ended; those that have not in time, or when nobody waits any more, are broken off."""
    if not tasks:
        return
    try:
        await asyncio.wait(tasks, timeout=within_seconds)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _failure_of(task: asyncio.Task[Subscription]) -> BaseException | None:
    return StripeUnavailable() if task.cancelled() else task.exception()
