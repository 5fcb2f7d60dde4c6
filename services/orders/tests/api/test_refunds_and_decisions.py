"""Refunds and disputes before, while and after a payment is decided, one call at a time (ADR 27)."""

import json
from typing import Any

import pytest

from checkout.orders.v1 import orders_pb2 as pb

from ..builders import cart, dispute, mixed_cart, money, purchase, quarantine, recurring_line, refund
from ..calls import list_quarantined
from ..service import Client, count, error_of

FAILED, PENDING = pb.REFUND_STATUS_FAILED, pb.REFUND_STATUS_PENDING
MISSING = pb.QUARANTINE_REASON_ATTEMPT_MISSING
MISMATCH = pb.QUARANTINE_REASON_AMOUNT_MISMATCH
DUPLICATE = pb.QUARANTINE_REASON_DUPLICATE_PAYMENT
UNREADABLE = pb.QUARANTINE_REASON_ATTEMPT_UNREADABLE
REFUNDED = pb.QUARANTINE_REASON_REFUNDED


def full_refund(request: pb.RecordPurchaseRequest, **changes: Any) -> pb.ApplyRefundRequest:
    """Return a refund of the whole payment."""
    return refund(request.payment.intent.id, amount=request.payment.received, **changes)


async def quarantined_of(orders: Client, request: pb.RecordPurchaseRequest) -> pb.QuarantinedPayment:
    """Read the quarantined payment as operators do."""
    (found,) = [each for each in await list_quarantined(orders) if each.payment.intent == request.payment.intent]
    return found


async def order_status(orders: Client, request: pb.RecordPurchaseRequest) -> pb.OrderStatus.ValueType:
    """Read the status of the order of a purchase."""
    found = await orders.GetPurchase(pb.GetPurchaseRequest(attempt_id=request.payment.attempt_id))
    return found.purchase.order.status


async def events(sql: Any, topic: str) -> list[dict[str, Any]]:
    """Read the payloads of a topic."""
    rows = await sql.fetch("SELECT payload FROM outbox WHERE topic = $1 ORDER BY id", topic)
    return [json.loads(row["payload"]) for row in rows]


@pytest.mark.parametrize("request_", [purchase(), mixed_cart()], ids=["order", "mixed"])
async def test_a_payment_that_was_refunded_in_full_becomes_no_purchase(
    orders: Client, sql: Any, request_: pb.RecordPurchaseRequest
) -> None:
    """Two refunds make the whole amount, one of them under way. The content is kept, and nobody has to resolve it."""
    intent_id, total = request_.payment.intent.id, request_.payment.received.minor_units
    await orders.ApplyRefund(refund(intent_id, "re_1", amount=money(total - 1)))
    await orders.ApplyRefund(refund(intent_id, "re_2", amount=money(1), status=PENDING))

    answer = await orders.RecordPurchase(request_)
    again = await orders.RecordPurchase(request_)

    quarantined = answer.decision.quarantined_payment
    assert (answer.already_recorded, again.already_recorded) == (False, True)
    assert (quarantined.reason, quarantined.context) == (REFUNDED, request_.context)
    assert quarantined.HasField("resolved_at")
    assert again.decision == answer.decision
    assert await count(sql, "orders", "subscriptions") == [0, 0]


@pytest.mark.parametrize(
    "kept", [{"amount": money(7989)}, {"amount": money(7990, "usd")}, {"amount": money(7990), "status": FAILED}]
)
async def test_any_other_refund_leaves_the_purchase(orders: Client, kept: dict[str, Any]) -> None:
    """In part, in another currency, or failed: the shop has money of the buyer."""
    request = purchase()
    await orders.ApplyRefund(refund(request.payment.intent.id, **kept))

    answer = await orders.RecordPurchase(request)

    assert answer.decision.HasField("purchase")


async def test_a_setup_intent_is_never_refunded(orders: Client) -> None:
    """It received nothing, and 0 of 0 is no refund."""
    request = cart(recurring_line(1))
    await orders.ApplyRefund(refund(request.payment.intent.id))

    answer = await orders.RecordPurchase(request)

    assert answer.decision.HasField("purchase")


async def test_a_purchase_and_its_event_say_what_was_refunded_before(orders: Client, sql: Any) -> None:
    """In part: later refunds are events of their own."""
    request = purchase()
    intent_id = request.payment.intent.id
    await orders.ApplyRefund(refund(intent_id, amount=money(500)))
    await orders.ApplyDispute(dispute(intent_id, amount=money(300)))

    order = (await orders.RecordPurchase(request)).decision.purchase.order

    (recorded,) = await events(sql, "purchase.recorded")
    assert (order.status, order.refunded, order.disputed) == (pb.ORDER_STATUS_DISPUTED, money(500), money(300))
    assert (recorded["order_status"], recorded["refunded_minor"], recorded["disputed_minor"]) == ("disputed", 500, 300)


