"""Mapping between protobuf messages and the domain. The stored form of an attempt is the message of the contract."""

from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.domain.attempts import (
    Attempt,
    ClosedAttempt,
    CloseReason,
    DeleteReason,
    FoundAttempt,
    Intent,
    IntentKind,
    Tombstone,
    UnreadableAttempt,
)
from checkout_session.domain.due_attempts import DueAttempt
from checkout_session.domain.save_attempt import Draft
from servicekit.enum_codec import EnumCodec

CLOSE_REASONS: Final = EnumCodec(CloseReason, pb.CloseReason)
DELETE_REASONS: Final = EnumCodec(DeleteReason, pb.DeleteReason)
INTENT_KINDS: Final = EnumCodec(IntentKind, common_pb2.Intent.Kind)


def draft_from_proto(request: pb.SaveAttemptRequest) -> Draft:
    """Map a valid request."""
    return Draft(
        attempt_id=request.attempt_id,
        request_hash=request.request_hash,
        intent=_intent_from_proto(request.intent),
        user_id=request.context.user_id,
        content=request.context.SerializeToString(),
        pay_by=request.context.pay_by.ToDatetime(UTC),
    )


def attempt_to_proto(attempt: Attempt) -> pb.Attempt:
    """Map an attempt, for an answer or for the store."""
    return pb.Attempt(
        attempt_id=attempt.attempt_id,
        request_hash=attempt.request_hash,
        context=common_pb2.CheckoutContext.FromString(attempt.content),
        intent=_intent_to_proto(attempt.intent),
        created_at=_timestamp(attempt.created_at),
        close_reason=CLOSE_REASONS.to_proto(attempt.close_reason),
        successor=attempt.successor,
    )


def attempt_from_proto(message: pb.Attempt) -> Attempt:
    """Map a stored attempt."""
    return Attempt(
        attempt_id=message.attempt_id,
        request_hash=message.request_hash,
        intent=_intent_from_proto(message.intent),
        user_id=message.context.user_id,
        content=message.context.SerializeToString(),
        created_at=message.created_at.ToDatetime(UTC),
        pay_by=message.context.pay_by.ToDatetime(UTC),
        close_reason=CLOSE_REASONS.from_proto(message.close_reason),
        successor=message.successor,
    )


def found_to_proto(found: FoundAttempt) -> pb.GetAttemptResponse:
    """Map what stands under an id to the answer of GetAttempt."""
    return pb.GetAttemptResponse(**_result(found))


def closed_to_proto(closed: ClosedAttempt) -> pb.CloseAttemptResponse:
    """Map the result of a close."""
    return pb.CloseAttemptResponse(**_result(closed.found), successor=closed.successor)


def due_to_proto(due: DueAttempt) -> pb.DueAttempt:
    """Map an attempt whose check time has come."""
    return pb.DueAttempt(
        attempt_id=due.attempt_id,
        intent=_intent_to_proto(due.intent),
        created_at=_timestamp(due.created_at),
        pay_by=_timestamp(due.pay_by),
        close_reason=CLOSE_REASONS.to_proto(due.close_reason),
        content_exists=due.content_exists,
    )


def _result(found: FoundAttempt | None) -> dict[str, Any]:
    """Return the member of the oneof `result`, by its name."""
    match found:
        case None:
            return {}
        case Attempt():
            return {"attempt": attempt_to_proto(found)}
        case Tombstone():
            return {"tombstone": _tombstone_to_proto(found)}
        case UnreadableAttempt():
            return {"unreadable_attempt": _unreadable_to_proto(found)}


def _tombstone_to_proto(tombstone: Tombstone) -> pb.Tombstone:
    return pb.Tombstone(
        attempt_id=tombstone.attempt_id,
        reason=DELETE_REASONS.to_proto(tombstone.reason),
        close_reason=CLOSE_REASONS.to_proto(tombstone.close_reason),
        user_id=tombstone.user_id,
        deleted_at=_timestamp(tombstone.deleted_at),
        successor=tombstone.successor,
    )


def _unreadable_to_proto(unreadable: UnreadableAttempt) -> pb.UnreadableAttempt:
    return pb.UnreadableAttempt(
        attempt_id=unreadable.attempt_id,
        user_id=unreadable.user_id,
        intent=_intent_to_proto(unreadable.intent),
        encrypted_content=unreadable.encrypted_content,
        key_id=unreadable.key_id,
        close_reason=CLOSE_REASONS.to_proto(unreadable.close_reason),
        successor=unreadable.successor,
    )


def _intent_to_proto(intent: Intent) -> common_pb2.Intent:
    return common_pb2.Intent(id=intent.id, kind=INTENT_KINDS.to_proto(intent.kind))


def _intent_from_proto(message: common_pb2.Intent) -> Intent:
    return Intent(message.id, INTENT_KINDS.from_valid_proto(message.kind))


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
