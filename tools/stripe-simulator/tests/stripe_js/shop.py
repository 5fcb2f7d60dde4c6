"""A tab with a page that uses Stripe.js, as tests drive it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from playwright.async_api import Page, expect

from stripe_simulator.testing import SimulatedStripe


@dataclass(frozen=True, slots=True)
class Shop:
    """A tab with the page, and the simulator behind it."""

    sim: SimulatedStripe
    page: Page
    url: str

    async def open(self, intent: Any = None, **query: str) -> Any:
        """Open the page for an intent, by default a payment of USD 19.99, and wait for the form. Return the intent."""
        intent = intent or await self.sim.intent()
        await self.page.goto(f"{self.url}?{urlencode({'secret': intent.client_secret, **query})}")
        await expect(self.page.locator(".loading")).to_have_count(0)
        return intent

    async def setup_intent(self) -> Any:
        """Create a setup intent for a new customer."""
        customer = await self.sim.api.v1.customers.create_async({})
        return await self.sim.api.v1.setup_intents.create_async({"customer": customer.id})

    async def fill(self, test_value: str) -> None:
        """Press a button of the hint."""
        await self.page.get_by_role("button", name=test_value).click()

    async def choose(self, method: str) -> None:
        """Choose a payment method."""
        await self.page.get_by_role("radio", name=method).check()

    async def press(self, button: str) -> None:
        """Press a button."""
        await self.page.get_by_role("button", name=button, exact=True).click()

    async def expect_outcome(self, outcome: str) -> Any:
        """Wait for what confirming comes to: a status, or the most specific code of the error. Return the answer."""
        await expect(self.page.locator("output")).to_have_text(outcome)
        return await self.page.evaluate("answer")

    async def events(self, name: str, kind: str) -> list[Any]:
        """Return the events of an element, by type."""
        told: list[list[Any]] = await self.page.evaluate("events")
        return [event for element, of_type, event in told if (element, of_type) == (name, kind)]

    async def thrown(self, expression: str) -> str:
        """Evaluate JavaScript and return what it throws."""
        script = f"(async () => {expression})().then(() => 'nothing', (error) => `${{error.name}}: ${{error.message}}`)"
        thrown: str = await self.page.evaluate(script)
        return thrown

    async def confirms(self, intent: Any) -> list[Any]:
        """Return the parameters of the confirm calls that the simulator received."""
        path = f"/v1/{intent.object}s/{intent.id}/confirm"
        received = await self.sim.control("GET", f"/requests?path={path}")
        return [request["params"] for request in received["data"]]
