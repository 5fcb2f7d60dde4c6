"""Concurrent calls about payments, customers and refunds: constraints decide, and every caller gets that decision."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from checkout.orders.v1 import orders_pb2 as pb

from ..builders import cart, dispute, mixed_cart, money, purchase, quarantine, recurring_line, refund
from ..calls import get_customer, put_customer
from ..service import VERSION_CONFLICT, Client, count, outcomes

AT_ONCE = 20
ROUNDS = 10

DECISIONS = """
    SELECT outcome::text || coalesce(':' || quarantine_reason::text, '') FROM payments WHERE attempt_id = $1 ORDER BY 1
"""

Message = pb.RecordPurchaseResponse | pb.QuarantinePaymentResponse


async def decisions(sql: Any, request: pb.RecordPurchaseRequest) -> list[str]:
    """Return the decisions on the intents of an attempt."""
    return [row[0] for row in await sql.fetch(DECISIONS, request.payment.attempt_id)]


def distinct(answers: list[Message]) -> set[bytes]:
    """Return the distinct decisions of the answers."""
    return {answer.decision.SerializeToString(deterministic=True) for answer in answers}


def second_intent(request: pb.RecordPurchaseRequest, number: int = 2) -> pb.RecordPurchaseRequest:
    """Return another payment of the same attempt."""
    other = pb.RecordPurchaseRequest()
    other.CopyFrom(request)
    other.payment.intent.id += f"_{number}"
    return other


async def test_p3_concurrent_reports_of_one_intent_make_one_purchase(orders: Client, sql: Any) -> None:
    """One call records it, and the others get the same order and subscriptions."""
    for _ in range(ROUNDS):
        request = mixed_cart()

        answers = await asyncio.gather(*(orders.RecordPurchase(request) for _ in range(AT_ONCE)))

        assert Counter(answer.already_recorded for answer in answers) == {False: 1, True: AT_ONCE - 1}
        assert len(distinct([*answers])) == 1
    written = await count(sql, "payments", "orders", "subscriptions", "subscription_items", "outbox")
    assert written == [ROUNDS, ROUNDS, 2 * ROUNDS, 3 * ROUNDS, ROUNDS]


async def test_p3_concurrent_reports_of_a_missing_attempt_make_one_quarantine(orders: Client, sql: Any) -> None:
    """Whichever unique index the later inserts hit first."""
    for _ in range(ROUNDS):
        request = quarantine(purchase())

        answers = await asyncio.gather(*(orders.QuarantinePayment(request) for _ in range(AT_ONCE)))

        assert Counter(answer.already_recorded for answer in answers) == {False: 1, True: AT_ONCE - 1}
        assert len(distinct([*answers])) == 1
    assert await count(sql, "payments", "outbox") == [ROUNDS, ROUNDS]


@pytest.mark.parametrize("new_request", [purchase, lambda: cart(recurring_line(1))], ids=["payment", "setup"])
async def test_p3_two_intents_of_one_attempt_make_one_purchase(
    orders: Client, sql: Any, new_request: Callable[[], pb.RecordPurchaseRequest]
) -> None:
    """The other one is quarantined as a duplicate, with its content (P4)."""
    for _ in range(ROUNDS):
        first = new_request()

        answers = await asyncio.gather(
            *(orders.RecordPurchase(each) for each in (first, second_intent(first)) for _ in range(4))
        )

        quarantined = [each.decision.quarantined_payment for each in answers if not each.decision.HasField("purchase")]
        assert sum(not answer.already_recorded for answer in answers) == 2
        assert all(each.HasField("context") for each in quarantined)
        assert await decisions(sql, first) == ["purchase", "quarantined:duplicate_payment"]
    written = await count(sql, "orders", "subscriptions")
    assert sum(written) == ROUNDS


@pytest.mark.parametrize("new_request", [purchase, lambda: cart(recurring_line(1))], ids=["payment", "setup"])
async def test_p3_recording_while_the_attempt_is_reported_missing_is_one_decision(
    orders: Client, sql: Any, new_request: Callable[[], pb.RecordPurchaseRequest]
) -> None:
    """Whichever is first, the attempt that was found makes the purchase."""
    for _ in range(ROUNDS):
        request = new_request()

        recorded, missing = await asyncio.gather(
            orders.RecordPurchase(request), orders.QuarantinePayment(quarantine(request))
        )

        repeated = await orders.QuarantinePayment(quarantine(request))
        assert recorded.decision.HasField("purchase")
        assert missing.decision.HasField("purchase") == missing.already_recorded
        assert repeated.decision == recorded.decision
        assert await decisions(sql, request) == ["purchase"]


async def test_p3_recording_and_quarantining_at_once_is_one_decision(orders: Client, sql: Any) -> None:
    """The first one decides: the payment is an order or quarantined, never both."""
    for _ in range(ROUNDS):
        request = purchase()
        mismatch = quarantine(request, pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True)

        recorded, quarantined = await asyncio.gather(orders.RecordPurchase(request), orders.QuarantinePayment(mismatch))

        assert recorded.decision == quarantined.decision
        assert recorded.already_recorded != quarantined.already_recorded
    quarantined_rows = await sql.fetchval("SELECT count(*) FROM payments WHERE outcome = 'quarantined'")
    assert await count(sql, "orders", "payments") == [ROUNDS - quarantined_rows, ROUNDS]


async def test_p3_two_missing_intents_of_one_attempt_recorded_at_once(orders: Client, sql: Any) -> None:
    """One is promoted; the other stays quarantined as a duplicate, with the content (P4)."""
    for _ in range(ROUNDS):
        first = purchase()
        second = second_intent(first)
        await asyncio.gather(*(orders.QuarantinePayment(quarantine(each)) for each in (first, second)))

        answers = await asyncio.gather(*(orders.RecordPurchase(each) for each in (first, second, first, second)))

        assert sum(answer.decision.HasField("purchase") and not answer.already_recorded for answer in answers) == 1
        assert await decisions(sql, first) == ["purchase", "quarantined:duplicate_payment"]
    without_content = "SELECT count(*) FROM payments WHERE outcome = 'quarantined' AND attempt_content IS NULL"
    assert await sql.fetchval(without_content) == 0


async def test_p3_a_missing_attempt_recorded_by_many_at_once(orders: Client, sql: Any) -> None:
    """One call promotes it; the others wait for it and get the whole purchase, order and items."""
    for _ in range(ROUNDS):
        request = purchase()
        await orders.QuarantinePayment(quarantine(request))

        answers = await asyncio.gather(*(orders.RecordPurchase(request) for _ in range(8)))

        assert len(distinct([*answers])) == 1
        assert len(answers[0].decision.purchase.order.items) == 3
    assert await count(sql, "orders") == [ROUNDS]


async def test_p3_everything_at_once(orders: Client, sql: Any) -> None:
    """Records and quarantines of several intents of one attempt: every intent is decided once."""
    for _ in range(ROUNDS):
        first = purchase()
        requests = [first, second_intent(first, 2), second_intent(first, 3)]

        await asyncio.gather(
            *(orders.RecordPurchase(each) for each in requests),
            *(orders.QuarantinePayment(quarantine(each)) for each in requests),
            orders.QuarantinePayment(quarantine(requests[2], pb.QUARANTINE_REASON_INTENT_MISMATCH, with_content=True)),
        )

        outcomes_ = Counter(decision.split(":")[0] for decision in await decisions(sql, first))
        assert outcomes_ == {"purchase": 1, "quarantined": 2}
    assert await count(sql, "orders") == [ROUNDS]


@pytest.mark.parametrize("same", [True, False])
async def test_concurrent_writers_of_a_customer_have_one_winner(orders: Client, sql: Any, same: bool) -> None:  # noqa: FBT001 - a parameter
    """Every writer gets the winner, whether Stripe's idempotency key gave them the same customer or not."""
    for number in range(ROUNDS):
        user_id = f"user_{number}"
        customer_ids = [f"cus_{number}_{0 if same else writer}" for writer in range(AT_ONCE)]

        answers = await asyncio.gather(*(put_customer(orders, each, user_id=user_id) for each in customer_ids))

        assert set(answers) == {await get_customer(orders, user_id)}
    assert await count(sql, "customers") == [ROUNDS]


