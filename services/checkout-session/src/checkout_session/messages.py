"""Where protobuf stops: one function each way between the contract's messages and the domain."""

from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.domain.attempts import Attempt, CloseReason, DeleteReason, Intent, IntentKind, Tombstone
from checkout_session.domain.save_attempt import Draft

CLOSE_REASONS: Final = {
    pb.CLOSE_REASON_SUPERSEDED: CloseReason.SUPERSEDED,
    pb.CLOSE_REASON_PAY_BY_PASSED: CloseReason.PAY_BY_PASSED,
}
"""Every close reason that a caller may give."""

DELETE_REASONS: Final = {
    pb.DELETE_REASON_RECORDED: DeleteReason.RECORDED,
    pb.DELETE_REASON_QUARANTINED: DeleteReason.QUARANTINED,
    pb.DELETE_REASON_CANCELLED: DeleteReason.CANCELLED,
}
"""Every delete reason that a caller may give."""

INTENT_KINDS: Final = {
    common_pb2.Intent.KIND_PAYMENT: IntentKind.PAYMENT,
    common_pb2.Intent.KIND_SETUP: IntentKind.SETUP,
}
"""Every kind of intent."""

_CLOSE_REASON_NUMBERS: Final = {reason: number for number, reason in CLOSE_REASONS.items()}
_DELETE_REASON_NUMBERS: Final = {reason: number for number, reason in DELETE_REASONS.items()}
_INTENT_KIND_NUMBERS: Final = {kind: number for number, kind in INTENT_KINDS.items()}


def draft_from_message(request: pb.SaveAttemptRequest) -> Draft:
    """Return the draft that a valid request carries."""
    return Draft(
        attempt_id=request.attempt_id,
        request_hash=request.request_hash,
        intent=_intent_from_message(request.intent),
        user_id=request.context.user_id,
        content=request.context.SerializeToString(),
        pay_by=request.context.pay_by.ToDatetime(UTC),
    )


def attempt_to_message(attempt: Attempt) -> pb.Attempt:
    """Return the attempt's message; as bytes, it is also what is sealed to be stored."""
    return pb.Attempt(
        attempt_id=attempt.attempt_id,
        request_hash=attempt.request_hash,
        context=common_pb2.CheckoutContext.FromString(attempt.content),
        intent=common_pb2.Intent(id=attempt.intent.id, kind=_INTENT_KIND_NUMBERS[attempt.intent.kind]),
        created_at=_timestamp(attempt.created_at),
        close_reason=_close_reason_number(attempt.close_reason),
    )


def attempt_from_message(message: pb.Attempt) -> Attempt:
    """Return the attempt that a message carries."""
    return Attempt(
        attempt_id=message.attempt_id,
        request_hash=message.request_hash,
        intent=_intent_from_message(message.intent),
        user_id=message.context.user_id,
        content=message.context.SerializeToString(),
        created_at=message.created_at.ToDatetime(UTC),
        close_reason=CLOSE_REASONS.get(message.close_reason),
    )


def found_to_message(found: Attempt | Tombstone) -> pb.GetAttemptResponse:
    """Return the answer of GetAttempt."""
    if isinstance(found, Attempt):
        return pb.GetAttemptResponse(attempt=attempt_to_message(found))
    return pb.GetAttemptResponse(
        tombstone=pb.Tombstone(
            attempt_id=found.attempt_id,
            reason=_DELETE_REASON_NUMBERS[found.reason],
            close_reason=_close_reason_number(found.close_reason),
            user_id=found.user_id,
            deleted_at=_timestamp(found.deleted_at),
        )
    )


def _intent_from_message(message: common_pb2.Intent) -> Intent:
    return Intent(message.id, INTENT_KINDS[message.kind])


def _close_reason_number(reason: CloseReason | None) -> pb.CloseReason.ValueType:
    return pb.CLOSE_REASON_UNSPECIFIED if reason is None else _CLOSE_REASON_NUMBERS[reason]


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
