"""Activations and first charges that fail or wait for the buyer."""

import uuid
from dataclasses import dataclass, replace
from typing import Final

import pytest

from .conftest import Waiter, until
from .harness.control_api import ControlApi
from .harness.products import (
    BillingInterval,
    Plans,
    Product,
    create_prices,
    invoices_at_stripe,
    mixed_cart,
    plan_cart,
    recorded_invoices,
    stripe_invoices,
    subscriptions_at_stripe,
    until_on_sale_everywhere,
)
from .harness.shop import GOOD_CARD, Cart, Checkout, Line, Shop
from .harness.stores import Row
from .harness.system import System

DECLINED_LATER: Final = "pm_card_chargeCustomerFail"
"""A card that can be saved and declines every charge."""
ASKS_EVERY_TIME: Final = "pm_card_authenticationRequired"
"""A card that wants 3-D Secure for every charge."""


@dataclass(frozen=True)
class Incomplete:
    """A subscription whose first charge did not go through."""

    checkout: Checkout
    row: Row
    secret: str
    """The client secret of the first charge."""


async def test_p3_an_activation_that_fails_is_finished_by_the_repeated_event(
    system: System, shop: Shop, control_api: ControlApi, plans: Plans, settled: Waiter
) -> None:
    """The browser is shown a pending subscription, and the webhook gets 503 until Stripe creates it."""
    fault = await control_api.add_fault(kind="error_unsaved", method="POST", path="/v1/subscriptions", count=None)
    checkout = await shop.checkout(plan_cart(plans, tea=1))
    (await shop.pay(checkout)).ok()
    returned = (await shop.complete(checkout)).ok()

    async def refused() -> bool:
        return bool(await _report_statuses(control_api, checkout))

    await until(refused, "a refused delivery")
    await control_api.remove_fault(fault)
    await settled(checkout)
    await control_api.until_idle()

    (row,) = await system.orders_db.subscriptions_of(checkout.attempt_id)
    assert [each["status"] for each in returned["subscriptions"]] == ["pending"]
    assert (returned["status"], row["status"]) == ("completed", "active")
    assert set(await _report_statuses(control_api, checkout)) == {503, 200}
    assert len(await subscriptions_at_stripe(system, row["stripe_customer_id"])) == 1


@pytest.mark.parametrize("card", [DECLINED_LATER, ASKS_EVERY_TIME])
async def test_a_guest_finishes_an_incomplete_first_charge(
    system: System, shop: Shop, control_api: ControlApi, plans: Plans, settled: Waiter, card: str
) -> None:
    """The purchase is recorded and incomplete; by the attempt id the guest gets the secret and pays."""
    begun = await _buy_incomplete(system, shop, control_api, plans, settled, card=card)
    returned = (await shop.complete(begun.checkout)).ok()

    # Off-session, Stripe only declines a card that asks for the buyer: the buyer confirms it again.
    (await shop.confirm(begun.secret, payment_method=card if card == ASKS_EVERY_TIME else GOOD_CARD)).ok()
    if card == ASKS_EVERY_TIME:
        await control_api.pass_challenge(begun.secret.partition("_secret_")[0])
    await control_api.until_idle()

    (row,) = await system.orders_db.subscriptions_of(begun.checkout.attempt_id)
    (shown,) = (await shop.status(begun.checkout.attempt_id)).ok()["purchase"]["subscriptions"]
    (at_stripe,) = await subscriptions_at_stripe(system, row["stripe_customer_id"])
    assert begun.row["status"] == "incomplete"
    assert (returned["status"], returned["subscriptions"][0]["status"]) == ("completed", "incomplete")
    assert (row["status"], shown["status"]) == ("active", "active")
    assert not shown.get("payment")
    assert recorded_invoices(await system.orders_db.invoices_of(row["id"])) == (
        stripe_invoices(await invoices_at_stripe(system, at_stripe["id"]))
    )


async def test_p7_the_first_charges_secret_is_shown_to_the_buyer_alone(
    system: System, control_api: ControlApi, plans: Plans, settled: Waiter
) -> None:
    """The owner reads it with the subscription; no other user does, and no log and no table has it."""
    async with system.shop(user_id="user-with-a-weak-card") as owner, system.shop(user_id="user-2") as other:
        begun = await _buy_incomplete(system, owner, control_api, plans, settled, card=DECLINED_LATER)

        read = (await owner.subscription(begun.row["id"])).ok()
        refused = [await other.subscription(begun.row["id"]), await other.status(begun.checkout.attempt_id)]

    logs = {name: log for name, log in system.backend.logs().items() if name != "stripe-simulator"}
    assert read["payment"] == {"clientSecret": begun.secret}
    assert "_secret_" in begun.secret
    assert [reply.status for reply in refused] == [404, 404]
    assert begun.secret not in str([reply.body for reply in refused]) + str(await system.orders_db.dump())
    assert [name for name, log in logs.items() if begun.secret in log] == []


