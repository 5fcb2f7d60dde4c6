"""The Stripe customer of a user, through gRPC on a real PostgreSQL."""

import asyncio
from typing import Any

import grpc
import pytest

from checkout.orders.v1 import orders_pb2 as pb

from .service import Client, count, refusal

AT_ONCE = 20
ROUNDS = 10


async def put(orders: Client, customer: str, *, user_id: str = "user_1", replaces: str = "") -> str:
    """Put a customer and return who is the user's from then on."""
    request = pb.PutCustomerRequest(user_id=user_id, stripe_customer_id=customer, replaces=replaces)
    return (await orders.PutCustomer(request)).stripe_customer_id


async def customer_of(orders: Client, user_id: str = "user_1") -> str:
    """Read a user's customer."""
    return (await orders.GetCustomer(pb.GetCustomerRequest(user_id=user_id))).stripe_customer_id


async def test_the_first_writer_wins(orders: Client) -> None:
    """Who comes later is told so; another user has a customer of its own."""
    answers = [await put(orders, "cus_1"), await put(orders, "cus_2"), await put(orders, "cus_3", user_id="user_2")]

    assert answers == ["cus_1", "cus_1", "cus_3"]
    assert (await customer_of(orders), await customer_of(orders, "user_2")) == ("cus_1", "cus_3")


async def test_twenty_writers_at_once_have_one_winner(orders: Client, sql: Any) -> None:
    """Everybody is told the same one, and it is the one that stands."""
    for number in range(ROUNDS):
        user_id = f"user_{number}"
        writers = [put(orders, f"cus_{number}_{writer}", user_id=user_id) for writer in range(AT_ONCE)]

        answers = await asyncio.gather(*writers)

        assert set(answers) == {await customer_of(orders, user_id)}
    assert await count(sql, "customers") == ROUNDS


async def test_twenty_writers_of_the_same_customer_agree(orders: Client, sql: Any) -> None:
    """Stripe's key gave them all the same one: whichever unique index is met first, nobody is refused."""
    for number in range(ROUNDS):
        writers = [put(orders, f"cus_{number}", user_id=f"user_{number}") for _ in range(AT_ONCE)]

        assert set(await asyncio.gather(*writers)) == {f"cus_{number}"}
    assert await count(sql, "customers") == ROUNDS


async def test_a_customer_that_stripe_forgot_is_replaced_once(orders: Client) -> None:
    """Of twenty who replace it at once one wins; who names one that is not the user's changes nothing."""
    await put(orders, "cus_gone")

    answers = await asyncio.gather(*(put(orders, f"cus_{n}", replaces="cus_gone") for n in range(AT_ONCE)))
    late = await put(orders, "cus_late", replaces="cus_gone")

    assert set(answers) == {late}
    assert await customer_of(orders) == late != "cus_late"


async def test_replacing_where_there_is_none_makes_it_the_users(orders: Client) -> None:
    """Whoever forgot the user meanwhile does not stand in the way."""
    assert await put(orders, "cus_1", replaces="cus_gone") == "cus_1"


@pytest.mark.parametrize("replaces", ["", "cus_2"])
async def test_a_customer_of_another_user_is_refused(orders: Client, replaces: str) -> None:
    """Nobody pays with somebody else's payment methods, whether the user had a customer before or not."""
    await put(orders, "cus_1", user_id="user_1")
    if replaces:
        await put(orders, replaces, user_id="user_2")

    error = await refusal(put(orders, "cus_1", user_id="user_2", replaces=replaces))

    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in error.violations] == ["stripe_customer_id"]


async def test_a_user_without_a_customer_is_told(orders: Client) -> None:
    """The reason says so."""
    error = await refusal(customer_of(orders))

    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "customer_not_found")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.PutCustomerRequest(stripe_customer_id="cus_1"), "user_id"),
        (pb.PutCustomerRequest(user_id="user_1"), "stripe_customer_id"),
        (pb.PutCustomerRequest(user_id="u" * 256, stripe_customer_id="cus_1"), "user_id"),
        (pb.PutCustomerRequest(user_id="user_1", stripe_customer_id="cus_1", replaces="\0"), "replaces"),
    ],
)
async def test_a_claim_that_names_nobody_is_refused(
    orders: Client, request_: pb.PutCustomerRequest, field: str
) -> None:
    """By field."""
    error = await refusal(orders.PutCustomer(request_))

    assert [each.field for each in error.violations] == [field]
