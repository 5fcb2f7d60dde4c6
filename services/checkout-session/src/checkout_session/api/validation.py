"""Rules of the requests that are not those of every cart (checkout_rules)."""

from collections.abc import Iterator
from datetime import UTC, timedelta
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_rules.carts import context_violations
from checkout_rules.fields import required_id_violations, uuid_violations
from checkout_session.proto_mapping import CLOSE_REASONS, DELETE_REASONS, INTENT_KINDS
from servicekit.enum_codec import EnumCodec
from servicekit.violations import FieldViolation, within

_REQUEST_HASH_BYTES: Final = 32
_MAX_ATTEMPTS: Final = 1000
"""In one call that deletes, claims or reschedules."""
_MIN_LEASE: Final = timedelta(seconds=1)
_MAX_LEASE: Final = timedelta(days=1)
_MAX_DELAY: Final = timedelta(days=35)


def save_violations(request: pb.SaveAttemptRequest) -> Iterator[FieldViolation]:
    """Check a request to save, except that its pay-by lies ahead."""
    yield from uuid_violations("attempt_id", request.attempt_id)
    if len(request.request_hash) != _REQUEST_HASH_BYTES:
        yield FieldViolation("request_hash", f"must be {_REQUEST_HASH_BYTES} bytes")
    yield from required_id_violations("intent.id", request.intent.id)
    if INTENT_KINDS.from_proto(request.intent.kind) is None:
        yield FieldViolation("intent.kind", "must be payment or setup")
    if not request.HasField("context"):
        yield FieldViolation("context", "is required")
        return
    yield from within("context", context_violations(request.context, request.intent.kind))
    yield from within("context", _attempt_violations(request.context, request.attempt_id))


def close_violations(request: pb.CloseAttemptRequest) -> Iterator[FieldViolation]:
    """Check a request to close."""
    yield from uuid_violations("attempt_id", request.attempt_id)
    yield from reason_violations(request.reason, CLOSE_REASONS)
    yield from _other_attempt_violations("successor", request.successor, request.attempt_id)


def reason_violations(reason: int, codec: EnumCodec[Any, Any]) -> Iterator[FieldViolation]:
    """Check the reason of a request to close or delete."""
    if codec.from_proto(reason) is None:
        yield FieldViolation("reason", "must be one of the contract's reasons")


def delete_all_violations(request: pb.DeleteAttemptsRequest) -> Iterator[FieldViolation]:
    """Check a request to delete several attempts."""
    yield from reason_violations(request.reason, DELETE_REASONS)
    if len(request.attempt_ids) > _MAX_ATTEMPTS:
        yield FieldViolation("attempt_ids", f"must be at most {_MAX_ATTEMPTS}")
        return
    for number, attempt_id in enumerate(request.attempt_ids):
        yield from uuid_violations(f"attempt_ids[{number}]", attempt_id)


def claim_violations(request: pb.ClaimDueAttemptsRequest) -> Iterator[FieldViolation]:
    """Check a request to claim."""
    if not 1 <= request.limit <= _MAX_ATTEMPTS:
        yield FieldViolation("limit", f"must be 1 to {_MAX_ATTEMPTS}")
    if not _is_between(_MIN_LEASE, request.lease, _MAX_LEASE):
        yield FieldViolation("lease", "must be 1 second to 1 day")


def reschedule_violations(request: pb.RescheduleAttemptsRequest) -> Iterator[FieldViolation]:
    """Check a request to reschedule."""
    if len(request.checks) > _MAX_ATTEMPTS:
        yield FieldViolation("checks", f"must be at most {_MAX_ATTEMPTS}")
        return
    for number, check in enumerate(request.checks):
        path = f"checks[{number}]"
        yield from uuid_violations(f"{path}.attempt_id", check.attempt_id)
        if not (check.HasField("delay") and _is_between(timedelta(0), check.delay, _MAX_DELAY)):
            yield FieldViolation(f"{path}.delay", "must be 0 to 35 days")


def _attempt_violations(context: common_pb2.CheckoutContext, attempt_id: str) -> Iterator[FieldViolation]:
    """Check the fields of a context that concern its attempt alone."""
    if not context.HasField("pay_by"):
        yield FieldViolation("pay_by", "is required")
    elif not _is_time(context.pay_by):
        yield FieldViolation("pay_by", "must lie between the years 1 and 9999")
    yield from _other_attempt_violations("supersedes", context.supersedes, attempt_id)


def _other_attempt_violations(field: str, value: str, attempt_id: str) -> Iterator[FieldViolation]:
    """Check the id of another attempt, which may be empty."""
    if value:
        yield from uuid_violations(field, value)
        if value == attempt_id:
            yield FieldViolation(field, "must name another attempt")


def _is_between(least: timedelta, duration: Duration, most: timedelta) -> bool:
    """Compare without overflow: the wire carries seconds of any size."""
    try:
        return least <= duration.ToTimedelta() <= most
    except (ValueError, OverflowError):
        return False


def _is_time(stamp: Timestamp) -> bool:
    """Return False for a timestamp beyond Python's range: the wire carries seconds and nanoseconds of any size."""
    try:
        stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        return False
    return True
