"""Carts with subscriptions: sums, records, Stripe's subscriptions and customers, and the owner's rights."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from .conftest import Waiter
from .harness.control_api import ControlApi
from .harness.outgoing_calls import OutgoingCall
from .harness.products import (
    BillingInterval,
    Plans,
    Price,
    Product,
    create_prices,
    mixed_cart,
    plan_cart,
    recorded_invoices,
    recorded_state,
    stripe_invoices,
    stripe_state,
    subscriptions_at_stripe,
    until_on_sale_everywhere,
)
from .harness.shop import CONTACT, Cart, Checkout, Line, Reply, Shop
from .harness.stores import Row
from .harness.system import System

SUCCEEDED: Final = ("payment_intent.succeeded", "setup_intent.succeeded")
UNIT_AMOUNTS: Final = {"mug": 1800, "notebook": 950, "tote": 2400}
SHIPPING: Final = 500
AT_ONCE: Final = 20


@dataclass(frozen=True)
class Case:
    """A cart, by short names and quantities, its buyer, and the channel that reports its payment."""

    channel: "Callable[[Purchase], Awaitable[Reply]]"
    signed_in: bool
    one_time: Mapping[str, int] = field(default_factory=dict)
    recurring: Mapping[str, int] = field(default_factory=dict)

    @property
    def intent_amount(self) -> int:
        """The sum that the intent takes."""
        lines = sum(UNIT_AMOUNTS[product] * quantity for product, quantity in self.one_time.items())
        return lines + (SHIPPING if self.one_time else 0)

    def lines(self, plans: Plans) -> dict[BillingInterval, list[tuple[Price, int]]]:
        """Return the recurring lines by billing interval, in the order of the cart."""
        found: dict[BillingInterval, list[tuple[Price, int]]] = {}
        for name, quantity in self.recurring.items():
            if billing := plans[name].billing:
                found.setdefault(billing, []).append((plans[name], quantity))
        return found


@dataclass(frozen=True)
class Purchase:
    """A granted checkout that is to be paid."""

    system: System
    control_api: ControlApi
    shop: Shop
    checkout: Checkout
    settled: Waiter


async def webhook_first(purchase: Purchase) -> Reply:
    """Let Stripe report the payment before the browser returns."""
    (await purchase.shop.pay(purchase.checkout)).ok()
    await purchase.settled(purchase.checkout)
    return await purchase.shop.complete(purchase.checkout)


async def browser_first(purchase: Purchase) -> Reply:
    """Return in the browser before Stripe reports the payment."""
    await purchase.control_api.add_webhook_rule(types=list(SUCCEEDED), hold=True, count=None)
    (await purchase.shop.pay(purchase.checkout)).ok()
    reply = await purchase.shop.complete(purchase.checkout)
    await purchase.control_api.release_deliveries()
    return reply


async def both_at_once(purchase: Purchase) -> Reply:
    """Hold two webhooks and the browser until all have read the attempt."""
    held = [purchase.system.proxies.break_before(OutgoingCall.RECORD_PURCHASE) for _ in range(3)]
    (await purchase.shop.pay(purchase.checkout)).ok()
    returning = asyncio.create_task(purchase.shop.complete(purchase.checkout))
    await asyncio.gather(*(each.hit() for each in held))
    for each in held:
        each.release()
    return await returning


CASES: Final = {
    "one-time": Case(webhook_first, signed_in=False, one_time={"mug": 2, "notebook": 1}),
    "subscription": Case(both_at_once, signed_in=True, recurring={"tea": 2}),
    "mixed": Case(browser_first, signed_in=False, one_time={"mug": 1}, recurring={"tea": 1, "cake": 3}),
    "two-intervals": Case(both_at_once, signed_in=False, one_time={"tote": 1}, recurring={"tea": 1, "almanac": 2}),
    "mixed-user": Case(webhook_first, signed_in=True, one_time={"tote": 1}, recurring={"tea": 1, "almanac": 2}),
    "trial": Case(browser_first, signed_in=True, recurring={"club": 1, "bread": 2}),
}


@pytest.mark.parametrize("name", CASES)
async def test_p3_a_cart_becomes_exactly_what_it_says(
    system: System, control_api: ControlApi, plans: Plans, settled: Waiter, name: str
) -> None:
    """Sums, intent, rows, customer and Stripe's subscriptions agree with the cart, and the buyer is shown them."""
    case = CASES[name]
    async with system.shop(user_id=f"user-{uuid.uuid4()}" if case.signed_in else None) as shop:
        granted = await shop.initiate(mixed_cart(system, plans, case.one_time, case.recurring))
        checkout = shop.granted(granted)
        reply = await case.channel(Purchase(system, control_api, shop, checkout, settled))
        await settled(checkout)
        await control_api.until_idle()
        status = (await shop.status(checkout.attempt_id)).ok()
        listed = (await shop.subscriptions()).ok()["subscriptions"] if case.signed_in else []

    rows = await system.orders_db.subscriptions_of(checkout.attempt_id)
    shown = status["purchase"]
    deliveries = await control_api.deliveries(object_id=checkout.intent_id)
    assert_promised(case, plans, granted.body)
    assert reply.ok()["status"] == status["status"] == "completed"
    assert (shown["order"] or {}).get("totalAmount") == (case.intent_amount if case.one_time else None)
    assert [(each["id"], each["status"]) for each in shown["subscriptions"]] == [
        (row["id"], row["status"]) for row in rows
    ]
    assert {each["id"] for each in listed} == {row["id"] for row in rows if case.signed_in}
    assert [(each["state"], each["attempts"]) for each in deliveries if each["event_type"] in SUCCEEDED] == (
        [("delivered", 1)] * 2
    )
    await assert_recorded(system, case, checkout, shop.user_id)
    await assert_subscribed(system, case, plans, checkout, rows)


