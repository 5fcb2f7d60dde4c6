"""Stripe tells of one change by many events at the same moment: they are taken in turn, and share a look at Stripe."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from payments_gateway.domain.errors import ConflictRetriesExhausted
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus
from payments_gateway.subscriptions.cancel import CancelMode

from .assembly import until
from .billing_stage import YEARLY, BillingStage, billing_stage, hint


@pytest.fixture
async def stage() -> AsyncIterator[BillingStage]:
    """Give the gateway's parts over a Stripe simulator."""
    async with billing_stage() as opened:
        yield opened


async def test_the_many_events_of_one_moment_are_not_in_each_others_way(stage: BillingStage) -> None:
    """A look serves all that had come before it; an owner who cancels in the middle of them is answered too."""
    row = await stage.begun()
    stage.gateway.subscriptions.rows[row.id] = replace(row, user_id="user-1")
    stage.gateway.wire.calls.clear()

    told = [stage.gateway.sync.on_event(hint(row)) for _ in range(30)]
    ending = stage.gateway.cancels.cancel(row.id, "user-1", CancelMode.AT_PERIOD_END)
    answered, *followed = await asyncio.gather(ending, *told, return_exceptions=True)

    assert followed == [None] * len(told)
    assert isinstance(answered, Subscription)
    assert answered.state is not None
    assert answered.state.cancel_at_period_end
    assert stage.gateway.wire.calls.count("billing.retrieve") <= 4


async def test_an_event_that_came_after_the_look_is_looked_after(stage: BillingStage) -> None:
    """What it tells of may have happened since: it does not count as seen."""
    row = await stage.begun()

    async def ended_and_told() -> None:
        await stage.stripe.api.v1.subscriptions.cancel_async(str(row.stripe_subscription_id))
        later.append(asyncio.create_task(stage.gateway.sync.on_event(hint(row))))
        await asyncio.sleep(0)

    later: list[asyncio.Task[None]] = []
    stage.gateway.wire.meanwhile("subscriptions.apply_state", ended_and_told)  # Stripe was looked at before that

    await stage.gateway.sync.on_event(hint(row))
    await asyncio.gather(*later)

    assert stage.rows()[0].status is SubscriptionStatus.CANCELED


async def test_each_invoice_that_is_told_of_at_one_moment_is_kept(stage: BillingStage) -> None:
    """A look that kept one of them does not count for the others."""
    row = await stage.begun()
    await stage.later(hours=95 * 24)
    listed = await stage.stripe.api.v1.invoices.list_async({"subscription": str(row.stripe_subscription_id)})
    ids = [invoice.id for invoice in listed.data]

    told = [ids[1], *ids, *ids]  # the latest comes first, and second in turn: what is a look at it to the others?
    await asyncio.gather(*(stage.gateway.sync.on_event(hint(row, stripe_invoice_id=each)) for each in told))

    assert len(ids) > 3
    assert sorted(invoice.id for invoice in stage.rows()[0].invoices) == sorted(map(str, ids))


async def test_the_latest_invoice_is_kept_when_a_look_kept_an_older_one(stage: BillingStage) -> None:
    """Who tells of the subscription itself is not served by a look that wrote another invoice."""
    row = await stage.begun()
    [first] = row.invoices
    await stage.later(hours=32 * 24)
    queue = [first.id, first.id, None]

    await asyncio.gather(*(stage.gateway.sync.on_event(hint(row, stripe_invoice_id=each)) for each in queue))

    [after] = stage.rows()
    assert after.state is not None
    assert after.state.latest_invoice_id in {invoice.id for invoice in after.invoices}


