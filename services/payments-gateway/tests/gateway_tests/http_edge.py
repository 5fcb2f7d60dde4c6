"""The gateway's real HTTP edge over fakes, on a real server and a free port."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import jwt
import stripe
import uvicorn
from fastapi import APIRouter, FastAPI

from payments_gateway.access.client_addresses import ClientAddresses, Network
from payments_gateway.access.rate_limits import Rate, RateLimiter
from payments_gateway.access.tokens import SharedSecret, TokenKeys, TokenValidation, TokenVerifier
from payments_gateway.api.app import create_app
from payments_gateway.api.callers import AccessControl
from payments_gateway.api.checkout import checkout_routes
from payments_gateway.api.operations import operations_routes
from payments_gateway.api.orders import order_routes
from payments_gateway.api.shop import shop_routes
from payments_gateway.api.shop_bodies import ConfigBody
from payments_gateway.api.subscriptions import subscription_routes
from payments_gateway.api.webhook import webhook_routes
from payments_gateway.domain.intents import StripeIntent
from payments_gateway.stripe_api.webhooks import StripeWebhooks
from servicekit.health import Readiness

from .assembly import Gateway

INITIATE: Final = "/api/stripe/initiate-checkout"
WEBHOOK: Final = "/api/stripe/webhook"
JWT_SECRET: Final = "the-shop-signs-its-tokens-with-this"
WEBHOOK_SECRET: Final = "whsec_of_the_tests"
PORTAL_URL: Final = "https://billing.example/p/login/1"
SHOP_ORIGIN: Final = "https://shop.example"
AMPLE: Final = Rate(per_minute=1e6, burst=1_000_000)


@dataclass(frozen=True)
class Limits:
    """Rate limits, and the proxies that are trusted."""

    initiate_by_address: Rate = AMPLE
    initiate_by_user: Rate = AMPLE
    lookup_by_address: Rate = AMPLE
    trusted_proxies: tuple[Network, ...] = ()


@dataclass(frozen=True)
class Edge:
    """Parts of an app."""

    gateway: Gateway
    max_in_flight: int = 128
    deadline_seconds: float = 10.0
    allow_guests: bool = True
    keys: TokenKeys = field(default_factory=lambda: SharedSecret(JWT_SECRET))
    validation: TokenValidation = field(default_factory=TokenValidation)
    limits: Limits = Limits()
    refusal_pause_seconds: Callable[[], float] = lambda: 0.0
    more_routes: Sequence[APIRouter] = ()

    def app(self) -> FastAPI:
        """Build the app as the bootstrap does."""
        gateway = self.gateway
        return create_app(
            [
                checkout_routes(gateway.initiate, gateway.complete, gateway.statuses, gateway.ids),
                order_routes(gateway.orders),
                subscription_routes(gateway.subscriptions, gateway.open_payments, gateway.cancels, gateway.portal),
                webhook_routes(
                    StripeWebhooks([WEBHOOK_SECRET], now=gateway.clock.seconds), gateway.dispatcher, gateway.event_log
                ),
                shop_routes(
                    gateway.catalogue,
                    ConfigBody(
                        publishable_key="pk_test_1",
                        stripe_js_url="https://js.example/",
                        customer_portal_url=PORTAL_URL,
                    ),
                ),
                operations_routes(Readiness([gateway.catalogue.check_ready])),
                *self.more_routes,
            ],
            access_control=self._access_control(),
            customer_portal_url=PORTAL_URL,
            cors_origins=[SHOP_ORIGIN],
            max_in_flight=self.max_in_flight,
            deadline_seconds=self.deadline_seconds,
            refusal_pause_seconds=self.refusal_pause_seconds,
        )

    def _access_control(self) -> AccessControl:
        def limiter(name: str, rate: Rate) -> RateLimiter:
            return RateLimiter(name, rate, secret=b"of the tests", monotonic=self.gateway.clock.seconds)

        return AccessControl(
            verifier=TokenVerifier(self.keys, self.validation, allow_guests=self.allow_guests),
            addresses=ClientAddresses(self.limits.trusted_proxies),
            initiate_by_address=limiter("initiate_by_address", self.limits.initiate_by_address),
            initiate_by_user=limiter("initiate_by_user", self.limits.initiate_by_user),
            lookup_by_address=limiter("lookup_by_address", self.limits.lookup_by_address),
        )


@asynccontextmanager
async def served(edge: Edge) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve an edge on a free port and give a client of it."""
    # Started without uvicorn's own loop, whose ticks of a tenth of a second every test would wait for.
    server = uvicorn.Server(
        uvicorn.Config(
            edge.app(),
            host="127.0.0.1",
            port=0,
            http="httptools",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # as the gateway starts it: else uvicorn itself would believe X-Forwarded-For
        )
    )
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        for listener in server.servers:
            listener.close()
            await listener.wait_closed()
        if server.server_state.tasks:  # an answer is read before its file is closed
            await asyncio.wait(server.server_state.tasks, timeout=1)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)

    @property
    def kind(self) -> str:
        """The end of a problem's type; empty where the answer is no problem."""
        if self.headers["Content-Type"] != "application/problem+json":
            return ""
        return str(self.json["type"]).removeprefix("urn:holdfast:problem:")

    @property
    def fields(self) -> list[str]:
        """The fields that a problem names."""
        return [error["field"] for error in self.json["errors"]]


