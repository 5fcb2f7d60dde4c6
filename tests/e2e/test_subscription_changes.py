"""Changes of a subscription from outside that nobody here asked for: each with its answer, its row and its log line."""

import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest_asyncio

from .conftest import Waiter
from .harness.billed import require_equal, stripe_subscription
from .harness.control_api import ControlApi
from .harness.products import BillingInterval, Plans, Product, create_prices, plan_cart
from .harness.shop import Shop
from .harness.system import System


@dataclass
class Subscribed:
    """A bought subscription, and what became of events about it."""

    system: System
    control_api: ControlApi
    shop: Shop
    row: dict[str, Any]

    async def change(self, **changes: Any) -> None:
        """Change the subscription at Stripe, and deliver the events."""
        params: Any = changes
        await self.system.stripe.v1.subscriptions.update_async(self.row["stripe_subscription_id"], params)
        await self.control_api.until_idle()

    async def equals_stripe(self) -> dict[str, Any]:
        """Return what the API shows; fail unless it and the row equal Stripe's object."""
        at_stripe = await stripe_subscription(self.system, self.row["stripe_subscription_id"])
        shown: dict[str, Any] = (await self.shop.subscription(self.row["id"])).ok()
        await require_equal(self.system, at_stripe, shown)
        return shown

    async def answers(self, stripe_id: str) -> set[int | None]:
        """Return the statuses that the gateways answered to events about a Stripe subscription."""
        return {each["status"] for each in await self.control_api.delivery_attempts(object_id=stripe_id)}

    def logged(self, message: str, **fields: str) -> list[dict[str, Any]]:
        """Return the gateways' log lines with a message and these fields."""
        logs = self.system.backend.logs()
        lines = [line for name, log in logs.items() if name.startswith("gateway") for line in log.splitlines()]
        shown = [json.loads(line) for line in lines if f'"{message}"' in line]
        return [each for each in shown if all(each.get(name) == value for name, value in fields.items())]


@pytest_asyncio.fixture(loop_scope="session")
async def subscribed(
    system: System, control_api: ControlApi, plans: Plans, settled: Waiter
) -> AsyncIterator[Subscribed]:
    """Let a user subscribe to tea."""
    async with system.shop(user_id=f"user-{uuid.uuid4()}") as shop:
        checkout = await shop.checkout(plan_cart(plans, tea=1))
        (await shop.pay(checkout)).ok()
        await settled(checkout)
        await control_api.until_idle()
        (row,) = await system.orders_db.subscriptions_of(checkout.attempt_id)
        yield Subscribed(system, control_api, shop, row)


async def test_a_plan_changed_to_an_unknown_price_is_shown_as_it_is_billed(subscribed: Subscribed) -> None:
    """With its name and its amount, though no catalogue has it. What was bought stays beside it."""
    crate = Product("Tea, by the crate", {"usd": 5200}, billing=BillingInterval("month"))
    [price] = await create_prices(subscribed.system.stripe, [crate])
    stripe_id = subscribed.row["stripe_subscription_id"]
    [item] = (await stripe_subscription(subscribed.system, stripe_id))["items"]["data"]

    await subscribed.change(items=[{"id": item["id"], "price": price.id, "quantity": 3}])

    shown = await subscribed.equals_stripe()
    logged = subscribed.logged("subscription changed at Stripe", subscription=subscribed.row["id"])
    assert (shown["amount"], shown["items"][0]["name"]) == (15600, "Tea, by the crate")
    assert [each["name"] for each in shown["boughtItems"]] == ["Tea of the month"]
    assert await subscribed.answers(stripe_id) == {200}
    assert "items" in {name for each in logged for name in each["changed"].split()}


async def test_a_portal_cancel_undone_goes_on(subscribed: Subscribed) -> None:
    """The portal sets only the date, and clears it."""
    stripe_id = subscribed.row["stripe_subscription_id"]
    [item] = (await stripe_subscription(subscribed.system, stripe_id))["items"]["data"]

    await subscribed.change(cancel_at=item["current_period_end"])
    ending = await subscribed.equals_stripe()
    await subscribed.change(cancel_at="")

    goes_on = await subscribed.equals_stripe()
    logged = subscribed.logged("subscription changed at Stripe", subscription=subscribed.row["id"])
    assert (ending["cancelAt"], ending["cancelAtPeriodEnd"]) == (ending["currentPeriodEnd"], False)
    assert (ending["endsWithPeriod"], goes_on["endsWithPeriod"]) == (True, False)
    assert (goes_on["status"], goes_on["cancelAt"], goes_on["canceledAt"]) == ("active", None, None)
    assert await subscribed.answers(stripe_id) == {200}
    assert [each["changed"] for each in logged].count("cancel_at canceled_at") >= len(("ended", "undone"))


async def test_an_end_asked_for_in_the_portal_is_undone_here(subscribed: Subscribed) -> None:
    """The buyer may come back to the shop."""
    [item] = (await stripe_subscription(subscribed.system, subscribed.row["stripe_subscription_id"]))["items"]["data"]
    await subscribed.change(cancel_at=item["current_period_end"])

    undone = (await subscribed.shop.cancel_subscription(subscribed.row["id"], "undo")).ok()

    assert undone["cancelAt"] is None
    assert (await subscribed.equals_stripe())["cancelAt"] is None


async def test_an_event_of_another_product_on_the_account_is_acknowledged(subscribed: Subscribed, plans: Plans) -> None:
    """It gets no row, and changes none."""
    before = await subscribed.system.orders_db.rows("SELECT count(*) FROM subscriptions")
    theirs = await subscribed.system.stripe.v1.subscriptions.create_async(
        {
            "customer": subscribed.row["stripe_customer_id"],
            "default_payment_method": subscribed.row["default_payment_method_id"],
            "items": [{"price": plans["cake"].id}],
        }
    )
    await subscribed.control_api.until_idle()

    await subscribed.system.stripe.v1.subscriptions.cancel_async(theirs.id)
    await subscribed.control_api.until_idle()

    assert await subscribed.answers(theirs.id) == {200}
    assert subscribed.logged("event of a subscription that is not ours", stripe_subscription=theirs.id)
    assert await subscribed.system.orders_db.subscription(theirs.id) is None
    assert await subscribed.system.orders_db.rows("SELECT count(*) FROM subscriptions") == before
    await subscribed.equals_stripe()
