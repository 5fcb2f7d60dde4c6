"""A year on Stripe's clock for ten kinds of subscriber: after every event, row and API equal Stripe's object.

The events are delivered one by one, each to both gateways at once. What the buyer does in Stripe's customer portal, and
the merchant in its Dashboard, is done by the parameters of Stripe's API.
"""

import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from .conftest import Waiter
from .harness.billed import require_equal, stripe_subscription
from .harness.control_api import ControlApi
from .harness.products import (
    BillingInterval,
    Plans,
    Product,
    create_prices,
    invoices_at_stripe,
    plan_cart,
    recorded_invoices,
    stripe_invoices,
    until_on_sale,
)
from .harness.shop import GOOD_CARD, Cart, Line, Shop
from .harness.system import System
from .test_subscription_year import end_all_subscriptions

pytestmark = pytest.mark.long

DECLINED: Final = "pm_card_chargeCustomerFail"
ASKS_EVERY_TIME: Final = "pm_card_authenticationRequired"
DEBIT: Final = "pm_usBankAccount"
DEBIT_WITHOUT_FUNDS: Final = "pm_usBankAccount_insufficientFunds"
DAY: Final = 24 * 3600
STEP_DAYS: Final = 5
"""Shorter than the time between two tries to charge a renewal, but the first."""
DAYS: Final = 370
EUR_PLAN: Final = Product("Tea of the month", {"eur": 1100}, billing=BillingInterval("month"))


