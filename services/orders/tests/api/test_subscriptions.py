"""Activation of subscriptions, their states at Stripe, and the reads, one call at a time."""

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from checkout.orders.v1 import orders_pb2 as pb

from ..builders import YEAR, cart, invoice, line, money, recurring_line, stripe_state, timestamp
from ..calls import activate, apply, begin, begun, cancel, fail, read, retry
from ..service import MISMATCH, VERSION_CONFLICT, Client, count, error_of

FAILED = pb.SUBSCRIPTION_STATUS_ACTIVATION_FAILED
ACTIVE = pb.SUBSCRIPTION_STATUS_ACTIVE
CANCELED = pb.SUBSCRIPTION_STATUS_CANCELED


async def test_a_begin_is_recorded_once(orders: Client) -> None:
    """The time of a generation's first begin stays, and so does the version: two workers may both continue."""
    first = await begun(orders)

    again = await begin(orders, first)

    assert first.HasField("activation_began_at")
    assert (first.activation_generation, first.version, first.status) == (1, 2, pb.SUBSCRIPTION_STATUS_PENDING)
    assert again == first


async def test_a_generation_is_abandoned_once(orders: Client) -> None:
    """The next one begins; a repeat with the abandoned generation changes nothing."""
    first = await begun(orders)

    second = await begin(orders, first, abandon_generation=1)
    late = await begin(orders, first, abandon_generation=1)

    assert (second.activation_generation, second.version) == (2, 3)
    assert second.activation_began_at.ToNanoseconds() > first.activation_began_at.ToNanoseconds()
    assert late == second


async def test_an_activation_binds_and_writes_the_state(orders: Client) -> None:
    """With the first invoice; Stripe's id finds it too."""
    subscription = await begun(orders)
    state = stripe_state("sub_9", pb.SUBSCRIPTION_STATUS_INCOMPLETE)

    bound = await activate(orders, subscription, state, invoice())

    by_stripe_id = await orders.GetSubscription(pb.GetSubscriptionRequest(stripe_subscription_id="sub_9"))
    assert (bound.state, bound.status, bound.stripe_subscription_id) == (state, state.status, "sub_9")
    assert list(bound.invoices) == [invoice()]
    assert bound.version == subscription.version + 1
    assert by_stripe_id.subscription == bound == await read(orders, subscription)


async def test_a_repeated_activation_returns_the_row_unchanged(orders: Client) -> None:
    """An old version and an old state are not written."""
    subscription = await begun(orders)
    bound = await activate(orders, subscription, stripe_state())
    newer = await apply(orders, bound, stripe_state(status=pb.SUBSCRIPTION_STATUS_PAST_DUE))

    again = await activate(orders, subscription, stripe_state(), invoice())

    assert again == newer


async def test_a_bound_subscription_is_never_bound_to_another(orders: Client) -> None:
    """At any version of the caller."""
    bound = await activate(orders, await begun(orders), stripe_state("sub_1"))

    error = await error_of(activate(orders, bound, stripe_state("sub_2")))

    assert error == MISMATCH
    assert await read(orders, bound) == bound


async def test_a_stripe_subscription_is_bound_once(orders: Client) -> None:
    """No second row can have it."""
    await activate(orders, await begun(orders), stripe_state("sub_1"))
    other = await begun(orders)

    error = await error_of(activate(orders, other, stripe_state("sub_1")))

    assert error == MISMATCH
    assert await read(orders, other) == other


async def test_a_definite_refusal_is_recorded_and_advances_the_generation(orders: Client) -> None:
    """A repeat, and a begin that comes late or abandons its generation, return the row unchanged."""
    subscription = await begun(orders)

    failed = await fail(orders, subscription)
    repeated = await fail(orders, subscription, "another_code")
    late = [await begin(orders, failed, generation) for generation in (0, 1, 2)]

    assert (failed.status, failed.activation_failure, failed.activation_generation) == (FAILED, "resource_missing", 2)
    assert (failed.HasField("activation_began_at"), failed.HasField("activation_failed_at")) == (False, True)
    assert [repeated, *late] == [failed] * 4


async def test_a_failed_activation_may_still_be_bound(orders: Client) -> None:
    """A late response shows that Stripe did create it."""
    failed = await fail(orders, await begun(orders))

    bound = await activate(orders, failed)

    assert (bound.status, bound.activation_failure) == (ACTIVE, "")


