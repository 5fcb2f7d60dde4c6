from typing import Any

import grpc
import pytest

from ..calls import get_customer, put_customer
from ..service import Client, error_of


async def test_the_first_writer_wins(orders: Client) -> None:
    """A later writer receives the winner; another user has a customer of its own."""
    answers = [
        await put_customer(orders, "cus_1"),
        await put_customer(orders, "cus_2"),
        await put_customer(orders, "cus_3", user_id="user_2"),
    ]

    assert answers == ["cus_1", "cus_1", "cus_3"]
    assert (await get_customer(orders), await get_customer(orders, "user_2")) == ("cus_1", "cus_3")


async def test_a_user_has_a_customer_for_each_currency(orders: Client) -> None:
    """One is read, and replaced, by its currency."""
    await put_customer(orders, "cus_eur")
    await put_customer(orders, "cus_usd", currency="usd")

    replaced = await put_customer(orders, "cus_new", currency="usd", replaces="cus_usd")

    assert replaced == await get_customer(orders, currency="usd") == "cus_new"
    assert await get_customer(orders) == "cus_eur"


async def test_a_customer_that_no_longer_exists_is_replaced(orders: Client) -> None:
    """Once: `replaces` must name the user's customer, unless the user has none."""
    answers = [
        await put_customer(orders, "cus_1", replaces="cus_gone"),
        await put_customer(orders, "cus_2", replaces="cus_1"),
        await put_customer(orders, "cus_3", replaces="cus_1"),
    ]

    assert answers == ["cus_1", "cus_2", "cus_2"]


@pytest.mark.parametrize("replaces", ["", "cus_2"])
@pytest.mark.parametrize(("user_id", "currency"), [("user_2", "eur"), ("user_1", "usd")])
async def test_a_customer_of_another_user_or_currency_is_refused(
    orders: Client, user_id: str, currency: str, replaces: str
) -> None:
    """Nobody pays with another user's payment methods, and no customer has two currencies."""
    await put_customer(orders, "cus_1")
    if replaces:
        await put_customer(orders, replaces, user_id=user_id, currency=currency)

    error = await error_of(put_customer(orders, "cus_1", user_id=user_id, currency=currency, replaces=replaces))

    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in error.violations] == ["stripe_customer_id"]


@pytest.mark.parametrize("replaces", ["", "cus_2", "cus_gone"])
async def test_p7_an_erased_customer_comes_back_to_nobody(orders: Client, sql: Any, replaces: str) -> None:
    """Stripe replays its creation for a day, while a person deletes it there. A faster caller's customer wins."""
    await sql.execute("INSERT INTO customers (stripe_customer_id, erased_at) VALUES ('cus_1', now())")
    if replaces == "cus_2":
        await put_customer(orders, "cus_2")

    error = await error_of(put_customer(orders, "cus_1", replaces=replaces))
    await put_customer(orders, "cus_3", replaces=replaces)

    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "customer_erased")
    assert await put_customer(orders, "cus_1") == await get_customer(orders) == "cus_3"


async def test_a_user_without_a_customer_is_not_found(orders: Client) -> None:
    """The gateway creates one then."""
    error = await error_of(get_customer(orders))

    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "customer_not_found")
