"""Refunds meet the decision on their payment: nothing ships for money that was given back (ADR 27)."""

import json
from typing import Any

import pytest

from .conftest import Waiter, report_payment
from .harness.control_api import ControlApi
from .harness.shop import Checkout, Shop
from .harness.stores import Row
from .harness.system import System

SUCCEEDED = "payment_intent.succeeded"


async def test_p3_a_refund_in_full_before_the_webhook_leaves_no_order(
    system: System, shop: Shop, control_api: ControlApi
) -> None:
    """Webhooks of two gateways and the browser agree. The content is kept; if the refund fails, a return orders it."""
    await control_api.add_webhook_rule(types=[SUCCEEDED], hold=True)
    checkout = await _paid(system, shop)
    refund_id = await _refund(system, control_api, checkout, checkout.amount)

    await control_api.release_deliveries()
    await control_api.until_idle()
    returned = (await shop.complete(checkout)).ok()

    (payment,) = await system.orders_db.payments_of(checkout.attempt_id)
    assert _decision(payment) == ("quarantined", "refunded", True)
    assert await system.orders_db.orders_of(checkout.attempt_id) == []
    assert (returned["status"], (await shop.status(checkout.attempt_id)).ok()["status"]) == ("needs_review",) * 2
    assert await system.rpc.quarantined_content(checkout.intent_id) is not None

    await control_api.finish_refund(refund_id, "failed")
    await control_api.until_idle()
    returned = (await shop.complete(checkout)).ok()

    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    assert (returned["status"], order["status"]) == ("completed", "paid")
    assert not await system.attempt_store.has_content(checkout.attempt_id)


@pytest.mark.parametrize("reported_by", ["webhook", "browser"])
async def test_p3_a_refund_that_nobody_reported_precedes_a_late_decision(
    system: System, shop: Shop, control_api: ControlApi, reported_by: str
) -> None:
    """After an outage the payment is reported before its refund: the refunds are read from Stripe first."""
    await control_api.add_webhook_rule(hold=True)
    checkout = await _paid(system, shop)
    await system.stripe.v1.refunds.create_async({"payment_intent": checkout.intent_id, "amount": checkout.amount})
    paid = (await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)).to_dict()

    if reported_by == "webhook":
        (await report_payment(system, shop, paid, age_seconds=3600)).ok()
    else:
        (await shop.complete(checkout)).ok()

    (payment,) = await system.orders_db.payments_of(checkout.attempt_id)
    assert _decision(payment) == ("quarantined", "refunded", True)
    assert await system.orders_db.orders_of(checkout.attempt_id) == []


async def test_p3_a_quarantined_payment_that_is_refunded_stays_without_an_order(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter
) -> None:
    """Its attempt was lost, and turns up after the refund. Once that fails, the browser's return makes the order."""
    checkout = await shop.checkout(system.cart(mug=1))
    backup = await system.attempt_store.backup(checkout.attempt_id)
    await system.attempt_store.lose(checkout.attempt_id)
    (await shop.pay(checkout)).ok()
    await settled(checkout)
    decisions = [await _payment(system, checkout)]

    refund_id = await _refund(system, control_api, checkout, checkout.amount)
    decisions.append(await _payment(system, checkout))
    await control_api.finish_refund(refund_id, "failed")
    await control_api.until_idle()
    decisions.append(await _payment(system, checkout))
    await system.attempt_store.restore(backup)
    (await shop.complete(checkout)).ok()

    missing = ("quarantined", "attempt_missing", False)
    assert [_decision(each) for each in decisions] == [missing, ("quarantined", "refunded", True), missing]
    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    assert order["status"] == "paid"


async def test_a_purchase_says_what_was_refunded_before_it(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter
) -> None:
    """The order, and the event that other systems read. What is refunded later is an event of its own."""
    await control_api.add_webhook_rule(types=[SUCCEEDED], hold=True)
    checkout = await _paid(system, shop)
    first = await _refund(system, control_api, checkout, 100)

    await control_api.release_deliveries()
    await settled(checkout)
    second = await _refund(system, control_api, checkout, checkout.amount - 100)

    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    (recorded,) = await _events(system, "purchase.recorded", str(order["id"]))
    refunds = await _events(system, "refund.changed", checkout.intent_id)
    assert (recorded["order_status"], recorded["refunded_minor"]) == ("partially_refunded", 100)
    assert [(each["refund_id"], each.get("order_status")) for each in refunds] == [(first, None), (second, "refunded")]


async def test_the_buyer_sees_the_status_of_the_order(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter
) -> None:
    """It follows refunds and disputes, and goes back where they end well for the shop."""
    checkout = await _paid(system, shop)
    await settled(checkout)
    shown = [await _status(shop, checkout)]

    await _refund(system, control_api, checkout, 100)
    shown.append(await _status(shop, checkout))
    rest = await _refund(system, control_api, checkout, checkout.amount - 100)
    shown.append(await _status(shop, checkout))
    dispute_id = await control_api.open_dispute(checkout.intent_id, amount=70)
    await control_api.until_idle()
    shown.append(await _status(shop, checkout))
    await control_api.move_dispute(dispute_id, "won")
    await control_api.finish_refund(rest, "failed")
    await control_api.until_idle()
    shown.append(await _status(shop, checkout))

    assert shown == ["paid", "partially_refunded", "refunded", "disputed", "partially_refunded"]


async def _paid(system: System, shop: Shop) -> Checkout:
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    return checkout


async def _refund(system: System, control_api: ControlApi, checkout: Checkout, amount: int) -> str:
    """Refund at Stripe; return the refund's id once its events are delivered."""
    created = await system.stripe.v1.refunds.create_async({"payment_intent": checkout.intent_id, "amount": amount})
    await control_api.until_idle()
    return created.id


async def _payment(system: System, checkout: Checkout) -> Row:
    payment = await system.orders_db.payment(checkout.intent_id)
    assert payment is not None
    return payment


def _decision(payment: Row) -> tuple[str, str, bool]:
    return payment["outcome"], payment["quarantine_reason"], payment["resolved_at"] is not None


async def _status(shop: Shop, checkout: Checkout) -> str:
    status: str = (await shop.status(checkout.attempt_id)).ok()["purchase"]["order"]["status"]
    return status


async def _events(system: System, topic: str, aggregate_id: str) -> list[dict[str, Any]]:
    statement = "SELECT payload FROM outbox WHERE topic = $1 AND aggregate_id = $2 ORDER BY id"
    return [json.loads(row["payload"]) for row in await system.orders_db.rows(statement, topic, aggregate_id)]
