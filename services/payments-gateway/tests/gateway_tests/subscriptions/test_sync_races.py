"""Stripe sends many events about one change: one fetch serves all events that came before it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.errors import ConflictRetriesExhausted
from payments_gateway.domain.purchases import Payment
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus
from payments_gateway.subscriptions.cancel import CancelMode
from payments_gateway.subscriptions.sync import SubscriptionSync

from ..assembly import Gateway
from ..billing_samples import CLUB_CONTEXT
from ..fake_stripe import FakeBilling
from ..fakes import SlowWire, pause, until
from ..samples import ATTEMPT_ID, INTENT_CREATED_AT, YEARLY
from ..simulated_billing import Billing, event


async def owned(billing: Billing) -> Subscription:
    """Let a user begin a subscription, and forget the calls so far."""
    subscription = replace(await billing.begun(), user_id="user-1")
    billing.gateway.subscriptions.by_id[subscription.id] = subscription
    billing.gateway.wire.calls.clear()
    return subscription


async def test_thirty_events_at_once_cost_few_fetches(billing: Billing) -> None:
    """An owner who cancels among them succeeds too."""
    subscription = await owned(billing)

    events = [billing.on_event(subscription) for _ in range(30)]
    cancel = billing.gateway.cancels.cancel(subscription.id, "user-1", CancelMode.AT_PERIOD_END)
    cancelled, *handled = await asyncio.gather(cancel, *events, return_exceptions=True)

    assert handled == [None] * len(events)
    assert isinstance(cancelled, Subscription)
    assert cancelled.state is not None
    assert cancelled.state.cancel_at_period_end
    assert billing.gateway.wire.calls.count("billing.retrieve") <= 4


async def test_an_event_that_came_after_the_fetch_is_not_covered(billing: Billing) -> None:
    """Its change may have happened since."""
    subscription = await billing.begun()
    later: list[asyncio.Task[None]] = []

    async def end_and_report() -> None:
        await billing.end(subscription)
        later.append(asyncio.create_task(billing.on_event(subscription)))
        await asyncio.sleep(0)

    billing.gateway.wire.meanwhile("subscriptions.apply_state", end_and_report)

    await billing.on_event(subscription)
    await asyncio.gather(*later)

    assert billing.the_recorded().status is SubscriptionStatus.CANCELED


async def test_a_fetch_of_one_invoice_covers_no_other(billing: Billing) -> None:
    """Each invoice that is named at the same time is written."""
    subscription = await billing.begun()
    await billing.later(hours=95 * 24)
    ids = await billing.invoice_ids(subscription.stripe_subscription_id)

    named = [ids[1], *ids, *ids]  # the latest one comes second, when others wait
    await asyncio.gather(*(billing.on_event(subscription, stripe_invoice_id=each) for each in named))

    assert len(ids) > 3
    assert sorted(invoice.id for invoice in billing.the_recorded().invoices) == sorted(ids)


async def test_a_fetch_of_an_older_invoice_does_not_cover_the_subscription(billing: Billing) -> None:
    """An event about the subscription itself needs the latest invoice written."""
    subscription = await billing.begun()
    [first] = subscription.invoices
    await billing.later(hours=32 * 24)

    await asyncio.gather(
        *(billing.on_event(subscription, stripe_invoice_id=each) for each in (first.id, first.id, None))
    )

    after = billing.the_recorded()
    assert after.state is not None
    assert after.state.latest_invoice_id in {invoice.id for invoice in after.invoices}


async def test_a_fetch_that_failed_covers_nobody(billing: Billing) -> None:
    """The next event fetches for itself."""
    subscription, wire = await billing.begun(), billing.gateway.wire
    await billing.end(subscription)

    async def fail_the_next() -> None:
        wire.meanwhile("billing.retrieve", fail_this)

    async def fail_this() -> None:
        wire.fail(len(wire.calls) - 1, StripeUnavailable())

    wire.meanwhile("billing.retrieve", fail_the_next)

    events = [billing.on_event(subscription) for _ in range(4)]
    outcomes = await asyncio.gather(*events, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [type(None), StripeUnavailable, type(None), type(None)]
    assert wire.calls.count("billing.retrieve") == 3
    assert billing.the_recorded().status is SubscriptionStatus.CANCELED


@asynccontextmanager
async def slow_fetch(billing: Billing, subscription: Subscription) -> AsyncIterator[None]:
    """Handle an event whose fetch at Stripe lasts as long as the block."""
    finished = asyncio.Event()
    billing.gateway.wire.meanwhile("billing.retrieve", finished.wait)
    waiting = asyncio.create_task(billing.on_event(subscription))
    await until(lambda: "billing.retrieve" in billing.gateway.wire.calls)
    try:
        yield
    finally:
        finished.set()
        await waiting


async def test_an_event_about_another_subscription_does_not_wait(billing: Billing) -> None:
    """Stripe may be slow about one of them; each has a lock of its own."""
    paid = await billing.paid(await billing.plan(), await billing.plan(YEARLY))
    slow, other = (await billing.fulfil(paid)).subscriptions

    async with slow_fetch(billing, slow):
        done, _ = await asyncio.wait({asyncio.create_task(billing.on_event(other))}, timeout=5)

    assert done
    assert [each.version for each in billing.recorded()] == [slow.version + 1, other.version + 1]


async def test_an_owner_who_cancels_waits_for_no_event(billing: Billing) -> None:
    """Stripe may be slow about an event's fetch."""
    subscription = await owned(billing)

    async with slow_fetch(billing, subscription):
        cancel = billing.gateway.cancels.cancel(subscription.id, "user-1", CancelMode.NOW)
        done, _ = await asyncio.wait({asyncio.create_task(cancel)}, timeout=5)

    assert done
    assert billing.the_recorded().status is SubscriptionStatus.CANCELED


