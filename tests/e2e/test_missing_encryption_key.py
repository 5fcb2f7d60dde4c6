"""A missing encryption key delays an order without losing it."""

import base64
from collections.abc import AsyncIterator

import pytest_asyncio

from .conftest import Waiter, until
from .harness.control_api import ControlApi
from .harness.shop import Shop
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
    """Webhook and browser get 503 and nothing is quarantined; with the key back the payment becomes an order."""
    checkout = await shop.checkout(system.cart(mug=1))
    await system.backend.restart("checkout-session", {"ENCRYPTION_KEYS": OTHER_KEY})

    (await shop.pay(checkout)).ok()
    returned = await shop.complete(checkout)

    async def refused() -> bool:
        attempts = await control_api.delivery_attempts(object_id=checkout.intent_id)
        return any(each["status"] == 503 for each in attempts)

    await until(refused, "a webhook answered with 503")
    decided_meanwhile = await system.orders_db.payment(checkout.intent_id)
    kept_meanwhile = await system.attempt_store.has_content(checkout.attempt_id)
    await system.backend.restart("checkout-session", usual_key)
    await settled(checkout)

    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    assert returned.status == 503
    assert decided_meanwhile is None
    assert kept_meanwhile
    assert order["total_minor"] == checkout.amount
    assert '"unreadable_attempt"' in system.backend.log_of("checkout-session")
