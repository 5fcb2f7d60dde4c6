"""gRPC servicer: validate, map, call one use case, map the answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout.session.v1 import checkout_session_pb2_grpc as pb_grpc
from checkout_rules.fields import uuid_violations
from checkout_session.api.validation import (
    claim_violations,
    close_violations,
    delete_all_violations,
    reason_violations,
    reschedule_violations,
    save_violations,
)
from checkout_session.domain.attempts import (
    AttemptClosed,
    AttemptNotFound,
    AttemptStore,
    AttemptUnreadable,
    StoreUnavailable,
)
from checkout_session.domain.due_attempts import DueAttempts
from checkout_session.domain.save_attempt import AttemptSaver, AttemptTooLarge, RequestHashMismatch
from checkout_session.proto_mapping import (
    CLOSE_REASONS,
    DELETE_REASONS,
    attempt_to_proto,
    closed_to_proto,
    draft_from_proto,
    due_to_proto,
    found_to_proto,
)
from servicekit.errors import ErrorAnswer, ErrorTable
from servicekit.json_logging import bind_attempt
from servicekit.load_shedding import Criticality
from servicekit.violations import raise_if_invalid

DOMAIN: Final = "checkout-session"
"""Name of this service in google.rpc.ErrorInfo."""

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["CheckoutSessionService"].full_name

ERRORS: Final[ErrorTable] = {
    AttemptNotFound: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "attempt_not_found"),
    AttemptClosed: ErrorAnswer(grpc.StatusCode.FAILED_PRECONDITION, "attempt_closed"),
    RequestHashMismatch: ErrorAnswer(grpc.StatusCode.ALREADY_EXISTS, "request_hash_mismatch"),
    AttemptTooLarge: ErrorAnswer(grpc.StatusCode.RESOURCE_EXHAUSTED, "attempt_too_large"),
    # Answer of a save alone. The caller must not release a secret for an attempt that nobody can read.
    AttemptUnreadable: ErrorAnswer(grpc.StatusCode.UNAVAILABLE, "attempt_unreadable"),
    StoreUnavailable: ErrorAnswer(grpc.StatusCode.UNAVAILABLE, "store_unavailable"),
}
"""Answer for each domain exception."""

CRITICALITY: Final = {
    "SaveAttempt": Criticality.LOW,
    "ClaimDueAttempts": Criticality.BACKGROUND,
    "RescheduleAttempts": Criticality.BACKGROUND,
}
"""Rpcs that are refused before the others. A reconciler that claims nothing asks nothing else."""

_ANSWER_MARGIN_SECONDS: Final = 0.5


class CheckoutSessionServicer(pb_grpc.CheckoutSessionServiceServicer):
    """Implements checkout.session.v1.CheckoutSessionService."""

    def __init__(self, saver: AttemptSaver, store: AttemptStore, due: DueAttempts) -> None:
        self._saver = saver
        self._store = store
        self._due = due

    async def SaveAttempt(  # noqa: N802 — the contract's name
        self, request: pb.SaveAttemptRequest, context: grpc.ServicerContext
    ) -> pb.SaveAttemptResponse:
        """Store an attempt, or answer the stored one."""
        raise_if_invalid(save_violations(request))
        bind_attempt(request.attempt_id)
        async with _within_deadline(context):
            saved = await self._saver.save(draft_from_proto(request))
        return pb.SaveAttemptResponse(attempt=attempt_to_proto(saved.attempt), replayed=saved.replayed)

    async def GetAttempt(  # noqa: N802 — the contract's name
        self, request: pb.GetAttemptRequest, context: grpc.ServicerContext
    ) -> pb.GetAttemptResponse:
        """Answer the attempt, readable or not, or its tombstone."""
        raise_if_invalid(uuid_violations("attempt_id", request.attempt_id))
        bind_attempt(request.attempt_id)
        async with _within_deadline(context):
            found = await self._store.find(request.attempt_id)
        return found_to_proto(found)

    async def CloseAttempt(  # noqa: N802 — the contract's name
        self, request: pb.CloseAttemptRequest, context: grpc.ServicerContext
    ) -> pb.CloseAttemptResponse:
        """Refuse further saves, keep the content, and answer the successor that stands."""
        raise_if_invalid(close_violations(request))
        bind_attempt(request.attempt_id)
        reason = CLOSE_REASONS.from_valid_proto(request.reason)
        async with _within_deadline(context):
            closed = await self._store.close(request.attempt_id, reason, request.successor)
        return closed_to_proto(closed)

    async def DeleteAttempt(  # noqa: N802 — the contract's name
        self, request: pb.DeleteAttemptRequest, context: grpc.ServicerContext
    ) -> pb.DeleteAttemptResponse:
        """Delete the content, leave a tombstone."""
        raise_if_invalid(
            (*uuid_violations("attempt_id", request.attempt_id), *reason_violations(request.reason, DELETE_REASONS))
        )
        bind_attempt(request.attempt_id)
        async with _within_deadline(context):
            await self._store.delete(request.attempt_id, DELETE_REASONS.from_valid_proto(request.reason))
        return pb.DeleteAttemptResponse()

    async def DeleteAttempts(  # noqa: N802 — the contract's name
        self, request: pb.DeleteAttemptsRequest, context: grpc.ServicerContext
    ) -> pb.DeleteAttemptsResponse:
        """Delete the content of each, leave tombstones."""
        raise_if_invalid(delete_all_violations(request))
        reason = DELETE_REASONS.from_valid_proto(request.reason)
        async with _within_deadline(context):
            for attempt_id in request.attempt_ids:
                await self._store.delete(attempt_id, reason)
        return pb.DeleteAttemptsResponse()

    async def ClaimDueAttempts(  # noqa: N802 — the contract's name
        self, request: pb.ClaimDueAttemptsRequest, context: grpc.ServicerContext
    ) -> pb.ClaimDueAttemptsResponse:
        """Hand out due attempts under a lease."""
        raise_if_invalid(claim_violations(request))
        async with _within_deadline(context):
            claimed = await self._due.claim(request.limit, request.lease.ToTimedelta())
        return pb.ClaimDueAttemptsResponse(attempts=map(due_to_proto, claimed))

    async def RescheduleAttempts(  # noqa: N802 — the contract's name
        self, request: pb.RescheduleAttemptsRequest, context: grpc.ServicerContext
    ) -> pb.RescheduleAttemptsResponse:
        """Set the next check of attempts."""
        raise_if_invalid(reschedule_violations(request))
        async with _within_deadline(context):
            await self._due.reschedule({check.attempt_id: check.delay.ToTimedelta() for check in request.checks})
        return pb.RescheduleAttemptsResponse()


@asynccontextmanager
async def _within_deadline(context: grpc.ServicerContext) -> AsyncIterator[None]:
    """Give up on the store shortly before the caller's deadline, so that the caller still gets the reason."""
    remaining: Any = context.time_remaining()
    budget = None if remaining is None else remaining - min(_ANSWER_MARGIN_SECONDS, remaining / 4)
    try:
        async with asyncio.timeout(budget):
            yield
    except TimeoutError as late:
        raise StoreUnavailable from late
