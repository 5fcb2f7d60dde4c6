"""Refunds and disputes from protobuf and back; what callers bring is checked here, and nowhere else."""

from typing import Final

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2
from checkout_rules.limits import MAX_ID_CHARACTERS
from orders.api.common import write_moment
from orders.api.field_reader import FieldChecks
from orders.domain.checkout import Money
from orders.domain.refunds import Dispute, DisputeStatus, Refund, RefundStatus

_MOST_MINOR_UNITS: Final = 10**15
"""Stripe's amounts have at most twelve digits; sums of these cannot outgrow what carries them."""
_NO_ROW: Final = 0
"""The version of what has not been written before."""

_REFUND_STATUSES: Final = {
    orders_pb2.REFUND_STATUS_PENDING: RefundStatus.PENDING,
    orders_pb2.REFUND_STATUS_REQUIRES_ACTION: RefundStatus.REQUIRES_ACTION,
    orders_pb2.REFUND_STATUS_SUCCEEDED: RefundStatus.SUCCEEDED,
    orders_pb2.REFUND_STATUS_FAILED: RefundStatus.FAILED,
    orders_pb2.REFUND_STATUS_CANCELED: RefundStatus.CANCELED,
}
_REFUND_STATUSES_BACK: Final = {status: wire for wire, status in _REFUND_STATUSES.items()}

_DISPUTE_STATUSES: Final = {
    orders_pb2.DISPUTE_STATUS_WARNING_NEEDS_RESPONSE: DisputeStatus.WARNING_NEEDS_RESPONSE,
    orders_pb2.DISPUTE_STATUS_WARNING_UNDER_REVIEW: DisputeStatus.WARNING_UNDER_REVIEW,
    orders_pb2.DISPUTE_STATUS_WARNING_CLOSED: DisputeStatus.WARNING_CLOSED,
    orders_pb2.DISPUTE_STATUS_NEEDS_RESPONSE: DisputeStatus.NEEDS_RESPONSE,
    orders_pb2.DISPUTE_STATUS_UNDER_REVIEW: DisputeStatus.UNDER_REVIEW,
    orders_pb2.DISPUTE_STATUS_WON: DisputeStatus.WON,
    orders_pb2.DISPUTE_STATUS_LOST: DisputeStatus.LOST,
    orders_pb2.DISPUTE_STATUS_PREVENTED: DisputeStatus.PREVENTED,
    orders_pb2.DISPUTE_STATUS_APPEAL_NEEDS_RESPONSE: DisputeStatus.APPEAL_NEEDS_RESPONSE,
    orders_pb2.DISPUTE_STATUS_APPEAL_UNDER_REVIEW: DisputeStatus.APPEAL_UNDER_REVIEW,
}
_DISPUTE_STATUSES_BACK: Final = {status: wire for wire, status in _DISPUTE_STATUSES.items()}


def read_refund_id(request: orders_pb2.GetRefundRequest) -> str:
    """Read which refund is asked for."""
    return _read_id("stripe_refund_id", request.stripe_refund_id)


def read_dispute_id(request: orders_pb2.GetDisputeRequest) -> str:
    """Read which dispute is asked for."""
    return _read_id("stripe_dispute_id", request.stripe_dispute_id)


def read_refund(request: orders_pb2.ApplyRefundRequest) -> Refund:
    """Read a refund to write."""
    checks, shown = FieldChecks(), request.refund
    status = _REFUND_STATUSES.get(shown.status)
    checks.objects_to("refund.status", "is required", unless=status is not None)
    refund = Refund(
        id=checks.text("refund.stripe_refund_id", shown.stripe_refund_id, MAX_ID_CHARACTERS),
        intent_id=checks.text("refund.intent_id", shown.intent_id, MAX_ID_CHARACTERS),
        charge_id=checks.optional_text("refund.charge_id", shown.charge_id, MAX_ID_CHARACTERS),
        amount=_read_amount(checks, "refund.amount", shown),
        status=status or RefundStatus.FAILED,
        created_at=checks.moment("refund.created_at", shown.created_at, present=shown.HasField("created_at")),
        version=checks.version("refund.version", shown.version, least=_NO_ROW),
    )
    checks.refuse_if_any()
    return refund


def read_dispute(request: orders_pb2.ApplyDisputeRequest) -> Dispute:
    """Read a dispute to write."""
    checks, shown = FieldChecks(), request.dispute
    status = _DISPUTE_STATUSES.get(shown.status)
    checks.objects_to("dispute.status", "is required", unless=status is not None)
    dispute = Dispute(
        id=checks.text("dispute.stripe_dispute_id", shown.stripe_dispute_id, MAX_ID_CHARACTERS),
        intent_id=checks.text("dispute.intent_id", shown.intent_id, MAX_ID_CHARACTERS),
        charge_id=checks.optional_text("dispute.charge_id", shown.charge_id, MAX_ID_CHARACTERS),
        amount=_read_amount(checks, "dispute.amount", shown),
        status=status or DisputeStatus.WON,
        reason=checks.optional_text("dispute.reason", shown.reason, MAX_ID_CHARACTERS),
        created_at=checks.moment("dispute.created_at", shown.created_at, present=shown.HasField("created_at")),
        version=checks.version("dispute.version", shown.version, least=_NO_ROW),
    )
    checks.refuse_if_any()
    return dispute


def write_refund(refund: Refund) -> orders_pb2.Refund:
    """Write what is known of a refund."""
    return orders_pb2.Refund(
        stripe_refund_id=refund.id,
        intent_id=refund.intent_id,
        charge_id=refund.charge_id or "",
        amount=common_pb2.Money(minor_units=refund.amount.minor_units, currency=refund.amount.currency),
        status=_REFUND_STATUSES_BACK[refund.status],
        created_at=write_moment(refund.created_at),
        version=refund.version,
    )


def write_dispute(dispute: Dispute) -> orders_pb2.Dispute:
    """Write what is known of a dispute."""
    return orders_pb2.Dispute(
        stripe_dispute_id=dispute.id,
        intent_id=dispute.intent_id,
        charge_id=dispute.charge_id or "",
        amount=common_pb2.Money(minor_units=dispute.amount.minor_units, currency=dispute.amount.currency),
        status=_DISPUTE_STATUSES_BACK[dispute.status],
        reason=dispute.reason or "",
        created_at=write_moment(dispute.created_at),
        version=dispute.version,
    )


def _read_id(field: str, value: str) -> str:
    checks = FieldChecks()
    read = checks.text(field, value, MAX_ID_CHARACTERS)
    checks.refuse_if_any()
    return read


def _read_amount(checks: FieldChecks, field: str, shown: orders_pb2.Refund | orders_pb2.Dispute) -> Money:
    amount = checks.money(field, shown.amount, present=shown.HasField("amount"))
    in_bounds = amount.minor_units <= _MOST_MINOR_UNITS
    checks.objects_to(f"{field}.minor_units", f"must be at most {_MOST_MINOR_UNITS}", unless=in_bounds)
    return amount
