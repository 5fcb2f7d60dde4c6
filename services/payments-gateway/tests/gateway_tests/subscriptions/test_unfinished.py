"""Subscriptions that fulfilment or a cancellation left unfinished, and the reconciler finishes."""

from dataclasses import replace
from datetime import timedelta

from payments_gateway.domain.stripe_errors import UnsupportedStripeObject
from payments_gateway.domain.subscriptions import SubscriptionStatus
from payments_gateway.reconciler.unfinished_subscriptions import UnfinishedSubscriptions

from ..samples import YEARLY
from ..simulated_billing import Billing

OLDER_THAN = timedelta(minutes=1)
ELEVEN_MINUTES = 0.19
"""In hours."""


def sweep_of(billing: Billing) -> UnfinishedSubscriptions:
    """Return the sweep of a reconciler."""
    gateway = billing.gateway
    return UnfinishedSubscriptions(
        gateway.subscriptions,
        gateway.events,
        gateway.activation,
        lease=OLDER_THAN,
        older_than=OLDER_THAN,
        now=gateway.clock.now,
    )


async def exhaust(billing: Billing) -> None:
    """Run the sweep until nothing is left."""
    sweep = sweep_of(billing)
    while await sweep.run():
        pass


async def test_p3_a_pending_subscription_is_created_once(billing: Billing) -> None:
    """The process that recorded it was killed, and no report of its payment comes."""
    await billing.crash(await billing.paid(), "billing.create", after_effect=True)
    await billing.later(hours=ELEVEN_MINUTES)

    await exhaust(billing)
    await exhaust(billing)

    await billing.require_bound()


async def test_a_young_subscription_is_left_to_its_recorder(billing: Billing) -> None:
    """It is being created."""
    await billing.crash(await billing.paid(), "billing.create")

    await exhaust(billing)

    assert billing.the_recorded().status is SubscriptionStatus.PENDING


async def test_one_that_was_cancelled_during_its_activation_is_ended(billing: Billing) -> None:
    """Stripe had created it. Nothing is left afterwards."""
    await billing.crash(await billing.paid(), "billing.create", after_effect=True)
    pending = billing.the_recorded()
    await billing.gateway.subscriptions.cancel_pending(pending.id, pending.version)
    await billing.later(hours=ELEVEN_MINUTES)

    await exhaust(billing)

    assert list((await billing.at_stripe()).values()) == ["canceled"]
    assert billing.the_recorded().is_bound


async def test_one_that_was_cancelled_and_never_created_is_left_alone_afterwards(billing: Billing) -> None:
    """Once no request can create it any more, its activation is over."""
    await billing.crash(await billing.paid(), "billing.create")
    pending = billing.the_recorded()
    await billing.gateway.subscriptions.cancel_pending(pending.id, pending.version)
    await billing.later(hours=ELEVEN_MINUTES)
    await exhaust(billing)
    billing.gateway.wire.calls.clear()

    await exhaust(billing)

    assert billing.gateway.wire.calls == ["subscriptions.list_unfinished"]
    assert await billing.at_stripe() == {}


async def test_a_failure_of_one_does_not_stop_the_others(billing: Billing) -> None:
    """It stays for the next run."""
    await billing.crash(await billing.paid(await billing.plan(), await billing.plan(YEARLY)), "billing.create")
    first, second = billing.recorded()
    gone = replace(first, payment_method_id="pm_gone", stripe_customer_id="cus_gone")
    billing.gateway.subscriptions.by_id[first.id] = gone
    await billing.later(hours=ELEVEN_MINUTES)

    await exhaust(billing)

    assert billing.gateway.subscriptions.by_id[second.id].is_bound


async def test_one_that_cannot_be_read_stays_pending(billing: Billing) -> None:
    """The buyer may have been charged: a newer version reads it."""
    await billing.crash(await billing.paid(), "billing.create")
    await billing.later(hours=ELEVEN_MINUTES)
    billing.gateway.wire.fail("billing.create", UnsupportedStripeObject())

    await exhaust(billing)

    assert billing.the_recorded().status is SubscriptionStatus.PENDING


async def test_two_reconcilers_do_not_handle_them_at_once(billing: Billing) -> None:
    """One waits until the other has ended, or its lease."""
    await billing.crash(await billing.paid(), "billing.create")
    await billing.later(hours=ELEVEN_MINUTES)
    sweep = sweep_of(billing)
    billing.gateway.events.is_leased = True

    more = await sweep.run()
    before = billing.the_recorded().status
    billing.gateway.events.is_leased = False
    await sweep.run()

    assert (more, before, billing.the_recorded().is_bound) == (False, SubscriptionStatus.PENDING, True)
    assert not billing.gateway.events.is_leased


async def test_one_that_keeps_failing_is_tried_less_and_less(billing: Billing) -> None:
    """After a minute, two, four, and at most twenty."""
    await billing.crash(await billing.paid(), "billing.create")
    await billing.later(hours=ELEVEN_MINUTES)
    billing.gateway.wire.fail("billing.create", UnsupportedStripeObject())
    sweep, tried_at = sweep_of(billing), list[int]()

    for minute in range(64):
        billing.gateway.wire.calls.clear()
        await sweep.run()
        if "billing.create" in billing.gateway.wire.calls:
            tried_at.append(minute)
        billing.gateway.clock.advance(60)

    assert tried_at == [0, 1, 3, 7, 15, 31, 51]
