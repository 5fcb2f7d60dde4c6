"""Log of Stripe's events, their retries and cursors in orders, over gRPC."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration

from checkout.orders.v1 import stripe_events_pb2 as pb
from checkout.orders.v1 import stripe_events_pb2_grpc as pb_grpc
from payments_gateway.domain.attempts import IntentKind, IntentRef, is_attempt_id
from payments_gateway.domain.stripe_events import (
    ClaimedCursor,
    ClaimedRetries,
    EventRetry,
    HandledEvent,
    object_id,
)
from payments_gateway.domain.webhook_events import (
    ChargeRefunded,
    DisputeChanged,
    IntentSucceeded,
    RefundChanged,
    SubscriptionChanged,
    SubscriptionItemChanged,
    UnreadableIntentSucceeded,
    WebhookEvent,
)
from payments_gateway.rpc.messages import time_from_proto, time_to_proto
from servicekit.grpc_client import RpcClient, UnexpectedAnswer
from servicekit.unavailable import ServiceUnavailable

_log = logging.getLogger(__name__)

_SERVICE: Final = "orders"
_INTENT_KINDS: Final = {
    IntentKind.PAYMENT: pb.EventObject.KIND_PAYMENT_SUCCEEDED,
    IntentKind.SETUP: pb.EventObject.KIND_SETUP_SUCCEEDED,
}

_KINDS: Final[
    Mapping[
        type[RefundChanged | ChargeRefunded | DisputeChanged | SubscriptionItemChanged], pb.EventObject.Kind.ValueType
    ]
] = {
    RefundChanged: pb.EventObject.KIND_REFUND_CHANGED,
    ChargeRefunded: pb.EventObject.KIND_CHARGE_REFUNDED,
    DisputeChanged: pb.EventObject.KIND_DISPUTE_CHANGED,
    SubscriptionItemChanged: pb.EventObject.KIND_SUBSCRIPTION_ITEM_CHANGED,
}
"""Kinds of events that name one id."""

_KNOWN_KINDS: Final = frozenset({*_INTENT_KINDS.values(), *_KINDS.values(), pb.EventObject.KIND_SUBSCRIPTION_CHANGED})


class EventLogClient:
    """`EventLogPort` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub: pb_grpc.StripeEventsServiceAsyncStub = pb_grpc.StripeEventsServiceStub(channel)
        self._client = RpcClient(_SERVICE, {}, timeout_seconds=timeout_seconds)

    async def log(self, events: Sequence[HandledEvent]) -> None:
        """Log events that were handled.

        Any answer counts as unavailable, such as UNIMPLEMENTED by an older orders: it must not end the gateway's log.
        """
        messages = [
            pb.HandledEvent(event_id=each.id, type=each.type, created_at=time_to_proto(each.created_at))
            for each in events
        ]
        try:
            await self._client.call(self._stub.LogEvents, pb.LogEventsRequest(events=messages))
        except UnexpectedAnswer as answer:
            raise ServiceUnavailable(_SERVICE) from answer

    async def find_unlogged(self, event_ids: Sequence[str]) -> Sequence[str]:
        """Return the events that are neither logged nor waiting to be tried again."""
        request = pb.FindUnloggedEventsRequest(event_ids=event_ids)
        return list((await self._client.call(self._stub.FindUnloggedEvents, request)).event_ids)

    async def prune(self, created_before: datetime) -> bool:
        """Delete old log rows."""
        request = pb.PruneEventsRequest(created_before=time_to_proto(created_before))
        return (await self._client.call(self._stub.PruneEvents, request)).finished


