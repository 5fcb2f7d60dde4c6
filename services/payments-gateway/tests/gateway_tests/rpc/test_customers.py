from collections.abc import AsyncIterator

import grpc
import pytest

from checkout.orders.v1 import orders_pb2 as pb
from payments_gateway.rpc.customers import CustomersClient
from servicekit.grpc_client import ServiceUnavailable

from ..service_stand_ins import OrdersStandIn, Refusal


@pytest.fixture
def orders() -> OrdersStandIn:
    """Give an orders that answers what it is told to."""
    return OrdersStandIn()


@pytest.fixture
async def client(orders: OrdersStandIn) -> AsyncIterator[CustomersClient]:
    """Give a client of it."""
    async with orders.served() as channel:
        yield CustomersClient(channel, timeout_seconds=5)


async def test_a_users_customer_is_found(orders: OrdersStandIn, client: CustomersClient) -> None:
    """By the user's id."""
    orders.answer = pb.GetCustomerResponse(stripe_customer_id="cus_1")

    found = await client.find("user_ada")

    assert found == "cus_1"
    assert orders.requests == [pb.GetCustomerRequest(user_id="user_ada")]


async def test_a_user_without_a_customer_has_none(orders: OrdersStandIn, client: CustomersClient) -> None:
    """That is no failure: it is the first checkout."""
    orders.answer = Refusal(grpc.StatusCode.NOT_FOUND, "customer_not_found")

    assert await client.find("user_ada") is None


@pytest.mark.parametrize(("replaces", "sent"), [(None, ""), ("cus_gone", "cus_gone")])
async def test_the_winner_is_answered(
    orders: OrdersStandIn, client: CustomersClient, replaces: str | None, sent: str
) -> None:
    """It may be another than the one that was offered."""
    orders.answer = pb.PutCustomerResponse(stripe_customer_id="cus_faster")

    kept = await client.put("user_ada", "cus_1", replaces=replaces)

    assert kept == "cus_faster"
    assert orders.requests == [pb.PutCustomerRequest(user_id="user_ada", stripe_customer_id="cus_1", replaces=sent)]


async def test_orders_being_away_is_unavailable(orders: OrdersStandIn, client: CustomersClient) -> None:
    """It may pass."""
    orders.answer = Refusal(grpc.StatusCode.UNAVAILABLE, "database_unavailable")

    with pytest.raises(ServiceUnavailable):
        await client.find("user_ada")
