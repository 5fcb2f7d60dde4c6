"""The stand-in for Stripe.js in Chromium, on a page with a strict Content-Security-Policy."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser

from stripe_simulator.testing import SimulatedStripe, simulated_stripe
from tests.browser.harness.chromium import running_chromium

from .shop import Shop

_FILES: Final = Path(__file__).parent / "page"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests here, and run each file in one event loop, in which its browser and simulator live."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Run Chromium."""
    async with running_chromium() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim() -> AsyncIterator[SimulatedStripe]:
    """Run one simulator for all tests."""
    async with simulated_stripe() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page_url(sim: SimulatedStripe) -> AsyncIterator[str]:
    """Serve the page, as strictly as a careful shop does."""
    stripe = sim.simulator.url
    policy = (
        f"default-src 'none'; script-src 'self' {stripe}; style-src 'self'; connect-src 'self' {stripe}; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )

    async def serve(request: web.Request) -> web.Response:
        name = request.path.strip("/") or "index.html"
        text = (_FILES / name).read_text().replace("{STRIPE_JS}", f"{stripe}/stripe.js") if "." in name else ""
        kind = {"css": "text/css", "js": "text/javascript"}.get(name.rpartition(".")[2], "text/html")
        return web.Response(text=text, content_type=kind, headers={"Content-Security-Policy": policy})

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module")
async def shop(browser: Browser, sim: SimulatedStripe, page_url: str) -> AsyncIterator[Shop]:
    """Open a tab. Afterwards nothing was thrown unnoticed, and the policy was never violated."""
    thrown: list[str] = []
    async with await browser.new_context(locale="en-US") as context:
        context.set_default_timeout(5000)
        page = await context.new_page()
        page.on("pageerror", lambda error: thrown.append(str(error)))
        yield Shop(sim, page, page_url)
        assert thrown == []
        assert await page.evaluate("window.violations ?? []") == []
    await sim.control("DELETE", "/faults")
