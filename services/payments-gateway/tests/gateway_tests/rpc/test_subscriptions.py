from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from checkout.orders.v1 import orders_pb2 as pb
from payments_gateway.domain.attempts import Interval, Recurring
from payments_gateway.domain.errors import VersionConflict
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import RefusedByOrders
from payments_gateway.domain.subscriptions import (
    BilledItem,
    Discount,
    InvoiceStatus,
    PauseCollection,
    StripeSubscriptionMismatch,
    StripeSubscriptionState,
    Subscription,
    SubscriptionActivated,
    SubscriptionInvoice,
    SubscriptionItem,
    SubscriptionNotFound,
    SubscriptionPage,
    SubscriptionStatus,
)
from payments_gateway.rpc.messages import money_to_proto, recurring_to_proto
from payments_gateway.rpc.subscription_states import state_to_proto
from payments_gateway.rpc.subscriptions import (
    SubscriptionsClient,
    invoice_to_proto,
    subscription_from_proto,
)
from servicekit.unavailable import ServiceUnavailable

from ..samples import ATTEMPT_ID
from ..service_stand_ins import OrdersStandIn, Refusal

NEWER: Any = 99
"""A number that a later version of the contract may give a meaning."""
BEGAN = datetime(2030, 1, 1, 12, 30, tzinfo=UTC)
STATE = StripeSubscriptionState(
    stripe_subscription_id="sub_1",
    status=SubscriptionStatus.PAST_DUE,
    current_period_end=BEGAN,
    trial_end=None,
    cancel_at_period_end=True,
    cancel_at=BEGAN,
    canceled_at=BEGAN,
    ended_at=None,
    latest_invoice_id="in_1",
    items=(
        BilledItem("si_1", "price_pro", "prod_pro", "Pro", 3, 1800, "usd", Interval.YEAR, 1, BEGAN),
        BilledItem("si_2", "price_usage", "prod_usage", "", None, None, "usd", None, None, None),
    ),
    pause_collection=PauseCollection("mark_uncollectible", BEGAN),
    discounts=(
        Discount("di_1", "SPRING", "Spring", 12.5, None, BEGAN, None, "repeating"),
        Discount("di_2", None, "", None, Money(0, "usd"), None, "si_1", None),
    ),
    default_payment_method_id="pm_2",
    collection_method="send_invoice",
)
INVOICE = SubscriptionInvoice(
    id="in_1",
    status=InvoiceStatus.OPEN,
    billing_reason="subscription_cycle",
    total=Money(1800, "usd"),
    amount_paid=Money(0, "usd"),
    attempt_count=2,
    created_at=BEGAN,
    period_start=BEGAN,
    period_end=BEGAN,
    next_payment_attempt=None,
)
PENDING = Subscription(
    id="00000000-0000-4000-8000-000000000001",
    checkout_attempt_id=ATTEMPT_ID,
    user_id=None,
    stripe_customer_id="cus_1",
    payment_method_id="pm_1",
    recurring=Recurring(Interval.WEEK, 2, 14),
    items=(SubscriptionItem("price_club", "prod_club", "Club", 2, Money(900, "usd")),),
    version=1,
    created_at=BEGAN,
    status=SubscriptionStatus.PENDING,
)
BOUND = replace(
    PENDING,
    user_id="user_ada",
    version=7,
    status=SubscriptionStatus.PAST_DUE,
    activation_generation=2,
    activation_began_at=BEGAN,
    stripe_subscription_id="sub_1",
    state=STATE,
    invoices=(INVOICE,),
)
FAILED = replace(
    PENDING,
    payment_method_id=None,
    status=SubscriptionStatus.ACTIVATION_FAILED,
    activation_failure="payment_method_missing",
)
CANCELLED = replace(PENDING, status=SubscriptionStatus.CANCELED, cancel_requested_at=BEGAN)


