"""Backfill of events, over fakes of Stripe and orders."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import pytest
from prometheus_client import REGISTRY

from payments_gateway.domain.attempts import IntentRef
from payments_gateway.domain.purchases import ReportChannel
from payments_gateway.domain.stripe_errors import RefusedByOrders, StripeUnavailable, UnsupportedStripeObject
from payments_gateway.domain.stripe_events import EventRetry, HandledEvent, ListedEvent
from payments_gateway.domain.webhook_events import RefundChanged, SubscriptionChanged, UnreadableIntentSucceeded
from payments_gateway.events.backfill import OVERLAP, EventBackfill, cursor_name
from payments_gateway.events.retries import EventRetries
from payments_gateway.events.unsupported import UnsupportedObjects
from servicekit.unavailable import ServiceUnavailable

from ..assembly import Gateway
from ..fake_stripe_events import FakeEventList
from ..subscribers import subscribed

MINUTE = timedelta(minutes=1)


TYPES: Final = ("customer.subscription.updated", "payment_intent.succeeded", "refund.updated")
CURSOR: Final = cursor_name(TYPES)


def backfill(
    gateway: Gateway, stripe: FakeEventList, *, max_listed: int = 100, types: Sequence[str] = TYPES
) -> EventBackfill:
    """Return a backfill as another reconciler has it."""
    events = gateway.events
    return EventBackfill(
        stripe,
        events,
        events,
        events,
        gateway.dispatcher,
        event_types=types,
        lease=MINUTE,
        now=gateway.clock.now,
        max_listed=max_listed,
    )


async def exhaust(gateway: Gateway, stripe: FakeEventList, *, max_listed: int = 100) -> int:
    """Run a backfill until nothing is left; return the number of runs."""
    sweep, runs = backfill(gateway, stripe, max_listed=max_listed), 1
    while await sweep.run():
        runs += 1
    return runs


def retries_of(gateway: Gateway, *, version: str = "1.0") -> EventRetries:
    """Return the retries of a reconciler of a version."""
    return EventRetries(gateway.events, gateway.dispatcher, lease=MINUTE, version=version, now=gateway.clock.now)


def unsupported(gateway: Gateway) -> UnsupportedObjects:
    """Return the objects that version 1.0 does not understand."""
    return UnsupportedObjects(gateway.events, version="1.0", now=gateway.clock.now)


def paid(gateway: Gateway, number: int, created_at: datetime) -> ListedEvent:
    """Let a buyer pay; return Stripe's event."""
    return paid_event(gateway.paid_attempt().ref, number, created_at)


def paid_event(ref: IntentRef, number: int, created_at: datetime) -> ListedEvent:
    """Return the event of a payment."""
    event = UnreadableIntentSucceeded(ref, livemode=False)
    return ListedEvent(f"evt_{number}", "payment_intent.succeeded", created_at, event)


async def test_events_that_no_webhook_delivered_are_handled(gateway: Gateway) -> None:
    """Those of the last 30 days, also if the reconciler never ran before. They are logged."""
    event = paid(gateway, 1, gateway.clock.now() - timedelta(days=29))

    await exhaust(gateway, FakeEventList(event))

    assert [each.intent_id for each in gateway.orders.purchases()] == [event.event.ref.id]  # type: ignore[union-attr]  # a payment
    [report] = gateway.orders.reports
    assert (report.channel, report.stripe_event_id) == (ReportChannel.RECONCILER, "evt_1")
    assert list(gateway.events.logged) == ["evt_1"]
    assert gateway.events.positions[CURSOR] == event.created_at


async def test_what_a_webhook_has_handled_is_skipped(gateway: Gateway) -> None:
    """The log spares the work."""
    event = paid(gateway, 1, gateway.clock.now())
    await gateway.events.log([HandledEvent(event.id, event.type, event.created_at)])

    await exhaust(gateway, FakeEventList(event))

    assert gateway.wire.calls == []


