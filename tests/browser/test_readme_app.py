"""The app of the package's README, built as an outsider builds it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.e2e.harness.system import System

from .harness.private_details import PrivateDetails
from .harness.purchases import Purchases
from .harness.recorder import Recorder
from .harness.storefront import DECLINED, GOOD_CARD

_ROOT: Final = Path(__file__).parents[2]
_BUILD: Final = _ROOT / "frontend" / "examples" / "readme-app" / "build.mjs"
_BUILD_SECONDS: Final = 110.0
_MUG_PRICE: Final = 1800


def _build(gateway: str, price_id: str, stripe_js: str) -> Path:
    """Build the README's code with the package as npm would publish it; return the folder."""
    programs = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    command = [str(programs / "node"), str(_BUILD), gateway, price_id, stripe_js]
    built = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False, env=env)
    assert built.returncode == 0, f"the README's app was not built:\n{built.stdout}{built.stderr}"
    return Path(built.stdout.strip())


@pytest_asyncio.fixture(loop_scope="session")
async def readme_app(system: System) -> AsyncIterator[str]:
    """Let the gateway serve the README's app instead of the shop, and the shop again afterwards."""
    addresses, backend = system.backend.addresses, system.backend
    shop = backend.settings_of("gateway")["STOREFRONT_DIR"]
    gateway = addresses.gateways[0]
    price = backend.catalogue.prices["mug"]
    folder = await asyncio.to_thread(_build, gateway, price, f"{addresses.stripe_api}/stripe.js")
    await backend.restart("gateway", {"STOREFRONT_DIR": str(folder)})
    yield gateway
    await backend.restart("gateway", {"STOREFRONT_DIR": shop})


@pytest.mark.quick
async def test_the_readmes_app_buys(
    readme_app: str, system: System, browser: Browser, purchases: Purchases, details: PrivateDetails
) -> None:
    """A declined card and then a good one become one order, on the pages that 30 lines make."""
    context = await browser.new_context()
    stripe_api = system.backend.addresses.stripe_api
    recorder = Recorder(context, shop=readme_app, stripe_api=stripe_api, private=details.canaries)
    recorder.expect_status(402)
    await recorder.start()
    page = await context.new_page()

    await page.goto(readme_app)
    await page.get_by_label("Name").fill(details.name.value)
    await page.get_by_label("E-mail").fill(details.email.value)
    await page.get_by_role("button", name="Continue to payment").click()
    pay = page.get_by_role("button", name="Pay", exact=True)
    await page.get_by_label("Card number").fill(DECLINED)
    await pay.click()
    await expect(page.get_by_role("alert").filter(has_text="not been charged")).to_be_visible()
    await page.get_by_label("Card number").fill(GOOD_CARD)
    await pay.click()

    confirmation = page.get_by_role("status")
    await expect(confirmation).to_contain_text("Thank you Your purchase is complete.")
    order = await purchases.are_one_order(_MUG_PRICE)
    await expect(confirmation).to_contain_text(order["number"])
    await recorder.check()
    await context.close()
