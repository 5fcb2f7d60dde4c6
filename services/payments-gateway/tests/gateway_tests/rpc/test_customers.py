import grpc
import pytest

from checkout.orders.v1 import orders_pb2 as pb
from payments_gateway.checkout.customers import CustomerErased
from payments_gateway.rpc.customers import CustomersClient
from servicekit.unavailable import ServiceUnavailable
from servicekit.violations import FieldViolation, InvalidRequest

from ..service_stand_ins import OrdersStandIn, Refusal


async def test_a_users_customer_is_found_or_is_none() -> None:
    """NOT_FOUND is no failure: it is the first checkout."""
    orders = OrdersStandIn()
    async with orders.served() as channel:
        client = CustomersClient(channel, timeout_seconds=5)
        orders.answer = pb.GetCustomerResponse(stripe_customer_id="cus_1")
        found = await client.find("user_ada", "eur")
        orders.answer = Refusal(grpc.StatusCode.NOT_FOUND, "customer_not_found")
        missing = await client.find("user_ada", "eur")

    assert (found, missing) == ("cus_1", None)
    assert orders.requests == [pb.GetCustomerRequest(user_id="user_ada", currency="eur")] * 2


async def test_p7_an_erased_customer_is_refused() -> None:
    """Another one is created then."""
    orders = OrdersStandIn()
    async with orders.served() as channel:
        orders.answer = Refusal(grpc.StatusCode.FAILED_PRECONDITION, "customer_erased")

        with pytest.raises(CustomerErased):
            await CustomersClient(channel, timeout_seconds=5).put("user_ada", "eur", "cus_1")


async def test_a_customer_that_orders_refuses_is_no_mistake_of_the_buyer(caplog: pytest.LogCaptureFixture) -> None:
    """No client has sent the field."""
    orders = OrdersStandIn()
    async with orders.served() as channel:
        refused = InvalidRequest([FieldViolation("stripe_customer_id", "must not be another user's or currency's")])
        orders.answer = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "invalid_request", refused)

        with pytest.raises(ServiceUnavailable):
            await CustomersClient(channel, timeout_seconds=5).put("user_ada", "eur", "cus_1")

    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize(("replaces", "sent"), [(None, ""), ("cus_gone", "cus_gone")])
async def test_the_customer_that_was_stored_first_is_returned(replaces: str | None, sent: str) -> None:
    """It may be another than the offered one."""
    orders = OrdersStandIn()
    async with orders.served() as channel:
        orders.answer = pb.PutCustomerResponse(stripe_customer_id="cus_first")

        stored = await CustomersClient(channel, timeout_seconds=5).put("user_ada", "eur", "cus_1", replaces=replaces)

    assert stored == "cus_first"
    assert orders.requests == [
        pb.PutCustomerRequest(user_id="user_ada", currency="eur", stripe_customer_id="cus_1", replaces=sent)
    ]
