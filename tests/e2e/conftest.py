"""The systems that test modules share, and what tests wait with."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
import stripe

from devstack.stack_options import StackOptions
from tests.containers.choice import leave_out, on_containers

from .embedded_only import EMBEDDED_ONLY
from .harness.control_api import ControlApi
from .harness.products import Plans, put_plans_on_sale
from .harness.shop import Checkout, Reply, Shop
from .harness.system import System, running_system
from .timeouts import USUAL

_HERE = Path(__file__).parent
PORTAL_URL: Final = "https://billing.example/p/login/test_1"
_GATEWAY: Final = {**USUAL, "CUSTOMER_PORTAL_URL": PORTAL_URL}
_SETTINGS: Final = {"gateway": _GATEWAY, "gateway-2": _GATEWAY}
Waiter = Callable[[Checkout], Awaitable[None]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run every async test here in one event loop, in which the clients of the shared system live.

    On containers, deselect the tests that need embedded servers.
    """
    if on_containers():
        leave_out(config, items, lambda item: item.path.parent == _HERE and item.path.name in EMBEDDED_ONLY)
    for item in items:
        if item.path.parent == _HERE and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run two gateways behind proxies; Stripe delivers every event to both."""
    options = StackOptions(gateways=2, webhook_for_each_gateway=True, durable=False, seed=1, settings=_SETTINGS)
    async with running_system(tmp_path_factory.mktemp("holdfast"), options=options, with_proxies=True) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def plans(system: System) -> Plans:
    """Put the plans on sale."""
    return await put_plans_on_sale(system)


@pytest_asyncio.fixture(loop_scope="session")
async def control_api(system: System) -> AsyncIterator[ControlApi]:
    """Control the simulator; afterwards nothing is held, faulty or pending."""
    async with ControlApi(system.backend.addresses.stripe_api) as opened:
        yield opened
        await opened.clear_webhook_rules()
        await opened.release_deliveries()
        await opened.clear_faults()
        if system.optional_proxies is not None:
            system.optional_proxies.reset()
        await opened.until_idle()
        await opened.require_health()


@pytest_asyncio.fixture(loop_scope="session")
async def shop(system: System, control_api: ControlApi) -> AsyncIterator[Shop]:
    """Open a shop as a guest."""
    async with system.shop() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def members_shop(system: System, control_api: ControlApi) -> AsyncIterator[Shop]:
    """Open a shop as a signed-in user."""
    async with system.shop(user_id="user-1") as opened:
        yield opened


async def until(holds: Callable[[], Awaitable[bool]], what: str, *, seconds: float = 20.0) -> None:
    """Wait until a condition holds; fail naming it if it does not in time."""
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        await asyncio.sleep(0.02)


async def report_payment(system: System, shop: Shop, intent: dict[str, Any], *, age_seconds: int) -> Reply:
    """Deliver the event of a payment that was made some time ago."""
    created = int(time.time()) - age_seconds
    event = {
        "id": "evt_1",
        "object": "event",
        "api_version": stripe.api_version,
        "type": "payment_intent.succeeded",
        "created": created,
        "data": {"object": intent},
    }
    body = json.dumps(event, default=str)
    signature = stripe.WebhookSignature.generate_signature_header(body, system.backend.addresses.webhook_secret)
    headers = {"Content-Type": "application/json", "Stripe-Signature": signature}
    return await shop.request("POST", "/api/stripe/webhook", data=body.encode(), headers=headers)


@pytest.fixture
def settled(system: System) -> Waiter:
    """Wait until a payment is decided, its attempt's content is gone and its subscriptions are activated."""

    async def wait(checkout: Checkout) -> None:
        async def holds() -> bool:
            decided = await system.orders_db.payment(checkout.intent_id) is not None
            subscriptions = await system.orders_db.subscriptions_of(checkout.attempt_id)
            activated = all(row["status"] != "pending" for row in subscriptions)
            return decided and activated and not await system.attempt_store.has_content(checkout.attempt_id)

        await until(holds, f"settling {checkout.attempt_id[:8]}")

    return wait
