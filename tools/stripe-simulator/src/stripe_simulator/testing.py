"""Test support: a simulator with official clients and its control API, and a webhook receiver.

async with simulated_stripe() as sim:
    intent = await sim.intent(amount=500)
    await sim.pay(intent.id)
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import stripe
from aiohttp import web

from stripe_simulator.api import Observer
from stripe_simulator.rate_limits import UNLIMITED
from stripe_simulator.settings import QuickRetries, SimulatorSettings, WebhookSettings
from stripe_simulator.simulator import Simulator
from stripe_simulator.strict_mode import strict_mode

CHECKOUT: Final[dict[str, Any]] = {
    "amount": 1999,
    "currency": "usd",
    "metadata": {"checkoutAttemptId": "an-attempt"},
}
FAST_WEBHOOKS: Final = WebhookSettings(
    quick_retries=QuickRetries(backoff_base_seconds=0.005, backoff_max_seconds=0.02, max_attempts=5)
)
SETTINGS: Final = SimulatorSettings(seed=7, webhooks=FAST_WEBHOOKS, rate_limits=UNLIMITED)
_SHUTDOWN_SECONDS: Final = 0.1


class UnexpectedStatus(AssertionError):
    """The control API responded with another status than the test expected."""


@dataclass(frozen=True, slots=True)
class Received:
    """One received webhook."""

    body: bytes
    headers: Mapping[str, str]
    event: dict[str, Any]


class Receiver:
    """A webhook endpoint on loopback. It responds with the given `statuses`, after a pause, then with 200."""

    def __init__(self, url: str = "") -> None:
        self.received: list[Received] = []
        self.statuses: list[int] = []
        self.pause_seconds = 0.0
        self.url = url

    async def handle(self, request: web.Request) -> web.Response:
        """Record a webhook and respond."""
        body = await request.read()
        self.received.append(Received(body, dict(request.headers), await request.json()))
        await asyncio.sleep(self.pause_seconds)
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    def types(self) -> list[str]:
        """Return the types of the received events, in order of arrival."""
        return [each.event["type"] for each in self.received]


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[Receiver]:
    """Run a receiver on a free port."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/webhook", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class SimulatedStripe:
    """A running simulator with official clients for its secret and its publishable key, and its control API."""

    simulator: Simulator
    session: aiohttp.ClientSession
    api: stripe.StripeClient
    browser: stripe.StripeClient

    async def control(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """Call the control API and return its JSON. Raises UnexpectedStatus."""
        url = f"{self.simulator.url}/_simulator{path}"
        async with self.session.request(method, url, json=body) as response:
            if response.status != status:
                raise UnexpectedStatus(f"{method} {path}: {response.status} {await response.text()}")
            return await response.json()

    async def raw(self, method: str, path: str, **request: Any) -> tuple[int, Any, Mapping[str, str]]:
        """Send a plain HTTP request, by default with the secret key. Return status, JSON and headers."""
        headers = request.pop("headers", {"Authorization": f"Bearer {self.simulator.settings.secret_key}"})
        async with self.session.request(method, self.simulator.url + path, headers=headers, **request) as response:
            return response.status, await response.json(), response.headers

    async def subscribe(self, receiver: Receiver, *events: str) -> stripe.WebhookEndpoint:
        """Register a webhook receiver, for some events or for all."""
        wanted: Any = list(events) or ["*"]
        return await self.api.v1.webhook_endpoints.create_async({"url": receiver.url, "enabled_events": wanted})

    async def intent(self, **changes: Any) -> stripe.PaymentIntent:
        """Create a payment intent as the gateway does, with some parameters changed."""
        params: Any = CHECKOUT | changes
        return await self.api.v1.payment_intents.create_async(params)

    async def pay(self, intent_id: str, **payment: Any) -> Any:
        """Pay as a buyer's browser does, with the parameters of `buyer.Payment`."""
        return await self.control("POST", f"/payment_intents/{intent_id}/pay", payment)

    async def saved_card(self, like: str = "pm_card_visa") -> tuple[str, str]:
        """Create a customer with a saved card. Return the ids of the customer and of the payment method."""
        customer = await self.api.v1.customers.create_async({})
        return customer.id, await self.save_card(customer.id, like)

    async def save_card(self, customer_id: str, like: str = "pm_card_visa") -> str:
        """Save a card of a customer. Return the id of the payment method."""
        intent = await self.api.v1.setup_intents.create_async({"customer": customer_id})
        payment = {"payment_method": like, "challenge": "pass"}
        await self.control("POST", f"/setup_intents/{intent.id}/pay", payment)
        done = await self.api.v1.setup_intents.retrieve_async(intent.id)
        return str(done.payment_method)

    async def recurring_price(self, unit_amount: int = 1200, interval: str = "month", **more: Any) -> str:
        """Create a recurring price and return its id."""
        params: Any = {
            "currency": "usd",
            "unit_amount": unit_amount,
            "recurring": {"interval": interval, **more},
            "product_data": {"name": "A plan"},
        }
        return (await self.api.v1.prices.create_async(params)).id

    async def subscription(self, like: str = "pm_card_visa", **changes: Any) -> stripe.Subscription:
        """Create a monthly subscription for a new customer with a saved card, with some parameters changed."""
        customer, method = await self.saved_card(like)
        params: Any = {
            "customer": customer,
            "default_payment_method": method,
            "items": [{"price": await self.recurring_price()}],
            "expand": ["latest_invoice.confirmation_secret"],
        }
        return await self.api.v1.subscriptions.create_async(params | changes)

    async def later(self, *, days: float = 0.0, hours: float = 0.0) -> None:
        """Advance the simulated clock."""
        await self.control("POST", "/clock/advance", {"seconds": (days * 24 + hours) * 3600})

    async def wait_until_idle(self) -> None:
        """Wait until no webhook delivery is in progress."""
        await self.control("GET", "/webhooks/idle?timeout=10")

    async def event_types(self) -> list[str]:
        """Return the types of the newest hundred events, oldest first."""
        return [event["type"] for event in await self.events()]

    async def events(self, *types: str) -> list[dict[str, Any]]:
        """Return the newest hundred events, of these types or of all, oldest first."""
        params: Any = {"limit": 100, "types": list(types)} if types else {"limit": 100}
        page = await self.api.v1.events.list_async(params)
        return [event.to_dict() for event in reversed(page.data)]


def official_client(simulator: Simulator, session: aiohttp.ClientSession, key: str) -> stripe.StripeClient:
    """Build the official client as a service does."""
    http_client = stripe.AIOHTTPClient(session=session)
    return stripe.StripeClient(key, base_addresses={"api": simulator.url}, http_client=http_client)


@asynccontextmanager
async def simulated_stripe(
    settings: SimulatorSettings = SETTINGS, observe: Observer | None = None
) -> AsyncIterator[SimulatedStripe]:
    """Run a simulator with clients for it. Raises ScheduledActionsFailed at the end if an action has failed."""
    async with Simulator(settings, observe or strict_mode()) as simulator, aiohttp.ClientSession() as session:
        yield SimulatedStripe(
            simulator=simulator,
            session=session,
            api=official_client(simulator, session, settings.secret_key),
            browser=official_client(simulator, session, settings.publishable_key),
        )
        simulator.state.account.scheduler.require_no_failures()
