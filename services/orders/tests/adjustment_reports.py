"""What the gateway reports of refunds and disputes."""

import copy
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.orders.v1 import orders_pb2 as pb

from .reports import money

CREATED = Timestamp(seconds=1_777_900_000)

REFUND = pb.Refund(
    stripe_refund_id="re_1",
    intent_id="pi_of_nobody",
    charge_id="ch_1",
    amount=money(500),
    status=pb.REFUND_STATUS_SUCCEEDED,
    created_at=CREATED,
)
DISPUTE = pb.Dispute(
    stripe_dispute_id="du_1",
    intent_id="pi_of_nobody",
    charge_id="ch_1",
    amount=money(7990),
    status=pb.DISPUTE_STATUS_NEEDS_RESPONSE,
    reason="fraudulent",
    created_at=CREATED,
)


def refund_of(intent_id: str, refund_id: str = "re_1", **changes: Any) -> pb.ApplyRefundRequest:
    """Return a refund of an intent to write."""
    refund = copy.copy(REFUND)
    refund.MergeFrom(pb.Refund(stripe_refund_id=refund_id, intent_id=intent_id, **changes))
    return pb.ApplyRefundRequest(refund=refund)


def dispute_of(intent_id: str, dispute_id: str = "du_1", **changes: Any) -> pb.ApplyDisputeRequest:
    """Return a dispute of an intent to write."""
    dispute = copy.copy(DISPUTE)
    dispute.MergeFrom(pb.Dispute(stripe_dispute_id=dispute_id, intent_id=intent_id, **changes))
    return pb.ApplyDisputeRequest(dispute=dispute)