def subscription_message(subscription: Subscription) -> pb.Subscription:
    """Return a subscription as orders shows it."""
    began = subscription.activation_began_at
    message = pb.Subscription(
        id=subscription.id,
        checkout_attempt_id=subscription.checkout_attempt_id,
        user_id=subscription.user_id or "",
        stripe_customer_id=subscription.stripe_customer_id,
        payment_method_id=subscription.payment_method_id or "",
        recurring=recurring_to_proto(subscription.recurring),
        items=[
            pb.SubscriptionItem(
                price_id=item.price_id,
                product_id=item.product_id,
                name=item.name,
                quantity=item.quantity,
                unit_price=money_to_proto(item.unit_price),
            )
            for item in subscription.items
        ],
        version=subscription.version,
        activation_failure=subscription.activation_failure or "",
        activation_generation=subscription.activation_generation,
        status=pb.SubscriptionStatus.Value(f"SUBSCRIPTION_STATUS_{subscription.status.name}"),
        stripe_subscription_id=subscription.stripe_subscription_id or "",
        state=state_to_proto(subscription.state) if subscription.state else None,
        invoices=[invoice_to_proto(invoice) for invoice in subscription.invoices],
    )
    message.created_at.FromDatetime(subscription.created_at)
    if began is not None:
        message.activation_began_at.FromDatetime(began)
    if subscription.cancel_requested_at is not None:
        message.cancel_requested_at.FromDatetime(subscription.cancel_requested_at)
    return message


@pytest.fixture
def orders() -> OrdersStandIn:
    """Give an orders service that responds as told."""
    return OrdersStandIn()


@pytest.fixture
async def client(orders: OrdersStandIn) -> AsyncIterator[SubscriptionsClient]:
    """Give the gateway's client of it."""
    async with orders.served() as channel:
        yield SubscriptionsClient(channel, timeout_seconds=5)


@pytest.mark.parametrize(
    "subscription", [PENDING, FAILED, CANCELLED, BOUND], ids=["pending", "failed", "cancelled", "bound"]
)
async def test_a_subscription_is_read_by_either_id(
    client: SubscriptionsClient, orders: OrdersStandIn, subscription: Subscription
) -> None:
    """With every field; empty ones of the wire are None."""
    orders.answer = pb.GetSubscriptionResponse(subscription=subscription_message(subscription))

    found = [await client.get_subscription(subscription.id), await client.get_subscription_by_stripe_id("sub_1")]

    assert found == [subscription, subscription]
    assert orders.requests == [
        pb.GetSubscriptionRequest(subscription_id=subscription.id),
        pb.GetSubscriptionRequest(stripe_subscription_id="sub_1"),
    ]


async def test_a_word_of_a_newer_version_is_unknown(client: SubscriptionsClient, orders: OrdersStandIn) -> None:
    """It does not fail the other subscriptions of a page."""
    odd = subscription_message(BOUND)
    odd.status = odd.state.status = odd.recurring.interval = odd.invoices[0].status = odd.intent.kind = NEWER
    orders.answer = pb.ListSubscriptionsResponse(subscriptions=[odd, subscription_message(PENDING)])

    page = await client.list_subscriptions("user_ada", page_size=20, page_token=None)

    unknown = replace(
        BOUND,
        status=SubscriptionStatus.UNKNOWN,
        state=replace(STATE, status=SubscriptionStatus.UNKNOWN),
        recurring=replace(BOUND.recurring, interval=Interval.UNKNOWN),
        invoices=(replace(INVOICE, status=InvoiceStatus.UNKNOWN),),
    )
    assert page.subscriptions == (unknown, PENDING)


async def test_a_subscription_of_a_newer_version_is_not_taken_for_activated(
    client: SubscriptionsClient, orders: OrdersStandIn
) -> None:
    """Its unknown status may be one before activation; once it is bound nothing is left to activate."""
    odd, bound = subscription_message(PENDING), subscription_message(BOUND)
    odd.status = bound.status = NEWER

    orders.answer = pb.BeginActivationResponse(subscription=odd)
    with pytest.raises(ServiceUnavailable):
        await client.begin_activation(PENDING.id)
    orders.answer = pb.BeginActivationResponse(subscription=bound)

    assert (await client.begin_activation(PENDING.id)).status is SubscriptionStatus.UNKNOWN
    assert subscription_from_proto(odd).may_need_activation
    assert not subscription_from_proto(bound).may_need_activation


