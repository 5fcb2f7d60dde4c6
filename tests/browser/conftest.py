"""The shop in a real browser: the system, Chromium, and tabs of buyers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from devstack.stack_options import StackOptions
from tests.e2e.harness.control_api import ControlApi
from tests.e2e.harness.system import System, running_system
from tests.e2e.timeouts import USUAL

from .harness import built_shop
from .harness.chromium import running_chromium
from .harness.private_details import PrivateDetails
from .harness.purchases import Purchases
from .harness.recorder import Recorder
from .harness.storefront import Storefront

_HERE: Final = Path(__file__).parent
_WAIT_MILLISECONDS: Final = 10_000
_GATEWAY: Final = {**USUAL, "CATALOGUE_REFRESH_SECONDS": "2"}
_FAILED: Final = pytest.StashKey[bool]()
OpenShop = Callable[[], Awaitable[Storefront]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test here, and run the async ones in one event loop, in which the browser and the clients live."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.browser)
            if pytest_asyncio.is_async_test(item):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let fixtures know if their test failed."""
    report = yield
    if call.when == "call":
        item.stash[_FAILED] = report.failed
    return report


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Run Chromium."""
    expect.set_options(timeout=_WAIT_MILLISECONDS)
    async with running_chromium() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run a gateway that serves the shop, behind proxies to its upstreams."""
    built_shop.build()
    options = StackOptions(durable=False, seed=1, shop=built_shop.FOLDER, settings={"gateway": _GATEWAY})
    folder = tmp_path_factory.mktemp("holdfast")
    async with running_system(folder, options=options, with_proxies=True, embedded=True) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def control_api(system: System) -> AsyncIterator[ControlApi]:
    """Control the simulator; afterwards nothing is held, faulty or pending."""
    async with ControlApi(system.backend.addresses.stripe_api) as opened:
        yield opened
        await opened.clear_webhook_rules()
        await opened.release_deliveries()
        await opened.clear_faults()
        system.proxies.reset()
        await opened.until_idle()


@pytest_asyncio.fixture(loop_scope="session")
async def purchases(system: System, control_api: ControlApi) -> Purchases:
    """Compare what was bought with what there was before the test."""
    return await Purchases.since_now(system)


@pytest.fixture
def details() -> PrivateDetails:
    """Return contact and address of the test's buyer."""
    return PrivateDetails()


@pytest_asyncio.fixture(loop_scope="session")
async def open_shop(
    browser: Browser, system: System, details: PrivateDetails, purchases: Purchases, request: pytest.FixtureRequest
) -> AsyncIterator[OpenShop]:
    """Return a function that opens the shop in a browser of its own. Afterwards each must have behaved."""
    addresses, opened = system.backend.addresses, list[Storefront]()
    gateway, stripe_api = addresses.gateways[0], addresses.stripe_api

    async def open_one() -> Storefront:
        context = await browser.new_context(locale="en-US", timezone_id="UTC")
        context.set_default_timeout(_WAIT_MILLISECONDS)
        recorder = Recorder(context, shop=gateway, stripe_api=stripe_api, private=details.canaries)
        await recorder.start()
        opened.append(Storefront(await context.new_page(), recorder, details, gateway))
        return await opened[-1].open()

    yield open_one
    try:
        for each in opened:
            if request.node.stash.get(_FAILED, False):
                await _print_pages(each)
            await each.recorder.check()
    finally:
        for each in opened:
            await each.page.context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def shop(open_shop: OpenShop) -> Storefront:
    """Open the shop as a guest."""
    return await open_shop()


async def _print_pages(storefront: Storefront) -> None:
    for page in storefront.page.context.pages:
        print(f"{page.url}\n{await page.locator('body').aria_snapshot()}")  # noqa: T201 - shown with the failure
