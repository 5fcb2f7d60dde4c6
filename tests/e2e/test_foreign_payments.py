"""Two shops on one Stripe account, which delivers every event to both, and secrets that are rotated meanwhile."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Final

import pytest
import pytest_asyncio

from devstack.ports import LOOPBACK, free_port
from devstack.stack_options import StackOptions
from devstack.stripe_access import StripeAccess
from devstack.webhook_endpoints import register

from .conftest import Waiter, until
from .harness.control_api import ControlApi
from .harness.products import run_concurrently
from .harness.shop import Checkout, Shop
from .harness.system import System, running_system
from .timeouts import USUAL

pytestmark = pytest.mark.long

PURCHASES: Final = 200
"""Of each shop."""
AT_ONCE: Final = 8
NEW_SECRET: Final = "the-secret-that-makes-attempt-ids-from-now-on"
NOT_OURS: Final = 'holdfast_fulfilments_total{channel="webhook",outcome="not_ours"}'
OF_UNKNOWN_SECRET: Final = "holdfast_attempt_ids_of_unknown_secret_total"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other_system(system: System, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run a second system with databases and secrets of its own, at the same simulator."""
    known, port = system.backend.addresses, free_port()
    account = StripeAccess(known.stripe_api, known.stripe_secret_key, known.stripe_publishable_key)
    (webhook_secret,) = register(account.client(), [f"http://{LOOPBACK}:{port}"])
    account = replace(account, webhook_secret=webhook_secret)
    options = StackOptions(gateway_port=port, durable=False, settings={"gateway": USUAL})
    async with running_system(tmp_path_factory.mktemp("other"), options=options, account=account) as other:
        yield other
        async with ControlApi(known.stripe_api) as control_api:
            await control_api.until_idle()
        await _delete_endpoint(system, port)


async def _delete_endpoint(system: System, port: int) -> None:
    endpoints = await system.stripe.v1.webhook_endpoints.list_async({"limit": 100})
    async for endpoint in endpoints.auto_paging_iter():
        if f":{port}/" in endpoint.url:
            await system.stripe.v1.webhook_endpoints.delete_async(endpoint.id)


async def _buy(shop: Shop, system: System) -> Checkout:
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    return checkout


async def test_p3_two_shops_on_one_account_leave_each_others_payments_alone(
    system: System, other_system: System, control_api: ControlApi
) -> None:
    """Each fulfils its own and acknowledges the other's: nothing is quarantined, and Stripe repeats nothing."""
    systems = (system, other_system)
    counted = [await each.orders_db.counts() for each in systems]
    async with system.shop() as shop, other_system.shop() as other_shop:
        shops = (shop, other_shop)
        ignored = [await _metric(each, NOT_OURS) for each in shops]
        jobs = [partial(_buy, each, its) for each, its in zip(shops, systems, strict=True)] * PURCHASES
        bought = await run_concurrently(jobs, at_once=AT_ONCE)
        await control_api.until_idle()
        ignored = [await _metric(each, NOT_OURS) - before for each, before in zip(shops, ignored, strict=True)]

    reports = await control_api.delivery_attempts(event_type="payment_intent.succeeded")
    intents = {checkout.intent_id for checkout in bought}
    assert {each["status"] for each in reports if each["object_id"] in intents} == {200}
    assert ignored == [PURCHASES] * 2
    for each, before, own in zip(systems, counted, (bought[::2], bought[1::2]), strict=True):
        after = await each.orders_db.counts()
        assert (after.purchases - before.purchases, after.quarantined - before.quarantined) == (PURCHASES, 0)
        assert {len(await each.orders_db.orders_of(checkout.attempt_id)) for checkout in own} == {1}


async def test_p3_a_checkout_goes_on_while_the_secret_is_rotated(
    system: System, shop: Shop, settled: Waiter, control_api: ControlApi
) -> None:
    """A retry finds it under the old secret. Removed too early, the browser gets 404; the webhook still fulfils."""
    old = system.backend.settings_of("gateway")["ATTEMPT_ID_SECRETS"]
    key, cart = str(uuid.uuid4()), system.cart(mug=1)
    begun = await shop.checkout(cart, idempotency_key=key)
    try:
        await _rotate(system, f"{NEW_SECRET},{old}")
        retried = await shop.checkout(cart, idempotency_key=key)
        status = (await shop.status(begun.attempt_id)).ok()["status"]
        await _rotate(system, NEW_SECRET)
        forgotten = await shop.status(begun.attempt_id)
        (await shop.pay(begun)).ok()
        await settled(begun)
        # The other gateway may have been the one that settled it.
        await until(lambda: _counts(shop, OF_UNKNOWN_SECRET), "the delivery to this gateway")
    finally:
        await _rotate(system, old)

    assert (retried, status) == (begun, "open")
    assert (forgotten.status, forgotten.problem) == (404, "checkout_not_found")
    assert len(await system.orders_db.orders_of(begun.attempt_id)) == 1


async def _rotate(system: System, secrets: str) -> None:
    settings = {"ATTEMPT_ID_SECRETS": secrets}
    await asyncio.gather(*(system.backend.restart(gateway, settings) for gateway in ("gateway", "gateway-2")))


async def _counts(shop: Shop, name: str) -> bool:
    return await _metric(shop, name) == 1


async def _metric(shop: Shop, name: str) -> float:
    async with shop.session.get(f"{shop.gateway}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next((float(line.removeprefix(f"{name} ")) for line in lines if line.startswith(f"{name} ")), 0.0)
