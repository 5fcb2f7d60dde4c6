"""Subscriptions of orders, over gRPC."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import grpc

from checkout.orders.v1 import orders_pb2, orders_pb2_grpc
from payments_gateway.domain.errors import VersionConflict
from payments_gateway.domain.stripe_errors import RefusedByOrders
from payments_gateway.domain.subscriptions import (
    InvoiceStatus,
    StripeSubscriptionMismatch,
    StripeSubscriptionState,
    Subscription,
    SubscriptionActivated,
    SubscriptionInvoice,
    SubscriptionItem,
    SubscriptionNotFound,
    SubscriptionPage,
    SubscriptionStatus,
    UnfinishedPage,
)
from payments_gateway.rpc.messages import (
    money_from_proto,
    money_to_proto,
    recurring_from_proto,
    time_from_proto,
    time_to_proto,
)
from payments_gateway.rpc.subscription_states import STATUSES, optional_time, state_from_proto, state_to_proto
from servicekit.enum_codec import EnumCodec
from servicekit.grpc_client import RpcClient
from servicekit.unavailable import ServiceUnavailable
from servicekit.violations import InvalidRequest

_ERRORS: Final[Mapping[str, type[Exception]]] = {
    "subscription_not_found": SubscriptionNotFound,
    "version_conflict": VersionConflict,
    "stripe_subscription_mismatch": StripeSubscriptionMismatch,
    "subscription_activated": SubscriptionActivated,
}

_INVOICE_STATUSES: Final = EnumCodec(InvoiceStatus, orders_pb2.InvoiceStatus)


class SubscriptionsClient:
    """`SubscriptionsPort` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub: orders_pb2_grpc.OrdersServiceAsyncStub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._client = RpcClient("orders", _ERRORS, timeout_seconds=timeout_seconds)

    async def get_subscription(self, subscription_id: str) -> Subscription:
        """Return one subscription, by our id."""
        return await self._get(orders_pb2.GetSubscriptionRequest(subscription_id=subscription_id))

    async def get_subscription_by_stripe_id(self, stripe_subscription_id: str) -> Subscription:
        """Return the subscription that is bound to a Stripe subscription."""
        return await self._get(orders_pb2.GetSubscriptionRequest(stripe_subscription_id=stripe_subscription_id))

    async def _get(self, request: orders_pb2.GetSubscriptionRequest) -> Subscription:
        response = await self._client.call(self._stub.GetSubscription, request)
        return subscription_from_proto(response.subscription)

    async def list_subscriptions(self, user_id: str, *, page_size: int, page_token: str | None) -> SubscriptionPage:
        """Return a page of a user's subscriptions."""
        response = await self._client.call(
            self._stub.ListSubscriptions,
            orders_pb2.ListSubscriptionsRequest(user_id=user_id, page_size=page_size, page_token=page_token or ""),
        )
        return SubscriptionPage(
            tuple(subscription_from_proto(one) for one in response.subscriptions), response.next_page_token or None
        )

    async def list_unfinished(
        self, created_before: datetime, *, page_size: int, page_token: str | None
    ) -> UnfinishedPage:
        """Return a page of subscriptions that are still to be activated or cancelled at Stripe."""
        request = orders_pb2.ListUnfinishedSubscriptionsRequest(
            created_before=time_to_proto(created_before), page_size=page_size, page_token=page_token or ""
        )
        response = await self._client.call(self._stub.ListUnfinishedSubscriptions, request)
        return UnfinishedPage(list(response.subscription_ids), response.next_page_token or None)

    async def begin_activation(self, subscription_id: str, *, abandon_generation: int | None = None) -> Subscription:
        """Record that the subscription is about to be created at Stripe."""
        response = await self._client.call(
            self._stub.BeginActivation,
            orders_pb2.BeginActivationRequest(
                subscription_id=subscription_id, abandon_generation=abandon_generation or 0
            ),
        )
        subscription = subscription_from_proto(response.subscription)
        if subscription.may_need_activation and subscription.status is SubscriptionStatus.UNKNOWN:
            raise ServiceUnavailable("orders")  # a gateway of the newer version can tell if anything is left to do
        return subscription

    async def activate(
        self,
        subscription_id: str,
        expected_version: int,
        state: StripeSubscriptionState,
        invoice: SubscriptionInvoice | None,
    ) -> Subscription:
        """Bind the subscription to the Stripe subscription that was created for it."""
        request = orders_pb2.ActivateSubscriptionRequest(
            subscription_id=subscription_id,
            expected_version=expected_version,
            state=state_to_proto(state),
            invoice=invoice_to_proto(invoice) if invoice else None,
        )
        with _translate_errors():
            response = await self._client.call(self._stub.ActivateSubscription, request)
        return subscription_from_proto(response.subscription)

    async def cancel_pending(self, subscription_id: str, expected_version: int) -> Subscription:
        """Cancel a subscription that is not bound."""
        request = orders_pb2.CancelPendingSubscriptionRequest(
            subscription_id=subscription_id, expected_version=expected_version
        )
        response = await self._client.call(self._stub.CancelPendingSubscription, request)
        return subscription_from_proto(response.subscription)

    async def fail_activation(self, subscription_id: str, expected_version: int, failure: str) -> Subscription:
        """Record that Stripe refused for good."""
        request = orders_pb2.FailActivationRequest(
            subscription_id=subscription_id, expected_version=expected_version, failure=failure
        )
        return subscription_from_proto((await self._client.call(self._stub.FailActivation, request)).subscription)

    async def apply_state(
        self,
        subscription_id: str,
        expected_version: int,
        state: StripeSubscriptionState,
        invoice: SubscriptionInvoice | None,
    ) -> Subscription:
        """Store a state that was read from Stripe after the version was."""
        request = orders_pb2.ApplySubscriptionStateRequest(
            subscription_id=subscription_id,
            expected_version=expected_version,
            state=state_to_proto(state),
            invoice=invoice_to_proto(invoice) if invoice else None,
        )
        with _translate_errors():
            response = await self._client.call(self._stub.ApplySubscriptionState, request)
        return subscription_from_proto(response.subscription)


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raise RefusedByOrders if orders refuses what Stripe returned: it may not know a word of Stripe's yet."""
    try:
        yield
    except InvalidRequest as error:
        raise RefusedByOrders from error


