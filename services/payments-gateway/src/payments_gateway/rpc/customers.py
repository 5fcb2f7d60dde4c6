"""Which Stripe customer is a user's, kept by orders over gRPC."""

from collections.abc import Mapping
from typing import Final

import grpc

from checkout.orders.v1 import orders_pb2, orders_pb2_grpc
from servicekit.grpc_client import RpcClient


class _CustomerNotFound(Exception):
    """The user has no customer."""


_ERRORS: Final[Mapping[str, type[Exception]]] = {"customer_not_found": _CustomerNotFound}


class CustomersClient:
    """The CustomerRepository port over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, timeout_seconds: float) -> None:
        """Call orders over an open channel."""
        self._stub: orders_pb2_grpc.OrdersServiceAsyncStub = orders_pb2_grpc.OrdersServiceStub(channel)
        self._caller = RpcClient("orders", _ERRORS, timeout_seconds=timeout_seconds)

    async def find(self, user_id: str) -> str | None:
        """Return the user's customer."""
        try:
            answer = await self._caller.call(self._stub.GetCustomer, orders_pb2.GetCustomerRequest(user_id=user_id))
        except _CustomerNotFound:
            return None
        return answer.stripe_customer_id

    async def put(self, user_id: str, customer_id: str, *, replaces: str | None = None) -> str:
        """Make a customer the user's, unless somebody was faster."""
        answer = await self._caller.call(
            self._stub.PutCustomer,
            orders_pb2.PutCustomerRequest(user_id=user_id, stripe_customer_id=customer_id, replaces=replaces or ""),
        )
        return answer.stripe_customer_id