async def test_an_erased_subscription_says_so(client: SubscriptionsClient, orders: OrdersStandIn) -> None:
    """It has no user, and must not be taken for a guest's (P7)."""
    message = subscription_message(PENDING)
    message.erased_at.CopyFrom(Timestamp(seconds=1))
    orders.answer = pb.GetSubscriptionResponse(subscription=message)

    assert (await client.get_subscription(PENDING.id)).erased


async def test_a_write_sends_the_expected_version_and_the_state(
    client: SubscriptionsClient, orders: OrdersStandIn
) -> None:
    """Begin, activate, cancel, fail and apply; begin has no version."""
    row_id = BOUND.id
    message = subscription_message(BOUND)
    orders.answer = pb.BeginActivationResponse(subscription=message)
    begun = [await client.begin_activation(row_id), await client.begin_activation(row_id, abandon_generation=2)]
    orders.answer = pb.ActivateSubscriptionResponse(subscription=message)
    activated = await client.activate(row_id, 3, STATE, INVOICE)
    orders.answer = pb.CancelPendingSubscriptionResponse(subscription=message)
    cancelled = await client.cancel_pending(row_id, 8)
    orders.answer = pb.FailActivationResponse(subscription=message)
    failed = await client.fail_activation(row_id, 4, "resource_missing")
    orders.answer = pb.ApplySubscriptionStateResponse(subscription=message)
    applied = await client.apply_state(row_id, 5, STATE, INVOICE)

    assert [*begun, activated, cancelled, failed, applied] == [BOUND] * 6
    state, invoice = state_to_proto(STATE), invoice_to_proto(INVOICE)
    assert orders.requests == [
        pb.BeginActivationRequest(subscription_id=row_id),
        pb.BeginActivationRequest(subscription_id=row_id, abandon_generation=2),
        pb.ActivateSubscriptionRequest(subscription_id=row_id, expected_version=3, state=state, invoice=invoice),
        pb.CancelPendingSubscriptionRequest(subscription_id=row_id, expected_version=8),
        pb.FailActivationRequest(subscription_id=row_id, expected_version=4, failure="resource_missing"),
        pb.ApplySubscriptionStateRequest(subscription_id=row_id, expected_version=5, state=state, invoice=invoice),
    ]


@pytest.mark.parametrize(("token", "wire"), [(None, ""), ("next", "next")])
async def test_a_page_of_subscriptions_is_read(
    client: SubscriptionsClient, orders: OrdersStandIn, token: str | None, wire: str
) -> None:
    """Page tokens are passed on unchanged."""
    orders.answer = pb.ListSubscriptionsResponse(subscriptions=[subscription_message(BOUND)], next_page_token=wire)

    page = await client.list_subscriptions("user_ada", page_size=20, page_token=token)

    assert page == SubscriptionPage((BOUND,), token)
    assert orders.requests == [pb.ListSubscriptionsRequest(user_id="user_ada", page_size=20, page_token=wire)]


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (grpc.StatusCode.NOT_FOUND, "subscription_not_found", SubscriptionNotFound),
        (grpc.StatusCode.ABORTED, "version_conflict", VersionConflict),
        (grpc.StatusCode.FAILED_PRECONDITION, "stripe_subscription_mismatch", StripeSubscriptionMismatch),
        (grpc.StatusCode.FAILED_PRECONDITION, "subscription_activated", SubscriptionActivated),
        (grpc.StatusCode.ABORTED, "something_else", ServiceUnavailable),
        (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request", RefusedByOrders),
    ],
)
async def test_an_error_of_a_write_is_told_by_its_reason(
    client: SubscriptionsClient,
    orders: OrdersStandIn,
    code: grpc.StatusCode,
    reason: str,
    expected: type[Exception],
) -> None:
    """Of both writes."""
    orders.answer = Refusal(code, reason)

    with pytest.raises(expected):
        await client.apply_state(BOUND.id, 6, STATE, None)
    with pytest.raises(expected):
        await client.activate(BOUND.id, 6, STATE, None)
