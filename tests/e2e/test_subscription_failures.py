"""Activations and first charges that fail or wait for the buyer."""

from dataclasses import dataclass
from typing import Final

import pytest

from .conftest import Waiter, until
from .harness.control_api import ControlApi
from .harness.products import (
    Plans,
    invoices_at_stripe,
    plan_cart,
    recorded_invoices,
    stripe_invoices,
    subscriptions_at_stripe,
)
from .harness.shop import Checkout, Shop
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

    if card == ASKS_EVERY_TIME:
        await control_api.pass_challenge(begun.secret.partition("_secret_")[0])
    else:
        (await shop.confirm(begun.secret)).ok()
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
