"""Requests and responses of AuditService."""

from typing import Final

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import audit_pb2
from orders.api.field_reader import FieldReader
from orders.api.messages import INTENT_KINDS, intent_to_proto, money_to_proto, timestamp_to_proto
from orders.api.paging import read_cursor, read_page_size
from orders.domain.audit import PaymentIds, PaymentRange, RecordedPayment
from orders.domain.pagination import PageRequest

PAYMENTS_LIST: Final = "payments"
MAX_PAYMENTS: Final = 1000


def payment_range_from_proto(request: audit_pb2.ListPaymentsRequest) -> PaymentRange:
    """Read a request for a page of payment decisions."""
    with FieldReader() as fields:
        return PaymentRange(
            kind=fields.enum("kind", request.kind, INTENT_KINDS),
            created_from=fields.timestamp(
                "created_from", request.created_from, present=request.HasField("created_from")
            ),
            page=PageRequest(
                read_page_size(fields, request.page_size, MAX_PAYMENTS, default=MAX_PAYMENTS),
                read_cursor(fields, PAYMENTS_LIST, request.page_token),
            ),
        )


def payment_ids_from_proto(request: audit_pb2.FindPaymentsRequest) -> PaymentIds:
    """Read the ids of intents and of attempts."""
    with FieldReader() as fields:
        for name, ids in (("intent_ids", request.intent_ids), ("attempt_ids", request.attempt_ids)):
            fields.require(len(ids) <= MAX_PAYMENTS, name, f"must have at most {MAX_PAYMENTS}")
        return PaymentIds(
            [fields.id(f"intent_ids[{place}]", each) for place, each in enumerate(request.intent_ids)],
            [fields.attempt_id(f"attempt_ids[{place}]", each) for place, each in enumerate(request.attempt_ids)],
        )


def recorded_payment_to_proto(payment: RecordedPayment) -> audit_pb2.RecordedPayment:
    """Write a payment decision."""
    return audit_pb2.RecordedPayment(
        intent=intent_to_proto(payment.intent),
        attempt_id=payment.attempt_id,
        received=money_to_proto(payment.received) if payment.received else None,
        livemode=payment.livemode,
        intent_created_at=timestamp_to_proto(payment.intent_created_at),
        decided_at=timestamp_to_proto(payment.decided_at),
        quarantined=payment.quarantined,
        refunded=[
            common_pb2.Money(minor_units=minor_units, currency=currency)
            for currency, minor_units in sorted(payment.refunded.items())
        ],
    )
