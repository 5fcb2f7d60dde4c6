"""Attempts, kept by checkout-session over gRPC."""

from collections.abc import Mapping
from typing import Final

import grpc

from checkout.session.v1 import checkout_session_pb2, checkout_session_pb2_grpc
from payments_gateway.domain.attempts import (
    Attempt,
    AttemptClosed,
    AttemptTooLarge,
    CheckoutContext,
    CloseReason,
    DeleteReason,
    IntentRef,
    RequestHashMismatch,
    SavedAttempt,
    Tombstone,
)
from payments_gateway.domain.errors import AttemptNotFound
from payments_gateway.rpc.messages import context_message, intent_message, read_context, read_intent
from servicekit.grpc_client import RpcClient

_ERRORS: Final[Mapping[str, type[Exception]]] = {
    "attempt_closed": AttemptClosed,
    "attempt_not_found": AttemptNotFound,
    "attempt_too_large": AttemptTooLarge,
    "request_hash_mismatch": RequestHashMismatch,
}

_CLOSE_REASONS: Final = {
    CloseReason.SUPERSEDED: checkout_session_pb2.CLOSE_REASON_SUPERSEDED,
    CloseReason.PAY_BY_PASSED: checkout_session_pb2.CLOSE_REASON_PAY_BY_PASSED,
}
_CLOSE_REASONS_BACK: Final = {wire: reason for reason, wire in _CLOSE_REASONS.items()}

_DELETE_REASONS: Final = {
    DeleteReason.RECORDED: checkout_session_pb2.DELETE_REASON_RECORDED,
    DeleteReason.QUARANTINED: checkout_session_pb2.DELETE_REASON_QUARANTINED,
    DeleteReason.CANCELLED: checkout_session_pb2.DELETE_REASON_CANCELLED,
}
_DELETE_REASONS_BACK: Final = {wire: reason for reason, wire in _DELETE_REASONS.items()}


class AttemptsClient:
    """`AttemptsPort` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        """Call checkout-session over an open channel."""
        self._stub: checkout_session_pb2_grpc.CheckoutSessionServiceAsyncStub = (
            checkout_session_pb2_grpc.CheckoutSessionServiceStub(channel)
        )
        self._caller = RpcClient("checkout-session", _ERRORS, timeout_seconds=timeout_seconds)

    async def save(
        self, attempt_id: str, request_hash: bytes, context: CheckoutContext, intent: IntentRef
    ) -> SavedAttempt:
        """Store an attempt, or answer the one stored."""
        answer = await self._caller.call(
            self._stub.SaveAttempt,
            checkout_session_pb2.SaveAttemptRequest(
                attempt_id=attempt_id,
                request_hash=request_hash,
                context=context_message(context),
                intent=intent_message(intent),
            ),
        )
        return SavedAttempt(_read_attempt(answer.attempt), answer.replayed)

    async def find(self, attempt_id: str) -> Attempt | Tombstone | None:
        """Return the attempt or its tombstone."""
        try:
            answer = await self._caller.call(
                self._stub.GetAttempt, checkout_session_pb2.GetAttemptRequest(attempt_id=attempt_id)
            )
        except AttemptNotFound:
            return None
        return _read_attempt(answer.attempt) if answer.HasField("attempt") else _read_tombstone(answer.tombstone)

    async def close(self, attempt_id: str, reason: CloseReason) -> None:
        """Bar further saves, keep the content."""
        await self._caller.call(
            self._stub.CloseAttempt,
            checkout_session_pb2.CloseAttemptRequest(attempt_id=attempt_id, reason=_CLOSE_REASONS[reason]),
        )

    async def delete(self, attempt_id: str, reason: DeleteReason) -> None:
        """Remove the content, leave a tombstone."""
        await self._caller.call(
            self._stub.DeleteAttempt,
            checkout_session_pb2.DeleteAttemptRequest(attempt_id=attempt_id, reason=_DELETE_REASONS[reason]),
        )


def _read_attempt(message: checkout_session_pb2.Attempt) -> Attempt:
    return Attempt(
        attempt_id=message.attempt_id,
        request_hash=message.request_hash,
        context=read_context(message.context),
        intent=read_intent(message.intent),
        close_reason=_CLOSE_REASONS_BACK.get(message.close_reason),
    )


def _read_tombstone(message: checkout_session_pb2.Tombstone) -> Tombstone:
    return Tombstone(
        attempt_id=message.attempt_id,
        reason=_DELETE_REASONS_BACK[message.reason],
        close_reason=_CLOSE_REASONS_BACK.get(message.close_reason),
        user_id=message.user_id or None,
    )