async def test_events_of_types_that_an_earlier_version_did_not_know_are_handled(gateway: Gateway) -> None:
    """It had acknowledged them without effect, and its cursor has passed them."""
    stripe = FakeEventList(paid(gateway, 1, gateway.clock.now()))
    await backfill(gateway, stripe, types=TYPES[:1]).run()
    stripe.events.append(paid(gateway, 2, gateway.clock.now() - timedelta(days=2)))

    await exhaust(gateway, stripe)

    assert sorted(gateway.events.logged) == ["evt_1", "evt_2"]


def test_the_cursor_does_not_depend_on_the_order_of_the_types() -> None:
    """That of a set differs from process to process."""
    assert cursor_name(TYPES) == cursor_name(reversed(TYPES))


async def test_an_event_that_the_list_shows_late_is_handled(gateway: Gateway) -> None:
    """Each run begins ten minutes before the cursor."""
    stripe = FakeEventList(paid(gateway, 0, gateway.clock.now()))
    await exhaust(gateway, stripe)
    gateway.events.logged.clear()
    stripe.events[:] = [paid(gateway, 1, gateway.clock.now() - OVERLAP)]

    gateway.clock.advance(60)
    await exhaust(gateway, stripe)

    assert list(gateway.events.logged) == ["evt_1"]


async def test_no_event_is_missed_although_our_clock_was_ahead(gateway: Gateway) -> None:
    """Webhooks are refused meanwhile, so the cursor must not pass the events that Stripe has yet to create."""
    stripe = FakeEventList(paid(gateway, 1, gateway.clock.now()))
    gateway.clock.advance(3600)
    await exhaust(gateway, stripe)
    gateway.clock.advance(-3000)

    stripe.events.append(paid(gateway, 2, gateway.clock.now()))
    await exhaust(gateway, stripe)

    assert sorted(gateway.events.logged) == ["evt_1", "evt_2"]


async def test_an_event_is_handled_although_stripes_clock_is_ahead(gateway: Gateway) -> None:
    """The cursor stays at our time, so that the next event is not missed."""
    event = paid(gateway, 1, gateway.clock.now() + MINUTE)

    await exhaust(gateway, FakeEventList(event))

    assert (list(gateway.events.logged), gateway.events.positions[CURSOR]) == (["evt_1"], gateway.clock.now())


async def test_a_failing_event_waits_and_the_cursor_moves_on(gateway: Gateway) -> None:
    """The others are handled, before it and after it; no later run tries it again."""
    now = gateway.clock.now()
    missing = ListedEvent("evt_1", "customer.subscription.updated", now, SubscriptionChanged("sub_9", None, None, None))
    stripe = FakeEventList(missing, paid(gateway, 2, now))
    gateway.wire.fail("subscriptions.get_subscription_by_stripe_id", RuntimeError("broken"))

    await exhaust(gateway, stripe)
    await exhaust(gateway, stripe)

    assert list(gateway.events.retries) == ["evt_1"]
    retry = gateway.events.retries["evt_1"]
    assert (retry.event, retry.reason, retry.failures) == (missing.event, "RuntimeError", 1)
    assert list(gateway.events.logged) == ["evt_2"]
    assert gateway.events.positions[CURSOR] == now


async def test_the_cursor_stays_before_what_could_neither_be_handled_nor_written(gateway: Gateway) -> None:
    """The next run begins there."""
    gateway.events.positions[CURSOR] = before = gateway.clock.now() - timedelta(days=3)
    event = paid(gateway, 1, gateway.clock.now())
    gateway.wire.fail("attempts.find", ServiceUnavailable("checkout-session"))
    gateway.events.fails = ServiceUnavailable("orders")
    sweep = backfill(gateway, FakeEventList(event))

    with pytest.raises(ServiceUnavailable):
        await sweep.run()

    assert (gateway.events.positions[CURSOR], gateway.events.retries, gateway.events.logged) == (before, {}, {})


