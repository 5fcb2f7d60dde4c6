"""Mapping between protobuf messages and the domain. The stored form of an attempt is the message of the contract."""

from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.domain.attempts import Attempt, CloseReason, DeleteReason, Intent, IntentKind, Tombstone
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
        intent=common_pb2.Intent(id=attempt.intent.id, kind=INTENT_KINDS.to_proto(attempt.intent.kind)),
        created_at=_timestamp(attempt.created_at),
        close_reason=CLOSE_REASONS.to_proto(attempt.close_reason),
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
        close_reason=CLOSE_REASONS.from_proto(message.close_reason),
    )


def found_to_proto(found: Attempt | Tombstone) -> pb.GetAttemptResponse:
    """Map an attempt or a tombstone to the answer of GetAttempt."""
    if isinstance(found, Attempt):
        return pb.GetAttemptResponse(attempt=attempt_to_proto(found))
    return pb.GetAttemptResponse(
        tombstone=pb.Tombstone(
            attempt_id=found.attempt_id,
            reason=DELETE_REASONS.to_proto(found.reason),
            close_reason=CLOSE_REASONS.to_proto(found.close_reason),
            user_id=found.user_id,
            deleted_at=_timestamp(found.deleted_at),
        )
    )


def _intent_from_proto(message: common_pb2.Intent) -> Intent:
    return Intent(message.id, INTENT_KINDS.from_valid_proto(message.kind))


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
