"""Log, retries and cursors of Stripe's events, over real gRPC."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from checkout.orders.v1 import stripe_events_pb2 as pb
from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.stripe_events import ClaimedCursor, EventRetry, HandledEvent
from payments_gateway.domain.webhook_events import (
    ChargeRefunded,
    DisputeChanged,
    RefundChanged,
    SubscriptionChanged,
    SubscriptionItemChanged,
    UnreadableIntentSucceeded,
    WebhookEvent,
)
from payments_gateway.rpc.messages import time_to_proto
from payments_gateway.rpc.stripe_events import CursorsClient, EventLogClient, EventRetriesClient
from servicekit.unavailable import ServiceUnavailable

from ..service_stand_ins import OrdersStandIn, Refusal

AT = datetime(2030, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=90)
EVENTS: list[WebhookEvent] = [
    UnreadableIntentSucceeded(IntentRef("pi_1", IntentKind.PAYMENT), livemode=False),
    UnreadableIntentSucceeded(IntentRef("seti_1", IntentKind.SETUP), livemode=False),
    RefundChanged("re_1"),
    ChargeRefunded("ch_1"),
    DisputeChanged("dp_1"),
    SubscriptionChanged("sub_1", "00000000-0000-4000-8000-000000000001", "in_1", livemode=False),
    SubscriptionChanged("sub_1", None, None, livemode=False),
    SubscriptionItemChanged("si_1"),
]


@pytest.fixture
def orders() -> OrdersStandIn:
    """Give orders, which answers what a test prepares."""
    return OrdersStandIn()


@pytest.fixture
async def channel(orders: OrdersStandIn) -> AsyncIterator[grpc.aio.Channel]:
    """Serve orders."""
    async with orders.served() as opened:
        yield opened


def retries_of(channel: grpc.aio.Channel) -> EventRetriesClient:
    """Return a client of a gateway with a test key."""
    return EventRetriesClient(channel, timeout_seconds=5, livemode=False)


@pytest.mark.parametrize("event", EVENTS, ids=repr)
async def test_a_retry_is_claimed_as_it_was_put(
    orders: OrdersStandIn, channel: grpc.aio.Channel, event: WebhookEvent
) -> None:
    """Every kind of event, with what names its object; orders counts the failures."""
    retries = retries_of(channel)
    orders.answer = pb.PutEventRetryResponse()
    await retries.put(EventRetry("evt_1", "some.type", event, AT, "StripeUnavailable"))
    put = orders.requests[0].retry
    put.failures = 3
    orders.answer = pb.ClaimDueEventRetriesResponse(retries=[put], waiting=7, oldest_created_at=put.created_at)

    claimed = await retries.claim_due(10, LEASE, "1.0")

    assert claimed.retries == [EventRetry("evt_1", "some.type", event, AT, "StripeUnavailable", failures=3)]
    assert (claimed.waiting, claimed.oldest_created_at) == (7, AT)
    assert (orders.requests[1].limit, orders.requests[1].lease.seconds, orders.requests[1].gateway_version) == (
        10,
        90,
        "1.0",
    )


async def test_an_object_that_was_not_understood_has_no_event(orders: OrdersStandIn, channel: grpc.aio.Channel) -> None:
    """It names the version."""
    orders.answer = pb.PutEventRetryResponse()

    await retries_of(channel).put(EventRetry("re_1", None, RefundChanged("re_1"), AT, "it", not_understood_by="1.0"))

    assert (orders.requests[0].retry.type, orders.requests[0].retry.not_understood_by) == ("", "1.0")


async def test_a_kind_of_a_newer_version_is_left_to_that(orders: OrdersStandIn, channel: grpc.aio.Channel) -> None:
    """The others of its claim are tried: after a rollback they would wait for good."""
    refund = pb.EventObject(kind=pb.EventObject.KIND_REFUND_CHANGED, stripe_id="re_1")
    orders.answer = pb.ClaimDueEventRetriesResponse(
        retries=[
            pb.EventRetry(id="evt_1", object=pb.EventObject(kind=99, stripe_id="x_1")),  # type: ignore[arg-type]  # newer
            pb.EventRetry(id="evt_2", object=refund),
        ],
        waiting=2,
    )

    claimed = await retries_of(channel).claim_due(10, LEASE, "1.0")

    assert ([each.id for each in claimed.retries], claimed.waiting) == (["evt_2"], 2)


@pytest.mark.parametrize("named", ["the buyer's second one", "x" * 500])
async def test_a_retry_does_not_name_what_is_no_id(
    orders: OrdersStandIn, channel: grpc.aio.Channel, named: str
) -> None:
    """Metadata can be edited: orders would refuse the row, and the cursor would stop before its event for good."""
    orders.answer = pb.PutEventRetryResponse()
    event = SubscriptionChanged("sub_1", named, None, livemode=False)

    await retries_of(channel).put(EventRetry("evt_1", "some.type", event, AT, "StripeUnavailable"))

    assert orders.requests[0].retry.object == pb.EventObject(
        kind=pb.EventObject.KIND_SUBSCRIPTION_CHANGED, stripe_id="sub_1"
    )


async def test_a_retry_is_finished_as_it_was_claimed(orders: OrdersStandIn, channel: grpc.aio.Channel) -> None:
    """With its number of failures."""
    orders.answer = pb.FinishEventRetryResponse()

    await retries_of(channel).finish(EventRetry("evt_1", None, RefundChanged("re_1"), AT, "it", failures=4))

    assert orders.requests == [pb.FinishEventRetryRequest(id="evt_1", failures=4)]


async def test_the_log_is_written_read_and_pruned(orders: OrdersStandIn, channel: grpc.aio.Channel) -> None:
    """Each by one call."""
    log = EventLogClient(channel, timeout_seconds=5)

    orders.answer = pb.LogEventsResponse()
    await log.log([HandledEvent("evt_1", "refund.updated", AT)])
    orders.answer = pb.FindUnloggedEventsResponse(event_ids=["evt_2"])
    unlogged = await log.find_unlogged(["evt_1", "evt_2"])
    orders.answer = pb.PruneEventsResponse(finished=True)
    finished = await log.prune(AT)

    assert (list(unlogged), finished) == (["evt_2"], True)
    assert orders.requests == [
        pb.LogEventsRequest(
            events=[pb.HandledEvent(event_id="evt_1", type="refund.updated", created_at=time_to_proto(AT))]
        ),
        pb.FindUnloggedEventsRequest(event_ids=["evt_1", "evt_2"]),
        pb.PruneEventsRequest(created_before=time_to_proto(AT)),
    ]


@pytest.mark.parametrize(
    ("answer", "claimed"),
    [
        (pb.ClaimCursorResponse(claimed=True, position=time_to_proto(AT)), ClaimedCursor(AT)),
        (pb.ClaimCursorResponse(claimed=True), ClaimedCursor(None)),
        (pb.ClaimCursorResponse(), None),
    ],
)
async def test_a_cursor_is_claimed_or_is_anothers(
    orders: OrdersStandIn, channel: grpc.aio.Channel, answer: pb.ClaimCursorResponse, claimed: ClaimedCursor | None
) -> None:
    """A new one has no position."""
    orders.answer = answer

    assert await CursorsClient(channel, timeout_seconds=5).claim("events", LEASE) == claimed


async def test_a_cursor_is_advanced(orders: OrdersStandIn, channel: grpc.aio.Channel) -> None:
    """And kept for the lease."""
    orders.answer = pb.AdvanceCursorResponse()

    await CursorsClient(channel, timeout_seconds=5).advance("events", AT, LEASE)

    [request] = orders.requests
    assert (request.name, request.position, request.lease.seconds) == ("events", time_to_proto(AT), 90)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED])
async def test_orders_may_be_away_or_older(
    orders: OrdersStandIn, channel: grpc.aio.Channel, code: grpc.StatusCode
) -> None:
    """The sweep comes back later, and the gateway's log goes on with the next batch."""
    orders.answer = Refusal(code, "some_reason")

    with pytest.raises(ServiceUnavailable):
        await EventLogClient(channel, timeout_seconds=5).log([])