async def test_the_status_of_an_order_follows_its_refunds_and_disputes(orders: Client) -> None:
    """Forth and back again: a refund that fails and a dispute that is won leave a paid order."""
    request = purchase()
    intent_id = request.payment.intent.id
    await orders.RecordPurchase(request)
    statuses = [await order_status(orders, request)]

    for change in (
        refund(intent_id, "re_1", amount=money(500)),
        refund(intent_id, "re_2", amount=money(7490)),
        dispute(intent_id, amount=money(1)),
        dispute(intent_id, amount=money(1), status=pb.DISPUTE_STATUS_WON, version=1),
        refund(intent_id, "re_2", amount=money(7490), status=FAILED, version=1),
        refund(intent_id, "re_1", amount=money(500), status=pb.REFUND_STATUS_CANCELED, version=1),
    ):
        if isinstance(change, pb.ApplyRefundRequest):
            await orders.ApplyRefund(change)
        else:
            await orders.ApplyDispute(change)
        statuses.append(await order_status(orders, request))

    paid, partial, refunded, disputed = pb.OrderStatus.values()[1:]
    assert statuses == [paid, partial, refunded, disputed, refunded, partial, paid]


async def test_p7_refunds_and_disputes_are_in_the_outbox_once(orders: Client, sql: Any) -> None:
    """With the status of the order, if there is one yet; the same state again announces nothing."""
    request = purchase()
    intent_id = request.payment.intent.id
    await orders.ApplyRefund(refund(intent_id, amount=money(500)))
    order_id = (await orders.RecordPurchase(request)).decision.purchase.order.id
    for version in (0, 1):
        await orders.ApplyDispute(dispute(intent_id, amount=money(300), version=version))

    before = {"refund_id": "re_1", "intent_id": intent_id, "status": "succeeded", "amount_minor": 500}
    after = {"dispute_id": "du_1", "intent_id": intent_id, "status": "needs_response", "amount_minor": 300}
    assert await events(sql, "refund.changed") == [{**before, "currency": "eur"}]
    assert await events(sql, "dispute.changed") == [
        {**after, "currency": "eur", "order_id": order_id, "order_status": "disputed"}
    ]


@pytest.mark.parametrize("reason", [MISSING, MISMATCH])
async def test_a_quarantined_payment_that_is_refunded_is_resolved_for_good(
    orders: Client, sql: Any, reason: pb.QuarantineReason.ValueType
) -> None:
    """Also one whose attempt turns up afterwards, whose content is then kept (P4): it is not promoted."""
    request = purchase()
    await orders.QuarantinePayment(quarantine(request, reason, with_content=reason is MISMATCH))

    await orders.ApplyRefund(full_refund(request))

    recorded = await orders.RecordPurchase(request)
    quarantined = await quarantined_of(orders, request)
    assert recorded.already_recorded
    assert recorded.decision.quarantined_payment == quarantined
    assert (quarantined.reason, quarantined.context) == (REFUNDED, request.context)
    assert quarantined.HasField("resolved_at")
    assert await count(sql, "orders") == [0]