async def test_p3_concurrent_activations_create_one_stripe_subscription(
    system: System, control_api: ControlApi, plans: Plans, shop: Shop, settled: Waiter
) -> None:
    """Two webhooks and the browser have all asked Stripe for the subscription before one of them is answered."""
    # An event about the new subscription would activate it before the others ask.
    await control_api.add_webhook_rule(types=["customer.subscription.*", "invoice.*"], hold=True, count=None)
    creating = [system.proxies.break_after(OutgoingCall.CREATE_SUBSCRIPTION) for _ in range(3)]
    recording = [system.proxies.break_before(OutgoingCall.RECORD_PURCHASE) for _ in range(3)]
    checkout = await shop.checkout(plan_cart(plans, tea=1))
    (await shop.pay(checkout)).ok()
    returning = asyncio.create_task(shop.complete(checkout))
    for held in (recording, creating):
        await asyncio.gather(*(each.hit() for each in held))
        for each in held:
            each.release()
    reply = await returning
    await settled(checkout)
    await control_api.release_deliveries()
    await control_api.until_idle()

    (row,) = await system.orders_db.subscriptions_of(checkout.attempt_id)
    created = [each["id"] for each in await subscriptions_at_stripe(system, row["stripe_customer_id"])]
    assert created == [row["stripe_subscription_id"]]
    assert [each["id"] for each in reply.ok()["subscriptions"]] == [row["id"]]


async def test_p6_a_user_reads_and_cancels_only_their_own_subscriptions(
    system: System, plans: Plans, members_shop: Shop, settled: Waiter
) -> None:
    """Another user's subscription is 404 to read and to cancel, and is not listed."""
    checkout = await members_shop.checkout(plan_cart(plans, tea=1))
    (await members_shop.pay(checkout)).ok()
    await settled(checkout)
    (row,) = await system.orders_db.subscriptions_of(checkout.attempt_id)

    async with system.shop(user_id=f"user-{uuid.uuid4()}") as stranger:
        read = await stranger.subscription(row["id"])
        cancelled = await stranger.cancel_subscription(row["id"], "now")
        listed = (await stranger.subscriptions()).ok()

    assert (read.status, read.problem) == (cancelled.status, cancelled.problem) == (404, "subscription_not_found")
    assert listed["subscriptions"] == []
    assert (await members_shop.subscription(row["id"])).ok()["status"] == "active"


