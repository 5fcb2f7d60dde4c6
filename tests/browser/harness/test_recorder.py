"""The recorder finds what it is there for."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route

from .private_details import PrivateDetails
from .recorder import Recorder

SHOP: Final = "http://shop.test"
SECRET: Final = "pi_1_secret_abc"


@pytest_asyncio.fixture(loop_scope="session")
async def details() -> PrivateDetails:
    """Return the buyer's details."""
    return PrivateDetails()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, details: PrivateDetails) -> AsyncIterator[Page]:
    """Open an empty page of a shop that answers everything."""
    async with await browser.new_context() as context:

        async def respond(route: Route) -> None:
            headers = {"Content-Security-Policy": "img-src 'none'"}
            await route.fulfill(body="<!doctype html>", content_type="text/html", headers=headers)

        await context.route("**/*", respond)
        yield await context.new_page()


@pytest_asyncio.fixture(loop_scope="session")
async def recorder(page: Page, details: PrivateDetails) -> Recorder:
    """Record what the page does."""
    recorder = Recorder(page.context, shop=SHOP, stripe_api="http://stripe.test", private=details.canaries)
    await recorder.start()
    await page.goto(SHOP)
    return recorder


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("console.error('oh')", "console error: oh"),
        ("console.warn('oh')", "console warning: oh"),
        ("setTimeout(() => { throw new Error('oh') })", "page error: oh"),
        ("document.body.append(Object.assign(new Image(), { src: '/x.png' }))", "Content Security Policy"),
        ("fetch('/api/orders', { method: 'POST', body: '$email' })", "carries email"),
        ("fetch('/api/orders?q=' + btoa('$line1'))", "carries line1"),
        ("fetch('/api/orders', { method: 'POST', body: 'pi_1_secret_abc' })", "carries a client secret"),
        ("history.replaceState(0, '', '/?payment_intent_client_secret=pi_1_secret_abc')", "in the address bar"),
        ("fetch('/api/stripe/initiate-checkout?q=$email', { method: 'POST' })", "carries email"),
        ("document.cookie = 'cart=1'", "cookie cart"),
        ("indexedDB.open('cart')", "database cart"),
        ("fetch('http://other.test/', { mode: 'no-cors' })", "request to another origin"),
        ("sessionStorage.setItem('cart', '1'); sessionStorage.removeItem('cart')", "sessionStorage was given cart"),
        ("sessionStorage.cart = '1'", "sessionStorage holds cart"),
        ("sessionStorage.setItem('checkoutAttemptId', '$name')", "sessionStorage holds no id"),
        ("localStorage.setItem('details', '$city')", "localStorage or address bar holds city"),
    ],
)
async def test_a_fault_is_found(
    page: Page, recorder: Recorder, details: PrivateDetails, script: str, fault: str
) -> None:
    """Each kind of fault fails the check."""
    for name in ("email", "name", "line1", "city"):
        script = script.replace(f"${name}", getattr(details, name).value)

    await page.evaluate(f"async () => {{ {script}; await new Promise((done) => setTimeout(done, 50)); }}")

    with pytest.raises(AssertionError, match=fault):
        await recorder.check()


async def test_what_is_allowed_passes(page: Page, recorder: Recorder, details: PrivateDetails) -> None:
    """Initiate carries the details, sessionStorage holds the id, and an expected message is no fault."""
    recorder.expect("oh dear")

    await page.evaluate(
        "(body) => { fetch('/api/stripe/initiate-checkout', { method: 'POST', body });"
        " sessionStorage.setItem('checkoutAttemptId', crypto.randomUUID?.() ?? '0b8f4e0e-6f5a-4a55-9a3e-6a2f0f1f7c1d');"
        " console.error('oh dear'); }",
        details.email.value,
    )

    await recorder.check()
