"""What the stores hold is encrypted, and a missing key delays an order but never loses it."""

import base64
from collections.abc import AsyncIterator

import pytest_asyncio

from .conftest import Waiter, until
from .harness.knobs import Knobs
from .harness.shop import Shop
from .harness.system import System

SUCCEEDED = "payment_intent.succeeded"
OTHER_KEY = "other:" + base64.b64encode(bytes(range(32))).decode()
TYPED = (b"ada@example.com", b"Harbour Street", b"Portland")


@pytest_asyncio.fixture(loop_scope="session")
async def right_keys(system: System) -> AsyncIterator[dict[str, str]]:
    """Give checkout-session's keys, and give them back to it at the end."""
    keys = {"ENCRYPTION_KEYS": system.backend.settings_of("checkout-session")["ENCRYPTION_KEYS"]}
    yield keys
    if system.backend.settings_of("checkout-session")["ENCRYPTION_KEYS"] != keys["ENCRYPTION_KEYS"]:
        await system.backend.restart("checkout-session", keys)


async def test_p7_neither_store_holds_what_the_buyer_typed(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """Not Redis while the attempt waits, and not PostgreSQL when its payment is set aside with its content."""
    checkout = await shop.checkout(system.cart(mug=1))
    waiting = repr(await system.attempts.stored(checkout.attempt_id)).encode()
    await system.stripe.v1.payment_intents.update_async(checkout.intent_id, {"amount": checkout.amount + 1})
    (await shop.pay(checkout)).ok()
    await settled(checkout)

    (payment,) = await system.books.payments_of(checkout.attempt_id)
    content = await system.records.content_set_aside(checkout.intent_id)

    assert len(payment["attempt_content"]) > 100
    assert not any(word in waiting or word in payment["attempt_content"] for word in TYPED)
    assert content is not None
    assert all(word in content.SerializeToString() for word in TYPED)


async def test_p3_a_payment_whose_attempt_cannot_be_read_waits_for_the_key(
    system: System, shop: Shop, knobs: Knobs, settled: Waiter, right_keys: dict[str, str]
) -> None:
    """Stripe is told to come again, the browser to wait; nothing is quarantined; with the key back it is an order."""
    checkout = await shop.checkout(system.cart(mug=1))
    await system.backend.restart("checkout-session", {"ENCRYPTION_KEYS": OTHER_KEY})

    (await shop.pay(checkout)).ok()
    returned = await shop.come_back(checkout)

    async def refused() -> bool:
        tries = await knobs.delivery_attempts(object_id=checkout.intent_id, event_type=SUCCEEDED)
        return any(each["status"] == 503 for each in tries)

    await until(refused, "a webhook answered with 503")
    decided_meanwhile = await system.books.payment(checkout.intent_id)
    kept_meanwhile = await system.attempts.has_content(checkout.attempt_id)
    await system.backend.restart("checkout-session", right_keys)
    await settled(checkout)

    (order,) = await system.books.orders_of(checkout.attempt_id)
    assert returned.status == 503
    assert decided_meanwhile is None
    assert kept_meanwhile
    assert order["total_minor"] == checkout.amount
    assert '"attempt_unreadable"' in system.backend.log_of("checkout-session")
