"""Requests and responses about refunds and disputes."""

from typing import Final

from checkout.orders.v1 import orders_pb2
from orders.api.field_reader import FieldReader
from orders.api.messages import money_to_proto, timestamp_to_proto
from orders.domain.checkout import Money
from orders.domain.refunds import Dispute, DisputeStatus, Refund, RefundStatus
from servicekit.enum_codec import EnumCodec

_REFUND_STATUSES: Final = EnumCodec(RefundStatus, orders_pb2.RefundStatus)
_DISPUTE_STATUSES: Final = EnumCodec(DisputeStatus, orders_pb2.DisputeStatus)

_MAX_MINOR_UNITS: Final = 10**15
"""Stripe's amounts have at most twelve digits. Sums of amounts up to this limit do not overflow."""
_NO_ROW: Final = 0
"""Version of a refund or dispute that was never written."""


def refund_id_from_proto(request: orders_pb2.GetRefundRequest) -> str:
    """Read the id of a refund."""
    with FieldReader() as fields:
        return fields.id("stripe_refund_id", request.stripe_refund_id)


def dispute_id_from_proto(request: orders_pb2.GetDisputeRequest) -> str:
    """Read the id of a dispute."""
    with FieldReader() as fields:
        return fields.id("stripe_dispute_id", request.stripe_dispute_id)


def refund_from_proto(request: orders_pb2.ApplyRefundRequest) -> Refund:
    """Read a refund to write."""
    message = request.refund
    with FieldReader() as fields:
        return Refund(
            id=fields.id("refund.stripe_refund_id", message.stripe_refund_id),
            intent_id=fields.id("refund.intent_id", message.intent_id),
            charge_id=fields.optional_id("refund.charge_id", message.charge_id),
            amount=_amount_from_proto(fields, "refund.amount", message),
            status=fields.enum("refund.status", message.status, _REFUND_STATUSES),
            created_at=fields.timestamp(
                "refund.created_at", message.created_at, present=message.HasField("created_at")
            ),
            version=fields.version("refund.version", message.version, least=_NO_ROW),
        )


def dispute_from_proto(request: orders_pb2.ApplyDisputeRequest) -> Dispute:
    """Read a dispute to write."""
    message = request.dispute
    with FieldReader() as fields:
        return Dispute(
            id=fields.id("dispute.stripe_dispute_id", message.stripe_dispute_id),
            intent_id=fields.id("dispute.intent_id", message.intent_id),
            charge_id=fields.optional_id("dispute.charge_id", message.charge_id),
            amount=_amount_from_proto(fields, "dispute.amount", message),
            status=fields.enum("dispute.status", message.status, _DISPUTE_STATUSES),
            reason=fields.optional_id("dispute.reason", message.reason),
            created_at=fields.timestamp(
                "dispute.created_at", message.created_at, present=message.HasField("created_at")
            ),
            version=fields.version("dispute.version", message.version, least=_NO_ROW),
        )


def refund_to_proto(refund: Refund) -> orders_pb2.Refund:
    """Write a refund."""
    return orders_pb2.Refund(
        stripe_refund_id=refund.id,
        intent_id=refund.intent_id,
        charge_id=refund.charge_id or "",
        amount=money_to_proto(refund.amount),
        status=_REFUND_STATUSES.to_proto(refund.status),
        created_at=timestamp_to_proto(refund.created_at),
        version=refund.version,
    )


def dispute_to_proto(dispute: Dispute) -> orders_pb2.Dispute:
    """Write a dispute."""
    return orders_pb2.Dispute(
        stripe_dispute_id=dispute.id,
        intent_id=dispute.intent_id,
        charge_id=dispute.charge_id or "",
        amount=money_to_proto(dispute.amount),
        status=_DISPUTE_STATUSES.to_proto(dispute.status),
        reason=dispute.reason or "",
        created_at=timestamp_to_proto(dispute.created_at),
        version=dispute.version,
    )


def _amount_from_proto(fields: FieldReader, field: str, message: orders_pb2.Refund | orders_pb2.Dispute) -> Money:
    amount = fields.money(field, message.amount, present=message.HasField("amount"))
    fields.require(
        amount.minor_units <= _MAX_MINOR_UNITS, f"{field}.minor_units", f"must be at most {_MAX_MINOR_UNITS}"
    )
    return amount