@dataclass
class Subscriber:
    """A buyer with one subscription, or several."""

    shop: Shop
    card: str
    """The payment method that pays now, as a test token."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    """Those of the first subscription, in the order of the events, without repetition."""

    @property
    def stripe_id(self) -> str:
        """Id of the first Stripe subscription."""
        return str(self.rows[0]["stripe_subscription_id"])


@dataclass
class Year:
    """A year of events."""

    system: System
    control_api: ControlApi
    plans: Plans
    settled: Waiter
    subscribers: dict[str, Subscriber] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def buy(self, subscriber: Subscriber, cart: Cart) -> None:
        """Buy a subscription."""
        checkout = await subscriber.shop.checkout(cart)
        await self.control_api.pay(checkout.intent_id, payment_method=subscriber.card, challenge="pass")
        await self.settled(checkout)
        await self.control_api.until_idle()
        (row,) = await self.system.orders_db.subscriptions_of(checkout.attempt_id)
        subscriber.rows.append(row)
        await self._compare(subscriber, row["stripe_subscription_id"])

    async def change(self, subscriber: Subscriber, **changes: Any) -> None:
        """Change the first subscription at Stripe, as portal and Dashboard do."""
        params: Any = changes
        await self.system.stripe.v1.subscriptions.update_async(subscriber.stripe_id, params)

    async def at_stripe(self, subscriber: Subscriber) -> dict[str, Any]:
        """Return the first Stripe subscription."""
        return await stripe_subscription(self.system, subscriber.stripe_id)

    async def pass_on(self, days: float) -> None:
        """Let days pass, and deliver what happened."""
        await self.control_api.advance_clock(seconds=days * DAY)
        await self.deliver()

    async def deliver(self) -> None:
        """Deliver the held events one by one; after each about a subscription, row and API equal it."""
        while held := await self.control_api.deliveries(state="held"):
            for event in {each["event_id"]: each for each in held}.values():
                await self.control_api.release_deliveries(event["event_id"])
                await self.control_api.until_idle()
                if event["event_type"] in HANDLED:
                    await self._compare_after(event)
        for subscriber in self.subscribers.values():
            for row in subscriber.rows:
                await self._compare_invoices(row)

    async def _compare_after(self, event: Mapping[str, Any]) -> None:
        stripe_id = await self._subscription_of(event["event_id"])
        for subscriber in self.subscribers.values():
            if any(row["stripe_subscription_id"] == stripe_id for row in subscriber.rows):
                await self._compare(subscriber, str(stripe_id))
                self.events[event["event_type"]] += 1

    async def _compare(self, subscriber: Subscriber, stripe_id: str) -> None:
        at_stripe = await stripe_subscription(self.system, stripe_id)
        shown = (await subscriber.shop.subscriptions()).ok()["subscriptions"]
        (body,) = (each for each in shown if each["id"] == at_stripe["metadata"]["subscriptionId"])
        await require_equal(self.system, at_stripe, body)
        if stripe_id == subscriber.stripe_id and subscriber.statuses[-1:] != [body["status"]]:
            subscriber.statuses.append(body["status"])

    async def _subscription_of(self, event_id: str) -> str | None:
        subject = (await self.system.stripe.v1.events.retrieve_async(event_id)).to_dict()["data"]["object"]
        if subject["object"] == "subscription":
            return str(subject["id"])
        if subject["object"] == "discount":
            return str(subject["subscription"])
        details: dict[str, str] = (subject["parent"] or {}).get("subscription_details", {})
        return details.get("subscription")

    async def _compare_invoices(self, row: Mapping[str, Any]) -> None:
        recorded = recorded_invoices(await self.system.orders_db.invoices_of(row["id"]))
        assert recorded == stripe_invoices(await invoices_at_stripe(self.system, row["stripe_subscription_id"]))

    async def pay_open_invoice(self, subscriber: Subscriber) -> None:
        """Pay the latest invoice of a subscriber in the browser, if it is open."""
        shown = await self.system.stripe.v1.subscriptions.retrieve_async(
            subscriber.stripe_id, {"expand": ["latest_invoice.confirmation_secret"]}
        )
        invoice = shown.to_dict()["latest_invoice"]
        if shown.status not in ("incomplete", "past_due") or invoice["status"] != "open":
            return
        secret = invoice["confirmation_secret"]["client_secret"]
        intent_id = secret.partition("_secret_")[0]
        (await subscriber.shop.confirm(secret, payment_method=subscriber.card)).ok()
        if subscriber.card == ASKS_EVERY_TIME:
            await self.control_api.pass_challenge(intent_id)


HANDLED: Final = frozenset(
    {
        *(f"customer.subscription.{verb}" for verb in ("updated", "deleted", "trial_will_end")),
        *(f"invoice.{verb}" for verb in ("finalized", "paid", "payment_failed", "payment_action_required", "voided")),
        "invoice.marked_uncollectible",
        "invoice.updated",
        "customer.discount.created",
        "customer.discount.deleted",
    }
)
"""Types that the gateway handles, and that occur after the purchase."""

Action = Callable[[Year, Subscriber], Awaitable[object]]


async def change_plan(year: Year, subscriber: Subscriber) -> None:
    """Change to a price that no catalogue knows, and another quantity."""
    [price] = await create_prices(year.system.stripe, [Product("Tea, by the crate", {"usd": 5200}, billing=MONTHLY)])
    [item] = (await year.at_stripe(subscriber))["items"]["data"]
    await year.change(subscriber, items=[{"id": item["id"], "price": price.id, "quantity": 3}])


async def add_item(year: Year, subscriber: Subscriber) -> None:
    """Add a second plan, charged at once."""
    await year.change(
        subscriber, items=[{"price": year.plans["cake"].id, "quantity": 2}], proration_behavior="always_invoice"
    )


async def remove_item(year: Year, subscriber: Subscriber) -> None:
    """Remove the first plan."""
    first, *_ = (await year.at_stripe(subscriber))["items"]["data"]
    await year.change(subscriber, items=[{"id": first["id"], "deleted": True}])


async def give_discounts(year: Year, subscriber: Subscriber) -> None:
    """Give a percentage for three months, and an amount for good."""
    coupons = year.system.stripe.v1.coupons
    percent = await coupons.create_async(
        {"percent_off": 12.5, "duration": "repeating", "duration_in_months": 3, "name": "Spring"}
    )
    amount = await coupons.create_async({"amount_off": 300, "currency": "usd", "duration": "forever"})
    await year.change(subscriber, discounts=[{"coupon": percent.id}, {"coupon": amount.id}])


async def give_item_discount(year: Year, subscriber: Subscriber) -> None:
    """Give a percentage of one item, for two months."""
    coupon = await year.system.stripe.v1.coupons.create_async(
        {"percent_off": 50, "duration": "repeating", "duration_in_months": 2, "name": "Half price"}
    )
    _, second = (await year.at_stripe(subscriber))["items"]["data"]
    await year.change(subscriber, items=[{"id": second["id"], "discounts": [{"coupon": coupon.id}]}])


async def end_in_portal(year: Year, subscriber: Subscriber) -> None:
    """Cancel in the customer portal, which sets only the date."""
    [item] = (await year.at_stripe(subscriber))["items"]["data"]
    await year.change(subscriber, cancel_at=item["current_period_end"])


async def end_at_date(year: Year, subscriber: Subscriber) -> None:
    """End it at a date of the shop's own."""
    now = await year.control_api.advance_clock()
    await year.change(subscriber, cancel_at=int(now) + 50 * DAY)


async def delay_trial_end(year: Year, subscriber: Subscriber) -> None:
    """Give three more weeks."""
    await year.change(subscriber, trial_end=(await year.at_stripe(subscriber))["trial_end"] + 21 * DAY)


async def pause(year: Year, subscriber: Subscriber) -> None:
    """Pause the payments for seven weeks."""
    now = await year.control_api.advance_clock()
    await year.change(subscriber, pause_collection={"behavior": "void", "resumes_at": int(now) + 49 * DAY})


async def detach_card(year: Year, subscriber: Subscriber) -> None:
    """Remove the card in the customer portal."""
    await year.system.stripe.v1.payment_methods.detach_async(
        (await year.at_stripe(subscriber))["default_payment_method"]
    )


async def use_another_card(year: Year, subscriber: Subscriber) -> None:
    """Save another card in the customer portal, and pay what is due."""
    intents = year.system.stripe.v1.setup_intents
    intent = await intents.create_async({"customer": subscriber.rows[0]["stripe_customer_id"]})
    await year.control_api.pay(intent.id, payment_method=GOOD_CARD)
    card = (await intents.retrieve_async(intent.id)).payment_method
    await year.change(subscriber, default_payment_method=card)
    await year.pay_open_invoice(subscriber)


