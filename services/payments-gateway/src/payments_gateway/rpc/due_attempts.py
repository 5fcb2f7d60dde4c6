"""Due attempts of checkout-session, over gRPC."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import grpc

from checkout.session.v1 import checkout_session_pb2, checkout_session_pb2_grpc
from payments_gateway.domain.due_attempts import DueAttempt
from payments_gateway.rpc.attempts import close_reason_from_proto
from payments_gateway.rpc.messages import intent_from_proto, time_from_proto
from servicekit.grpc_client import RpcClient

_MAX_ATTEMPTS: Final = 1000
"""Number of attempts that one call may reschedule."""


class DueAttemptsClient:
    """`DueAttemptsPort` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub: checkout_session_pb2_grpc.CheckoutSessionServiceAsyncStub = (
            checkout_session_pb2_grpc.CheckoutSessionServiceStub(channel)
        )
        self._client = RpcClient("checkout-session", {}, timeout_seconds=timeout_seconds)

    async def claim(self, limit: int, lease: timedelta) -> Sequence[DueAttempt]:
        """See DueAttemptsPort.claim."""
        request = checkout_session_pb2.ClaimDueAttemptsRequest(limit=limit)
        request.lease.FromTimedelta(lease)
        response = await self._client.call(self._stub.ClaimDueAttempts, request)
        return [_due_attempt(message) for message in response.attempts]

    async def reschedule(self, delays: Mapping[str, timedelta]) -> None:
        """See DueAttemptsPort.reschedule."""
        checks = [_next_check(attempt_id, delay) for attempt_id, delay in delays.items()]
        for first in range(0, len(checks), _MAX_ATTEMPTS):
            await self._client.call(
                self._stub.RescheduleAttempts,
                checkout_session_pb2.RescheduleAttemptsRequest(checks=checks[first : first + _MAX_ATTEMPTS]),
            )


def _next_check(attempt_id: str, delay: timedelta) -> checkout_session_pb2.NextCheck:
    check = checkout_session_pb2.NextCheck(attempt_id=attempt_id)
    check.delay.FromTimedelta(delay)
    return check


def _due_attempt(message: checkout_session_pb2.DueAttempt) -> DueAttempt:
    return DueAttempt(
        attempt_id=message.attempt_id,
        intent=intent_from_proto(message.intent),
        created_at=time_from_proto(message.created_at),
        pay_by=time_from_proto(message.pay_by),
        close_reason=close_reason_from_proto(message.close_reason),
        content_exists=message.content_exists,
    )
