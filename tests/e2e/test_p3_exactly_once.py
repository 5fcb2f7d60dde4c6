import asyncio

import pytest

from .conftest import Waiter, until
from .harness.knobs import Knobs
from .harness.shop import Shop
from .harness.system import System

RECORD = "/checkout.orders.v1.OrdersService/RecordPurchase"
GET = "/checkout.session.v1.CheckoutSessionService/GetAttempt"


async def test_p3_one_payment_becomes_one_order(
    system: System, members_shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """Paying once, reported by two webhooks, gives one order that the buyer reads with contact and address."""
    checkout = await members_shop.checkout(system.cart(mug=2, notebook=1))
    (await members_shop.pay(checkout)).ok()
    await settled(checkout)
    await knobs.idle()

    (listed,) = [
        order
        for order in (await members_shop.orders(limit="100")).ok()["orders"]
        if order["checkoutAttemptId"] == checkout.attempt_id
    ]
    (row,) = await system.books.orders_of(checkout.attempt_id)
    read = (await members_shop.order(listed["id"])).ok()
    assert (row["total_minor"], row["currency"]) == (2 * 1800 + 950 + 500, "usd")
    assert read["number"] == row["number"]
    assert read["contact"]["email"] == "ada@example.com"
    assert read["shippingAddress"]["line1"] == "1 Harbour Street"
    assert [(item["quantity"], item["unitAmount"]) for item in read["items"]] == [(2, 1800), (1, 950)]


async def test_p3_webhooks_and_browser_at_the_same_moment(system: System, shop: Shop, knobs: Knobs) -> None:
    """Eight deliveries and four returning browsers that have all read the attempt at once make one order."""
    await knobs.deliver(types=["payment_intent.succeeded"], drop=True)
    checkout = await shop.checkout(system.cart(tote=1))
    (await shop.pay(checkout)).ok()
    (event,) = [
        delivery["event_id"]
        for delivery in await knobs.deliveries(object_id=checkout.intent_id, event_type="payment_intent.succeeded")
    ][:1]
    traps = [system.faults.orders.checkpoint.hold_next(RECORD) for _ in range(12)]

    await knobs.redeliver(event, copies=4)  # to each of two gateways
    browsers = [asyncio.create_task(shop.come_back(checkout)) for _ in range(4)]
    await asyncio.gather(*(trap.sprung() for trap in traps))
    for trap in traps:
        trap.release()
    replies = await asyncio.gather(*browsers)
    await knobs.idle()

    numbers = {reply.ok()["order"]["number"] for reply in replies}
    (order,) = await system.books.orders_of(checkout.attempt_id)
    (payment,) = await system.books.payments_of(checkout.attempt_id)
    assert numbers == {order["number"]}
    assert payment["outcome"] == "purchase"
    assert not await system.attempts.has_content(checkout.attempt_id)


async def test_p3_a_payment_without_its_attempt_is_quarantined_once(system: System, shop: Shop, knobs: Knobs) -> None:
    """Redis lost the attempt: two webhooks and a returning browser leave one quarantined payment and no order."""
    await knobs.deliver(types=["payment_intent.succeeded"], hold=True)
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    await system.attempts.lose_content(checkout.attempt_id)

    await knobs.release_deliveries()
    reply = await shop.come_back(checkout)
    await knobs.idle()

    payments = await system.books.payments_of(checkout.attempt_id)
    deliveries = await knobs.deliveries(object_id=checkout.intent_id, event_type="payment_intent.succeeded")
    assert [(row["outcome"], row["quarantine_reason"]) for row in payments] == [("quarantined", "attempt_missing")]
    assert payments[0]["amount_minor"] == checkout.amount
    assert await system.books.orders_of(checkout.attempt_id) == []
    assert reply.ok()["status"] == "needs_review"
    assert {delivery["state"] for delivery in deliveries} == {"delivered"}


async def test_p3_an_attempt_that_turns_up_again_becomes_the_purchase(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """A payment quarantined for its missing attempt becomes the order once Redis is restored and the news repeated."""
    await knobs.deliver(types=["payment_intent.succeeded"], hold=True)
    checkout = await shop.checkout(system.cart(mug=1))
    backup = await system.attempts.copy_of(checkout.attempt_id)
    await system.attempts.lose_content(checkout.attempt_id)
    (await shop.pay(checkout)).ok()
    await knobs.release_deliveries()
    await knobs.idle()
    missing = await system.books.payment(checkout.intent_id)

    await system.attempts.put_back(backup)
    reply = await shop.come_back(checkout)

    assert missing is not None
    assert missing["outcome"] == "quarantined"
    assert reply.ok()["status"] == "completed"
    (payment,) = await system.books.payments_of(checkout.attempt_id)
    assert payment["outcome"] == "purchase"
    assert not await system.attempts.has_content(checkout.attempt_id)


async def test_p3_a_late_webhook_long_after_the_browser_changes_nothing(
    system: System, shop: Shop, knobs: Knobs
) -> None:
    """The browser completed the checkout; the webhook that comes later finds it so and is answered 200."""
    await knobs.deliver(types=["payment_intent.succeeded"], hold=True)
    checkout = await shop.checkout(system.cart(notebook=3))
    (await shop.pay(checkout)).ok()
    completed = (await shop.come_back(checkout)).ok()

    await knobs.release_deliveries()
    await knobs.idle()

    again = (await shop.come_back(checkout)).ok()
    deliveries = await knobs.deliveries(object_id=checkout.intent_id, event_type="payment_intent.succeeded")
    assert completed["status"] == "completed"
    assert again["order"]["number"] == completed["order"]["number"]
    assert [delivery["attempts"] for delivery in deliveries] == [1, 1]
    assert len(await system.books.payments_of(checkout.attempt_id)) == 1


async def test_p3_a_foreign_intent_is_acknowledged_and_counted(system: System, shop: Shop, knobs: Knobs) -> None:
    """An intent on the same Stripe account that is not ours gets 200, leaves no record, and shows in the metrics."""
    before = await _not_ours(shop)

    foreign = await system.stripe.v1.payment_intents.create_async(
        {"amount": 700, "currency": "usd", "metadata": {"someOtherShop": "1"}}
    )
    await knobs.pay(foreign.id)
    await knobs.idle()

    deliveries = await knobs.deliveries(object_id=foreign.id, event_type="payment_intent.succeeded")
    assert [(delivery["state"], delivery["attempts"]) for delivery in deliveries] == [("delivered", 1)] * 2
    assert await system.books.payment(foreign.id) is None
    assert await _not_ours(shop) == before + 1


async def test_p3_a_second_real_payment_of_an_attempt_is_quarantined(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """Another paid intent that names an attempt which has its purchase is set aside as duplicate_payment."""
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    await settled(checkout)

    second = await system.stripe.v1.payment_intents.create_async(
        {
            "amount": checkout.amount,
            "currency": "usd",
            "metadata": {"checkoutAttemptId": checkout.attempt_id},
        }
    )
    await knobs.pay(second.id)
    await knobs.idle()

    payments = {row["intent_id"]: row for row in await system.books.payments_of(checkout.attempt_id)}
    assert payments.keys() == {checkout.intent_id, second.id}
    assert payments[checkout.intent_id]["outcome"] == "purchase"
    assert payments[second.id]["quarantine_reason"] == "duplicate_payment"
    assert len(await system.books.orders_of(checkout.attempt_id)) == 1


@pytest.mark.parametrize("away", ["orders", "postgres", "checkout-session", "valkey"])
async def test_p3_a_webhook_that_finds_something_away_is_answered_503_and_comes_again(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter, away: str
) -> None:
    """While a service or its store is frozen the webhook gets 503; after that Stripe's own retry makes the order."""
    await knobs.deliver(types=["payment_intent.succeeded"], hold=True)
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()

    await system.backend.pause(away)
    try:
        await knobs.release_deliveries()

        async def refused() -> bool:
            tries = await knobs.delivery_attempts(object_id=checkout.intent_id, event_type="payment_intent.succeeded")
            return bool(tries)

        await until(refused, "a refused delivery")
        tries = await knobs.delivery_attempts(object_id=checkout.intent_id, event_type="payment_intent.succeeded")
    finally:
        await system.backend.resume(away)

    assert {each["status"] for each in tries} == {503}
    await settled(checkout)
    assert len(await system.books.orders_of(checkout.attempt_id)) == 1


async def _not_ours(shop: Shop) -> float:
    async with shop.session.get(f"{shop.gateway}/metrics") as answer:
        text = await answer.text()
    line = 'holdfast_fulfilments_total{channel="webhook",outcome="not_ours"} '
    return next((float(found.removeprefix(line)) for found in text.splitlines() if found.startswith(line)), 0.0)
