"""Stripe customers of users, one for each currency, stored by orders, over gRPC."""

import logging
from collections.abc import Mapping
from typing import Final

import grpc

from checkout.orders.v1 import orders_pb2, orders_pb2_grpc
from payments_gateway.checkout.customers import CustomerErased
from servicekit.grpc_client import RpcClient
from servicekit.unavailable import ServiceUnavailable
from servicekit.violations import InvalidRequest

_log = logging.getLogger(__name__)


class _CustomerNotFound(Exception):
    """The user has no customer."""


_ERRORS: Final[Mapping[str, type[Exception]]] = {
    "customer_not_found": _CustomerNotFound,
    "customer_erased": CustomerErased,
}


class CustomersClient:
    """`CustomerRepository` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        self._stub: orders_pb2_grpc.OrdersServiceAsyncStub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._client = RpcClient("orders", _ERRORS, timeout_seconds=timeout_seconds)

    async def find(self, user_id: str, currency: str) -> str | None:
        """Return the user's customer of the currency; None if there is none."""
        request = orders_pb2.GetCustomerRequest(user_id=user_id, currency=currency)
        try:
            response = await self._client.call(self._stub.GetCustomer, request)
        except _CustomerNotFound:
            return None
        return response.stripe_customer_id

    async def put(self, user_id: str, currency: str, customer_id: str, *, replaces: str | None = None) -> str:
        """Make a customer the user's and return it, or the one that was stored first."""
        request = orders_pb2.PutCustomerRequest(
            user_id=user_id, currency=currency, stripe_customer_id=customer_id, replaces=replaces or ""
        )
        try:
            response = await self._client.call(self._stub.PutCustomer, request)
        except InvalidRequest as refused:  # It names fields that no buyer has sent.
            _log.error("orders refuses to store a customer", extra={"fields": str(refused)})
            raise ServiceUnavailable("orders") from refused
        return response.stripe_customer_id
