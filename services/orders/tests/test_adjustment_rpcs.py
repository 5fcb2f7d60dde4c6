"""Refunds and disputes through gRPC on a real PostgreSQL: what is refused, and who wins a race."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
import grpc
import pytest

from checkout.orders.v1 import orders_pb2 as pb

from .adjustment_reports import dispute_of, refund_of
from .reports import aside, money, purchase
from .service import Client, count, refusal

AT_ONCE = 10
ROUNDS = 20


async def order_of(orders: Client, report: pb.RecordPurchaseRequest) -> pb.Order:
    """Read the order that a report became."""
    found = await orders.GetPurchase(pb.GetPurchaseRequest(attempt_id=report.payment.attempt_id))
    return found.purchase.order


async def test_an_order_tells_what_was_taken_back(orders: Client) -> None:
    """In each of the three reads; and nothing at all where nothing was taken back."""
    report = purchase()
    recorded = (await orders.RecordPurchase(report)).decision.purchase.order
    before = await order_of(orders, report)

    await orders.ApplyRefund(refund_of(report.payment.intent.id))
    await orders.ApplyDispute(dispute_of(report.payment.intent.id))

    by_attempt = await order_of(orders, report)
    by_id = (await orders.GetOrder(pb.GetOrderRequest(order_id=recorded.id))).order
    (listed,) = (await orders.ListOrders(pb.ListOrdersRequest(user_id="user_1"))).orders
    assert not before.HasField("refunded")
    assert not before.HasField("disputed")
    assert (by_attempt.refunded, by_attempt.disputed) == (money(500), money(7990))
    assert by_attempt == by_id == listed


async def test_what_is_unknown_is_not_found(orders: Client) -> None:
    """The reason says what."""
    errors = [
        await refusal(orders.GetRefund(pb.GetRefundRequest(stripe_refund_id="re_1"))),
        await refusal(orders.GetDispute(pb.GetDisputeRequest(stripe_dispute_id="du_1"))),
    ]

    assert [(error.code, error.reason) for error in errors] == [
        (grpc.StatusCode.NOT_FOUND, "refund_not_found"),
        (grpc.StatusCode.NOT_FOUND, "dispute_not_found"),
    ]


async def test_another_version_is_aborted(orders: Client) -> None:
    """The reason says why, so that the caller asks Stripe again."""
    refund, dispute = refund_of("pi_1"), dispute_of("pi_1")
    await orders.ApplyRefund(refund)
    await orders.ApplyDispute(dispute)

    errors = [await refusal(orders.ApplyRefund(refund)), await refusal(orders.ApplyDispute(dispute))]

    assert [(error.code, error.reason) for error in errors] == [(grpc.StatusCode.ABORTED, "version_conflict")] * 2


Spoil = Callable[[Any], object]

SPOILED: dict[str, Spoil] = {
    "intent_id": lambda shown: shown.ClearField("intent_id"),
    "status": lambda shown: shown.ClearField("status"),
    "amount": lambda shown: shown.ClearField("amount"),
    "created_at": lambda shown: shown.ClearField("created_at"),
    "amount.minor_units": lambda shown: setattr(shown.amount, "minor_units", 10**15 + 1),
    "amount.currency": lambda shown: setattr(shown.amount, "currency", "EUR"),
    "charge_id": lambda shown: setattr(shown, "charge_id", "ch\0"),
    "version": lambda shown: setattr(shown, "version", 2**63 - 1),
}


@pytest.mark.parametrize("field", SPOILED)
async def test_what_cannot_be_written_is_refused_by_its_field(orders: Client, sql: Any, field: str) -> None:
    """For both kinds, with nothing written."""
    refund, dispute = refund_of("pi_1"), dispute_of("pi_1")
    SPOILED[field](refund.refund)
    SPOILED[field](dispute.dispute)

    errors = [await refusal(orders.ApplyRefund(refund)), await refusal(orders.ApplyDispute(dispute))]

    named = [violation.field for error in errors for violation in error.violations]
    assert named == [f"refund.{field}", f"dispute.{field}"]
    assert [await count(sql, table) for table in ("refunds", "disputes")] == [0, 0]


@pytest.mark.parametrize("seconds", [-1, 253_402_300_800])
async def test_a_moment_that_is_none_is_refused(orders: Client, seconds: int) -> None:
    """Neither before 1970 nor after the year 9999."""
    request = refund_of("pi_1")
    request.refund.created_at.seconds = seconds

    error = await refusal(orders.ApplyRefund(request))

    assert [violation.field for violation in error.violations] == ["refund.created_at"]


async def test_of_writers_with_the_same_version_one_wins(orders: Client, sql: Any) -> None:
    """Whether the row is new or not: the others are told to ask Stripe again, and the row is the winner's."""
    for version in range(ROUNDS):
        requests = [refund_of("pi_1", version=version, amount=money(100 + place)) for place in range(AT_ONCE)]

        answers = await asyncio.gather(*(orders.ApplyRefund(each) for each in requests), return_exceptions=True)

        won = [answer.refund for answer in answers if isinstance(answer, pb.ApplyRefundResponse)]
        lost = [answer.code() for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
        assert lost == [grpc.StatusCode.ABORTED] * (AT_ONCE - 1)
        assert [refund.version for refund in won] == [version + 1]
        assert (await orders.GetRefund(pb.GetRefundRequest(stripe_refund_id="re_1"))).refund == won[0]
    assert await count(sql, "refunds") == 1


async def test_of_writers_of_a_dispute_with_the_same_version_one_wins(orders: Client, sql: Any) -> None:
    """The same for disputes."""
    for version in range(ROUNDS):
        requests = [dispute_of("pi_1", version=version, amount=money(100 + place)) for place in range(AT_ONCE)]

        answers = await asyncio.gather(*(orders.ApplyDispute(each) for each in requests), return_exceptions=True)

        won = [answer.dispute for answer in answers if isinstance(answer, pb.ApplyDisputeResponse)]
        assert [dispute.version for dispute in won] == [version + 1]
        assert (await orders.GetDispute(pb.GetDisputeRequest(stripe_dispute_id="du_1"))).dispute == won[0]
    assert await count(sql, "disputes") == 1


async def test_a_refund_before_while_and_after_its_order_is_recorded_shows(orders: Client) -> None:
    """Whichever is faster, in the end the order shows all of it: nothing has to be carried over."""
    for place in range(ROUNDS):
        report = purchase()
        intent_id = report.payment.intent.id
        await orders.ApplyRefund(refund_of(intent_id, f"re_before_{place}"))

        await asyncio.gather(
            orders.RecordPurchase(report),
            orders.ApplyRefund(refund_of(intent_id, f"re_while_{place}")),
            orders.ApplyDispute(dispute_of(intent_id, f"du_while_{place}")),
        )
        await orders.ApplyRefund(refund_of(intent_id, f"re_after_{place}"))

        order = await order_of(orders, report)
        assert (order.refunded, order.disputed) == (money(1500), money(7990))


async def test_an_answer_that_repeats_a_purchase_shows_what_was_taken_back(orders: Client) -> None:
    """Whoever reports the payment again is told what has become of it since."""
    report = purchase()
    await orders.RecordPurchase(report)
    await orders.ApplyRefund(refund_of(report.payment.intent.id))

    repeated = await orders.RecordPurchase(report)

    assert repeated.decision.purchase.order.refunded == money(500)


async def test_a_refund_of_a_payment_set_aside_is_kept(orders: Client) -> None:
    """A person who settles a quarantine refunds it; if the purchase comes after all, it shows."""
    report = purchase()
    await orders.QuarantinePayment(aside(report))
    await orders.ApplyRefund(refund_of(report.payment.intent.id))

    await orders.RecordPurchase(report)

    assert (await order_of(orders, report)).refunded == money(500)


async def test_another_currency_is_told_to_the_operator(orders: Client, caplog: pytest.LogCaptureFixture) -> None:
    """It is left out of the sum, and the log names the order by its number."""
    report = purchase()
    await orders.RecordPurchase(report)
    await orders.ApplyRefund(refund_of(report.payment.intent.id, amount=money(500, "usd")))

    order = await order_of(orders, report)

    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert not order.HasField("refunded")
    assert [(record.__dict__["order"], record.__dict__["currencies"]) for record in told] == [(order.number, ["usd"])]


REFUSED = {
    "refunds_pkey": "INSERT INTO refunds SELECT * FROM refunds",
    "refunds_amount_minor_check": "UPDATE refunds SET amount_minor = -1",
    "refunds_currency_check": "UPDATE refunds SET currency = 'EUR'",
    "refunds_version_check": "UPDATE refunds SET version = 0",
    "disputes_pkey": "INSERT INTO disputes SELECT * FROM disputes",
    "disputes_amount_minor_check": "UPDATE disputes SET amount_minor = -1",
    "disputes_currency_check": "UPDATE disputes SET currency = 'EUR'",
    "disputes_version_check": "UPDATE disputes SET version = 0",
}


@pytest.mark.parametrize("constraint", REFUSED)
async def test_the_tables_hold_no_nonsense(orders: Client, sql: Any, constraint: str) -> None:
    """Whoever writes to the database directly is refused too."""
    await orders.ApplyRefund(refund_of("pi_1"))
    await orders.ApplyDispute(dispute_of("pi_1"))

    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await sql.execute(REFUSED[constraint])

    assert refused.value.constraint_name == constraint