async def test_a_bound_subscription_neither_fails_nor_begins(orders: Client) -> None:
    """It is returned unchanged."""
    subscription = await begun(orders)
    bound = await activate(orders, subscription)

    late = [await fail(orders, subscription), await fail(orders, bound), await begin(orders, bound, 1)]

    assert late == [bound] * 3


async def test_a_cancelled_subscription_begins_no_activation(orders: Client) -> None:
    """Pending or failed: nobody may create it at Stripe, and a repeat of anything changes nothing."""
    (pending,) = (await orders.RecordPurchase(cart(recurring_line(1)))).decision.purchase.subscriptions
    failed = await fail(orders, await begun(orders))

    for subscription in (pending, failed):
        cancelled = await cancel(orders, subscription)

        assert (cancelled.status, cancelled.activation_failure, cancelled.version) == (
            CANCELED,
            "",
            subscription.version + 1,
        )
        assert cancelled.HasField("cancel_requested_at")
        assert not cancelled.HasField("activation_began_at")
        assert await begin(orders, cancelled) == cancelled
        assert await cancel(orders, subscription) == cancelled
        assert await fail(orders, cancelled) == cancelled


async def test_a_cancel_shows_an_activation_that_was_under_way(orders: Client) -> None:
    """It may exist at Stripe, until its generation is abandoned: then nothing is left to do."""
    subscription = await begun(orders)

    cancelled = await cancel(orders, subscription)
    refused = [await fail(orders, each) for each in (cancelled, subscription)]
    ended = await begin(orders, cancelled, abandon_generation=1)

    assert cancelled.activation_began_at == subscription.activation_began_at
    assert refused == [cancelled] * 2
    assert (ended.status, ended.activation_generation, ended.version) == (CANCELED, 2, cancelled.version + 1)
    assert not ended.HasField("activation_began_at")


async def test_a_cancelled_subscription_is_bound_only_when_it_has_ended_at_stripe(orders: Client, sql: Any) -> None:
    """One that is alive has to be cancelled there first: the row is never shown as anything but cancelled.

    That is announced once.
    """
    cancelled = await cancel(orders, await begun(orders))

    alive = await error_of(activate(orders, cancelled, stripe_state()))
    bound = await activate(orders, cancelled, stripe_state(status=CANCELED))

    assert alive == VERSION_CONFLICT
    assert (bound.status, bound.stripe_subscription_id) == (CANCELED, "sub_1")
    assert await cancel(orders, bound) == bound
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE topic = 'subscription.changed'") == 1


async def test_a_bound_subscription_has_to_be_cancelled_at_stripe(orders: Client) -> None:
    """At any version of the caller."""
    subscription = await begun(orders)
    bound = await activate(orders, subscription)

    errors = [await error_of(cancel(orders, each)) for each in (subscription, bound)]

    assert [error.reason for error in errors] == ["subscription_activated"] * 2
    assert await read(orders, bound) == bound


async def test_a_subscription_without_a_payment_method_has_failed(orders: Client) -> None:
    """The order is recorded with it. It can be cancelled, or bound to one that a person created."""
    request = cart(line(1), recurring_line(2))
    request.payment.payment_method_id = ""

    purchase = (await orders.RecordPurchase(request)).decision.purchase
    (subscription,) = purchase.subscriptions

    assert purchase.order.number
    assert (subscription.status, subscription.activation_failure) == (FAILED, "payment_method_missing")
    assert (await activate(orders, subscription)).status == ACTIVE


async def test_an_outdated_version_is_not_written(orders: Client) -> None:
    """Neither a binding, a cancel, a refusal nor a state, and not the invoice that came with it."""
    subscription = await begun(orders)
    newer = await begin(orders, subscription, abandon_generation=1)

    errors = [
        await error_of(activate(orders, subscription, None, invoice())),
        await error_of(cancel(orders, subscription)),
        await error_of(fail(orders, subscription)),
    ]
    bound = await activate(orders, newer, stripe_state())
    canceled = await apply(orders, bound, stripe_state(status=pb.SUBSCRIPTION_STATUS_CANCELED))
    errors.append(await error_of(apply(orders, bound, stripe_state(), invoice())))

    assert errors == [VERSION_CONFLICT] * 4
    assert await read(orders, subscription) == canceled
    assert list(canceled.invoices) == []


