"""One running system for all tests that leave it as they found it, and what they wait with."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions
from tests.containers.choice import leave_out, on_containers

from .deadlines import UNHURRIED
from .embedded_only import EMBEDDED_ONLY
from .harness.knobs import Knobs
from .harness.plans import Plans, end_all_subscriptions, put_on_sale
from .harness.shop import Checkout, Shop
from .harness.system import System, running_system

_HERE = Path(__file__).parent
_UNHURRIED: Final = {"gateway": UNHURRIED, "gateway-2": UNHURRIED}
Waiter = Callable[[Checkout], Awaitable[None]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run every async test here in the one event loop in which the shared system's clients live.

    On containers, leave out what is only for embedded servers; nothing is missing, so nothing is skipped.
    """
    if on_containers():
        leave_out(config, items, _is_embedded_only)
    for item in items:
        if "e2e" in item.path.parts and "harness" not in item.path.parts and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run two gateways, each of which Stripe reports to, behind proxies."""
    options = StackOptions(gateways=2, webhook_for_each_gateway=True, durable=False, seed=1, settings=_UNHURRIED)
    async with running_system(tmp_path_factory.mktemp("holdfast"), options=options, with_proxies=True) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def plans(system: System) -> Plans:
    """Put what is paid again and again on sale."""
    return await put_on_sale(system)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def moving_system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run two gateways at a Stripe whose clock tests move on; they leave nothing that would happen later."""
    options = StackOptions(gateways=2, webhook_for_each_gateway=True, durable=False, seed=4, settings=_UNHURRIED)
    async with running_system(tmp_path_factory.mktemp("holdfast"), options=options, with_proxies=True) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def none_living_afterwards(system: System, knobs: Knobs) -> AsyncIterator[None]:
    """End every subscription after the test: nothing of it is to happen when the clock is moved again."""
    yield
    await knobs.deliver(types=["*"], drop=True, count=None)
    await end_all_subscriptions(system)


@pytest_asyncio.fixture(loop_scope="session")
async def knobs(system: System) -> AsyncIterator[Knobs]:
    """Turn the simulator's knobs, and leave them as they were."""
    async with Knobs(system.backend.addresses.stripe_api) as opened:
        yield opened
        await opened.deliver_as_usual()
        await opened.release_deliveries()
        await opened.clear_faults()
        system.faults.disarm()
        await opened.idle()


@pytest_asyncio.fixture(loop_scope="session")
async def shop(system: System, knobs: Knobs) -> AsyncIterator[Shop]:
    """Open a shop for a guest."""
    async with system.shop() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def members_shop(system: System, knobs: Knobs) -> AsyncIterator[Shop]:
    """Open a shop for a signed-in user."""
    async with system.shop(user_id="user-1") as opened:
        yield opened


async def until(holds: Callable[[], Awaitable[bool]], what: str, *, seconds: float = 20.0) -> None:
    """Wait until something holds; fail naming it if it does not in time."""
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        await asyncio.sleep(0.02)


@pytest.fixture
def settled(system: System) -> Waiter:
    """Wait until an attempt's payment is decided, its content is gone and its subscriptions are made."""

    async def wait(checkout: Checkout) -> None:
        async def holds() -> bool:
            decided = await system.books.payment(checkout.intent_id) is not None
            subscriptions = await system.books.subscriptions_of(checkout.attempt_id)
            made = all(row["status"] != "pending" for row in subscriptions)
            return decided and made and not await system.attempts.has_content(checkout.attempt_id)

        await until(holds, f"settling {checkout.attempt_id[:8]}")

    return wait


def _is_embedded_only(item: pytest.Item) -> bool:
    if not item.path.is_relative_to(_HERE):
        return False
    file = item.path.relative_to(_HERE).as_posix()
    return bool(EMBEDDED_ONLY.keys() & {file, f"{file}::{item.name.partition('[')[0]}"})
