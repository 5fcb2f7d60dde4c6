"""Attempts of checkout-session, over gRPC."""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

import grpc

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2, checkout_session_pb2_grpc
from payments_gateway.domain.attempts import (
    Attempt,
    AttemptClosed,
    AttemptTooLarge,
    CheckoutContext,
    ClosedAttempt,
    CloseReason,
    DeleteReason,
    FoundAttempt,
    IntentKind,
    IntentRef,
    RequestHashMismatch,
    SavedAttempt,
    Tombstone,
    UnreadableAttempt,
)
from payments_gateway.domain.errors import AttemptNotFound
from payments_gateway.rpc.messages import context_from_proto, context_to_proto, intent_from_proto, intent_to_proto
from servicekit.enum_codec import EnumCodec
from servicekit.grpc_client import RpcClient, UnexpectedAnswer
from servicekit.unavailable import ServiceUnavailable

_log = logging.getLogger(__name__)

_ERRORS: Final[Mapping[str, type[Exception]]] = {
    "attempt_closed": AttemptClosed,
    "attempt_not_found": AttemptNotFound,
    "attempt_too_large": AttemptTooLarge,
    "request_hash_mismatch": RequestHashMismatch,
}

_CLOSE_REASONS: Final = EnumCodec(CloseReason, checkout_session_pb2.CloseReason)
_DELETE_REASONS: Final = EnumCodec(DeleteReason, checkout_session_pb2.DeleteReason)


class AttemptsClient:
    """`AttemptsPort` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub: checkout_session_pb2_grpc.CheckoutSessionServiceAsyncStub = (
            checkout_session_pb2_grpc.CheckoutSessionServiceStub(channel)
        )
        self._client = RpcClient("checkout-session", _ERRORS, timeout_seconds=timeout_seconds)

    async def save(
        self, attempt_id: str, request_hash: bytes, context: CheckoutContext, intent: IntentRef
    ) -> SavedAttempt:
        """Store an attempt, or return the stored one."""
        response = await self._client.call(
            self._stub.SaveAttempt,
            checkout_session_pb2.SaveAttemptRequest(
                attempt_id=attempt_id,
                request_hash=request_hash,
                context=context_to_proto(context),
                intent=intent_to_proto(intent),
            ),
        )
        return SavedAttempt(_attempt_from_proto(response.attempt), response.replayed)

    async def find(self, attempt_id: str) -> FoundAttempt | None:
        """Return the attempt or its tombstone; None if there is neither."""
        try:
            response = await self._client.call(
                self._stub.GetAttempt, checkout_session_pb2.GetAttemptRequest(attempt_id=attempt_id)
            )
        except AttemptNotFound:
            return None
        return _found_from_proto(response)

    async def close(self, attempt_id: str, reason: CloseReason, successor: str | None = None) -> ClosedAttempt:
        """Refuse further saves, and keep the content."""
        response = await self._client.call(
            self._stub.CloseAttempt,
            checkout_session_pb2.CloseAttemptRequest(
                attempt_id=attempt_id, reason=_CLOSE_REASONS.to_proto(reason), successor=successor or ""
            ),
        )
        return ClosedAttempt(_found_from_proto(response), response.successor or None)

    async def delete(self, attempt_id: str, reason: DeleteReason) -> None:
        """Delete the content, and leave a tombstone."""
        await self._client.call(
            self._stub.DeleteAttempt,
            checkout_session_pb2.DeleteAttemptRequest(attempt_id=attempt_id, reason=_DELETE_REASONS.to_proto(reason)),
        )

    async def delete_all(self, attempt_ids: Sequence[str], reason: DeleteReason) -> None:
        """Delete attempts like `delete`. Any unexpected answer counts as unavailable: later batches go on."""
        request = checkout_session_pb2.DeleteAttemptsRequest(
            attempt_ids=attempt_ids, reason=_DELETE_REASONS.to_proto(reason)
        )
        try:
            try:
                await self._client.call(self._stub.DeleteAttempts, request)
            except UnexpectedAnswer as answer:
                if answer.error.code is not grpc.StatusCode.UNIMPLEMENTED:
                    raise
                for attempt_id in attempt_ids:  # checkout-session of an earlier version (ADR 45)
                    await self.delete(attempt_id, reason)
        except UnexpectedAnswer as answer:
            raise ServiceUnavailable("checkout-session") from answer


def _found_from_proto(
    response: checkout_session_pb2.GetAttemptResponse | checkout_session_pb2.CloseAttemptResponse,
) -> FoundAttempt | None:
    if response.HasField("attempt"):
        return _attempt_from_proto(response.attempt)
    if response.HasField("unreadable_attempt"):
        return _unreadable_from_proto(response.unreadable_attempt)
    return _tombstone_from_proto(response.tombstone) if response.HasField("tombstone") else None


def _attempt_from_proto(message: checkout_session_pb2.Attempt) -> Attempt:
    """Read an attempt. Raises ServiceUnavailable for one of a newer version, which an updated gateway can handle."""
    try:
        return Attempt(
            attempt_id=message.attempt_id,
            request_hash=message.request_hash,
            context=context_from_proto(message.context),
            intent=_intent_from_proto(message.intent),
            close_reason=close_reason_from_proto(message.close_reason),
            successor=message.successor or None,
        )
    except KeyError:
        _log.exception("attempt of a newer version")
        raise ServiceUnavailable("checkout-session") from None


def _intent_from_proto(message: common_pb2.Intent) -> IntentRef:
    """Read an attempt's intent. Raises ServiceUnavailable for a kind of a newer version: it decides what is done."""
    intent = intent_from_proto(message)
    if intent.kind is IntentKind.UNKNOWN:
        _log.error("attempt of a newer version")
        raise ServiceUnavailable("checkout-session")
    return intent


def _unreadable_from_proto(message: checkout_session_pb2.UnreadableAttempt) -> UnreadableAttempt:
    return UnreadableAttempt(
        attempt_id=message.attempt_id,
        user_id=message.user_id or None,
        intent=_intent_from_proto(message.intent),
        encrypted_content=message.encrypted_content,
        key_id=message.key_id,
        close_reason=close_reason_from_proto(message.close_reason),
        successor=message.successor or None,
    )


def _tombstone_from_proto(message: checkout_session_pb2.Tombstone) -> Tombstone:
    """Read a tombstone. Raises ServiceUnavailable for a reason of a newer version: it tells if the attempt is paid."""
    reason = _DELETE_REASONS.from_proto(message.reason)
    if reason is None:
        _log.error("tombstone of a newer version")
        raise ServiceUnavailable("checkout-session")
    return Tombstone(
        attempt_id=message.attempt_id,
        reason=reason,
        close_reason=close_reason_from_proto(message.close_reason),
        user_id=message.user_id or None,
        successor=message.successor or None,
    )


def close_reason_from_proto(number: int) -> CloseReason | None:
    """Return None for an attempt that is not closed. A reason of a newer version closes it as well."""
    return _CLOSE_REASONS.from_proto(number, CloseReason.UNKNOWN) if number else None