async def test_concurrent_first_checkouts_create_one_customer(
    system: System, plans: Plans, control_api: ControlApi
) -> None:
    """Twenty first checkouts of a user at two gateways share one Stripe customer."""
    user_id, mark = f"user-{uuid.uuid4()}", (await system.stripe.v1.customers.create_async({})).id
    async with system.shop(user_id=user_id) as first, system.shop(user_id=user_id, gateway=1) as second:
        doors = (first, second) * (AT_ONCE // 2)
        checkouts = await asyncio.gather(*(door.checkout(plan_cart(plans, tea=1)) for door in doors))

    created = (await system.stripe.v1.customers.list_async({"limit": 100, "ending_before": mark})).data
    used = {(await intent_of(system, checkout))["customer"] for checkout in checkouts}
    assert len({checkout.intent_id for checkout in checkouts}) == AT_ONCE
    assert used == {customer.id for customer in created} == {await system.orders_db.customer_of(user_id)}


async def test_two_currencies_begun_at_once_have_two_customers(system: System, plans: Plans) -> None:
    """Stripe refuses a second currency on a customer: both subscriptions of a user are active, at two gateways."""
    product = Product("Tea of the month", {"eur": 1100}, billing=BillingInterval("month"))
    [euros] = await create_prices(system.stripe, [product])
    await until_on_sale_everywhere(system, [euros])
    user_id = f"user-{uuid.uuid4()}"
    carts = (plan_cart(plans, tea=1), Cart([Line(euros.id)])) * 5
    async with system.shop(user_id=user_id) as first, system.shop(user_id=user_id, gateway=1) as second:
        doors = (first, second, second, first, first, second, second, first, first, second)
        begun = await asyncio.gather(*(door.checkout(cart) for door, cart in zip(doors, carts, strict=True)))
        for checkout in begun[:2]:
            (await first.pay(checkout)).ok()
        bought = await asyncio.gather(*(first.complete(checkout) for checkout in begun[:2]))

    customers = [await system.orders_db.customer_of(user_id, currency) for currency in ("usd", "eur")]
    used = [{(await intent_of(system, checkout))["customer"] for checkout in begun[number::2]} for number in (0, 1)]
    assert used == [{customer} for customer in customers]
    assert len(set(customers)) == 2
    assert [reply.ok()["subscriptions"][0]["status"] for reply in bought] == ["active", "active"]
    assert [reply.ok()["subscriptions"][0]["currency"] for reply in bought] == ["usd", "eur"]


async def test_p7_stripe_is_told_the_email_address_and_nothing_else(
    system: System, plans: Plans, control_api: ControlApi
) -> None:
    """A customer has no name, phone, address, user id or metadata, and its idempotency key has no user id."""
    user_id, mark = f"user-{uuid.uuid4()}", await control_api.request_count()
    async with system.shop(user_id=user_id) as shop:
        await shop.checkout(plan_cart(plans, tea=1))

    customer_id = str(await system.orders_db.customer_of(user_id))
    customer = (await system.stripe.v1.customers.retrieve_async(customer_id)).to_dict()
    [request] = await control_api.requests("POST", "/v1/customers", after=mark)
    personal = [name for name in ("address", "description", "name", "phone", "shipping", "metadata") if customer[name]]
    assert (request["params"], customer["email"], personal) == ({}, CONTACT["email"], [])
    assert user_id not in str(request)


async def intent_of(system: System, checkout: Checkout) -> dict[str, Any]:
    """Return a checkout's intent as Stripe has it."""
    intents = system.stripe.v1.setup_intents if checkout.sets_up else system.stripe.v1.payment_intents
    return (await intents.retrieve_async(checkout.intent_id)).to_dict()


def assert_promised(case: Case, plans: Plans, body: Mapping[str, Any]) -> None:
    """Assert that the buyer was told what is charged now and later."""
    recurring: list[dict[str, Any]] = [
        {
            "interval": billing.interval,
            "intervalCount": billing.interval_count,
            "trialDays": billing.trial_days,
            "amount": sum(price.unit_amount * quantity for price, quantity in lines),
            "currency": "usd",
        }
        for billing, lines in case.lines(plans).items()
    ]
    today = sum(each["amount"] for each in recurring if not each["trialDays"])
    assert body["intentType"] == ("payment" if case.one_time else "setup")
    assert (body["intentAmount"], body["amountDueToday"]) == (case.intent_amount, case.intent_amount + today)
    assert body["currency"] == "usd"
    assert body["recurring"] == recurring


async def assert_recorded(system: System, case: Case, checkout: Checkout, user_id: str | None) -> None:
    """Assert one decision, and one order if the cart has one-time lines (P3, P5)."""
    (payment,) = await system.orders_db.payments_of(checkout.attempt_id)
    orders = await system.orders_db.orders_of(checkout.attempt_id)
    assert (payment["outcome"], payment["intent_id"]) == ("purchase", checkout.intent_id)
    assert (payment["kind"], payment["amount_minor"]) == ("payment" if case.one_time else "setup", case.intent_amount)
    assert [(order["total_minor"], order["currency"], order["user_id"]) for order in orders] == (
        [(case.intent_amount, "usd", user_id)] if case.one_time else []
    )
    assert len(await system.orders_db.items_of(checkout.attempt_id)) == len(case.one_time)


async def assert_subscribed(system: System, case: Case, plans: Plans, checkout: Checkout, rows: list[Row]) -> None:
    """Assert the intent, and one row and one Stripe subscription for each billing interval (P1, P3)."""
    intent = await intent_of(system, checkout)
    assert intent["metadata"] == {"checkoutAttemptId": checkout.attempt_id}
    if not case.recurring:
        assert (intent["customer"], rows) == (None, [])
        return
    assert intent["usage" if checkout.sets_up else "setup_future_usage"] == "off_session"
    at_stripe = {
        each["metadata"]["subscriptionId"]: each for each in await subscriptions_at_stripe(system, intent["customer"])
    }
    assert at_stripe.keys() == {row["id"] for row in rows}
    for row, lines in zip(rows, case.lines(plans).values(), strict=True):
        subscription = at_stripe[row["id"]]
        assert recorded_state(row) == stripe_state(subscription)
        assert row["status"] == ("trialing" if row["trial_days"] else "active")
        assert subscription["default_payment_method"] == row["stripe_payment_method_id"] == intent["payment_method"]
        assert recorded_invoices(await system.orders_db.invoices_of(row["id"])) == (
            stripe_invoices([subscription["latest_invoice"]])
        )
        items = await system.orders_db.subscription_items_of(row["id"])
        wanted = [(price.id, price.name, quantity, price.unit_amount) for price, quantity in lines]
        assert [(item["price_id"], item["name"], item["quantity"], item["unit_amount_minor"]) for item in items] == (
            wanted
        )
        assert [(item["price"]["id"], item["quantity"]) for item in subscription["items"]["data"]] == [
            (price_id, quantity) for price_id, _, quantity, _ in wanted
        ]
