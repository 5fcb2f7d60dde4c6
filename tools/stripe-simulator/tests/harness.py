"""What the tests share: a simulator with its official client, its knobs, and a webhook receiver."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import stripe
from aiohttp import web

from stripe_simulator import Simulator

CHECKOUT: dict[str, Any] = {"amount": 1999, "currency": "usd", "metadata": {"checkoutAttemptId": "an-attempt"}}
HELD_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Received:
    """One webhook request as it arrived."""

    body: bytes
    headers: Mapping[str, str]
    event: dict[str, Any]


class Receiver:
    """A webhook endpoint on loopback; answers the statuses it is told, then 200."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.statuses: list[int] = []
        self.pause_seconds = 0.0
        self.url = ""

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
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"http://127.0.0.1:{port}/webhook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class Stage:
    """A running simulator, clients for both of its keys, and its knobs over HTTP."""

    simulator: Simulator
    session: aiohttp.ClientSession
    stripe: stripe.StripeClient
    browser: stripe.StripeClient

    async def knob(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """Turn a knob and answer its JSON; the status must be the expected one."""
        url = f"{self.simulator.url}/_simulator{path}"
        async with self.session.request(method, url, json=body) as response:
            assert response.status == status, await response.text()
            return await response.json()

    async def raw(self, method: str, path: str, **request: Any) -> tuple[int, Any, Mapping[str, str]]:
        """Send a plain HTTP request with the secret key, unless it brings headers of its own."""
        headers = request.pop("headers", {"Authorization": f"Bearer {self.simulator.settings.secret_key}"})
        async with self.session.request(method, self.simulator.url + path, headers=headers, **request) as response:
            return response.status, await response.json(), response.headers

    async def subscribe(self, receiver: Receiver, *events: str) -> stripe.WebhookEndpoint:
        """Register the receiver for some events, or for all of them."""
        wanted: Any = list(events) or ["*"]
        return await self.stripe.v1.webhook_endpoints.create_async({"url": receiver.url, "enabled_events": wanted})

    async def intent(self, **changes: Any) -> stripe.PaymentIntent:
        """Create a payment intent as the gateway does, with some parameters changed."""
        params: Any = CHECKOUT | changes
        return await self.stripe.v1.payment_intents.create_async(params)

    async def pay(self, intent_id: str, **payment: Any) -> Any:
        """Pay as a buyer's browser would."""
        return await self.knob("POST", f"/payment_intents/{intent_id}/pay", payment)

    async def settled(self) -> None:
        """Wait until no webhook is on its way."""
        await self.knob("GET", "/webhooks/idle?timeout=10")

    async def event_types(self) -> list[str]:
        """Answer the types of all events, oldest first."""
        page = await self.stripe.v1.events.list_async({"limit": 100})
        return [event.type for event in reversed(page.data)]


def client(simulator: Simulator, session: aiohttp.ClientSession, key: str) -> stripe.StripeClient:
    """Make the official client, exactly as a service would."""
    http_client = stripe.AIOHTTPClient(session=session)
    return stripe.StripeClient(key, base_addresses={"api": simulator.url}, http_client=http_client)


async def eventually(check: Callable[[], bool]) -> None:
    """Wait until something is true, for a few seconds at most."""
    deadline = time.monotonic() + HELD_SECONDS
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)