async def test_events_of_one_object_are_handled_at_once(gateway: Gateway) -> None:
    """Each is logged."""
    subscription = await subscribed(gateway)
    changed = SubscriptionChanged(str(subscription.stripe_subscription_id), subscription.id, None, livemode=False)
    now = gateway.clock.now()
    stripe = FakeEventList(
        *(ListedEvent(f"evt_{number}", "customer.subscription.updated", now, changed) for number in range(5))
    )
    gateway.wire.calls.clear()

    await exhaust(gateway, stripe)

    assert gateway.wire.calls.count("billing.retrieve") == 1
    assert len(gateway.events.logged) == 5


async def test_a_long_outage_is_made_good_in_parts(gateway: Gateway) -> None:
    """A run holds a limited number of events in memory, and no event is left out."""
    now = gateway.clock.now()
    changes = [
        ListedEvent(f"evt_{number}", "refund.updated", now - number * 30 * MINUTE, RefundChanged(f"re_{number}"))
        for number in range(144)
    ]
    gateway.events.positions[CURSOR] = now - timedelta(days=3)

    runs = await exhaust(gateway, FakeEventList(*changes), max_listed=20)

    assert len(gateway.events.logged) == 144
    assert runs > 144 / 20


async def test_one_list_that_is_too_long_tells_how_much_fits_into_a_run(gateway: Gateway) -> None:
    """The rest of an outage is listed once."""
    now = gateway.clock.now()
    changes = [
        ListedEvent(f"evt_{number}", "refund.updated", now - number * 5 * MINUTE, RefundChanged(f"re_{number}"))
        for number in range(240)
    ]
    gateway.events.positions[CURSOR] = now - timedelta(hours=20)
    stripe = FakeEventList(*changes)

    runs = await exhaust(gateway, stripe, max_listed=60)

    assert len(gateway.events.logged) == 240
    assert runs <= 1 + 9


async def test_a_moment_with_more_events_than_the_limit_is_handled(gateway: Gateway) -> None:
    """A minute is not divided."""
    now = gateway.clock.now()
    changes = [ListedEvent(f"evt_{each}", "refund.updated", now, RefundChanged(f"re_{each}")) for each in range(50)]

    await exhaust(gateway, FakeEventList(*changes), max_listed=20)

    assert len(gateway.events.logged) == 50


async def test_no_event_is_missed_after_a_failure_among_parts_that_are_not_over(gateway: Gateway) -> None:
    """Our clock is ahead, so that parts without events lie in Stripe's future; it comes while Stripe is away."""
    stripe_now = gateway.clock.now() - 600 * MINUTE
    gateway.events.positions[CURSOR] = crowded = stripe_now - 60 * MINUTE
    stripe = FakeEventList(
        *(ListedEvent(f"evt_{each}", "refund.updated", crowded, RefundChanged(f"re_{each}")) for each in range(50))
    )
    sweep = backfill(gateway, stripe, max_listed=20)
    while not gateway.events.logged or (stripe.asked[-1][1] or crowded) < stripe_now + 20 * MINUTE:
        assert await sweep.run()
    stripe.events.append(paid(gateway, 60, stripe_now + MINUTE))
    stripe.fails = StripeUnavailable()
    with pytest.raises(StripeUnavailable):
        await sweep.run()
    stripe.fails, gateway.events.is_leased = None, False
    gateway.clock.advance(100 * 60)
    stripe.events.append(paid(gateway, 61, stripe_now + 100 * MINUTE))

    while await sweep.run():
        pass

    assert {"evt_60", "evt_61"} <= set(gateway.events.logged)


async def test_one_reconciler_at_a_time_reads_the_list(gateway: Gateway) -> None:
    """Another one finds the cursor leased, and comes back later."""
    stripe = FakeEventList()
    gateway.events.is_leased = True

    left = await backfill(gateway, stripe).run()

    assert (left, stripe.asked) == (False, [])


