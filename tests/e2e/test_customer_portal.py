"""Stripe's customer portal for signed-in users."""

import uuid

from .conftest import Waiter
from .harness.control_api import ControlApi
from .harness.products import Plans, plan_cart
from .harness.shop import Shop
from .harness.stores import Row
from .harness.system import System


async def test_an_owner_opens_the_portal_of_the_subscriptions_customer(
    system: System, control_api: ControlApi, plans: Plans, settled: Waiter
) -> None:
    """Each time another session; no other user does, and no log has its address."""
    await control_api.save_portal_settings()
    async with system.shop(user_id=f"user-{uuid.uuid4()}") as owner, system.shop(user_id="user-2") as other:
        row = await _subscribed(system, owner, plans, settled)

        opened = [(await owner.open_portal(row["id"])).ok()["url"] for _ in range(2)]
        foreign = await other.open_portal(row["id"])

    [*_, session] = await control_api.requests("POST", "/v1/billing_portal/sessions")
    logs = {name: log for name, log in system.backend.logs().items() if name != "stripe-simulator"}
    assert (foreign.status, foreign.problem) == (404, "subscription_not_found")
    assert session["params"]["customer"] == row["stripe_customer_id"]
    assert len(set(opened)) == 2
    assert [name for name, log in logs.items() for url in opened if url.rpartition("/")[2] in log] == []


async def test_the_portal_of_a_deleted_customer_is_refused(
    system: System, control_api: ControlApi, plans: Plans, settled: Waiter
) -> None:
    """The subscription has ended with its customer; the log says why there is no portal."""
    await control_api.save_portal_settings()
    async with system.shop(user_id=f"user-{uuid.uuid4()}") as owner:
        row = await _subscribed(system, owner, plans, settled)
        await system.stripe.v1.customers.delete_async(row["stripe_customer_id"])
        await control_api.until_idle()

        refused = await owner.open_portal(row["id"])
        shown = (await owner.subscription(row["id"])).ok()

    assert (refused.status, refused.problem, shown["status"]) == (409, "customer_deleted", "canceled")
    assert "customer of a subscription was deleted at Stripe" in system.backend.logs()["gateway"]


async def _subscribed(system: System, owner: Shop, plans: Plans, settled: Waiter) -> Row:
    checkout = await owner.checkout(plan_cart(plans, tea=1))
    (await owner.pay(checkout)).ok()
    await settled(checkout)
    (row,) = await system.orders_db.subscriptions_of(checkout.attempt_id)
    return row
