"""Refunds and disputes, and their sums in the order, one call at a time."""

import grpc
import pytest

from checkout.orders.v1 import orders_pb2 as pb

from ..builders import dispute, money, purchase, quarantine, refund
from ..service import VERSION_CONFLICT, Client, error_of

PENDING, FAILED = pb.REFUND_STATUS_PENDING, pb.REFUND_STATUS_FAILED


async def order_of(orders: Client, request: pb.RecordPurchaseRequest) -> pb.Order:
    """Read the order of a purchase by every rpc; all must return the same."""
    attempt_id, user_id = request.payment.attempt_id, request.context.user_id
    order = (await orders.GetPurchase(pb.GetPurchaseRequest(attempt_id=attempt_id))).purchase.order
    (listed,) = (await orders.ListOrders(pb.ListOrdersRequest(user_id=user_id))).orders
    repeated = (await orders.RecordPurchase(request)).decision.purchase.order
    assert order == (await orders.GetOrder(pb.GetOrderRequest(order_id=order.id))).order == listed == repeated
    return order


@pytest.mark.parametrize("charge_id", ["ch_1", ""])
async def test_a_refund_and_a_dispute_are_read_back_as_they_were_written(orders: Client, charge_id: str) -> None:
    """With version 1, and without optional fields that Stripe left out."""
    new_refund, new_dispute = refund("pi_1"), dispute("pi_1")
    new_refund.refund.charge_id = new_dispute.dispute.charge_id = charge_id
    new_dispute.dispute.reason = charge_id

    written = [(await orders.ApplyRefund(new_refund)).refund, (await orders.ApplyDispute(new_dispute)).dispute]

    new_refund.refund.version = new_dispute.dispute.version = 1
    assert written == [new_refund.refund, new_dispute.dispute]
    assert (await orders.GetRefund(pb.GetRefundRequest(stripe_refund_id="re_1"))).refund == new_refund.refund
    assert (await orders.GetDispute(pb.GetDisputeRequest(stripe_dispute_id="du_1"))).dispute == new_dispute.dispute


async def test_a_newer_state_replaces_an_older_one(orders: Client) -> None:
    """The version advances."""
    await orders.ApplyRefund(refund("pi_1", status=PENDING))
    await orders.ApplyDispute(dispute("pi_1"))

    newer_refund = await orders.ApplyRefund(refund("pi_1", status=FAILED, version=1))
    newer_dispute = await orders.ApplyDispute(dispute("pi_1", status=pb.DISPUTE_STATUS_WON, version=1))

    assert (newer_refund.refund.status, newer_refund.refund.version) == (FAILED, 2)
    assert (newer_dispute.dispute.status, newer_dispute.dispute.version) == (pb.DISPUTE_STATUS_WON, 2)


@pytest.mark.parametrize("outdated", [0, 1, 3])
async def test_another_version_is_not_overwritten(orders: Client, outdated: int) -> None:
    """Neither a refund nor a dispute; also a version of a row that does not exist conflicts."""
    for version in (0, 1):
        await orders.ApplyRefund(refund("pi_1", version=version))
        await orders.ApplyDispute(dispute("pi_1", version=version))

    errors = [
        await error_of(orders.ApplyRefund(refund("pi_1", version=outdated, amount=money(1)))),
        await error_of(orders.ApplyDispute(dispute("pi_1", version=outdated, amount=money(1)))),
        await error_of(orders.ApplyRefund(refund("pi_1", "re_unknown", version=1))),
        await error_of(orders.ApplyDispute(dispute("pi_1", "du_unknown", version=1))),
    ]

    assert errors == [VERSION_CONFLICT] * 4
    assert (await orders.GetRefund(pb.GetRefundRequest(stripe_refund_id="re_1"))).refund.amount == money(500)
    assert (await orders.GetDispute(pb.GetDisputeRequest(stripe_dispute_id="du_1"))).dispute.amount == money(7990)


async def test_unknown_ids_are_not_found(orders: Client) -> None:
    """The reason names the kind."""
    errors = [
        await error_of(orders.GetRefund(pb.GetRefundRequest(stripe_refund_id="re_1"))),
        await error_of(orders.GetDispute(pb.GetDisputeRequest(stripe_dispute_id="du_1"))),
    ]

    assert {error.code for error in errors} == {grpc.StatusCode.NOT_FOUND}
    assert [error.reason for error in errors] == ["refund_not_found", "dispute_not_found"]


async def test_only_refunds_and_disputes_that_took_money_count(orders: Client) -> None:
    """Refunds that succeeded or are under way, disputes that are open or lost: the shop keeps the money of the others.

    Digit n of a sum stands for the status with number n.
    """
    request = purchase()
    await orders.RecordPurchase(request)
    intent_id = request.payment.intent.id
    for status in pb.RefundStatus.values()[1:]:
        await orders.ApplyRefund(refund(intent_id, f"re_{status}", status=status, amount=money(10**status)))
    for outcome in pb.DisputeStatus.values()[1:]:
        await orders.ApplyDispute(dispute(intent_id, f"du_{outcome}", status=outcome, amount=money(10**outcome)))

    order = await order_of(orders, request)

    assert order.refunded == money(1_110)
    assert order.disputed == money(11_010_110_000)


async def test_a_refund_that_fails_later_is_taken_out_of_the_sum(orders: Client) -> None:
    """Sums are computed when the order is read. Refunds of other intents do not count."""
    request = purchase()
    await orders.RecordPurchase(request)
    before = await order_of(orders, request)
    intent_id = request.payment.intent.id
    for refund_id, minor_units in (("re_1", 300), ("re_2", 200), ("re_3", 50)):
        await orders.ApplyRefund(refund(intent_id, refund_id, amount=money(minor_units)))
    await orders.ApplyRefund(refund("pi_other", "re_other"))
    await orders.ApplyDispute(dispute("pi_other"))

    await orders.ApplyRefund(refund(intent_id, "re_2", status=FAILED, amount=money(200), version=1))

    order = await order_of(orders, request)
    assert (before.HasField("refunded"), before.HasField("disputed")) == (False, False)
    assert (order.refunded, order.HasField("disputed")) == (money(350), False)


@pytest.mark.parametrize("quarantined", [True, False])
async def test_a_refund_may_precede_the_order(orders: Client, quarantined: bool) -> None:  # noqa: FBT001 - a parameter
    """Also for a quarantined payment that becomes the purchase later."""
    request = purchase()
    if quarantined:
        await orders.QuarantinePayment(quarantine(request))
    await orders.ApplyRefund(refund(request.payment.intent.id))
    await orders.ApplyDispute(dispute(request.payment.intent.id))

    await orders.RecordPurchase(request)

    order = await order_of(orders, request)
    assert (order.refunded, order.disputed) == (money(500), money(7990))


async def test_another_currency_is_logged_and_not_summed(orders: Client, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the order by its number; the row stays for a person to look at."""
    request = purchase()
    order_id = (await orders.RecordPurchase(request)).decision.purchase.order.id
    await orders.ApplyRefund(refund(request.payment.intent.id))
    await orders.ApplyRefund(refund(request.payment.intent.id, "re_2", amount=money(100, "usd")))

    order = (await orders.GetOrder(pb.GetOrderRequest(order_id=order_id))).order

    last = [record.__dict__ for record in caplog.records if record.levelname == "ERROR"][-1]
    assert order.refunded == money(500)
    assert (last["order"], last["currencies"]) == (order.number, ["usd"])
