"""Refunds and disputes from protobuf and back; what callers bring is checked here, and nowhere else."""

from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2
from orders.adjustments import Dispute, DisputeStatus, Refund, RefundStatus
from orders.checkout import Money
from orders.field_checks import ID_CHARACTERS, FieldChecks

_MOST_MINOR_UNITS: Final = 10**15
"""Stripe's amounts have at most twelve digits; sums of these cannot outgrow what carries them."""
_LAST_SECOND: Final = 253_402_300_799
_BILLION: Final = 1_000_000_000
_NEVER: Final = datetime.fromtimestamp(0, UTC)

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
        id=checks.text("refund.stripe_refund_id", shown.stripe_refund_id, ID_CHARACTERS),
        intent_id=checks.text("refund.intent_id", shown.intent_id, ID_CHARACTERS),
        charge_id=checks.optional_text("refund.charge_id", shown.charge_id, ID_CHARACTERS),
        amount=_read_amount(checks, "refund.amount", shown),
        status=status or RefundStatus.FAILED,
        created_at=_read_moment(checks, "refund.created_at", shown),
        version=_read_version(checks, "refund.version", shown.version),
    )
    checks.refuse_if_any()
    return refund


def read_dispute(request: orders_pb2.ApplyDisputeRequest) -> Dispute:
    """Read a dispute to write."""
    checks, shown = FieldChecks(), request.dispute
    status = _DISPUTE_STATUSES.get(shown.status)
    checks.objects_to("dispute.status", "is required", unless=status is not None)
    dispute = Dispute(
        id=checks.text("dispute.stripe_dispute_id", shown.stripe_dispute_id, ID_CHARACTERS),
        intent_id=checks.text("dispute.intent_id", shown.intent_id, ID_CHARACTERS),
        charge_id=checks.optional_text("dispute.charge_id", shown.charge_id, ID_CHARACTERS),
        amount=_read_amount(checks, "dispute.amount", shown),
        status=status or DisputeStatus.WON,
        reason=checks.optional_text("dispute.reason", shown.reason, ID_CHARACTERS),
        created_at=_read_moment(checks, "dispute.created_at", shown),
        version=_read_version(checks, "dispute.version", shown.version),
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
        created_at=_write_moment(refund.created_at),
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
        created_at=_write_moment(dispute.created_at),
        version=dispute.version,
    )


def _read_id(field: str, value: str) -> str:
    checks = FieldChecks()
    read = checks.text(field, value, ID_CHARACTERS)
    checks.refuse_if_any()
    return read


def _read_amount(checks: FieldChecks, field: str, shown: orders_pb2.Refund | orders_pb2.Dispute) -> Money:
    amount = checks.money(field, shown.amount, present=shown.HasField("amount"))
    in_bounds = amount.minor_units <= _MOST_MINOR_UNITS
    checks.objects_to(f"{field}.minor_units", f"must be at most {_MOST_MINOR_UNITS}", unless=in_bounds)
    return amount


def _read_moment(checks: FieldChecks, field: str, shown: orders_pb2.Refund | orders_pb2.Dispute) -> datetime:
    moment = shown.created_at
    in_order = shown.HasField("created_at") and 0 <= moment.seconds <= _LAST_SECOND and 0 <= moment.nanos < _BILLION
    checks.objects_to(field, "must be a moment since 1970", unless=in_order)
    return moment.ToDatetime(tzinfo=UTC) if in_order else _NEVER


def _read_version(checks: FieldChecks, field: str, version: int) -> int:
    # The row's next version must fit beside it.
    in_order = 0 <= version < 2**63 - 1
    checks.objects_to(field, "must not be negative", unless=in_order)
    return version if in_order else 0


def _write_moment(moment: datetime) -> Timestamp:
    written = Timestamp()
    written.FromDatetime(moment)
    return written
