"""A missing encryption key delays an order without losing it."""

import base64
import json
from collections.abc import AsyncIterator

import pytest_asyncio

from .conftest import Waiter, report_payment, until
from .harness.control_api import ControlApi
from .harness.shop import Checkout, Shop
from .harness.system import System

OTHER_KEY = "other:" + base64.b64encode(bytes(range(32))).decode()


@pytest_asyncio.fixture(loop_scope="session")
async def usual_key(system: System) -> AsyncIterator[dict[str, str]]:
    """Return checkout-session's encryption key, and restore it afterwards."""
    key = {"ENCRYPTION_KEYS": system.backend.settings_of("checkout-session")["ENCRYPTION_KEYS"]}
    yield key
    if system.backend.settings_of("checkout-session")["ENCRYPTION_KEYS"] != key["ENCRYPTION_KEYS"]:
        await system.backend.restart("checkout-session", key)


async def test_p3_a_payment_whose_attempt_cannot_be_decrypted_waits_for_the_key(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter, usual_key: dict[str, str]
) -> None:
    """The webhook gets 503, and nothing is decided: the key may be on its way. With it, the payment is an order."""
    checkout = await _paid_without_key(system, shop)

    async def refused() -> bool:
        attempts = await control_api.delivery_attempts(object_id=checkout.intent_id)
        return any(each["status"] == 503 for each in attempts)

    await until(refused, "a webhook answered with 503")
    returned = await shop.complete(checkout)
    decided_meanwhile = await system.orders_db.payment(checkout.intent_id)
    kept_meanwhile = await system.attempt_store.has_content(checkout.attempt_id)
    await system.backend.restart("checkout-session", usual_key)
    await settled(checkout)

    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    assert (returned.status, returned.body["status"]) == (200, "needs_review")
    assert decided_meanwhile is None
    assert kept_meanwhile
    assert order["total_minor"] == checkout.amount
    assert "attempt cannot be decrypted" in system.backend.log_of("gateway")


async def test_p3_p4_an_hour_without_the_key_quarantines_the_payment_until_the_key_is_back(
    system: System, shop: Shop, control_api: ControlApi, settled: Waiter, usual_key: dict[str, str]
) -> None:
    """The encrypted content is quarantined and stays stored, so that the next report makes it an order."""
    await control_api.add_webhook_rule(types=["payment_intent.succeeded"], hold=True)
    checkout = await _paid_without_key(system, shop)
    paid = (await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)).to_dict()

    recent = await report_payment(system, shop, paid, age_seconds=3500)
    old = [await report_payment(system, shop, paid, age_seconds=3700) for _ in range(2)]
    (quarantined,) = await system.orders_db.payments_of(checkout.attempt_id)
    kept = await system.attempt_store.has_content(checkout.attempt_id)
    await system.backend.restart("checkout-session", usual_key)
    await control_api.clear_webhook_rules()
    await control_api.release_deliveries()
    await settled(checkout)

    (decision,) = await system.orders_db.payments_of(checkout.attempt_id)
    assert (recent.status, [reply.status for reply in old]) == (503, [200, 200])
    assert (quarantined["outcome"], quarantined["quarantine_reason"]) == ("quarantined", "attempt_unreadable")
    assert kept
    assert decision["outcome"] == "purchase"
    assert len(await system.orders_db.orders_of(checkout.attempt_id)) == 1
    assert _alerts(system, checkout) == 1


async def _paid_without_key(system: System, shop: Shop) -> Checkout:
    checkout = await shop.checkout(system.cart(mug=1))
    await system.backend.restart("checkout-session", {"ENCRYPTION_KEYS": OTHER_KEY})
    (await shop.pay(checkout)).ok()
    return checkout


def _alerts(system: System, checkout: Checkout) -> int:
    """Count the error lines that say that the checkout's payment is quarantined."""
    told = [json.loads(line) for line in system.backend.log_of("orders").splitlines() if "payment quarantined" in line]
    return sum(line["level"] == "error" and line["attempt"] == checkout.attempt_id[:8] for line in told)
