"""Activation of subscriptions and their life at Stripe, through gRPC on a real PostgreSQL: one at a time."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from checkout.orders.v1 import orders_pb2 as pb

from .service import Client, count, refusal
from .subscription_reports import MONTH, YEAR, cart, invoice, moment, recurring_line, shown

FAILED = pb.SUBSCRIPTION_STATUS_ACTIVATION_FAILED
ACTIVE = pb.SUBSCRIPTION_STATUS_ACTIVE
Call = Callable[[Client, str], Awaitable[object]]


async def begun(orders: Client) -> pb.Subscription:
    """Record a subscription and begin its activation."""
    bought = (await orders.RecordPurchase(cart(recurring_line(1)))).decision.purchase.subscriptions[0]
    return (await orders.BeginActivation(pb.BeginActivationRequest(subscription_id=bought.id))).subscription


async def activate(
    orders: Client,
    subscription: pb.Subscription,
    state: pb.StripeSubscriptionState | None = None,
    first: pb.SubscriptionInvoice | None = None,
) -> pb.Subscription:
    """Bind a subscription at its version."""
    request = pb.ActivateSubscriptionRequest(
        subscription_id=subscription.id,
        expected_version=subscription.version,
        state=state or shown(f"sub_of_{subscription.id}"),
        invoice=first,
    )
    return (await orders.ActivateSubscription(request)).subscription


async def fail(orders: Client, subscription: pb.Subscription, failure: str = "resource_missing") -> pb.Subscription:
    """Note a refusal at the subscription's version."""
    request = pb.FailActivationRequest(
        subscription_id=subscription.id, expected_version=subscription.version, failure=failure
    )
    return (await orders.FailActivation(request)).subscription


async def apply(
    orders: Client,
    subscription: pb.Subscription,
    state: pb.StripeSubscriptionState,
    charged: pb.SubscriptionInvoice | None = None,
) -> pb.Subscription:
    """Write a state at the subscription's version."""
    request = pb.ApplySubscriptionStateRequest(
        subscription_id=subscription.id, expected_version=subscription.version, state=state, invoice=charged
    )
    return (await orders.ApplySubscriptionState(request)).subscription


async def read(orders: Client, subscription: pb.Subscription) -> pb.Subscription:
    """Read a subscription by our id."""
    return (await orders.GetSubscription(pb.GetSubscriptionRequest(subscription_id=subscription.id))).subscription


async def test_a_begin_is_noted_once(orders: Client) -> None:
    """The moment of a generation's first begin stays, and so does the version: two workers may both go on."""
    first = await begun(orders)

    again = (await orders.BeginActivation(pb.BeginActivationRequest(subscription_id=first.id))).subscription

    assert first.HasField("activation_began_at")
    assert (first.activation_generation, first.version, first.status) == (1, 2, pb.SUBSCRIPTION_STATUS_PENDING)
    assert again == first


async def test_a_generation_is_abandoned_once(orders: Client) -> None:
    """The next one begins; who still names the abandoned one is answered what stands."""
    first = await begun(orders)
    request = pb.BeginActivationRequest(subscription_id=first.id, abandon_generation=1)

    second = (await orders.BeginActivation(request)).subscription
    late = (await orders.BeginActivation(request)).subscription

    assert (second.activation_generation, second.version) == (2, 3)
    assert second.activation_began_at.ToNanoseconds() > first.activation_began_at.ToNanoseconds()
    assert late == second


async def test_an_activation_binds_and_writes_what_stripe_showed(orders: Client) -> None:
    """The state with its first invoice; by Stripe's id it is found, too."""
    subscription = await begun(orders)

    bound = await activate(orders, subscription, shown("sub_9", pb.SUBSCRIPTION_STATUS_INCOMPLETE), invoice())

    by_stripe_id = await orders.GetSubscription(pb.GetSubscriptionRequest(stripe_subscription_id="sub_9"))
    assert bound.state == shown("sub_9", pb.SUBSCRIPTION_STATUS_INCOMPLETE)
    assert (bound.status, bound.stripe_subscription_id) == (pb.SUBSCRIPTION_STATUS_INCOMPLETE, "sub_9")
    assert list(bound.invoices) == [invoice()]
    assert bound.version == subscription.version + 1
    assert by_stripe_id.subscription == bound == await read(orders, subscription)


