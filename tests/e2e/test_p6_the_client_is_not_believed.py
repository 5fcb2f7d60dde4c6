import time
from dataclasses import replace

import pytest

from .conftest import Waiter
from .harness.knobs import Knobs
from .harness.shop import Shop
from .harness.system import System


@pytest.mark.parametrize("smuggled", ["unitAmount", "amount", "currency", "name"])
async def test_p6_a_line_cannot_bring_its_own_price(system: System, shop: Shop, knobs: Knobs, smuggled: str) -> None:
    """A line with more than a price id and a quantity is refused by name; nothing is stored or sent to Stripe."""
    mark, stored = await knobs.requests_so_far(), await system.attempts.content_keys()
    body = system.cart(mug=1).as_body()
    body["items"][0][smuggled] = 1

    reply = await shop.request("POST", "/api/stripe/initiate-checkout", json=body)

    assert reply.status == 422
    assert reply.fields == [f"items[0].{smuggled}"]
    assert await knobs.requests("POST", "/v1/payment_intents", after=mark) == []
    assert await system.attempts.content_keys() == stored


async def test_p6_a_body_cannot_say_who_the_user_is(system: System, shop: Shop) -> None:
    """`userId` in the body is refused by name."""
    body = system.cart(mug=1).as_body() | {"userId": "user-1"}

    reply = await shop.request("POST", "/api/stripe/initiate-checkout", json=body)

    assert (reply.status, reply.fields) == (422, ["userId"])


async def test_p6_the_order_belongs_to_the_tokens_user(
    system: System, members_shop: Shop, shop: Shop, settled: Waiter
) -> None:
    """The order carries the token's subject; neither another user nor a guest can read it or the checkout."""
    checkout = await members_shop.checkout(system.cart(mug=1))
    (await members_shop.pay(checkout)).ok()
    await settled(checkout)
    (order,) = await system.books.orders_of(checkout.attempt_id)

    async with system.shop(user_id="user-2") as others_shop:
        others = await others_shop.order(str(order["id"]))
        others_status = await others_shop.status(checkout.attempt_id)
        others_return = await others_shop.come_back(checkout)
    guests_status = await shop.status(checkout.attempt_id)
    guests_order = await shop.order(str(order["id"]))

    assert order["user_id"] == "user-1"
    assert [others.status, others_status.status, others_return.status, guests_status.status] == [404] * 4
    assert guests_order.status == 401
    assert "ada@example.com" not in str([others.body, guests_status.body, guests_order.body])


async def test_p6_a_guest_reads_the_purchase_without_anything_personal(
    system: System, shop: Shop, settled: Waiter
) -> None:
    """Whoever holds a guest's attempt id sees number, lines and sums; never contact, address or secret."""
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    await settled(checkout)

    status = (await shop.status(checkout.attempt_id)).ok()
    returned = (await shop.come_back(checkout)).ok()

    assert status["purchase"]["order"]["totalAmount"] == checkout.amount
    assert returned == status["purchase"]
    for personal in ("Ada", "example.com", "5550100", "Harbour", "_secret_"):
        assert personal not in str(status)


async def test_p6_the_browser_cannot_complete_a_checkout_with_another_intent(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """A paid intent of one attempt does not complete another: 409, and the other stays open."""
    paid, unpaid = await shop.checkout(system.cart(mug=1)), await shop.checkout(system.cart(poster=4))
    (await shop.pay(paid)).ok()
    await settled(paid)

    reply = await shop.come_back(replace(unpaid, client_secret=paid.client_secret))

    assert (reply.status, reply.problem) == (409, "intent_mismatch")
    assert (await shop.status(unpaid.attempt_id)).ok()["status"] == "open"
    assert await system.books.orders_of(unpaid.attempt_id) == []


async def test_p6_the_browser_cannot_complete_a_checkout_that_is_not_paid(system: System, shop: Shop) -> None:
    """Saying so does not make it paid: Stripe is asked, 409."""
    checkout = await shop.checkout(system.cart(mug=1))

    reply = await shop.come_back(checkout)

    assert (reply.status, reply.problem) == (409, "payment_not_succeeded")
    assert await system.books.payments_of(checkout.attempt_id) == []


async def test_p6_only_a_valid_token_makes_a_user(system: System, shop: Shop) -> None:
    """An expired, foreign or unsigned token is 401, not a guest."""
    foreign = shop.token("user-1").rpartition(".")[0] + ".c2lnbmF0dXJl"
    tokens = [shop.token("user-1", exp=int(time.time()) - 60), foreign, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyLTEifQ."]

    replies = [
        await shop.request(
            "POST",
            "/api/stripe/initiate-checkout",
            json=system.cart(mug=1).as_body(),
            headers={"Authorization": f"Bearer {token}"},
        )
        for token in tokens
    ]

    assert [reply.status for reply in replies] == [401, 401, 401]
