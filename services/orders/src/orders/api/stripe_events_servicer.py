"""gRPC servicer of Stripe's events: read the request, call one use case, write the response."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import grpc

from checkout.orders.v1 import stripe_events_pb2 as pb
from checkout.orders.v1 import stripe_events_pb2_grpc as pb_grpc
from orders.api import stripe_events
from orders.api.messages import timestamp_to_proto
from orders.usecases.retrying import Retrier
from orders.usecases.stripe_events import StripeEventService

T = TypeVar("T")


class StripeEventsServicer(pb_grpc.StripeEventsServiceServicer):
    """Implements the StripeEventsService contract."""

    def __init__(self, events: StripeEventService, retrier: Retrier) -> None:
        self._events = events
        self._retrier = retrier

    async def LogEvents(  # noqa: N802 - the contract's name
        self, request: pb.LogEventsRequest, context: grpc.ServicerContext
    ) -> pb.LogEventsResponse:
        """Log events that were handled."""
        events = stripe_events.handled_events_from_proto(request)
        await self._run(context, lambda: self._events.log(events))
        return pb.LogEventsResponse()

    async def FindUnloggedEvents(  # noqa: N802 - the contract's name
        self, request: pb.FindUnloggedEventsRequest, context: grpc.ServicerContext
    ) -> pb.FindUnloggedEventsResponse:
        """Return the events that are neither logged nor waiting."""
        event_ids = stripe_events.event_ids_from_proto(request)
        unlogged = await self._run(context, lambda: self._events.find_unlogged(event_ids))
        return pb.FindUnloggedEventsResponse(event_ids=unlogged)

    async def PruneEvents(  # noqa: N802 - the contract's name
        self, request: pb.PruneEventsRequest, context: grpc.ServicerContext
    ) -> pb.PruneEventsResponse:
        """Delete old log rows."""
        created_before = stripe_events.created_before_from_proto(request)
        finished = await self._run(context, lambda: self._events.prune(created_before))
        return pb.PruneEventsResponse(finished=finished)

    async def PutEventRetry(  # noqa: N802 - the contract's name
        self, request: pb.PutEventRetryRequest, context: grpc.ServicerContext
    ) -> pb.PutEventRetryResponse:
        """Write that an event failed."""
        retry = stripe_events.retry_from_proto(request)
        await self._run(context, lambda: self._events.put_retry(retry))
        return pb.PutEventRetryResponse()

    async def ClaimDueEventRetries(  # noqa: N802 - the contract's name
        self, request: pb.ClaimDueEventRetriesRequest, context: grpc.ServicerContext
    ) -> pb.ClaimDueEventRetriesResponse:
        """Hand out due retries."""
        claim = stripe_events.retry_claim_from_proto(request)
        claimed = await self._run(
            context, lambda: self._events.claim_due_retries(claim.limit, claim.lease, claim.version)
        )
        return pb.ClaimDueEventRetriesResponse(
            retries=map(stripe_events.retry_to_proto, claimed.retries),
            waiting=claimed.waiting,
            oldest_created_at=timestamp_to_proto(claimed.oldest_created_at),
        )

    async def FinishEventRetry(  # noqa: N802 - the contract's name
        self, request: pb.FinishEventRetryRequest, context: grpc.ServicerContext
    ) -> pb.FinishEventRetryResponse:
        """Delete a retry that was handled."""
        retry_id, failures = stripe_events.finished_retry_from_proto(request)
        await self._run(context, lambda: self._events.finish_retry(retry_id, failures))
        return pb.FinishEventRetryResponse()

    async def ClaimCursor(  # noqa: N802 - the contract's name
        self, request: pb.ClaimCursorRequest, context: grpc.ServicerContext
    ) -> pb.ClaimCursorResponse:
        """Lease a cursor to the caller."""
        asked = stripe_events.cursor_lease_from_proto(request)
        claimed = await self._run(context, lambda: self._events.claim_cursor(asked.name, asked.lease))
        return pb.ClaimCursorResponse(claimed=claimed.claimed, position=timestamp_to_proto(claimed.position))

    async def AdvanceCursor(  # noqa: N802 - the contract's name
        self, request: pb.AdvanceCursorRequest, context: grpc.ServicerContext
    ) -> pb.AdvanceCursorResponse:
        """Move a cursor forward."""
        move = stripe_events.cursor_move_from_proto(request)
        await self._run(context, lambda: self._events.advance_cursor(move.name, move.position, move.lease))
        return pb.AdvanceCursorResponse()

    async def _run(self, context: grpc.ServicerContext, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        # grpcio's asyncio context returns None, not infinity, if the caller set no deadline.
        remaining: Any = context.time_remaining()
        return await self._retrier.run(work, remaining)
