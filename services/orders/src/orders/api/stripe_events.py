"""Requests and responses about Stripe's events."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration

from checkout.orders.v1 import stripe_events_pb2 as pb
from orders.api.field_reader import FieldReader
from orders.api.messages import timestamp_to_proto
from orders.domain.stripe_events import EventKind, EventObject, EventRetry, HandledEvent
from servicekit.enum_codec import EnumCodec

MAX_BATCH: Final = 1000
"""Events in a request or a response."""
_SECOND: Final = timedelta(seconds=1)
_LONGEST_LEASE: Final = timedelta(days=1)
_DAY_SECONDS: Final = int(_LONGEST_LEASE.total_seconds())
_CURSOR_NAME: Final = re.compile(r"[a-z0-9_]{1,50}")

_KINDS: Final = EnumCodec(EventKind, pb.EventObject.Kind)


@dataclass(frozen=True, slots=True)
class RetryClaim:
    """Request for due retries."""

    limit: int
    lease: timedelta
    version: str


@dataclass(frozen=True, slots=True)
class CursorLease:
    """Lease of a cursor."""

    name: str
    lease: timedelta


@dataclass(frozen=True, slots=True)
class CursorMove:
    """Move of a cursor."""

    name: str
    position: datetime
    lease: timedelta


def handled_events_from_proto(request: pb.LogEventsRequest) -> list[HandledEvent]:
    """Read events to log."""
    with FieldReader() as fields:
        _require_batch(fields, "events", len(request.events))
        return [
            HandledEvent(
                fields.id(f"events[{at}].event_id", each.event_id),
                fields.id(f"events[{at}].type", each.type),
                fields.timestamp(f"events[{at}].created_at", each.created_at, present=each.HasField("created_at")),
            )
            for at, each in enumerate(request.events)
        ]


def event_ids_from_proto(request: pb.FindUnloggedEventsRequest) -> list[str]:
    """Read ids of events."""
    with FieldReader() as fields:
        _require_batch(fields, "event_ids", len(request.event_ids))
        return [fields.id(f"event_ids[{at}]", each) for at, each in enumerate(request.event_ids)]


def created_before_from_proto(request: pb.PruneEventsRequest) -> datetime:
    """Read the time before which log rows are deleted."""
    with FieldReader() as fields:
        return fields.timestamp("created_before", request.created_before, present=request.HasField("created_before"))


def retry_from_proto(request: pb.PutEventRetryRequest) -> EventRetry:
    """Read an event that failed."""
    retry = request.retry
    with FieldReader() as fields:
        return EventRetry(
            id=fields.id("retry.id", retry.id),
            type=fields.optional_id("retry.type", retry.type),
            object=EventObject(
                kind=fields.enum("retry.object.kind", retry.object.kind, _KINDS),
                stripe_id=fields.id("retry.object.stripe_id", retry.object.stripe_id),
                subscription_id=fields.optional_id("retry.object.subscription_id", retry.object.subscription_id),
                stripe_invoice_id=fields.optional_id("retry.object.stripe_invoice_id", retry.object.stripe_invoice_id),
            ),
            created_at=fields.timestamp("retry.created_at", retry.created_at, present=retry.HasField("created_at")),
            failures=0,  # the service counts them
            reason=fields.id("retry.reason", retry.reason),
            not_understood_by=fields.optional_id("retry.not_understood_by", retry.not_understood_by),
        )


def retry_to_proto(retry: EventRetry) -> pb.EventRetry:
    """Write an event to try again."""
    return pb.EventRetry(
        id=retry.id,
        type=retry.type or "",
        object=pb.EventObject(
            kind=_KINDS.to_proto(retry.object.kind),
            stripe_id=retry.object.stripe_id,
            subscription_id=retry.object.subscription_id or "",
            stripe_invoice_id=retry.object.stripe_invoice_id or "",
        ),
        created_at=timestamp_to_proto(retry.created_at),
        failures=retry.failures,
        reason=retry.reason,
        not_understood_by=retry.not_understood_by or "",
    )


def retry_claim_from_proto(request: pb.ClaimDueEventRetriesRequest) -> RetryClaim:
    """Read a request for due retries."""
    with FieldReader() as fields:
        fields.require(1 <= request.limit <= MAX_BATCH, "limit", f"must be between 1 and {MAX_BATCH}")
        lease = _lease(fields, request.lease, required=True)
        return RetryClaim(request.limit, lease, fields.id("gateway_version", request.gateway_version))


def finished_retry_from_proto(request: pb.FinishEventRetryRequest) -> tuple[str, int]:
    """Read the id of a retry that was handled, and its number of failed tries when it was claimed."""
    with FieldReader() as fields:
        fields.require(request.failures >= 1, "failures", "must be at least 1")
        return fields.id("id", request.id), request.failures


def cursor_lease_from_proto(request: pb.ClaimCursorRequest) -> CursorLease:
    """Read a request for a cursor."""
    with FieldReader() as fields:
        return CursorLease(_cursor_name(fields, request.name), _lease(fields, request.lease, required=True))


def cursor_move_from_proto(request: pb.AdvanceCursorRequest) -> CursorMove:
    """Read the move of a cursor."""
    with FieldReader() as fields:
        return CursorMove(
            name=_cursor_name(fields, request.name),
            position=fields.timestamp("position", request.position, present=request.HasField("position")),
            lease=_lease(fields, request.lease, required=False),
        )


def _require_batch(fields: FieldReader, field: str, count: int) -> None:
    fields.require(count <= MAX_BATCH, field, f"must be at most {MAX_BATCH}")
    fields.raise_if_invalid()


def _cursor_name(fields: FieldReader, name: str) -> str:
    fields.require(
        _CURSOR_NAME.fullmatch(name), "name", "must be at most 50 lower-case letters, digits and underscores"
    )
    return name


def _lease(fields: FieldReader, lease: Duration, *, required: bool) -> timedelta:
    span = lease.ToTimedelta() if -_DAY_SECONDS <= lease.seconds <= _DAY_SECONDS else -_SECOND
    shortest = _SECOND if required else timedelta()
    fields.require(shortest <= span <= _LONGEST_LEASE, "lease", f"must be between {shortest.seconds} seconds and a day")
    return span
