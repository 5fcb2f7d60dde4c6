"""A checkout past its pay-by is ended by whoever meets it; a payment in the last moment is still the purchase."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Final

import pytest
import pytest_asyncio

from .conftest import Waiter, until
from .harness.control_api import ControlApi
from .harness.outgoing_calls import OutgoingCall
from .harness.shop import Checkout, Reply, Shop
from .harness.system import System

SHORT_PAY_BY: Final = {"PAY_BY_HOURS": str(3 / 3600)}
USUAL_PAY_BY: Final = {"PAY_BY_HOURS": "24"}
TESTS: Final = 8
"""Tests that need an expired checkout."""


Expired = tuple[Checkout, str]
"""A checkout past its pay-by, and the key of the request that began it."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def all_expired(system: System) -> list[Expired]:
    """Begin a checkout for each test at the second gateway, which gives buyers three seconds, and wait until all end.

    Afterwards it gives them a day as usual.
    """
    await system.backend.restart("gateway-2", SHORT_PAY_BY)
    keys = [str(uuid.uuid4()) for _ in range(TESTS)]
    async with system.shop(gateway=1) as shop:
        replies = [await shop.initiate(system.cart(mug=1), idempotency_key=key) for key in keys]
        last = datetime.fromisoformat(replies[-1].ok()["payBy"])

        async def passed() -> bool:
            return datetime.now(UTC) > last

        await until(passed, "pay-by passed")
        begun = [shop.granted(reply) for reply in replies]
    await system.backend.restart("gateway-2", USUAL_PAY_BY)
    return list(zip(begun, keys, strict=True))


@pytest.fixture
def expired(all_expired: list[Expired]) -> Expired:
    """Take a checkout that no other test has."""
    return all_expired.pop()


async def retry(system: System, shop: Shop, _checkout: Checkout, key: str) -> Reply:
    """Send the request again that began the checkout."""
    return await shop.initiate(system.cart(mug=1), idempotency_key=key)


async def poll(_system: System, shop: Shop, checkout: Checkout, _key: str) -> Reply:
    """Read the status."""
    return await shop.status(checkout.attempt_id)


async def complete(_system: System, shop: Shop, checkout: Checkout, _key: str) -> Reply:
    """Return from Stripe."""
    return await shop.complete(checkout)


async def supersede(system: System, shop: Shop, checkout: Checkout, _key: str) -> Reply:
    """Begin a checkout of another cart in its place."""
    return await shop.initiate(system.cart(tote=1).superseding(checkout.attempt_id))


Touch = Callable[[System, Shop, Checkout, str], Coroutine[None, None, Reply]]


@pytest.mark.parametrize(
    ("touch", "answer"),
    [
        (retry, (409, "attempt_closed")),
        (poll, (200, "")),
        (complete, (409, "payment_not_succeeded")),
        (supersede, (200, "")),
    ],
)
async def test_an_expired_checkout_is_ended_by_whoever_meets_it(
    system: System, shop: Shop, expired: Expired, touch: Touch, answer: tuple[int, str]
) -> None:
    """The intent is cancelled at Stripe, the attempt deleted, and its secret pays nothing any more."""
    checkout, key = expired

    reply = await touch(system, shop, checkout, key)

    intent = await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)
    state = (await shop.status(checkout.attempt_id)).ok()["status"]
    assert (reply.status, reply.problem) == answer
    assert state == ("superseded" if touch is supersede else "expired")
    assert intent.status == "canceled"
    assert not await system.attempt_store.has_content(checkout.attempt_id)
    assert (await shop.pay(checkout)).status != 200


@pytest.mark.parametrize("touch", [retry, poll])
async def test_p3_a_payment_in_the_last_moment_becomes_the_purchase(
    system: System, shop: Shop, expired: Expired, settled: Waiter, touch: Touch
) -> None:
    """The buyer pays while the cancel is on its way: Stripe refuses it, and one order stands."""
    checkout, key = expired
    held = system.proxies.break_before(OutgoingCall.CANCEL_INTENT)

    touching = asyncio.create_task(touch(system, shop, checkout, key))
    await held.hit()
    (await shop.pay(checkout)).ok()
    held.release()
    reply = await touching
    await settled(checkout)

    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    assert order["total_minor"] == checkout.amount
    assert (reply.status, reply.problem) == ((409, "already_paid") if touch is retry else (200, ""))
    assert (await shop.status(checkout.attempt_id)).ok()["status"] == "completed"


@pytest.mark.parametrize("succeeds", [True, False])
async def test_p3_a_debit_at_the_bank_outlasts_the_pay_by(
    system: System, shop: Shop, control_api: ControlApi, expired: Expired, settled: Waiter, *, succeeds: bool
) -> None:
    """Nobody who meets it ends it. In the end it becomes the order, or the checkout expires and a new cart begins."""
    checkout, key = expired
    await control_api.pay(checkout.intent_id, payment_method="pm_usBankAccount")

    meanwhile = [await touch(system, shop, checkout, key) for touch in (poll, complete, retry, supersede)]
    await control_api.settle_debit(checkout.intent_id, succeed=succeeds)
    if succeeds:
        await settled(checkout)
    afterwards = await poll(system, shop, checkout, key)
    another_cart = await supersede(system, shop, checkout, key)

    assert [reply.body.get("status") for reply in meanwhile[:2]] == ["processing"] * 2
    assert [reply.problem for reply in meanwhile[2:]] == ["payment_processing"] * 2
    assert afterwards.ok()["status"] == ("completed" if succeeds else "expired")
    assert (another_cart.status, another_cart.problem) == ((409, "already_paid") if succeeds else (200, ""))
    assert len(await system.orders_db.orders_of(checkout.attempt_id)) == succeeds


@pytest.mark.parametrize("named", ["", "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"])
async def test_p3_a_payment_whose_metadata_was_edited_is_completed_by_the_browsers_return(
    system: System, shop: Shop, control_api: ControlApi, named: str
) -> None:
    """Stripe's metadata names no attempt any more, or another: the webhook is lost on it, the return is not."""
    checkout = await shop.checkout(system.cart(mug=1))
    await system.stripe.v1.payment_intents.update_async(checkout.intent_id, {"metadata": {"checkoutAttemptId": named}})

    (await shop.pay(checkout)).ok()
    await control_api.until_idle()
    returned = await shop.complete(checkout)

    (order,) = await system.orders_db.orders_of(checkout.attempt_id)
    (payment,) = await system.orders_db.payments_of(checkout.attempt_id)
    assert returned.ok()["order"]["number"] == order["number"]
    assert (payment["intent_id"], payment["outcome"]) == (checkout.intent_id, "purchase")
    assert not await system.attempt_store.has_content(checkout.attempt_id)