async def test_p3_two_backfills_of_the_same_events_record_them_once(gateway: Gateway) -> None:
    """The lease only saves calls: decisions are the database's."""
    event = paid(gateway, 1, gateway.clock.now())
    stripe = FakeEventList(event)

    async def run_without_lease() -> None:
        gateway.events.is_leased = False
        await backfill(gateway, stripe).run()

    await asyncio.gather(*(run_without_lease() for _ in range(5)))

    assert len(gateway.orders.purchases()) == 1


async def test_old_log_rows_are_pruned(gateway: Gateway) -> None:
    """Once Stripe does not list their events any more."""
    await exhaust(gateway, FakeEventList())

    assert gateway.events.pruned_before == [gateway.clock.now() - timedelta(days=35)]


async def test_a_retry_is_finished_once_it_was_handled(gateway: Gateway) -> None:
    """Until then each failure is counted."""
    event = paid(gateway, 1, gateway.clock.now())
    await gateway.events.put(EventRetry(event.id, event.type, event.event, event.created_at, "StripeUnavailable"))
    retries = retries_of(gateway)
    gateway.wire.fail("orders.record_purchase", ServiceUnavailable("orders"))
    await retries.run()
    failed = gateway.events.retries["evt_1"]
    gateway.wire.heal()

    await retries.run()

    assert (failed.reason, failed.failures) == ("ServiceUnavailable", 2)
    assert (gateway.events.retries, len(gateway.orders.purchases())) == ({}, 1)


async def test_an_object_that_was_not_understood_is_tried_by_another_version(gateway: Gateway) -> None:
    """Not by the same one; and it waits again if that does not understand it either."""
    event = paid(gateway, 1, gateway.clock.now()).event
    await unsupported(gateway).put(event, UnsupportedStripeObject())

    await retries_of(gateway).run()
    waiting = list(gateway.events.retries)
    await retries_of(gateway, version="1.1").run()

    assert waiting == [event.ref.id]  # type: ignore[union-attr]  # a payment
    assert (gateway.events.retries, len(gateway.orders.purchases())) == ({}, 1)


async def test_an_object_that_orders_refused_is_tried_by_the_same_version(gateway: Gateway) -> None:
    """A rollout replaces the gateways first: an older orders refused a word that the newer one stores."""
    event = paid(gateway, 1, gateway.clock.now()).event
    await unsupported(gateway).put(event, RefusedByOrders())

    await retries_of(gateway).run()

    assert (gateway.events.retries, len(gateway.orders.purchases())) == ({}, 1)


async def test_no_retry_waits_for_others_of_its_lease(gateway: Gateway) -> None:
    """A claim takes what is handled at once, however many are due: else their lease would end before their turn."""
    for number in range(20):
        event = paid(gateway, number, gateway.clock.now())
        await gateway.events.put(EventRetry(event.id, event.type, event.event, event.created_at, "StripeUnavailable"))
    retries = retries_of(gateway)

    more, left = [], []
    for _ in range(3):
        more.append(await retries.run())
        left.append(len(gateway.events.retries))

    assert (more, left) == ([True, True, False], [12, 4, 0])


async def test_the_age_of_the_oldest_retry_is_a_metric(gateway: Gateway) -> None:
    """One that never succeeds raises an alert by it."""
    event = paid(gateway, 1, gateway.clock.now())
    await gateway.events.put(EventRetry(event.id, event.type, event.event, event.created_at, "StripeUnavailable"))
    gateway.clock.advance(90)
    retries = retries_of(gateway)

    await retries.run()
    waiting = REGISTRY.get_sample_value("holdfast_event_retries_oldest_seconds")
    await retries.run()

    assert (waiting, REGISTRY.get_sample_value("holdfast_event_retries_oldest_seconds")) == (90, 0)