async def test_a_look_that_failed_counts_for_nobody(stage: BillingStage) -> None:
    """Who waited looks for itself."""
    row = await stage.begun()
    await stage.stripe.api.v1.subscriptions.cancel_async(str(row.stripe_subscription_id))

    async def away_next_time() -> None:
        stage.gateway.wire.meanwhile("billing.retrieve", away_now)

    async def away_now() -> None:
        stage.gateway.wire.fail(len(stage.gateway.wire.calls) - 1, StripeUnavailable())

    stage.gateway.wire.meanwhile("billing.retrieve", away_next_time)

    told = [stage.gateway.sync.on_event(hint(row)) for _ in range(4)]
    outcomes = await asyncio.gather(*told, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [type(None), StripeUnavailable, type(None), type(None)]
    assert stage.gateway.wire.calls.count("billing.retrieve") == 3
    assert stage.rows()[0].status is SubscriptionStatus.CANCELED


async def test_an_event_about_another_subscription_waits_for_nobody(stage: BillingStage) -> None:
    """KeyedLock are kept by subscription: Stripe may be slow about one of them."""
    await stage.fulfilled(await stage.paid(await stage.plan(), await stage.plan(YEARLY)))
    slow, other = stage.rows()
    other_written = asyncio.Event()
    stage.gateway.wire.meanwhile("billing.retrieve", other_written.wait)
    waiting = asyncio.create_task(stage.gateway.sync.on_event(hint(slow)))
    await until(lambda: "billing.retrieve" in stage.gateway.wire.calls)

    quick = asyncio.create_task(stage.gateway.sync.on_event(hint(other)))
    done, _ = await asyncio.wait({quick}, timeout=5)

    other_written.set()
    await asyncio.gather(waiting, quick)
    assert done == {quick}
    assert [row.version for row in stage.rows()] == [slow.version + 1, other.version + 1]


async def test_an_owner_who_cancels_waits_for_no_event(stage: BillingStage) -> None:
    """Stripe may be slow about showing the subscription: the cancel is answered all the same."""
    row = await stage.begun()
    stage.gateway.subscriptions.rows[row.id] = replace(row, user_id="user-1")
    stage.gateway.wire.calls.clear()
    shown = asyncio.Event()
    stage.gateway.wire.meanwhile("billing.retrieve", shown.wait)
    waiting = asyncio.create_task(stage.gateway.sync.on_event(hint(row)))
    await until(lambda: "billing.retrieve" in stage.gateway.wire.calls)

    ending = asyncio.create_task(stage.gateway.cancels.cancel(row.id, "user-1", CancelMode.NOW))
    done, _ = await asyncio.wait({ending}, timeout=5)

    shown.set()
    await asyncio.gather(waiting, ending)
    assert done == {ending}
    assert stage.rows()[0].status is SubscriptionStatus.CANCELED


async def test_writers_without_end_are_told(stage: BillingStage) -> None:
    """After thirty tries Stripe is asked to send the event again."""
    row = await stage.begun()
    tries = 0

    async def somebody_writes() -> None:
        nonlocal tries
        tries += 1
        stage.gateway.subscriptions.touch(row.id)
        stage.gateway.wire.meanwhile("subscriptions.apply_state", somebody_writes)

    stage.gateway.wire.meanwhile("subscriptions.apply_state", somebody_writes)

    with pytest.raises(ConflictRetriesExhausted):
        await stage.gateway.sync.on_event(hint(row))

    assert tries == 30


async def test_a_crowd_of_events_ends_as_stripe_ends(stage: BillingStage) -> None:
    """Many deliveries while the object changes again and again: the row is what Stripe shows in the end."""
    row = await stage.begun()
    stripe_id = str(row.stripe_subscription_id)

    async def changes() -> None:
        for wish in (True, False, True, False, True):
            await stage.stripe.api.v1.subscriptions.update_async(stripe_id, {"cancel_at_period_end": wish})
            await asyncio.sleep(0)

    async def told() -> None:
        try:
            await stage.gateway.sync.on_event(hint(row))
        except ConflictRetriesExhausted:  # the webhook answers 503, and Stripe delivers once more
            await stage.gateway.sync.on_event(hint(row))

    await asyncio.gather(changes(), *(told() for _ in range(4)))
    await stage.gateway.sync.on_event(hint(row))

    shown = await stage.stripe.api.v1.subscriptions.retrieve_async(stripe_id)
    [after] = stage.rows()
    assert after.state is not None
    assert after.state.cancel_at_period_end is shown.cancel_at_period_end is True