async def delete_customer(year: Year, subscriber: Subscriber) -> None:
    """Delete the customer in the Dashboard."""
    await year.system.stripe.v1.customers.delete_async(subscriber.rows[0]["stripe_customer_id"])


async def pay_with_another_card(year: Year, subscriber: Subscriber) -> None:
    """Pay the first charge with another card."""
    subscriber.card = GOOD_CARD
    await year.pay_open_invoice(subscriber)


def behaving_like(test_method: str) -> Action:
    """Let the saved payment method behave like another one."""

    async def change(year: Year, subscriber: Subscriber) -> None:
        method = (await year.at_stripe(subscriber))["default_payment_method"]
        await year.control_api.let_behave_like(method, test_method)

    return change


MONTHLY: Final = BillingInterval("month")
CARDS: Final = {"declined": DECLINED, "3-D Secure": ASKS_EVERY_TIME, "debit": DEBIT}
PLAN_OF: Final = {"trial": "club"}
KINDS: Final = (
    "declined",
    "3-D Secure",
    "debit",
    "trial",
    "plan",
    "paused",
    "portal",
    "currencies",
    "deleted",
    "detached",
)
ACTIONS: Final[Mapping[tuple[str, int], Action]] = {
    # By the day of the year. Most are renewed at days 30, 61, 92, 120, 151 and so on.
    ("declined", 0): pay_with_another_card,
    ("3-D Secure", 0): Year.pay_open_invoice,
    ("debit", 115): behaving_like(DEBIT_WITHOUT_FUNDS),
    ("debit", 125): behaving_like(DEBIT),
    ("trial", 0): delay_trial_end,
    ("plan", 30): change_plan,
    ("plan", 90): add_item,
    ("plan", 150): give_discounts,
    ("plan", 180): give_item_discount,
    ("plan", 270): remove_item,
    ("paused", 60): pause,
    ("paused", 180): lambda year, who: year.change(who, pause_collection={"behavior": "keep_as_draft"}),
    ("paused", 240): lambda year, who: year.change(who, pause_collection=""),
    ("paused", 270): lambda year, who: year.change(who, pause_collection={"behavior": "mark_uncollectible"}),
    ("portal", 30): end_in_portal,
    ("portal", 60): lambda _, who: who.shop.cancel_subscription(who.rows[0]["id"], "undo"),
    ("portal", 120): lambda _, who: who.shop.cancel_subscription(who.rows[0]["id"]),
    ("portal", 150): lambda year, who: year.change(who, cancel_at_period_end=False),
    ("portal", 210): end_at_date,
    ("deleted", 150): delete_customer,
    ("detached", 90): detach_card,
    ("detached", 100): use_another_card,
}


STATUSES: Final = {
    "declined": ["incomplete", "active"],
    "3-D Secure": ["incomplete", *["active", "past_due"] * 12, "active"],
    "debit": ["incomplete", "active", "past_due", "active"],
    "trial": ["trialing", "active"],
    "plan": ["active"],
    "paused": ["active"],
    "portal": ["active", "canceled"],
    "currencies": ["active"],
    "deleted": ["active", "canceled"],
    "detached": ["active", "past_due", "active"],
}
"""Statuses of the year in order, without repetition."""


@asynccontextmanager
async def subscribed(year: Year) -> AsyncIterator[None]:
    """Let every kind of subscriber buy."""
    [eur] = await create_prices(year.system.stripe, [EUR_PLAN])
    async with AsyncExitStack() as opened:
        for kind in KINDS:
            shop = await opened.enter_async_context(year.system.shop(user_id=f"{kind}-{uuid.uuid4()}"))
            subscriber = Subscriber(shop, CARDS.get(kind, GOOD_CARD))
            await year.buy(subscriber, plan_cart(year.plans, **{PLAN_OF.get(kind, "tea"): 1}))
            year.subscribers[kind] = subscriber
        second = year.subscribers["currencies"]
        await until_on_sale([second.shop], [eur])
        await year.buy(second, Cart([Line(eur.id)]))
        yield


@pytest.mark.timeout(900)
async def test_row_and_api_equal_stripes_object_all_year(
    system: System, control_api: ControlApi, plans: Plans, settled: Waiter
) -> None:
    """Row and API follow whatever buyer, merchant and bank do."""
    await end_all_subscriptions(system)
    await control_api.until_idle()
    year = Year(system, control_api, plans, settled)
    async with subscribed(year):
        await control_api.add_webhook_rule(hold=True, count=None)

        for day in range(0, DAYS, STEP_DAYS):
            for (kind, at), action in ACTIONS.items():
                if at == day:
                    await action(year, year.subscribers[kind])
                    await year.deliver()
            await year.pass_on(STEP_DAYS)
            await year.pay_open_invoice(year.subscribers["3-D Secure"])
            await year.deliver()

    assert {kind: who.statuses for kind, who in year.subscribers.items()} == STATUSES
    assert year.events.keys() == HANDLED
