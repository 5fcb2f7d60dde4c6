"""For tests that need Stripe: a simulator with official clients and its knobs, and a webhook receiver.

async with simulated_stripe() as stage:
intent = await stage.intent(amount=500)
await stage.pay(intent.id)
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import stripe
from aiohttp import web

from stripe_simulator.settings import SimulatorSettings, WebhookSettings
from stripe_simulator.simulator import Simulator

CHECKOUT: dict[str, Any] = {"amount": 1999, "currency": "usd", "metadata": {"checkoutAttemptId": "an-attempt"}}
FAST_WEBHOOKS = WebhookSettings(
    backoff_base_seconds=0.005, backoff_max_seconds=0.02, max_attempts=5, timeout_seconds=20
)
SETTINGS = SimulatorSettings(seed=7, webhooks=FAST_WEBHOOKS)
_GRACE_SECONDS = 0.1


class UnexpectedAnswer(AssertionError):
    """A knob answered another status than the test expected."""


@dataclass(frozen=True, slots=True)
class Received:
    """One webhook request as it arrived."""

    body: bytes
    headers: Mapping[str, str]
    event: dict[str, Any]


class Receiver:
    """A webhook endpoint on loopback; answers the statuses it is told, after a pause, then 200."""

    def __init__(self, url: str = "") -> None:
        self.received: list[Received] = []
        self.statuses: list[int] = []
        self.pause_seconds = 0.0
        self.url = url

    async def handle(self, request: web.Request) -> web.Response:
        """Remember a webhook and answer."""
        body = await request.read()
        self.received.append(Received(body, dict(request.headers), await request.json()))
        await asyncio.sleep(self.pause_seconds)
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    def types(self) -> list[str]:
        """Answer the types of the events received, in order of arrival."""
        return [each.event["type"] for each in self.received]


@asynccontextmanager
async def listening() -> AsyncIterator[Receiver]:
    """Run a receiver on a free port."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/webhook", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_SECONDS)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class SimulatedStripe:
    """A running simulator, the official client with its secret and its publishable key, and its knobs over HTTP."""

    simulator: Simulator
    session: aiohttp.ClientSession
    api: stripe.StripeClient
    browser: stripe.StripeClient

    async def control(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """Turn a knob and answer its JSON; raise UnexpectedAnswer unless the status is the expected one."""
        url = f"{self.simulator.url}/_simulator{path}"
        async with self.session.request(method, url, json=body) as response:
            if response.status != status:
                raise UnexpectedAnswer(f"{method} {path}: {response.status} {await response.text()}")
            return await response.json()

    async def raw(self, method: str, path: str, **request: Any) -> tuple[int, Any, Mapping[str, str]]:
        """Send a plain HTTP request with the secret key, unless it brings headers of its own."""
        headers = request.pop("headers", {"Authorization": f"Bearer {self.simulator.settings.secret_key}"})
        async with self.session.request(method, self.simulator.url + path, headers=headers, **request) as response:
            return response.status, await response.json(), response.headers

    async def subscribe(self, receiver: Receiver, *events: str) -> stripe.WebhookEndpoint:
        """Register the receiver for some events, or for all of them."""
        wanted: Any = list(events) or ["*"]
        return await self.api.v1.webhook_endpoints.create_async({"url": receiver.url, "enabled_events": wanted})

    async def intent(self, **changes: Any) -> stripe.PaymentIntent:
        """Create a payment intent as the gateway does, with some parameters changed."""
        params: Any = CHECKOUT | changes
        return await self.api.v1.payment_intents.create_async(params)

    async def pay(self, intent_id: str, **payment: Any) -> Any:
        """Pay as a buyer's browser would; see `buyer.Payment` for what can be given."""
        return await self.control("POST", f"/payment_intents/{intent_id}/pay", payment)

    async def saved_card(self, like: str = "pm_card_visa") -> tuple[str, str]:
        """Make a customer who has set a card up; answer the ids of the customer and the payment method."""
        customer = await self.api.v1.customers.create_async({})
        intent = await self.api.v1.setup_intents.create_async({"customer": customer.id})
        payment = {"payment_method": like, "challenge": "pass"}
        await self.control("POST", f"/setup_intents/{intent.id}/pay", payment)
        done = await self.api.v1.setup_intents.retrieve_async(intent.id)
        return customer.id, str(done.payment_method)

    async def plan(self, unit_amount: int = 1200, interval: str = "month", **more: Any) -> str:
        """Make a recurring price; answer its id."""
        params: Any = {
            "currency": "usd",
            "unit_amount": unit_amount,
            "recurring": {"interval": interval, **more},
            "product_data": {"name": "A plan"},
        }
        return (await self.api.v1.prices.create_async(params)).id

    async def subscription(self, like: str = "pm_card_visa", **changes: Any) -> stripe.Subscription:
        """Subscribe a new customer with a saved card to a monthly plan, with some parameters changed."""
        customer, method = await self.saved_card(like)
        params: Any = {
            "customer": customer,
            "default_payment_method": method,
            "items": [{"price": await self.plan()}],
            "expand": ["latest_invoice.confirmation_secret"],
        }
        return await self.api.v1.subscriptions.create_async(params | changes)

    async def settled(self) -> None:
        """Wait until no webhook is on its way."""
        await self.control("GET", "/webhooks/idle?timeout=10")

    async def event_types(self) -> list[str]:
        """Answer the types of the newest hundred events, oldest first."""
        page = await self.api.v1.events.list_async({"limit": 100})
        return [event.type for event in reversed(page.data)]


def client(simulator: Simulator, session: aiohttp.ClientSession, key: str) -> stripe.StripeClient:
    """Make the official client, exactly as a service would."""
    http_client = stripe.AIOHTTPClient(session=session)
    return stripe.StripeClient(key, base_addresses={"api": simulator.url}, http_client=http_client)


@asynccontextmanager
async def simulated_stripe(settings: SimulatorSettings = SETTINGS) -> AsyncIterator[SimulatedStripe]:
    """Run a simulator with clients for it."""
    async with Simulator(settings) as simulator, aiohttp.ClientSession() as session:
        yield SimulatedStripe(
            simulator=simulator,
            session=session,
            api=client(simulator, session, settings.secret_key),
            browser=client(simulator, session, settings.publishable_key),
        )