async def test_conflicts_without_end_fail_the_event(billing: Billing) -> None:
    """After thirty of them Stripe delivers it again."""
    subscription, conflicts = await billing.begun(), 0

    async def write_elsewhere() -> None:
        nonlocal conflicts
        conflicts += 1
        billing.gateway.subscriptions.touch(subscription.id)
        billing.gateway.wire.meanwhile("subscriptions.apply_state", write_elsewhere)

    billing.gateway.wire.meanwhile("subscriptions.apply_state", write_elsewhere)

    with pytest.raises(ConflictRetriesExhausted):
        await billing.on_event(subscription)

    assert conflicts == 30


@dataclass(frozen=True)
class Change:
    """A change of the subscription at Stripe, its deliveries, and the pause until the next change."""

    status: SubscriptionStatus
    ends: bool
    deliveries: int
    pause: int


CHANGES = st.builds(
    Change,
    status=st.sampled_from(
        [SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID, SubscriptionStatus.PAUSED]
    ),
    ends=st.booleans(),
    deliveries=st.integers(1, 3),
    pause=st.integers(0, 12),
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    changes=st.lists(CHANGES, min_size=1, max_size=6),
    pauses=st.lists(st.integers(0, 20), min_size=1, max_size=30),
    bound=st.booleans(),
)
def test_the_record_ends_as_stripes_object_ends(changes: list[Change], pauses: list[int], *, bound: bool) -> None:
    """Deliveries repeat, overlap with changes, finish in any order, and may come before the binding."""
    recorded, billing = asyncio.run(_deliver(changes, pauses, bound=bound))

    assert recorded.state == billing.created["sub_1"].state


async def _deliver(changes: list[Change], pauses: list[int], *, bound: bool) -> tuple[Subscription, FakeBilling]:
    gateway = Gateway(wire=SlowWire(cycle(pauses)))
    by_id, at_stripe = gateway.subscriptions.by_id, gateway.fake_billing
    syncs = cycle([gateway.sync, gateway.another_sync()])
    payment = Payment(
        IntentRef("seti_1", IntentKind.SETUP),
        ATTEMPT_ID,
        None,
        livemode=False,
        intent_created_at=INTENT_CREATED_AT,
        payment_method_id="pm_1",
    )
    [recorded] = gateway.subscriptions.record(payment, CLUB_CONTEXT)

    tasks: list[asyncio.Task[object]] = [asyncio.create_task(gateway.activation.activate(recorded.id))]
    await until(lambda: bool(at_stripe.created) and (not bound or by_id[recorded.id].is_bound))
    for change in changes:
        at_stripe.change("sub_1", status=change.status, cancel_at_period_end=change.ends)
        tasks += [asyncio.create_task(_redeliver(next(syncs), recorded)) for _ in range(change.deliveries)]
        await pause(change.pause)
    await asyncio.gather(*tasks)
    return by_id[recorded.id], at_stripe


async def _redeliver(sync: SubscriptionSync, recorded: Subscription) -> None:
    """Deliver until the event is acknowledged, as Stripe does."""
    while True:
        try:
            return await sync.on_event(event(recorded, "sub_1"))
        except ConflictRetriesExhausted:
            continue
