"""Calls of an operator, and quarantined payments of every reason."""

import json
import uuid
from typing import Any, Final

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import operator_pb2 as op
from checkout.orders.v1 import orders_pb2 as pb

from .builders import money, purchase, quarantine, refund, unreadable
from .service import Client, OperatorClient

ORDER, REFUNDED, WRITTEN_OFF = op.SETTLEMENT_ORDER, op.SETTLEMENT_REFUNDED, op.SETTLEMENT_WRITTEN_OFF

REASONS: Final = (
    "attempt_missing",
    "amount_mismatch",
    "intent_mismatch",
    "duplicate_payment",
    "unrecordable",
    "attempt_unreadable",
    "refunded",
)

ACTIONS = (
    "SELECT operator, action::text, reason, before, after FROM operator_actions WHERE subject = $1 ORDER BY at, id"
)


def step(operator: str = "grace") -> op.OperatorStep:
    """Return a step of an operator."""
    return op.OperatorStep(id=str(uuid.uuid4()), operator=operator, reason="the buyer called")


async def quarantined(orders: Client, reason: str, *, received_minor: int = 7990) -> pb.RecordPurchaseRequest:
    """Quarantine a new payment for a reason; return what it paid for. Its cart costs 7990."""
    request = purchase()
    request.payment.received.CopyFrom(money(received_minor))
    match reason:
        case "duplicate_payment":
            first = purchase(attempt_id=request.payment.attempt_id)
            await orders.RecordPurchase(first)
            await orders.QuarantinePayment(
                quarantine(request, pb.QUARANTINE_REASON_DUPLICATE_PAYMENT, with_content=True)
            )
        case "attempt_unreadable":
            await orders.QuarantinePayment(unreadable(request))
        case "refunded":  # Refunded before its decision, and then the refund fails.
            full = refund(request.payment.intent.id, request.payment.intent.id, amount=request.payment.received)
            await orders.ApplyRefund(full)
            answer = quarantine(request, pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True)
            await (orders.RecordPurchase(request) if received_minor == 7990 else orders.QuarantinePayment(answer))
            full.refund.version, full.refund.status = 1, pb.REFUND_STATUS_FAILED
            await orders.ApplyRefund(full)
        case _:
            with_content = reason != "attempt_missing"
            word = pb.QuarantineReason.Value(f"QUARANTINE_REASON_{reason.upper()}")
            await orders.QuarantinePayment(quarantine(request, word, with_content=with_content))
    return request


async def settle(
    operator: OperatorClient,
    request: pb.RecordPurchaseRequest,
    settlement: op.Settlement.ValueType,
    *,
    by: str = "grace",
    cart: common_pb2.CheckoutContext | None = None,
) -> op.SettlePaymentResponse:
    """Settle a payment."""
    return await operator.SettlePayment(
        op.SettlePaymentRequest(step=step(by), intent_id=request.payment.intent.id, settlement=settlement, context=cart)
    )


async def refund_in_full(orders: Client, request: pb.RecordPurchaseRequest) -> None:
    """Mirror a refund of the whole payment."""
    intent_id = request.payment.intent.id
    await orders.ApplyRefund(refund(intent_id, f"re_full_{intent_id}", amount=request.payment.received))


async def begin_refund(operator: OperatorClient, request: pb.RecordPurchaseRequest) -> op.PaymentState:
    """Begin to refund a payment."""
    asked = op.BeginRefundSettlementRequest(step=step(), intent_id=request.payment.intent.id)
    return (await operator.BeginRefundSettlement(asked)).payment


async def abandon_refund(operator: OperatorClient, request: pb.RecordPurchaseRequest) -> op.PaymentState:
    """Give up a refund of a payment."""
    asked = op.AbandonRefundSettlementRequest(step=step(), intent_id=request.payment.intent.id)
    return (await operator.AbandonRefundSettlement(asked)).payment


async def actions_of(sql: Any, subject: str) -> list[dict[str, Any]]:
    """Read the recorded steps about a subject."""
    rows = await sql.fetch(ACTIONS, subject)
    return [{**row, "before": json.loads(row["before"]), "after": json.loads(row["after"])} for row in rows]