@pytest.mark.parametrize("refunded_first", [True, False])
@pytest.mark.parametrize("reason", [MISSING, MISMATCH])
async def test_a_refund_that_fails_gives_the_reason_back(
    orders: Client,
    sql: Any,
    reason: pb.QuarantineReason.ValueType,
    refunded_first: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Unresolved, and announced. A payment that waited for its attempt waits again, and becomes the purchase."""
    request = purchase()
    if refunded_first:
        await orders.ApplyRefund(full_refund(request))
    await orders.QuarantinePayment(quarantine(request, reason))
    if not refunded_first:
        await orders.ApplyRefund(full_refund(request))

    await orders.ApplyRefund(full_refund(request, status=FAILED, version=1))

    quarantined = await quarantined_of(orders, request)
    announced = await events(sql, "payment.quarantined")
    recorded = await orders.RecordPurchase(request)
    word = pb.QuarantineReason.Name(reason).removeprefix("QUARANTINE_REASON_").lower()
    assert (quarantined.reason, quarantined.HasField("resolved_at")) == (reason, False)
    assert [(each["reason"], each["status"]) for each in announced[-2:]] == [
        ("refunded", "resolved"),
        (word, "unresolved"),
    ]
    assert recorded.decision.HasField("purchase") == (reason is MISSING)


async def test_a_purchase_that_was_refunded_too_early_waits_when_its_refund_fails(orders: Client, sql: Any) -> None:
    """Its content is kept for a person, who sees that it is not resolved; a later report makes the purchase."""
    request = purchase()
    await orders.ApplyRefund(full_refund(request))
    await orders.RecordPurchase(request)

    await orders.ApplyRefund(full_refund(request, status=FAILED, version=1))

    quarantined = await quarantined_of(orders, request)
    announced = [each["status"] for each in await events(sql, "payment.quarantined")]
    recorded = await orders.RecordPurchase(request)
    assert announced == ["resolved", "unresolved"]
    assert (quarantined.reason, quarantined.context) == (REFUNDED, request.context)
    assert not quarantined.HasField("resolved_at")
    assert recorded.decision.purchase.order.status == pb.ORDER_STATUS_PAID
    assert await sql.fetchval("SELECT num_nonnulls(attempt_content, reason_before_refund) FROM payments") == 0


async def test_a_duplicate_that_was_refunded_too_early_is_a_duplicate_when_its_refund_fails(orders: Client) -> None:
    """It would never have been the purchase."""
    bought = purchase()
    second = purchase(attempt_id=bought.payment.attempt_id)
    await orders.RecordPurchase(bought)
    await orders.ApplyRefund(full_refund(second))
    await orders.RecordPurchase(second)

    await orders.ApplyRefund(full_refund(second, status=FAILED, version=1))

    quarantined = await quarantined_of(orders, second)
    assert (quarantined.reason, quarantined.HasField("resolved_at")) == (DUPLICATE, False)


async def test_a_refund_undoes_no_resolution_but_its_own(orders: Client, sql: Any) -> None:
    """A person resolved the payment after its refund had failed; a second refund fails too."""
    request = purchase()
    await orders.ApplyRefund(full_refund(request))
    await orders.RecordPurchase(request)
    await orders.ApplyRefund(full_refund(request, status=FAILED, version=1))
    await sql.execute("UPDATE payments SET resolved_at = now()")

    for failed in ({}, {"status": FAILED, "version": 1}):
        await orders.ApplyRefund(full_refund(request, stripe_refund_id="re_2", **failed))

    quarantined = await quarantined_of(orders, request)
    assert (quarantined.reason, quarantined.HasField("resolved_at")) == (REFUNDED, True)


async def test_a_payment_that_a_person_reopened_gets_its_reason_back_too(orders: Client, sql: Any) -> None:
    """When its refund fails, also after the refund was reported again: it waits for its attempt, as before."""
    request = purchase()
    await orders.QuarantinePayment(quarantine(request))
    await orders.ApplyRefund(full_refund(request))
    await sql.execute("UPDATE payments SET resolved_at = NULL")

    for version, status in enumerate((pb.REFUND_STATUS_SUCCEEDED, FAILED), 1):
        await orders.ApplyRefund(full_refund(request, status=status, version=version))

    quarantined = await quarantined_of(orders, request)
    recorded = await orders.RecordPurchase(request)
    assert (quarantined.reason, quarantined.HasField("resolved_at")) == (MISSING, False)
    assert recorded.decision.HasField("purchase")


async def test_what_a_person_resolved_stays_resolved(orders: Client, sql: Any) -> None:
    """Before the refund, which then changes nothing; and after it failed, when its event is repeated."""
    before, after = purchase(), purchase()
    await orders.QuarantinePayment(quarantine(before))
    await orders.ApplyRefund(full_refund(after, stripe_refund_id="re_2"))
    await orders.RecordPurchase(after)
    await orders.ApplyRefund(full_refund(after, stripe_refund_id="re_2", status=FAILED, version=1))
    await sql.execute("UPDATE payments SET resolved_at = now()")

    await orders.ApplyRefund(full_refund(before))
    await orders.ApplyRefund(full_refund(after, stripe_refund_id="re_2", status=FAILED, version=2))

    resolved = [await quarantined_of(orders, before), await quarantined_of(orders, after)]
    assert [(each.reason, each.HasField("resolved_at")) for each in resolved] == [(MISSING, True), (REFUNDED, True)]


async def test_a_refund_that_may_be_foreign_is_written_for_a_decided_payment_only(orders: Client, sql: Any) -> None:
    """Stripe lets anybody edit the metadata that proves an intent to be ours. Disputes alike."""
    request = purchase()
    refunded, disputed = refund(request.payment.intent.id), dispute(request.payment.intent.id)
    refunded.only_if_decided = disputed.only_if_decided = True

    errors = [await error_of(orders.ApplyRefund(refunded)), await error_of(orders.ApplyDispute(disputed))]
    nothing = await count(sql, "refunds", "disputes", "outbox")
    await orders.RecordPurchase(request)
    await orders.ApplyRefund(refunded)
    await orders.ApplyDispute(disputed)

    assert [error.reason for error in errors] == ["payment_not_found"] * 2
    assert nothing == [0, 0, 0]
    assert await order_status(orders, request) == pb.ORDER_STATUS_DISPUTED
    assert await count(sql, "refunds", "disputes") == [1, 1]
