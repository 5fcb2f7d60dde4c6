from collections.abc import AsyncIterator
from datetime import UTC, datetime

import grpc
import pytest

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2
from payments_gateway.domain.errors import VersionConflict
from payments_gateway.domain.money import Money
from payments_gateway.domain.refunds import Dispute, DisputeStatus, PaymentNotFound, PaymentRef, Refund, RefundStatus
from payments_gateway.domain.stripe_errors import RefusedByOrders
from payments_gateway.rpc.refunds import DisputesClient, RefundsClient
from servicekit.unavailable import ServiceUnavailable
from servicekit.violations import FieldViolation, InvalidRequest

from ..service_stand_ins import OrdersStandIn, Refusal

AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
PAID_WITH = PaymentRef("pi_1", "attempt", livemode=False)
REFUND = Refund("re_1", PAID_WITH, "ch_1", Money(500, "eur"), RefundStatus.PENDING, AT)
DISPUTE = Dispute("du_1", PAID_WITH, "ch_1", Money(700, "eur"), DisputeStatus.LOST, "fraudulent", AT)


@pytest.fixture
def orders() -> OrdersStandIn:
    """Give an orders service that responds as told."""
    return OrdersStandIn()


@pytest.fixture
async def channel(orders: OrdersStandIn) -> AsyncIterator[grpc.aio.Channel]:
    """Give a channel to it."""
    async with orders.served() as opened:
        yield opened


@pytest.fixture
def refunds(channel: grpc.aio.Channel) -> RefundsClient:
    """Give the client of refunds."""
    return RefundsClient(channel, timeout_seconds=5)


@pytest.fixture
def disputes(channel: grpc.aio.Channel) -> DisputesClient:
    """Give the client of disputes."""
    return DisputesClient(channel, timeout_seconds=5)


async def test_the_version_of_a_copy_is_read_by_stripes_id(
    orders: OrdersStandIn, refunds: RefundsClient, disputes: DisputesClient
) -> None:
    """Of both kinds."""
    orders.answer = orders_pb2.GetRefundResponse(refund=orders_pb2.Refund(version=3))
    refund_version = await refunds.version_of("re_1")
    orders.answer = orders_pb2.GetDisputeResponse(dispute=orders_pb2.Dispute(version=4))
    dispute_version = await disputes.version_of("du_1")

    assert (refund_version, dispute_version) == (3, 4)
    assert orders.requests == [
        orders_pb2.GetRefundRequest(stripe_refund_id="re_1"),
        orders_pb2.GetDisputeRequest(stripe_dispute_id="du_1"),
    ]


async def test_without_a_copy_the_version_is_0(
    orders: OrdersStandIn, refunds: RefundsClient, disputes: DisputesClient
) -> None:
    """NOT_FOUND is no failure."""
    orders.answer = Refusal(grpc.StatusCode.NOT_FOUND, "refund_not_found")
    refund_version = await refunds.version_of("re_1")
    orders.answer = Refusal(grpc.StatusCode.NOT_FOUND, "dispute_not_found")
    dispute_version = await disputes.version_of("du_1")

    assert (refund_version, dispute_version) == (0, 0)


async def test_every_field_of_a_refund_is_written(orders: OrdersStandIn, refunds: RefundsClient) -> None:
    """With the version that was read before Stripe was asked."""
    orders.answer = orders_pb2.ApplyRefundResponse()

    await refunds.write(REFUND, intent_id="pi_1", expected_version=2, only_if_decided=True)

    (request,) = orders.requests
    shown = request.refund
    assert request.only_if_decided
    assert (shown.stripe_refund_id, shown.intent_id, shown.charge_id) == ("re_1", "pi_1", "ch_1")
    assert shown.amount == common_pb2.Money(minor_units=500, currency="eur")
    assert (shown.status, shown.version) == (orders_pb2.REFUND_STATUS_PENDING, 2)
    assert shown.created_at.ToDatetime(tzinfo=UTC) == AT


async def test_every_field_of_a_dispute_is_written(orders: OrdersStandIn, disputes: DisputesClient) -> None:
    """With the version that was read before Stripe was asked, and the bank's reason."""
    orders.answer = orders_pb2.ApplyDisputeResponse()

    await disputes.write(DISPUTE, intent_id="pi_1", expected_version=2, only_if_decided=True)

    (request,) = orders.requests
    shown = request.dispute
    assert request.only_if_decided
    assert (shown.stripe_dispute_id, shown.intent_id, shown.charge_id) == ("du_1", "pi_1", "ch_1")
    assert shown.amount == common_pb2.Money(minor_units=700, currency="eur")
    assert (shown.status, shown.reason, shown.version) == (orders_pb2.DISPUTE_STATUS_LOST, "fraudulent", 2)
    assert shown.created_at.ToDatetime(tzinfo=UTC) == AT


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (Refusal(grpc.StatusCode.ABORTED, "version_conflict"), VersionConflict),
        (Refusal(grpc.StatusCode.NOT_FOUND, "payment_not_found"), PaymentNotFound),
        (Refusal(grpc.StatusCode.UNAVAILABLE, "database_unavailable"), ServiceUnavailable),
        (
            Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                "invalid_request",
                InvalidRequest([FieldViolation("refund.status", "is required")]),
            ),
            RefusedByOrders,
        ),
    ],
)
async def test_an_error_of_a_write_is_told_by_its_reason(
    orders: OrdersStandIn, refunds: RefundsClient, disputes: DisputesClient, answer: Refusal, raised: type[Exception]
) -> None:
    """Of both kinds."""
    orders.answer = answer

    with pytest.raises(raised):
        await refunds.write(REFUND, intent_id="pi_1", expected_version=0, only_if_decided=False)
    with pytest.raises(raised):
        await disputes.write(DISPUTE, intent_id="pi_1", expected_version=0, only_if_decided=False)