def subscription_from_proto(message: orders_pb2.Subscription) -> Subscription:
    """Read a subscription."""
    return Subscription(
        id=message.id,
        checkout_attempt_id=message.checkout_attempt_id,
        user_id=message.user_id or None,
        stripe_customer_id=message.stripe_customer_id,
        payment_method_id=message.payment_method_id or None,
        recurring=recurring_from_proto(message.recurring),
        items=tuple(_item_from_proto(item) for item in message.items),
        version=message.version,
        created_at=time_from_proto(message.created_at),
        status=STATUSES.from_proto(message.status, SubscriptionStatus.UNKNOWN),
        activation_generation=message.activation_generation,
        activation_began_at=optional_time(message, "activation_began_at"),
        activation_failure=message.activation_failure or None,
        activation_failed_at=optional_time(message, "activation_failed_at"),
        cancel_requested_at=optional_time(message, "cancel_requested_at"),
        stripe_subscription_id=message.stripe_subscription_id or None,
        state=state_from_proto(message.state) if message.HasField("state") else None,
        invoices=tuple(_invoice_from_proto(invoice) for invoice in message.invoices),
        erased=message.HasField("erased_at"),
    )


def _item_from_proto(message: orders_pb2.SubscriptionItem) -> SubscriptionItem:
    return SubscriptionItem(
        price_id=message.price_id,
        product_id=message.product_id,
        name=message.name,
        quantity=message.quantity,
        unit_price=money_from_proto(message.unit_price),
    )


def invoice_to_proto(invoice: SubscriptionInvoice) -> orders_pb2.SubscriptionInvoice:
    """Return an invoice's message."""
    return orders_pb2.SubscriptionInvoice(
        stripe_invoice_id=invoice.id,
        status=_INVOICE_STATUSES.to_proto(invoice.status),
        billing_reason=invoice.billing_reason,
        total=money_to_proto(invoice.total),
        amount_paid=money_to_proto(invoice.amount_paid),
        attempt_count=invoice.attempt_count,
        created_at=time_to_proto(invoice.created_at),
        period_start=time_to_proto(invoice.period_start),
        period_end=time_to_proto(invoice.period_end),
        next_payment_attempt=time_to_proto(invoice.next_payment_attempt),
    )


def _invoice_from_proto(message: orders_pb2.SubscriptionInvoice) -> SubscriptionInvoice:
    return SubscriptionInvoice(
        id=message.stripe_invoice_id,
        status=_INVOICE_STATUSES.from_proto(message.status, InvoiceStatus.UNKNOWN),
        billing_reason=message.billing_reason,
        total=money_from_proto(message.total),
        amount_paid=money_from_proto(message.amount_paid),
        attempt_count=message.attempt_count,
        created_at=time_from_proto(message.created_at),
        period_start=optional_time(message, "period_start"),
        period_end=optional_time(message, "period_end"),
        next_payment_attempt=optional_time(message, "next_payment_attempt"),
    )
