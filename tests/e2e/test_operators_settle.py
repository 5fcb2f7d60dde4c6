"""Operators settle what a machine must not decide, with `holdfast` (ADR 42)."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Waiter
from .harness.control_api import ControlApi
from .harness.operator_command import Completed, run_command, start_command
from .harness.products import (
    BillingInterval,
    Plans,
    Product,
    create_prices,
    mixed_cart,
    subscriptions_at_stripe,
    until_on_sale_everywhere,
)
from .harness.shop import Cart, Line, Shop
from .harness.system import System
from .quarantined_payments import REASONS, WITHOUT_CART, Quarantined, quarantine_all
from .test_subscription_failures import fail_earlier

WHY = ("--reason", "ticket 4711")
AT_ONCE = 3
WAYS = ("order", "refunded", "written-off", "at once", "twice")
"""Each reason is settled in each way: by two operators in two ways at once, and twice at once in one way."""


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_p3_p5_payments_of_every_reason_are_settled_each_way(
    system: System, shop: Shop, control_api: ControlApi, tmp_path: Path
) -> None:
    """35 payments, some at once and some twice: each ends once, and the books are what Stripe took and gave back."""
    plan = [(reason, way) for way in WAYS for reason in REASONS]
    payments = await quarantine_all(system, shop, control_api, [reason for reason, _ in plan])
    ways = {each: [way for reason, way in plan if reason == each] for each in REASONS}
    settled = [(payment, ways[payment.reason].pop()) for payment in payments]
    cart = _cart_file(system, tmp_path)

    turns = asyncio.Semaphore(AT_ONCE)

    async def settle(payment: Quarantined, way: str) -> list[Completed]:
        async with turns:
            return await _settle(system, payment, way, cart)

    outcomes = await asyncio.gather(*(settle(payment, way) for payment, way in settled))

    for (payment, way), completed in zip(settled, outcomes, strict=True):
        _require_agreement(payment, way, completed)
        await _require_books(system, payment)
    await control_api.clear_webhook_rules()
    await control_api.release_deliveries()
    await control_api.until_idle()
    for payment, _ in settled:  # what Stripe reports late changes nothing
        await _require_books(system, payment)
    audited = await run_command(system, "audit", "--since", "1d", "--grace", "0s")
    different = {each["intent"] for each in audited.document["differences"]}
    assert different.isdisjoint(payment.intent_id for payment, _ in settled)
    listed = await run_command(system, "quarantine", "list")
    left = {each["intent"] for each in listed.document["payments"] if each["standsAs"] is None}
    refused = {each.intent_id for each, way in settled if (each.reason, way) == ("duplicate_payment", "order")}
    assert left & {each.intent_id for each, _ in settled} == refused
    assert listed.code == 1


async def test_p5_an_order_of_another_amount_shows_the_buyer_its_adjustment(
    system: System, shop: Shop, control_api: ControlApi
) -> None:
    """The buyer paid less, and the shop accepts that: the total is what Stripe received."""
    (payment,) = await quarantine_all(system, shop, control_api, ["amount_mismatch"])

    first = await run_command(system, "quarantine", "settle", payment.intent_id, "--as", "order", *WHY)
    again = await run_command(system, "quarantine", "settle", payment.intent_id, "--as", "order", *WHY, operator="joan")

    assert [(each.code, each.stderr) for each in (first, again)] == [(0, "")] * 2
    status = (await shop.status(payment.checkout.attempt_id)).ok()
    order = status["purchase"]["order"]
    assert (status["status"], order["totalAmount"], order["adjustmentAmount"]) == ("completed", payment.received, -490)
    assert [(each.code, each.document["alreadySettled"]) for each in (first, again)] == [(0, False), (0, True)]
    assert not await system.attempt_store.has_content(payment.checkout.attempt_id)
    (step,) = await _steps(system, payment.intent_id)
    assert (step["operator"], step["action"], step["reason"]) == ("ada", "settle_payment", "ticket 4711")


async def test_p5_a_mixed_cart_that_is_settled_as_an_order_begins_its_subscription(
    system: System, shop: Shop, control_api: ControlApi, plans: Plans
) -> None:
    """With the card that paid."""
    await control_api.add_webhook_rule(types=["payment_intent.succeeded"], hold=True)
    checkout = await shop.checkout(mixed_cart(system, plans, {"mug": 1}, {"tea": 1}))
    await system.stripe.v1.payment_intents.update_async(checkout.intent_id, {"amount": checkout.amount + 10})
    (await shop.pay(checkout)).ok()
    assert (await shop.complete(checkout)).ok()["status"] == "needs_review"

    settled = await run_command(system, "quarantine", "settle", checkout.intent_id, "--as", "order", *WHY)

    assert (settled.code, settled.stderr) == (0, "")
    purchase = (await shop.status(checkout.attempt_id)).ok()["purchase"]
    assert (purchase["order"]["totalAmount"], purchase["order"]["adjustmentAmount"]) == (checkout.amount + 10, 10)
    assert [each["status"] for each in purchase["subscriptions"]] == ["active"]


async def test_a_refund_that_was_killed_is_finished_by_a_repeat(
    system: System, shop: Shop, control_api: ControlApi
) -> None:
    """Killed while Stripe answers: the payment is barred from becoming an order, and refunded once."""
    (payment,) = await quarantine_all(system, shop, control_api, ["attempt_missing"])
    fault = await control_api.add_fault(kind="hold_after", method="POST", path="/v1/refunds", count=1)
    words = ("quarantine", "settle", payment.intent_id, "--as", "refunded", "--refund", *WHY)
    killed = await start_command(system, *words)
    await control_api.until_held(fault)
    killed.kill()
    await killed.wait()
    await control_api.remove_fault(fault)

    other = await run_command(system, "quarantine", "settle", payment.intent_id, "--as", "written-off", *WHY)
    again = await run_command(system, *words)

    assert other.code == 1
    assert (again.code, again.document["payment"]["standsAs"]) == (0, "refunded")
    listed = await system.stripe.v1.refunds.list_async({"payment_intent": payment.intent_id})
    assert [each.amount for each in listed.data] == [payment.received]


async def test_an_order_is_refunded_once_by_two_operators_at_once(
    system: System, shop: Shop, control_api: ControlApi
) -> None:
    """They ask for the same amount. What is left is another refund."""
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    (await shop.complete(checkout)).ok()
    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    words = ("refund", order["number"], "--amount", "100", *WHY)

    both = await asyncio.gather(*(run_command(system, *words, operator=each) for each in ("ada", "joan")))
    rest = await run_command(system, "refund", str(order["id"]), *WHY)

    assert [each.code for each in (*both, rest)] == [0, 0, 0], [each.stderr for each in (*both, rest)]
    assert both[0].document["refund"] == both[1].document["refund"]
    listed = await system.stripe.v1.refunds.list_async({"payment_intent": checkout.intent_id})
    assert sorted(each.amount for each in listed.data) == [100, checkout.amount - 100]
    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    assert order["status"] == "refunded"


async def test_p7_a_payment_is_shown_without_its_buyer_unless_that_is_recorded(
    system: System, shop: Shop, control_api: ControlApi
) -> None:
    """The cart is shown to everybody who may run the command."""
    (payment,) = await quarantine_all(system, shop, control_api, ["amount_mismatch"])

    shown = await run_command(system, "quarantine", "show", payment.intent_id)
    personal = await run_command(system, "quarantine", "show", payment.intent_id, "--personal")

    assert "Harbour Street" not in shown.stdout
    assert "Harbour Street" in personal.stdout
    assert [each["quantity"] for each in shown.document["cart"]["items"]] == [1]
    (step,) = await _steps(system, payment.intent_id)
    assert (step["operator"], step["action"]) == ("ada", "show_personal_data")


@pytest.mark.long
async def test_a_failed_activation_is_retried_or_given_up(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter
) -> None:
    """Once the price is mended Stripe creates the one; nothing creates the other any more."""
    product = Product("Tea of the month", {"usd": 1200}, billing=BillingInterval("month"))
    [price] = await create_prices(system.stripe, [product])
    await until_on_sale_everywhere(system, [price])
    checkouts = [await shop.checkout(Cart([Line(price.id)])) for _ in range(2)]
    await system.stripe.v1.prices.update_async(price.id, {"active": False})
    for checkout in checkouts:
        (await shop.pay(checkout)).ok()
        await settled(checkout)
    [(retried,), (given_up,)] = [await system.orders_db.subscriptions_of(each.attempt_id) for each in checkouts]
    for row in (retried, given_up):
        await fail_earlier(system, row)

    refused = await run_command(system, "subscriptions", "retry", retried["id"], *WHY)
    await fail_earlier(system, retried)
    await system.stripe.v1.prices.update_async(price.id, {"active": True})
    created = await run_command(system, "subscriptions", "retry", retried["id"], *WHY)
    ended = [await run_command(system, "subscriptions", "give-up", given_up["id"], *WHY) for _ in range(2)]
    late = await run_command(system, "subscriptions", "retry", given_up["id"], *WHY)

    assert (refused.code, refused.document["status"]) == (1, "activation_failed")
    assert (created.code, created.document["status"]) == (0, "active")
    assert [(each.code, each.document["status"]) for each in ended] == [(0, "canceled")] * 2
    assert (late.code, late.stderr) == (1, "holdfast: refused: it was cancelled before\n")
    assert [each["action"] for each in await _steps(system, retried["id"])] == ["retry_subscription"] * 2
    assert [each["action"] for each in await _steps(system, given_up["id"])] == ["give_up_subscription"]
    assert len(await subscriptions_at_stripe(system, retried["stripe_customer_id"])) == 1


async def _settle(system: System, payment: Quarantined, way: str, cart: Path) -> list[Completed]:
    """Settle a payment; return the results of the commands."""

    async def run(settle_as: str, operator: str = "ada") -> Completed:
        words = ["quarantine", "settle", payment.intent_id, "--as", settle_as, *WHY]
        words += ["--refund"] if settle_as == "refunded" else []
        words += ["--cart", str(cart)] if settle_as == "order" and payment.reason in WITHOUT_CART else []
        return await run_command(system, *words, operator=operator)

    possible = "order" if payment.reason != "duplicate_payment" else "refunded"
    if way == "at once":
        return list(await asyncio.gather(run(possible), run("written-off", "joan")))
    if way == "twice":
        return [*await asyncio.gather(run("refunded"), run("refunded", "joan")), await run("refunded", "grace")]
    return [await run(way)]


def _require_agreement(payment: Quarantined, way: str, completed: list[Completed]) -> None:
    codes = [each.code for each in completed]
    told = [each.stderr for each in completed]
    if payment.reason == "duplicate_payment" and way == "order":
        assert codes == [1], told
    elif way == "at once":
        assert sorted(codes) == [0, 1], told
    else:
        assert set(codes) == {0}, told


async def _require_books(system: System, payment: Quarantined) -> None:
    """Compare what orders says of a payment with what Stripe received and gave back."""
    row = await system.orders_db.payment(payment.intent_id)
    assert row is not None
    orders = [
        each
        for each in await system.orders_db.orders_of(payment.checkout.attempt_id)
        if each["payment_intent_id"] == payment.intent_id
    ]
    refunds = await system.stripe.v1.refunds.list_async({"payment_intent": payment.intent_id})
    refunded = sum(each.amount for each in refunds.data if each.status != "failed")
    is_order = row["outcome"] == "purchase"
    assert len(orders) == is_order
    if is_order:
        (order,) = orders
        assert order["total_minor"] == payment.received
        sums = order["items_minor"] + order["shipping_minor"] + order["adjustment_minor"]
        assert sums == payment.received
    else:
        is_refunded = row["settlement"] == "refunded"
        assert refunded == (payment.received if is_refunded else 0)
        assert (row["resolved_at"] is not None) == (row["settlement"] is not None)


async def _steps(system: System, subject: str) -> list[dict[str, Any]]:
    statement = "SELECT operator, action::text, reason FROM operator_actions WHERE subject = $1 ORDER BY at, id"
    return [dict(row) for row in await system.orders_db.rows(statement, subject)]


def _cart_file(system: System, folder: Path) -> Path:
    path = folder / "cart.json"
    path.write_text(json.dumps(system.cart(mug=1).as_body()))
    return path
