"""Subscriptions that are cancelled before they exist at Stripe, that have no payment method, or that guests bought."""

import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
import stripe

from .conftest import PORTAL_URL, Waiter, until
from .harness.control_api import ControlApi
from .harness.products import Plans, mixed_cart, plan_cart, recorded_state, stripe_state, subscriptions_at_stripe
from .harness.shop import Checkout, Shop
from .harness.stores import Row
from .harness.system import System

CREATE: Final = {"method": "POST", "path": "/v1/subscriptions"}
LIST: Final = {"method": "GET", "path": "/v1/subscriptions"}


@pytest_asyncio.fixture(loop_scope="session")
async def owner(system: System, control_api: ControlApi) -> AsyncIterator[Shop]:
    """Open a shop as a user who has no subscription yet."""
    async with system.shop(user_id=f"user-{uuid.uuid4()}") as opened:
        yield opened


async def test_a_subscription_that_is_cancelled_while_stripe_is_away_is_never_created(
    system: System, owner: Shop, control_api: ControlApi, plans: Plans
) -> None:
    """The cancel is 503 while a create may be under way. The webhook is repeated until none can be, however slow."""
    fault = await control_api.add_fault(kind="error_unsaved", **CREATE, count=None)
    checkout, row = await _buy_pending(system, owner, plans)

    early = await owner.cancel_subscription(row["id"])
    await _cancelled_earlier(system, row, "31 seconds")
    shown = (await owner.cancel_subscription(row["id"])).ok()
    await _cancelled_earlier(system, row, "10 minutes")
    await control_api.until_idle()  # no request that began before the cancel is retried any more
    await control_api.remove_fault(fault)
    returned = (await owner.complete(checkout)).ok()

    row = await _row(system, checkout)
    assert (early.status, 20 < int(early.headers["Retry-After"]) <= 30) == (503, True)
    assert (shown["status"], returned["subscriptions"][0]["status"], row["status"]) == ("canceled",) * 3
    assert (row["stripe_subscription_id"], row["activation_began_at"]) == (None, None)
    assert await subscriptions_at_stripe(system, row["stripe_customer_id"]) == []
    assert set(await _report_statuses(control_api, checkout)) == {503, 200}


@pytest.mark.parametrize("found_by", ["cancel", "event"])
async def test_a_subscription_whose_creation_was_not_answered_is_ended_at_stripe(
    system: System, owner: Shop, control_api: ControlApi, plans: Plans, found_by: str
) -> None:
    """By the cancel that lists it, or else by the event of its creation. The first charge stays: nothing refunds it."""
    await control_api.add_webhook_rule(types=["customer.subscription.*", "invoice.*"], hold=True, count=None)
    await control_api.add_fault(kind="reset_after", **CREATE, count=None)
    if found_by == "event":
        await control_api.add_fault(kind="error_unsaved", **LIST, count=None)
    checkout, row = await _buy_pending(system, owner, plans)

    answer = await owner.cancel_subscription(row["id"])
    before = await _row(system, checkout)
    await control_api.clear_faults()
    await control_api.clear_webhook_rules()
    await control_api.release_deliveries()
    await control_api.until_idle()
    shown = (await owner.cancel_subscription(row["id"])).ok()

    row = await _row(system, checkout)
    (at_stripe,) = await subscriptions_at_stripe(system, row["stripe_customer_id"])
    assert (shown["status"], before["status"], at_stripe["status"]) == ("canceled",) * 3
    assert (answer.status, before["stripe_subscription_id"] is not None) == (
        (200, True) if found_by == "cancel" else (503, False)
    )
    assert recorded_state(row) == stripe_state(at_stripe)
    assert at_stripe["latest_invoice"]["amount_paid"] == 1200