async def test_a_state_is_replaced_as_a_whole(orders: Client) -> None:
    """Fields that Stripe no longer shows are cleared."""
    full = stripe_state("sub_1", pb.SUBSCRIPTION_STATUS_TRIALING)
    full.cancel_at_period_end = True
    for number, name in enumerate(("trial_end", "cancel_at", "canceled_at", "ended_at"), start=1):
        getattr(full, name).CopyFrom(timestamp(number))
    full.items.append(pb.BilledItem(stripe_item_id="si_2", price_id="price_9", product_id="prod_9", currency="eur"))
    full.pause_collection.CopyFrom(pb.PauseCollection(behavior="void", resumes_at=timestamp(5)))
    full.discounts.append(
        pb.Discount(stripe_discount_id="di_1", coupon_id="c", name="Spring", percent_off=12.5, duration="once")
    )
    full.discounts.append(
        pb.Discount(stripe_discount_id="di_2", amount_off=money(0), ends_at=timestamp(6), stripe_item_id="si_2")
    )
    least = pb.StripeSubscriptionState(stripe_subscription_id="sub_1", status=ACTIVE)

    bound = await activate(orders, await begun(orders), full)
    applied = await apply(orders, bound, least)

    assert (bound.state, applied.state) == (full, least)


async def test_a_status_that_the_contract_lacks_blocks_no_state(orders: Client) -> None:
    """It is stored and shown as such, and replaced by the next one."""
    unknown = stripe_state("sub_1", pb.SUBSCRIPTION_STATUS_UNSPECIFIED)
    unknown.default_payment_method_id = "pm_2"

    bound = await activate(orders, await begun(orders), unknown)
    canceled = await apply(orders, bound, stripe_state("sub_1", CANCELED))

    assert (bound.state, bound.status) == (unknown, pb.SUBSCRIPTION_STATUS_UNSPECIFIED)
    assert (canceled.status, canceled.version) == (CANCELED, bound.version + 1)


async def test_what_was_bought_stays_when_another_plan_is_billed(orders: Client, sql: Any) -> None:
    """Its items are replaced together with the state."""
    bound = await activate(orders, await begun(orders), stripe_state())
    changed = stripe_state()
    changed.items[0].MergeFrom(pb.BilledItem(stripe_item_id="si_7", price_id="price_7", quantity=5))

    applied = await apply(orders, bound, changed)

    assert (applied.items, applied.state.items) == (bound.items, changed.items)
    assert await sql.fetchval("SELECT string_agg(price_id, ' ') FROM subscription_billed_items") == "price_7"


async def test_a_refused_write_leaves_the_items(orders: Client) -> None:
    """They are part of the state: a write that fails at its end has written none of them."""
    await activate(orders, await begun(orders), stripe_state("sub_1"), invoice("in_1"))
    bound = await activate(orders, await begun(orders), stripe_state("sub_2"))
    changed = stripe_state("sub_2")
    changed.items[0].price_id = "price_7"

    rejected = await error_of(apply(orders, bound, changed, invoice("in_1")))

    assert rejected == MISMATCH
    assert await read(orders, bound) == bound


async def test_a_state_of_another_stripe_subscription_is_refused(orders: Client) -> None:
    """Also if the row is not bound yet."""
    unbound = await begun(orders)
    bound = await activate(orders, await begun(orders), stripe_state("sub_1"))

    errors = [await error_of(apply(orders, each, stripe_state("sub_2"))) for each in (unbound, bound)]

    assert errors == [MISMATCH] * 2
    assert [await read(orders, each) for each in (unbound, bound)] == [unbound, bound]


async def test_an_invoice_has_one_row(orders: Client, sql: Any) -> None:
    """Its newest state replaces the older one; a renewal is another row, and no order."""
    opened = invoice("in_1", status=pb.INVOICE_STATUS_OPEN)
    subscription = await activate(orders, await begun(orders), None, opened)
    state = subscription.state

    subscription = await apply(orders, subscription, state, invoice("in_1"))
    subscription = await apply(orders, subscription, state, invoice("in_2", day=2))
    subscription = await apply(orders, subscription, state)

    assert list(subscription.invoices) == [invoice("in_2", day=2), invoice("in_1")]
    assert await count(sql, "subscription_invoices", "orders") == [2, 0]