async def test_p3_a_failed_activation_begins_again_after_the_price_was_mended(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter
) -> None:
    """Told as needing attention until then. The resent event is 503 while the failed one could still be created."""
    product = Product("Tea of the month", {"usd": 1200}, billing=BillingInterval("month"))
    [price] = await create_prices(system.stripe, [product])
    await until_on_sale_everywhere(system, [price])
    checkout = await shop.checkout(Cart([Line(price.id)]))
    await system.stripe.v1.prices.update_async(price.id, {"active": False})
    (await shop.pay(checkout)).ok()
    await settled(checkout)
    failed = (await shop.status(checkout.attempt_id)).ok()["purchase"]
    (row,) = await system.orders_db.subscriptions_of(checkout.attempt_id)

    await system.stripe.v1.prices.update_async(price.id, {"active": True})
    retried = [await system.rpc.retry_activation(row["id"]) for _ in range(2)]
    early = (await shop.complete(checkout)).ok()
    await fail_earlier(system, row)
    returned = (await shop.complete(checkout)).ok()

    (row,) = await system.orders_db.subscriptions_of(checkout.attempt_id)
    (at_stripe,) = await subscriptions_at_stripe(system, row["stripe_customer_id"])
    assert (failed["needsAttention"], failed["subscriptions"][0]["status"]) == (True, "activation_failed")
    assert retried[0] == retried[1]
    assert (early["needsAttention"], early["subscriptions"][0]["status"]) == (False, "pending")
    assert (returned["subscriptions"][0]["status"], row["status"], at_stripe["status"]) == ("active",) * 3
    assert at_stripe["metadata"]["subscriptionId"] == row["id"]


async def test_a_customer_deleted_after_the_payment_fails_the_activation(
    system: System, control_api: ControlApi, plans: Plans
) -> None:
    """The order stands, the buyer is told, the row says why, and the log names the subscription."""
    await control_api.add_webhook_rule(types=["payment_intent.succeeded"], hold=True, count=None)
    async with system.shop(user_id=f"user-{uuid.uuid4()}") as owner:
        checkout = await owner.checkout(mixed_cart(system, plans, {"mug": 1}, {"tea": 1}))
        (await owner.pay(checkout)).ok()
        intent = await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)
        await system.stripe.v1.customers.delete_async(str(intent.customer))

        purchase = (await owner.complete(checkout)).ok()
        [shown] = purchase["subscriptions"]
        portal = await owner.open_portal(shown["id"])

    (row,) = await system.orders_db.subscriptions_of(checkout.attempt_id)
    logged = [line for line in system.backend.logs()["gateway"].splitlines() if row["id"] in line]
    assert (purchase["status"], purchase["order"]["status"], purchase["needsAttention"]) == ("completed", "paid", True)
    assert (shown["status"], shown["activationFailure"]) == ("activation_failed", "resource_missing")
    assert (row["status"], row["activation_failure"]) == ("activation_failed", "resource_missing")
    assert [line for line in logged if "Stripe refused a bought subscription" in line and "resource_missing" in line]
    assert (portal.status, portal.problem) == (404, "subscription_not_found")


async def test_a_customer_deleted_before_the_payment_is_replaced_for_its_currency(
    system: System, control_api: ControlApi, plans: Plans, settled: Waiter
) -> None:
    """Stripe refuses the payment; a reload ends the checkout, and the next one has another customer."""
    user_id, key = f"user-{uuid.uuid4()}", str(uuid.uuid4())
    async with system.shop(user_id=user_id) as owner:
        begun = await owner.checkout(plan_cart(plans, tea=1), idempotency_key=key)
        deleted = str(await system.orders_db.customer_of(user_id))
        await system.stripe.v1.customers.delete_async(deleted)

        refused = await owner.pay(begun)
        reloaded = await owner.initiate(plan_cart(plans, tea=1), idempotency_key=key)
        shown = (await owner.status(begun.attempt_id)).ok()
        again = await owner.checkout(replace(plan_cart(plans, tea=1), supersedes=begun.attempt_id))
        (await owner.pay(again)).ok()
        await settled(again)
        returned = (await owner.complete(again)).ok()

    (row,) = await system.orders_db.subscriptions_of(again.attempt_id)
    assert (refused.status, refused.body["error"]["code"]) == (400, "resource_missing")
    assert (reloaded.status, reloaded.problem, shown["status"]) == (409, "attempt_closed", "expired")
    assert returned["subscriptions"][0]["status"] == "active"
    assert deleted != row["stripe_customer_id"] == await system.orders_db.customer_of(user_id)
    assert "customer deleted at Stripe, creating another" in str(system.backend.logs())


async def fail_earlier(system: System, row: Row) -> None:
    """Let no request of the failed generation be under way any more."""
    await system.orders_db.rows(
        "UPDATE subscriptions SET activation_failed_at = activation_failed_at - interval '10 minutes' WHERE id = $1",
        uuid.UUID(row["id"]),
    )


async def _buy_incomplete(
    system: System, shop: Shop, control_api: ControlApi, plans: Plans, settled: Waiter, *, card: str
) -> Incomplete:
    """Buy a plan with a card whose first charge does not go through."""
    checkout = await shop.checkout(plan_cart(plans, tea=1))
    (await shop.pay(checkout, payment_method=card)).ok()
    if card == ASKS_EVERY_TIME:
        await control_api.pass_challenge(checkout.intent_id)
    await settled(checkout)
    await control_api.until_idle()
    (row,) = await system.orders_db.subscriptions_of(checkout.attempt_id)
    (shown,) = (await shop.status(checkout.attempt_id)).ok()["purchase"]["subscriptions"]
    return Incomplete(checkout, row, (shown.get("payment") or {}).get("clientSecret", ""))


async def _report_statuses(control_api: ControlApi, checkout: Checkout) -> list[int | None]:
    """Return the answers to the reports of an intent's success."""
    attempts = await control_api.delivery_attempts(object_id=checkout.intent_id)
    return [each["status"] for each in attempts if each["event_type"].endswith("intent.succeeded")]