async def get(client: aiohttp.ClientSession, path: str, **headers: str) -> Answer:
    """Get a path."""
    return await ask(client, "GET", path, headers=headers)


async def post(client: aiohttp.ClientSession, path: str, body: Any, **headers: str) -> Answer:
    """Post a JSON body; header names are spelled with underscores."""
    return await post_raw(client, path, json.dumps(body).encode(), **headers)


async def post_raw(client: aiohttp.ClientSession, path: str, body: bytes, **headers: str) -> Answer:
    """Post bytes as JSON, whatever they are."""
    return await ask(client, "POST", path, body=body, headers={"Content-Type": "application/json", **headers})


async def ask(
    client: aiohttp.ClientSession,
    method: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a request; underscores in header names become dashes."""
    spelled = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
    data = None if body is None else io.BytesIO(body)  # aiohttp warns of large bytes
    async with client.request(method, path, data=data, headers=spelled) as response:
        return Answer(response.status, response.headers, await response.text())


def token_for(user_id: str) -> str:
    """Return the Authorization header of a signed-in user."""
    claims = {"sub": user_id, "exp": time.time() + 600}
    return "Bearer " + jwt.encode(claims, JWT_SECRET, algorithm="HS256")


def event_body(intent: StripeIntent, **changes: Any) -> bytes:
    """Return the body of Stripe's event for an intent that succeeded; changes replace fields of the event."""
    assert intent.received is not None
    shown = {
        "object": "payment_intent",
        "id": intent.ref.id,
        "created": int(intent.created_at.timestamp()),
        "status": intent.status.value,
        "metadata": {"checkoutAttemptId": intent.attempt_id} if intent.attempt_id else {},
        "amount_received": intent.received.minor_units,
        "currency": intent.received.currency,
        "livemode": intent.livemode,
        "client_secret": intent.client_secret,
    }
    event = {
        "id": "evt_1",
        "object": "event",
        "api_version": stripe.api_version,
        "type": "payment_intent.succeeded",
        "created": 1_900_000_000,
        "data": {"object": shown},
    }
    return json.dumps({**event, **changes}).encode()


def signature_of(body: bytes, at_seconds: float, secret: str = WEBHOOK_SECRET) -> str:
    """Sign a delivery as Stripe does."""
    return str(stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(at_seconds)))


async def deliver(client: aiohttp.ClientSession, gateway: Gateway, body: bytes) -> Answer:
    """Deliver a signed webhook."""
    return await post_raw(client, WEBHOOK, body, Stripe_Signature=signature_of(body, gateway.clock.seconds()))