async def test_a_guest_is_shown_the_customer_portal(
    shop: Shop, control_api: ControlApi, plans: Plans, system: System, settled: Waiter
) -> None:
    """With the purchase of a subscription, and in the configuration; not with goods alone."""
    subscribed = await shop.checkout(plan_cart(plans, tea=1))
    bought = await shop.checkout(system.cart(mug=1))
    for checkout in (subscribed, bought):
        (await shop.pay(checkout)).ok()
        await settled(checkout)

    returned = [(await shop.complete(checkout)).ok() for checkout in (subscribed, bought)]
    status = (await shop.status(subscribed.attempt_id)).ok()
    config = (await shop.request("GET", "/api/config")).ok()

    assert [purchase.get("customerPortalUrl") for purchase in returned] == [PORTAL_URL, None]
    assert (status["purchase"]["customerPortalUrl"], config["customerPortalUrl"]) == (PORTAL_URL, PORTAL_URL)


async def test_a_payment_without_a_payment_method_is_recorded(
    system: System, shop: Shop, control_api: ControlApi, plans: Plans
) -> None:
    """The order stands, the subscription is shown as failed, and binds to one that a person creates at Stripe."""
    await control_api.add_webhook_rule(types=["payment_intent.succeeded"], drop=True, count=None)
    checkout = await shop.checkout(mixed_cart(system, plans, {"mug": 1}, {"tea": 1}))
    (await shop.pay(checkout)).ok()
    intent = (await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)).to_dict()
    method_id, intent["payment_method"] = intent["payment_method"], None
    await _deliver(system, shop, "payment_intent.succeeded", intent)

    (shown,) = (await shop.status(checkout.attempt_id)).ok()["purchase"]["subscriptions"]
    failed = await _row(system, checkout)
    await system.stripe.v1.subscriptions.create_async(
        {
            "customer": failed["stripe_customer_id"],
            "items": [{"price": plans["tea"].id}],
            "default_payment_method": method_id,
            "metadata": {"subscriptionId": failed["id"]},
        }
    )
    await control_api.until_idle()

    assert len(await system.orders_db.orders_of(checkout.attempt_id)) == 1
    assert (shown["status"], shown["activationFailure"]) == ("activation_failed", "payment_method_missing")
    assert (await _row(system, checkout))["status"] == "active"


async def _buy_pending(system: System, shop: Shop, plans: Plans) -> tuple[Checkout, Row]:
    """Buy a plan whose subscription Stripe cannot be seen to create; return once that was tried."""
    checkout = await shop.checkout(plan_cart(plans, tea=1))
    (await shop.pay(checkout)).ok()
    (await shop.complete(checkout)).ok()

    async def tried() -> bool:
        rows = await system.orders_db.subscriptions_of(checkout.attempt_id)
        return [row["activation_began_at"] is not None for row in rows] == [True]

    await until(tried, "an activation that began")
    return checkout, await _row(system, checkout)


async def _cancelled_earlier(system: System, row: Row, interval: str) -> None:
    await system.orders_db.rows(
        "UPDATE subscriptions SET cancel_requested_at = cancel_requested_at - $2::text::interval WHERE id = $1",
        uuid.UUID(row["id"]),
        interval,
    )


async def _row(system: System, checkout: Checkout) -> Row:
    (row,) = await system.orders_db.subscriptions_of(checkout.attempt_id)
    return row


async def _deliver(system: System, shop: Shop, event_type: str, subject: dict[str, Any]) -> None:
    """Deliver an event with Stripe's signature."""
    event = {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "api_version": stripe.api_version,
        "type": event_type,
        "created": int(time.time()),
        "data": {"object": subject},
    }
    body = json.dumps(event, default=str)
    signature = stripe.WebhookSignature.generate_signature_header(body, system.backend.addresses.webhook_secret)
    headers = {"Content-Type": "application/json", "Stripe-Signature": signature}
    (await shop.request("POST", "/api/stripe/webhook", data=body.encode(), headers=headers)).ok()


async def _report_statuses(control_api: ControlApi, checkout: Checkout) -> list[int | None]:
    """Return the answers to the reports of an intent's success."""
    attempts = await control_api.delivery_attempts(object_id=checkout.intent_id)
    return [each["status"] for each in attempts if each["event_type"].endswith("intent.succeeded")]