class EventRetriesClient:
    """`EventRetriesPort` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float, livemode: bool) -> None:
        """Set livemode to the mode of our key: retries are of its events only."""
        self._stub: pb_grpc.StripeEventsServiceAsyncStub = pb_grpc.StripeEventsServiceStub(channel)
        self._client = RpcClient(_SERVICE, {}, timeout_seconds=timeout_seconds)
        self._livemode = livemode

    async def put(self, retry: EventRetry) -> None:
        """Write a failure."""
        message = pb.EventRetry(
            id=retry.id,
            type=retry.type or "",
            object=_object_to_proto(retry.event),
            created_at=time_to_proto(retry.created_at),
            reason=retry.reason,
            not_understood_by=retry.not_understood_by or "",
        )
        await self._client.call(self._stub.PutEventRetry, pb.PutEventRetryRequest(retry=message))

    async def claim_due(self, limit: int, lease: timedelta, version: str) -> ClaimedRetries:
        """Claim due retries. One of a kind that a newer version has put stays claimed, and holds up no other."""
        request = pb.ClaimDueEventRetriesRequest(limit=limit, lease=_duration(lease), gateway_version=version)
        response = await self._client.call(self._stub.ClaimDueEventRetries, request)
        known = [each for each in response.retries if each.object.kind in _KNOWN_KINDS]
        if len(known) < len(response.retries):
            _log.warning("retries are left to a newer version", extra={"count": len(response.retries) - len(known)})
        oldest = time_from_proto(response.oldest_created_at) if response.HasField("oldest_created_at") else None
        return ClaimedRetries([self._retry_from_proto(each) for each in known], response.waiting, oldest)

    async def finish(self, retry: EventRetry) -> None:
        """Delete a retry that was handled."""
        request = pb.FinishEventRetryRequest(id=retry.id, failures=retry.failures)
        await self._client.call(self._stub.FinishEventRetry, request)

    def _retry_from_proto(self, message: pb.EventRetry) -> EventRetry:
        return EventRetry(
            id=message.id,
            type=message.type or None,
            event=_object_from_proto(message.object, livemode=self._livemode),
            created_at=time_from_proto(message.created_at),
            reason=message.reason,
            not_understood_by=message.not_understood_by or None,
            failures=message.failures,
        )


class CursorsClient:
    """`CursorsPort` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub: pb_grpc.StripeEventsServiceAsyncStub = pb_grpc.StripeEventsServiceStub(channel)
        self._client = RpcClient(_SERVICE, {}, timeout_seconds=timeout_seconds)

    async def claim(self, name: str, lease: timedelta) -> ClaimedCursor | None:
        """Lease a cursor."""
        request = pb.ClaimCursorRequest(name=name, lease=_duration(lease))
        response = await self._client.call(self._stub.ClaimCursor, request)
        if not response.claimed:
            return None
        return ClaimedCursor(time_from_proto(response.position) if response.HasField("position") else None)

    async def advance(self, name: str, position: datetime, lease: timedelta) -> None:
        """Move a cursor forward."""
        request = pb.AdvanceCursorRequest(name=name, position=time_to_proto(position), lease=_duration(lease))
        await self._client.call(self._stub.AdvanceCursor, request)


def _duration(span: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(span)
    return message


def _our_id(subscription_id: str | None) -> str:
    """Return a subscription's id; empty for text that somebody wrote into the metadata, which orders would refuse."""
    return subscription_id if subscription_id is not None and is_attempt_id(subscription_id) else ""


def _object_to_proto(event: WebhookEvent) -> pb.EventObject:
    if isinstance(event, SubscriptionChanged):
        return pb.EventObject(
            kind=pb.EventObject.KIND_SUBSCRIPTION_CHANGED,
            stripe_id=event.stripe_subscription_id,
            subscription_id=_our_id(event.subscription_id),
            stripe_invoice_id=event.stripe_invoice_id or "",
        )
    if isinstance(event, IntentSucceeded):
        event = UnreadableIntentSucceeded(event.intent.ref, event.intent.livemode)
    kind = _INTENT_KINDS[event.ref.kind] if isinstance(event, UnreadableIntentSucceeded) else _KINDS[type(event)]
    return pb.EventObject(kind=kind, stripe_id=object_id(event))


def _object_from_proto(message: pb.EventObject, *, livemode: bool) -> WebhookEvent:
    """Read a retry's object, of a known kind."""
    if message.kind == pb.EventObject.KIND_SUBSCRIPTION_CHANGED:
        return SubscriptionChanged(
            message.stripe_id, message.subscription_id or None, message.stripe_invoice_id or None, livemode
        )
    for intent_kind, number in _INTENT_KINDS.items():
        if message.kind == number:
            return UnreadableIntentSucceeded(IntentRef(message.stripe_id, intent_kind), livemode)
    by_number = {number: event_type for event_type, number in _KINDS.items()}
    return by_number[message.kind](message.stripe_id)