async def test_a_repeated_activation_answers_the_row_as_it_stands(orders: Client) -> None:
    """With an old version and an old state: neither is written."""
    subscription = await begun(orders)
    bound = await activate(orders, subscription, shown("sub_1"))
    newer = await apply(orders, bound, shown("sub_1", pb.SUBSCRIPTION_STATUS_PAST_DUE))

    again = await activate(orders, subscription, shown("sub_1"), invoice())

    assert again == newer


async def test_a_bound_subscription_is_never_bound_to_another(orders: Client) -> None:
    """Whatever version the caller names."""
    bound = await activate(orders, await begun(orders), shown("sub_1"))

    error = await refusal(activate(orders, bound, shown("sub_2")))

    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "stripe_subscription_mismatch")
    assert await read(orders, bound) == bound


async def test_a_stripe_subscription_is_bound_once(orders: Client) -> None:
    """Another row cannot have it."""
    await activate(orders, await begun(orders), shown("sub_1"))
    other = await begun(orders)

    error = await refusal(activate(orders, other, shown("sub_1")))

    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "stripe_subscription_mismatch")
    assert await read(orders, other) == other


async def test_a_refusal_for_good_is_noted_and_spends_the_key(orders: Client) -> None:
    """The next try begins another generation. Told again, the row is answered as it stands."""
    subscription = await begun(orders)

    failed = await fail(orders, subscription)
    again = await fail(orders, subscription, "another_word")

    assert (failed.status, failed.activation_failure, failed.activation_generation) == (FAILED, "resource_missing", 2)
    assert not failed.HasField("activation_began_at")
    assert again == failed


async def test_a_failed_activation_can_be_tried_again_and_refused_again(orders: Client) -> None:
    """It stays failed meanwhile; the second refusal spends the second key and says why."""
    failed = await fail(orders, await begun(orders))

    retried = (await orders.BeginActivation(pb.BeginActivationRequest(subscription_id=failed.id))).subscription
    refused = await fail(orders, retried, "card_declined")

    assert (retried.status, retried.activation_generation) == (FAILED, 2)
    assert retried.HasField("activation_began_at")
    assert (refused.activation_failure, refused.activation_generation) == ("card_declined", 3)


async def test_a_failed_activation_may_still_be_bound(orders: Client) -> None:
    """A late answer shows that Stripe did make it."""
    failed = await fail(orders, await begun(orders))

    bound = await activate(orders, failed)

    assert (bound.status, bound.activation_failure) == (ACTIVE, "")


async def test_a_bound_subscription_neither_fails_nor_begins(orders: Client) -> None:
    """It is answered as it stands."""
    subscription = await begun(orders)
    bound = await activate(orders, subscription)

    for late in (subscription, bound):
        assert await fail(orders, late) == bound
    begin = pb.BeginActivationRequest(subscription_id=bound.id, abandon_generation=1)
    assert (await orders.BeginActivation(begin)).subscription == bound


async def test_what_was_overtaken_is_not_written(orders: Client) -> None:
    """Neither a binding, a failure nor a state, and not the invoice that came with it."""
    subscription = await begun(orders)
    await orders.BeginActivation(pb.BeginActivationRequest(subscription_id=subscription.id, abandon_generation=1))
    overtaken = [activate(orders, subscription, None, invoice()), fail(orders, subscription)]

    errors = [await refusal(each) for each in overtaken]
    bound = await activate(orders, await read(orders, subscription), shown("sub_1"))
    newer = await apply(orders, bound, shown("sub_1", pb.SUBSCRIPTION_STATUS_CANCELED))
    errors.append(await refusal(apply(orders, bound, shown("sub_1"), invoice())))

    assert {(error.code, error.reason) for error in errors} == {(grpc.StatusCode.ABORTED, "version_conflict")}
    assert await read(orders, subscription) == newer
    assert list(newer.invoices) == []


async def test_a_state_is_written_whole(orders: Client) -> None:
    """What Stripe shows no more is shown no more here."""
    full = shown("sub_1", pb.SUBSCRIPTION_STATUS_TRIALING)
    full.cancel_at_period_end = True
    for number, name in enumerate(("trial_end", "cancel_at", "canceled_at", "ended_at"), start=1):
        getattr(full, name).CopyFrom(moment(number))
    bound = await activate(orders, await begun(orders), full)

    applied = await apply(orders, bound, pb.StripeSubscriptionState(stripe_subscription_id="sub_1", status=ACTIVE))

    assert bound.state == full
    assert applied.state == pb.StripeSubscriptionState(stripe_subscription_id="sub_1", status=ACTIVE)