async def test_a_customer_is_replaced_once_by_concurrent_writers(orders: Client) -> None:
    """A later writer that names the old customer changes nothing."""
    await put_customer(orders, "cus_gone")

    answers = await asyncio.gather(*(put_customer(orders, f"cus_{n}", replaces="cus_gone") for n in range(AT_ONCE)))

    assert set(answers) == {await put_customer(orders, "cus_late", replaces="cus_gone")}
    assert await get_customer(orders) == answers[0]


async def test_of_writers_of_a_refund_with_the_same_version_one_wins(orders: Client, sql: Any) -> None:
    """For a new row and for an existing one: the others ask Stripe again."""
    for version in range(ROUNDS):
        requests = [refund("pi_1", version=version, amount=money(100 + writer)) for writer in range(AT_ONCE)]

        won, lost = await outcomes([orders.ApplyRefund(each) for each in requests])

        assert lost == [VERSION_CONFLICT] * (AT_ONCE - 1)
        assert [answer.refund.version for answer in won] == [version + 1]
        assert (await orders.GetRefund(pb.GetRefundRequest(stripe_refund_id="re_1"))).refund == won[0].refund
    assert await count(sql, "refunds") == [1]


async def test_of_writers_of_a_dispute_with_the_same_version_one_wins(orders: Client, sql: Any) -> None:
    """The same for disputes."""
    for version in range(ROUNDS):
        requests = [dispute("pi_1", version=version, amount=money(100 + writer)) for writer in range(AT_ONCE)]

        won, lost = await outcomes([orders.ApplyDispute(each) for each in requests])

        assert lost == [VERSION_CONFLICT] * (AT_ONCE - 1)
        assert [answer.dispute.version for answer in won] == [version + 1]
        assert (await orders.GetDispute(pb.GetDisputeRequest(stripe_dispute_id="du_1"))).dispute == won[0].dispute
    assert await count(sql, "disputes") == [1]


async def test_a_refund_before_during_and_after_its_order_is_recorded_counts(orders: Client) -> None:
    """Whichever is written first, the order has all of them in the end."""
    for number in range(ROUNDS):
        request = purchase()
        intent_id = request.payment.intent.id
        await orders.ApplyRefund(refund(intent_id, f"re_before_{number}"))

        recorded, *_ = await asyncio.gather(
            orders.RecordPurchase(request),
            orders.ApplyRefund(refund(intent_id, f"re_during_{number}")),
            orders.ApplyDispute(dispute(intent_id, f"du_during_{number}")),
        )
        await orders.ApplyRefund(refund(intent_id, f"re_after_{number}"))

        order_id = recorded.decision.purchase.order.id
        order = (await orders.GetOrder(pb.GetOrderRequest(order_id=order_id))).order
        assert (order.refunded, order.disputed) == (money(1500), money(7990))
