"""The client is not believed about price, amount, currency, user and payment (P6)."""

import time
from typing import Any

import pytest

from .conftest import Waiter
from .harness.control_api import ControlApi
from .harness.shop import Shop
from .harness.system import System

INITIATE = "/api/stripe/initiate-checkout"


@pytest.mark.parametrize("field", ["items[0].unitAmount", "items[0].amount", "items[0].currency", "amount", "userId"])
async def test_p6_a_client_cannot_name_price_sum_or_user(
    system: System, shop: Shop, control_api: ControlApi, field: str
) -> None:
    """The field is refused by name; nothing is stored, and nothing is sent to Stripe."""
    mark, stored = await control_api.request_count(), await system.attempt_store.content_keys()
    body: dict[str, Any] = system.cart(mug=1).as_body()
    (body["items"][0] if field.startswith("items") else body)[field.rpartition(".")[2]] = 1

    reply = await shop.request("POST", INITIATE, json=body)

    assert (reply.status, reply.fields) == (422, [field])
    assert await control_api.requests("POST", "/v1/payment_intents", after=mark) == []
    assert await system.attempt_store.content_keys() == stored


async def test_p6_the_order_belongs_to_the_tokens_user(
    system: System, members_shop: Shop, shop: Shop, settled: Waiter
) -> None:
    """The order has the token's user; neither another user nor a guest can read it or the checkout."""
    checkout = await members_shop.checkout(system.cart(mug=1))
    (await members_shop.pay(checkout)).ok()
    await settled(checkout)
    (order,) = await system.orders_db.orders_of(checkout.attempt_id)

    async with system.shop(user_id="user-2") as others_shop:
        others = await others_shop.order(str(order["id"]))
        others_status = await others_shop.status(checkout.attempt_id)
        others_return = await others_shop.complete(checkout)
    guests_status = await shop.status(checkout.attempt_id)
    guests_order = await shop.order(str(order["id"]))

    assert order["user_id"] == "user-1"
    assert [others.status, others_status.status, others_return.status, guests_status.status] == [404] * 4
    assert guests_order.status == 401
    assert "ada@example.com" not in str([others.body, guests_status.body, guests_order.body])


async def test_p6_the_browser_cannot_complete_a_checkout_that_is_not_paid(system: System, shop: Shop) -> None:
    """Stripe is asked about the payment: 409."""
    checkout = await shop.checkout(system.cart(mug=1))

    reply = await shop.complete(checkout)

    assert (reply.status, reply.problem) == (409, "payment_not_succeeded")
    assert await system.orders_db.payments_of(checkout.attempt_id) == []


async def test_p6_only_a_valid_token_makes_a_user(system: System, shop: Shop) -> None:
    """An expired, foreign or unsigned token is 401, not a guest."""
    foreign = shop.token("user-1").rpartition(".")[0] + ".c2lnbmF0dXJl"
    tokens = [shop.token("user-1", exp=int(time.time()) - 60), foreign, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyLTEifQ."]

    replies = [
        await shop.request(
            "POST", INITIATE, json=system.cart(mug=1).as_body(), headers={"Authorization": f"Bearer {token}"}
        )
        for token in tokens
    ]

    assert [reply.status for reply in replies] == [401, 401, 401]
