"""Subscriptions, kept by orders over gRPC."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from checkout.orders.v1 import orders_pb2, orders_pb2_grpc
from payments_gateway.domain.errors import VersionConflict
from payments_gateway.domain.stripe_errors import UnsupportedStripeObject
from payments_gateway.domain.subscriptions import (
    InvoiceStatus,
    StripeSubscriptionMismatch,
    StripeSubscriptionState,
    Subscription,
    SubscriptionInvoice,
    SubscriptionItem,
    SubscriptionNotFound,
    SubscriptionPage,
    SubscriptionStatus,
)
from payments_gateway.rpc.messages import money_message, read_intent, read_money, read_recurring
from servicekit.grpc_client import RpcClient
from servicekit.violations import InvalidRequest

_ERRORS: Final[Mapping[str, type[Exception]]] = {
    "subscription_not_found": SubscriptionNotFound,
    "version_conflict": VersionConflict,
    "stripe_subscription_mismatch": StripeSubscriptionMismatch,
}


class SubscriptionsClient:
    """`SubscriptionsPort` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        """Call orders over an open channel."""
        self._stub: orders_pb2_grpc.OrdersServiceAsyncStub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._caller = RpcClient("orders", _ERRORS, timeout_seconds=timeout_seconds)

    async def get_subscription(self, subscription_id: str) -> Subscription:
        """Return one subscription, by our id."""
        return await self._get(orders_pb2.GetSubscriptionRequest(subscription_id=subscription_id))

    async def get_subscription_by_stripe_id(self, stripe_subscription_id: str) -> Subscription:
        """Return the subscription that is bound to a Stripe subscription."""
        return await self._get(orders_pb2.GetSubscriptionRequest(stripe_subscription_id=stripe_subscription_id))

    async def _get(self, request: orders_pb2.GetSubscriptionRequest) -> Subscription:
        answer = await self._caller.call(self._stub.GetSubscription, request)
        return read_subscription(answer.subscription)

    async def list_subscriptions(self, user_id: str, *, page_size: int, page_token: str | None) -> SubscriptionPage:
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
        raise UnsupportedStripeObject from refused


_STATUSES = {
    status: orders_pb2.SubscriptionStatus.Value(f"SUBSCRIPTION_STATUS_{status.name}") for status in SubscriptionStatus
}
_STATUSES_BACK = {wire: status for status, wire in _STATUSES.items()}

_INVOICE_STATUSES = {
    status: orders_pb2.InvoiceStatus.Value(f"INVOICE_STATUS_{status.name}") for status in InvoiceStatus
}
_INVOICE_STATUSES_BACK = {wire: status for status, wire in _INVOICE_STATUSES.items()}


def read_subscription(message: orders_pb2.Subscription) -> Subscription:
    """Read a subscription."""
    began = message.activation_began_at if message.HasField("activation_began_at") else None
    return Subscription(
        id=message.id,
        checkout_attempt_id=message.checkout_attempt_id,
        intent=read_intent(message.intent),
        user_id=message.user_id or None,
        stripe_customer_id=message.stripe_customer_id,
        payment_method_id=message.payment_method_id,
        recurring=read_recurring(message.recurring),
        items=tuple(_read_item(item) for item in message.items),
        version=message.version,
        created_at=_read_moment(message.created_at),
        status=_STATUSES_BACK[message.status],
        activation_generation=message.activation_generation,
        activation_began_at=_read_moment(began) if began is not None else None,
        activation_failure=message.activation_failure or None,
        stripe_subscription_id=message.stripe_subscription_id or None,
        state=_read_state(message.state) if message.HasField("state") else None,
        invoices=tuple(_read_invoice(invoice) for invoice in message.invoices),
        erased=message.HasField("erased_at"),
    )


def _read_item(message: orders_pb2.SubscriptionItem) -> SubscriptionItem:
    return SubscriptionItem(
        price_id=message.price_id,
        product_id=message.product_id,
        name=message.name,
        quantity=message.quantity,
        unit_price=read_money(message.unit_price),
    )


def state_message(state: StripeSubscriptionState) -> orders_pb2.StripeSubscriptionState:
    """Return a state's message."""
    return orders_pb2.StripeSubscriptionState(
        stripe_subscription_id=state.stripe_subscription_id,
        status=_STATUSES[state.status],
        current_period_end=_moment(state.current_period_end),
        trial_end=_moment(state.trial_end),
        cancel_at_period_end=state.cancel_at_period_end,
        cancel_at=_moment(state.cancel_at),
        canceled_at=_moment(state.canceled_at),
        ended_at=_moment(state.ended_at),
        latest_invoice_id=state.latest_invoice_id or "",
    )


def _read_state(message: orders_pb2.StripeSubscriptionState) -> StripeSubscriptionState:
    return StripeSubscriptionState(
        stripe_subscription_id=message.stripe_subscription_id,
        status=_STATUSES_BACK[message.status],
        current_period_end=_read_moment(message.current_period_end) if message.HasField("current_period_end") else None,
        trial_end=_read_moment(message.trial_end) if message.HasField("trial_end") else None,
        cancel_at_period_end=message.cancel_at_period_end,
        cancel_at=_read_moment(message.cancel_at) if message.HasField("cancel_at") else None,
        canceled_at=_read_moment(message.canceled_at) if message.HasField("canceled_at") else None,
        ended_at=_read_moment(message.ended_at) if message.HasField("ended_at") else None,
        latest_invoice_id=message.latest_invoice_id or None,
    )


def invoice_message(invoice: SubscriptionInvoice) -> orders_pb2.SubscriptionInvoice:
    """Return an invoice's message."""
    return orders_pb2.SubscriptionInvoice(
        stripe_invoice_id=invoice.id,
        status=_INVOICE_STATUSES[invoice.status],
        billing_reason=invoice.billing_reason,
        total=money_message(invoice.total),
        amount_paid=money_message(invoice.amount_paid),
        attempt_count=invoice.attempt_count,
        created_at=_moment(invoice.created_at),
        period_start=_moment(invoice.period_start),
        period_end=_moment(invoice.period_end),
        next_payment_attempt=_moment(invoice.next_payment_attempt),
    )


def _read_invoice(message: orders_pb2.SubscriptionInvoice) -> SubscriptionInvoice:
    again = message.next_payment_attempt if message.HasField("next_payment_attempt") else None
    return SubscriptionInvoice(
        id=message.stripe_invoice_id,
        status=_INVOICE_STATUSES_BACK[message.status],
        billing_reason=message.billing_reason,
        total=read_money(message.total),
        amount_paid=read_money(message.amount_paid),
        attempt_count=message.attempt_count,
        created_at=_read_moment(message.created_at),
        period_start=_read_moment(message.period_start) if message.HasField("period_start") else None,
        period_end=_read_moment(message.period_end) if message.HasField("period_end") else None,
        next_payment_attempt=_read_moment(again) if again is not None else None,
    )


def _moment(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def _read_moment(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)