async def test_an_invoice_of_another_subscription_is_refused(orders: Client) -> None:
    """It stays with its own, and the state that came with it is not written."""
    first = await activate(orders, await begun(orders), None, invoice("in_1"))
    second = await activate(orders, await begun(orders))

    error = await error_of(apply(orders, second, second.state, invoice("in_1")))

    assert error == MISMATCH
    assert [await read(orders, each) for each in (first, second)] == [first, second]


async def test_a_credit_has_a_negative_total(orders: Client) -> None:
    """Stripe creates such invoices when it prorates."""
    credit = invoice("in_credit")
    credit.total.minor_units = -(2**63)
    credit.amount_paid.minor_units = 0

    subscription = await activate(orders, await begun(orders), None, credit)

    assert list(subscription.invoices) == [credit]


async def test_the_newest_24_invoices_are_returned(orders: Client) -> None:
    """Two years of monthly invoices."""
    subscription = await activate(orders, await begun(orders))
    for number in range(26):
        subscription = await apply(orders, subscription, subscription.state, invoice(f"in_{number:02}", day=number + 1))

    assert [each.stripe_invoice_id for each in subscription.invoices] == [f"in_{n:02}" for n in reversed(range(2, 26))]


@pytest.mark.parametrize(
    "call",
    [
        read,
        lambda orders, _: orders.GetSubscription(pb.GetSubscriptionRequest(stripe_subscription_id="sub_unknown")),
        begin,
        activate,
        cancel,
        fail,
        retry,
        lambda orders, unknown: apply(orders, unknown, stripe_state()),
    ],
)
async def test_an_unknown_subscription_is_not_found(
    orders: Client, call: Callable[[Client, pb.Subscription], Awaitable[object]]
) -> None:
    """In every rpc."""
    error = await error_of(call(orders, pb.Subscription(id=str(uuid.uuid4()), version=1)))

    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "subscription_not_found")


async def test_a_user_lists_its_own_subscriptions_newest_first(orders: Client) -> None:
    """Page by page, each once, without invoices; nobody else's, and no guest's."""
    mine: list[pb.Subscription] = []
    for _ in range(3):
        recorded = await orders.RecordPurchase(cart(recurring_line(1), recurring_line(2, interval=YEAR)))
        mine += recorded.decision.purchase.subscriptions
    mine[0] = await activate(orders, mine[0], None, invoice())
    mine[0].ClearField("invoices")
    for user_id in ("user_2", ""):
        await orders.RecordPurchase(cart(recurring_line(1), user_id=user_id))

    first = await orders.ListSubscriptions(pb.ListSubscriptionsRequest(user_id="user_1", page_size=4))
    second = await orders.ListSubscriptions(
        pb.ListSubscriptionsRequest(user_id="user_1", page_size=4, page_token=first.next_page_token)
    )

    newest_first = sorted(mine, key=lambda each: (each.created_at.ToNanoseconds(), each.id), reverse=True)
    assert [*first.subscriptions, *second.subscriptions] == newest_first
    assert (len(first.subscriptions), second.next_page_token) == (4, "")


async def test_p7_what_changes_a_subscription_is_in_the_outbox(orders: Client, sql: Any) -> None:
    """Bound, failed, begun again or changed at Stripe, each once; a repeat announces nothing."""
    failed = await fail(orders, await begun(orders))
    for _ in range(2):
        await retry(orders, failed)
    bound = await activate(orders, await begun(orders))
    past_due = stripe_state(bound.stripe_subscription_id, pb.SUBSCRIPTION_STATUS_PAST_DUE)

    for _ in range(2):
        bound = await apply(orders, bound, past_due)

    rows = await sql.fetch("SELECT topic, aggregate_id, payload FROM outbox WHERE topic LIKE 'sub%' ORDER BY id")
    assert [(row["topic"], row["aggregate_id"], json.loads(row["payload"])) for row in rows] == [
        ("subscription.changed", each.id, {"subscription_id": each.id, "status": status})
        for each, status in (
            (failed, "activation_failed"),
            (failed, "pending"),
            (bound, "active"),
            (bound, "past_due"),
        )
    ]
