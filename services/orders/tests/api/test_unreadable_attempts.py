"""Payments without a readable attempt: encrypted content is kept until its key is back (ADR 28), or it is missing."""

from typing import Any

import pytest

from checkout.orders.v1 import orders_pb2 as pb

from ..builders import cart, purchase, quarantine, recurring_line, refund, unreadable
from ..calls import list_quarantined
from ..service import Client

MISSING = pb.QUARANTINE_REASON_ATTEMPT_MISSING
MISMATCH = pb.QUARANTINE_REASON_AMOUNT_MISMATCH
DUPLICATE = pb.QUARANTINE_REASON_DUPLICATE_PAYMENT
UNREADABLE = pb.QUARANTINE_REASON_ATTEMPT_UNREADABLE
REFUNDED = pb.QUARANTINE_REASON_REFUNDED

STORED = "SELECT encrypted_content, encrypted_key_id, user_id FROM payments"


@pytest.mark.parametrize("key_id", ["s1", ""])
@pytest.mark.parametrize("missing_first", [True, False])
async def test_p4_the_encrypted_content_of_an_unreadable_attempt_is_kept(
    orders: Client,
    sql: Any,
    key_id: str,
    missing_first: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Also if the attempt was reported missing before. It is listed with its key; orders cannot tell the cause.

    The bytes that came first stay.
    """
    request = purchase()
    if missing_first:
        await orders.QuarantinePayment(quarantine(request))

    answer = await orders.QuarantinePayment(unreadable(request, key_id=key_id))
    again = await orders.QuarantinePayment(unreadable(request, b"other", key_id="s2"))
    missing = await orders.QuarantinePayment(quarantine(request))

    (listed,) = await list_quarantined(orders)
    assert answer.already_recorded == missing_first
    assert answer.decision == again.decision == missing.decision == pb.PaymentDecision(quarantined_payment=listed)
    assert (listed.reason, listed.HasField("context")) == (UNREADABLE, False)
    assert listed.unreadable_content == pb.UnreadableContent(key_id=key_id)
    assert tuple(await sql.fetchrow(STORED)) == (b"encrypted elsewhere", key_id, "user_1")


@pytest.mark.parametrize("request_", [purchase(), cart(recurring_line(1))], ids=["payment", "setup"])
async def test_p3_an_unreadable_attempt_whose_key_is_back_becomes_the_purchase(
    orders: Client, sql: Any, request_: pb.RecordPurchaseRequest
) -> None:
    """Its encrypted content goes: the order and the subscriptions have it now."""
    await orders.QuarantinePayment(unreadable(request_))

    answer = await orders.RecordPurchase(request_)

    assert not answer.already_recorded
    assert answer.decision.HasField("purchase")
    assert tuple(await sql.fetchrow(STORED)) == (None, None, "user_1")


async def test_p3_an_attempt_that_was_emptied_is_quarantined(orders: Client) -> None:
    """The payment is decided whatever was done to its attempt."""
    request = purchase()

    answer = await orders.QuarantinePayment(unreadable(request, b"", key_id=""))

    (listed,) = await list_quarantined(orders)
    assert answer.decision.quarantined_payment == listed
    assert (listed.reason, listed.HasField("unreadable_content")) == (UNREADABLE, True)


async def test_p4_readable_content_replaces_the_encrypted_one(orders: Client, sql: Any) -> None:
    """The key is back, and the sums differ: the payment takes the reason and the content."""
    request = purchase()
    await orders.QuarantinePayment(unreadable(request))

    answer = await orders.QuarantinePayment(quarantine(request, MISMATCH, with_content=True))

    quarantined = answer.decision.quarantined_payment
    assert (quarantined.reason, quarantined.context) == (MISMATCH, request.context)
    assert tuple(await sql.fetchrow(STORED)) == (None, None, "user_1")


async def test_an_unreadable_attempt_is_resolved_by_a_refund_and_keeps_its_content(orders: Client, sql: Any) -> None:
    """If the refund fails, it is as before, and may still become the purchase."""
    request = purchase()
    intent_id, received = request.payment.intent.id, request.payment.received
    await orders.ApplyRefund(refund(intent_id, amount=received))
    refunded = await orders.QuarantinePayment(unreadable(request))

    await orders.ApplyRefund(refund(intent_id, amount=received, status=pb.REFUND_STATUS_FAILED, version=1))

    (listed,) = await list_quarantined(orders)
    kept = tuple(await sql.fetchrow(STORED))
    assert refunded.decision.quarantined_payment.reason == REFUNDED
    assert (listed.reason, listed.HasField("resolved_at")) == (UNREADABLE, False)
    assert kept == (b"encrypted elsewhere", "s1", "user_1")
    assert (await orders.RecordPurchase(request)).decision.HasField("purchase")


@pytest.mark.parametrize("missing_first", [True, False])
async def test_p3_a_payment_whose_attempt_has_its_purchase_is_a_duplicate(
    orders: Client,
    sql: Any,
    missing_first: bool,  # noqa: FBT001 - a parameter
) -> None:
    """The attempt is missing because another intent bought it. A payment that was reported before learns of it too.

    Each reason is announced.
    """
    bought = purchase()
    second = purchase(attempt_id=bought.payment.attempt_id)
    if missing_first:
        await orders.QuarantinePayment(quarantine(second))
    await orders.RecordPurchase(bought)

    answer = await orders.QuarantinePayment(quarantine(second))
    own = await orders.QuarantinePayment(quarantine(bought))

    announced = await sql.fetch("SELECT payload->>'reason' FROM outbox WHERE topic = 'payment.quarantined' ORDER BY id")
    assert (answer.decision.quarantined_payment.reason, answer.already_recorded) == (DUPLICATE, missing_first)
    assert (own.decision.HasField("purchase"), own.already_recorded) == (True, True)
    assert [row[0] for row in announced] == ["attempt_missing"] * missing_first + ["duplicate_payment"]


@pytest.mark.parametrize("reason", [pb.QUARANTINE_REASON_INTENT_MISMATCH, UNREADABLE])
async def test_p3_a_second_payment_is_a_duplicate_whatever_its_attempt_looks_like(
    orders: Client, sql: Any, reason: pb.QuarantineReason.ValueType
) -> None:
    """The attempt is still stored after its purchase; what is reported of it is kept (P4)."""
    bought = purchase()
    second = purchase(attempt_id=bought.payment.attempt_id)
    await orders.RecordPurchase(bought)

    request = unreadable(second) if reason is UNREADABLE else quarantine(second, reason, with_content=True)
    answer = await orders.QuarantinePayment(request)

    assert answer.decision.quarantined_payment.reason == DUPLICATE
    assert await sql.fetchval(
        "SELECT num_nonnulls(attempt_content, encrypted_content) FROM payments ORDER BY outcome DESC"
    )