async def test_a_state_of_another_stripe_subscription_is_refused(orders: Client) -> None:
    """Whether the row is bound to one or not yet."""
    unbound = await begun(orders)
    bound = await activate(orders, await begun(orders), shown("sub_1"))

    for standing in (unbound, bound):
        error = await refusal(apply(orders, standing, shown("sub_2")))

        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "stripe_subscription_mismatch")
        assert await read(orders, standing) == standing


async def test_an_invoice_is_one_row_however_often_it_comes(orders: Client, sql: Any) -> None:
    """Its newest sighting is what it says; a renewal is another row, and no order."""
    subscription = await activate(orders, await begun(orders), None, invoice("in_1", status=pb.INVOICE_STATUS_OPEN))
    state = subscription.state

    subscription = await apply(orders, subscription, state, invoice("in_1"))
    subscription = await apply(orders, subscription, state, invoice("in_2", day=2))
    subscription = await apply(orders, subscription, state)

    assert list(subscription.invoices) == [invoice("in_2", day=2), invoice("in_1")]
    assert [await count(sql, table) for table in ("subscription_invoices", "orders")] == [2, 0]


async def test_an_invoice_of_another_subscription_is_refused(orders: Client) -> None:
    """It stays where it was, and the state that came with it is not written."""
    first = await activate(orders, await begun(orders), None, invoice("in_1"))
    second = await activate(orders, await begun(orders))

    error = await refusal(apply(orders, second, second.state, invoice("in_1")))

    assert error.reason == "stripe_subscription_mismatch"
    assert [await read(orders, each) for each in (first, second)] == [first, second]


async def test_a_credit_has_a_negative_total(orders: Client) -> None:
    """Stripe makes such invoices when it prorates."""
    credit = invoice("in_credit")
    credit.total.minor_units = -(2**63)
    credit.amount_paid.minor_units = 0

    subscription = await activate(orders, await begun(orders), None, credit)

    assert list(subscription.invoices) == [credit]


async def test_the_newest_24_invoices_are_answered(orders: Client) -> None:
    """Two years of months; the rows are all there."""
    subscription = await activate(orders, await begun(orders))
    for number in range(26):
        subscription = await apply(orders, subscription, subscription.state, invoice(f"in_{number:02}", day=number + 1))

    assert [each.stripe_invoice_id for each in subscription.invoices] == [f"in_{n:02}" for n in reversed(range(2, 26))]


UNKNOWN: dict[str, Call] = {
    "GetSubscription": lambda orders, key: orders.GetSubscription(pb.GetSubscriptionRequest(subscription_id=key)),
    "GetSubscription by Stripe's id": lambda orders, _: orders.GetSubscription(
        pb.GetSubscriptionRequest(stripe_subscription_id="sub_unknown")
    ),
    "BeginActivation": lambda orders, key: orders.BeginActivation(pb.BeginActivationRequest(subscription_id=key)),
    "ActivateSubscription": lambda orders, key: activate(orders, pb.Subscription(id=key, version=1)),
    "FailActivation": lambda orders, key: fail(orders, pb.Subscription(id=key, version=1)),
    "ApplySubscriptionState": lambda orders, key: apply(orders, pb.Subscription(id=key, version=1), shown()),
}


@pytest.mark.parametrize("call", UNKNOWN.values(), ids=UNKNOWN)
async def test_an_unknown_subscription_is_not_found(orders: Client, call: Call) -> None:
    """The reason says so."""
    error = await refusal(call(orders, str(uuid.uuid4())))

    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "subscription_not_found")


async def test_a_user_lists_its_own_subscriptions_newest_first(orders: Client) -> None:
    """Page by page, each once, without invoices; nobody else's, and no guest's."""
    mine: list[pb.Subscription] = []
    for _ in range(3):
        report = cart(recurring_line(1, interval=MONTH), recurring_line(2, interval=YEAR))
        mine += (await orders.RecordPurchase(report)).decision.purchase.subscriptions
    mine[0] = await activate(orders, mine[0], None, invoice())
    mine[0].ClearField("invoices")
    for user_id in ("user_2", ""):
        await orders.RecordPurchase(cart(recurring_line(1), user_id=user_id))

    listed: list[pb.Subscription] = []
    token = None
    while token != "":
        request = pb.ListSubscriptionsRequest(user_id="user_1", page_size=4, page_token=token or "")
        page = await orders.ListSubscriptions(request)
        listed += page.subscriptions
        token = page.next_page_token

    newest_first = sorted(mine, key=lambda each: (each.created_at.ToNanoseconds(), each.id), reverse=True)
    assert listed == newest_first
