"""Subscriptions, kept by orders over gRPC."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import grpc

from checkout.orders.v1 import orders_pb2, orders_pb2_grpc
from payments_gateway.clients.subscription_messages import invoice_message, read_subscription, state_message
from payments_gateway.subscriptions import (
    BoundToAnother,
    StateUnusable,
    StripeSubscriptionState,
    Subscription,
    SubscriptionInvoice,
    SubscriptionNotFound,
    SubscriptionPage,
    VersionMismatch,
)
from servicekit.grpc_client import Caller
from servicekit.violations import InvalidRequest

_ERRORS: Final[Mapping[str, type[Exception]]] = {
    "subscription_not_found": SubscriptionNotFound,
    "version_mismatch": VersionMismatch,
    "stripe_subscription_mismatch": BoundToAnother,
}


class SubscriptionsClient:
    """The SubscriptionBook port over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        """Call orders over an open channel."""
        self._stub: orders_pb2_grpc.OrdersServiceAsyncStub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._caller = Caller("orders", _ERRORS, timeout_seconds=timeout_seconds)

    async def subscription(self, subscription_id: str) -> Subscription:
        """Return one subscription, by our id."""
        return await self._get(orders_pb2.GetSubscriptionRequest(subscription_id=subscription_id))

    async def subscription_at_stripe(self, stripe_subscription_id: str) -> Subscription:
        """Return the subscription that is bound to a Stripe subscription."""
        return await self._get(orders_pb2.GetSubscriptionRequest(stripe_subscription_id=stripe_subscription_id))

    async def _get(self, request: orders_pb2.GetSubscriptionRequest) -> Subscription:
        answer = await self._caller.call(self._stub.GetSubscription, request)
        return read_subscription(answer.subscription)

    async def subscriptions_of(self, user_id: str, *, page_size: int, page_token: str | None) -> SubscriptionPage:
        """Return a page of a user's subscriptions."""
        answer = await self._caller.call(
            self._stub.ListSubscriptions,
            orders_pb2.ListSubscriptionsRequest(user_id=user_id, page_size=page_size, page_token=page_token or ""),
        )
        return SubscriptionPage(
            tuple(read_subscription(one) for one in answer.subscriptions), answer.next_page_token or None
        )

    async def begin_activation(self, subscription_id: str, *, abandon_generation: int | None = None) -> Subscription:
        """Note that the subscription is about to be created at Stripe."""
        answer = await self._caller.call(
            self._stub.BeginActivation,
            orders_pb2.BeginActivationRequest(
                subscription_id=subscription_id, abandon_generation=abandon_generation or 0
            ),
        )
        return read_subscription(answer.subscription)

    async def activate(
        self,
        subscription_id: str,
        expected_version: int,
        state: StripeSubscriptionState,
        invoice: SubscriptionInvoice | None,
    ) -> Subscription:
        """Bind the subscription to the Stripe subscription that was made for it."""
        request = orders_pb2.ActivateSubscriptionRequest(
            subscription_id=subscription_id,
            expected_version=expected_version,
            state=state_message(state),
            invoice=invoice_message(invoice) if invoice else None,
        )
        with _refusals_named():
            answer = await self._caller.call(self._stub.ActivateSubscription, request)
        return read_subscription(answer.subscription)

    async def fail_activation(self, subscription_id: str, expected_version: int, failure: str) -> Subscription:
        """Note that Stripe refused for good."""
        request = orders_pb2.FailActivationRequest(
            subscription_id=subscription_id, expected_version=expected_version, failure=failure
        )
        return read_subscription((await self._caller.call(self._stub.FailActivation, request)).subscription)

    async def apply_state(
        self,
        subscription_id: str,
        expected_version: int,
        state: StripeSubscriptionState,
        invoice: SubscriptionInvoice | None,
    ) -> Subscription:
        """Write a state that was read at Stripe after the version was."""
        request = orders_pb2.ApplySubscriptionStateRequest(
            subscription_id=subscription_id,
            expected_version=expected_version,
            state=state_message(state),
            invoice=invoice_message(invoice) if invoice else None,
        )
        with _refusals_named():
            answer = await self._caller.call(self._stub.ApplySubscriptionState, request)
        return read_subscription(answer.subscription)


@contextmanager
def _refusals_named() -> Iterator[None]:
    """Say that orders cannot keep what Stripe showed: it may be a word that only Stripe and we know so far."""
    try:
        yield
    except InvalidRequest as refused:
        raise StateUnusable from refused
