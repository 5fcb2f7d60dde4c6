"""A succeeded intent becomes exactly one purchase or exactly one quarantined payment (P3)."""

import asyncio

from .conftest import Waiter
from .harness.control_api import ControlApi
from .harness.outgoing_calls import OutgoingCall
from .harness.shop import Shop
from .harness.system import System

SUCCEEDED = "payment_intent.succeeded"


async def test_p3_one_payment_becomes_one_order(
    system: System, members_shop: Shop, control_api: ControlApi, settled: Waiter
) -> None:
    """One payment, reported by two webhooks, is one order that the buyer reads with contact and address."""
    checkout = await members_shop.checkout(system.cart(mug=2, notebook=1))
    (await members_shop.pay(checkout)).ok()
    await settled(checkout)
    await control_api.until_idle()

    orders = await members_shop.all_orders()
    (listed,) = [order for order in orders if order["checkoutAttemptId"] == checkout.attempt_id]
    (row,) = await system.orders_db.orders_of(checkout.attempt_id)
    read = (await members_shop.order(listed["id"])).ok()
    assert (row["total_minor"], row["currency"]) == (2 * 1800 + 950 + 500, "usd")
    assert read["number"] == row["number"]
    assert read["contact"]["email"] == "ada@example.com"
    assert read["shippingAddress"]["line1"] == "1 Harbour Street"
    assert [(item["quantity"], item["unitAmount"]) for item in read["items"]] == [(2, 1800), (1, 950)]


async def test_p3_webhooks_and_browser_at_the_same_moment(system: System, shop: Shop, control_api: ControlApi) -> None:
    """Eight deliveries and four browsers that have all read the attempt make one order."""
    await control_api.add_webhook_rule(types=[SUCCEEDED], drop=True)
    checkout = await shop.checkout(system.cart(tote=1))
    (await shop.pay(checkout)).ok()
    deliveries = await control_api.deliveries(object_id=checkout.intent_id, event_type=SUCCEEDED)
    (event_id,) = {delivery["event_id"] for delivery in deliveries}
    held = [system.proxies.break_before(OutgoingCall.RECORD_PURCHASE) for _ in range(12)]

    await control_api.redeliver(event_id, copies=4)  # to each of two gateways
    browsers = [asyncio.create_task(shop.complete(checkout)) for _ in range(4)]
    await asyncio.gather(*(each.hit() for each in held))
    for each in held:
        each.release()
    replies = await asyncio.gather(*browsers)
    await control_api.until_idle()

    numbers = {reply.ok()["order"]["number"] for reply in replies}
    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    (payment,) = await system.orders_db.payments_of(checkout.attempt_id)
    assert numbers == {order["number"]}
    assert payment["outcome"] == "purchase"
    assert not await system.attempt_store.has_content(checkout.attempt_id)


async def test_p3_a_payment_without_its_attempt_is_quarantined_once(
    system: System, shop: Shop, control_api: ControlApi
) -> None:
    """Redis lost the attempt: two webhooks and a browser leave one quarantined payment and no order."""
    await control_api.add_webhook_rule(types=[SUCCEEDED], hold=True)
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    await system.attempt_store.lose(checkout.attempt_id)

    await control_api.release_deliveries()
    reply = await shop.complete(checkout)
    await control_api.until_idle()

    payments = await system.orders_db.payments_of(checkout.attempt_id)
    deliveries = await control_api.deliveries(object_id=checkout.intent_id, event_type=SUCCEEDED)
    assert [(row["outcome"], row["quarantine_reason"]) for row in payments] == [("quarantined", "attempt_missing")]
    assert payments[0]["amount_minor"] == checkout.amount
    assert await system.orders_db.orders_of(checkout.attempt_id) == []
    assert reply.ok()["status"] == "needs_review"
    assert {delivery["state"] for delivery in deliveries} == {"delivered"}


async def test_p3_a_restored_attempt_becomes_the_purchase(system: System, shop: Shop, control_api: ControlApi) -> None:
    """A payment quarantined for its missing attempt becomes an order once Redis is restored and the browser returns."""
    await control_api.add_webhook_rule(types=[SUCCEEDED], hold=True)
    checkout = await shop.checkout(system.cart(mug=1))
    backup = await system.attempt_store.backup(checkout.attempt_id)
    await system.attempt_store.lose(checkout.attempt_id)
    (await shop.pay(checkout)).ok()
    await control_api.release_deliveries()
    await control_api.until_idle()
    missing = await system.orders_db.payment(checkout.intent_id)

    await system.attempt_store.restore(backup)
    reply = await shop.complete(checkout)

    assert missing is not None
    assert missing["outcome"] == "quarantined"
    assert reply.ok()["status"] == "completed"
    (payment,) = await system.orders_db.payments_of(checkout.attempt_id)
    assert payment["outcome"] == "purchase"
    assert not await system.attempt_store.has_content(checkout.attempt_id)


async def test_p3_a_foreign_intent_is_acknowledged_and_counted(
    system: System, shop: Shop, control_api: ControlApi
) -> None:
    """An intent of another software on the Stripe account gets 200, leaves no record, and is counted."""
    before = await _count_not_ours(shop)

    foreign = await system.stripe.v1.payment_intents.create_async(
        {"amount": 700, "currency": "usd", "metadata": {"someOtherShop": "1"}}
    )
    await control_api.pay(foreign.id)
    await control_api.until_idle()

    deliveries = await control_api.deliveries(object_id=foreign.id, event_type=SUCCEEDED)
    assert [(delivery["state"], delivery["attempts"]) for delivery in deliveries] == [("delivered", 1)] * 2
    assert await system.orders_db.payment(foreign.id) is None
    assert await _count_not_ours(shop) == before + 1


async def test_p3_a_second_payment_of_an_attempt_is_quarantined(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter
) -> None:
    """Another paid intent that names an attempt with a purchase is quarantined as duplicate_payment."""
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    await settled(checkout)

    metadata = {"checkoutAttemptId": checkout.attempt_id}
    second = await system.stripe.v1.payment_intents.create_async(
        {"amount": checkout.amount, "currency": "usd", "metadata": metadata}
    )
    await control_api.pay(second.id)
    await control_api.until_idle()

    payments = {row["intent_id"]: row for row in await system.orders_db.payments_of(checkout.attempt_id)}
    assert payments.keys() == {checkout.intent_id, second.id}
    assert payments[checkout.intent_id]["outcome"] == "purchase"
    assert payments[second.id]["quarantine_reason"] == "duplicate_payment"
    assert len(await system.orders_db.orders_of(checkout.attempt_id)) == 1


async def _count_not_ours(shop: Shop) -> float:
    async with shop.session.get(f"{shop.gateway}/metrics") as answer:
        text = await answer.text()
    line = 'holdfast_fulfilments_total{channel="webhook",outcome="not_ours"} '
    return next((float(found.removeprefix(line)) for found in text.splitlines() if found.startswith(line)), 0.0)
