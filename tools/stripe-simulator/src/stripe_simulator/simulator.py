"""The simulator: builds, starts and stops its parts."""

import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from stripe_simulator.account import Account
from stripe_simulator.api import Api, Observer
from stripe_simulator.api_keys import ApiKeys
from stripe_simulator.billing.payments import on_intent_changed
from stripe_simulator.clock import Clock
from stripe_simulator.control_api import control_routes
from stripe_simulator.endpoints import Router
from stripe_simulator.expansion import Expander
from stripe_simulator.faults import Faults
from stripe_simulator.idempotency import IdempotencyKeys
from stripe_simulator.payment_flow import INTENTS
from stripe_simulator.rate_limits import RateLimiter
from stripe_simulator.registry import RESOURCES
from stripe_simulator.request_log import RequestLog
from stripe_simulator.settings import SimulatorSettings
from stripe_simulator.state import State
from stripe_simulator.stripe_js import stripe_js
from stripe_simulator.webhooks.sender import WebhookSender

_access_log = logging.getLogger("stripe_simulator.access")
_ROUTER = Router(RESOURCES)
_EXPANDER = Expander(RESOURCES)
_COLLECTIONS = {resource.collection: resource.kind for resource in RESOURCES}
_SHUTDOWN_SECONDS = 0.5


class Simulator:
    """A simulated Stripe. Use it as an async context manager, or `start` and `stop` it.

    `state` holds all its data; `reset` replaces it. While `preparing` is true, the health check responds 503. `observe`
    sees all that it answers and sends.
    """

    def __init__(self, settings: SimulatorSettings | None = None, observe: Observer | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self._observe = observe
        self.url = ""
        self.preparing = False
        self.state: State
        self._session: aiohttp.ClientSession
        self._runner: web.AppRunner

    async def start(self) -> None:
        """Start listening and set `url`."""
        listener = socket.create_server((self.settings.host, self.settings.port), backlog=1024)
        host, port = listener.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        # Servers close idle connections after some seconds. A delivery on one at that moment would fail.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=1.0)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        self.state = self._new_state()
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def stop(self) -> None:
        """Stop at once: release held requests and abandon deliveries."""
        await self._discard_state()
        await self._runner.cleanup()
        await self._session.close()

    async def reset(self) -> None:
        """Discard all objects, webhook endpoints included, and start again with the same seed.

        Raises ScheduledActionsFailed if an action had failed before.
        """
        before = self.state.account.scheduler
        await self._discard_state()
        self.state = self._new_state()
        before.require_no_failures()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _new_state(self) -> State:
        clock = Clock()
        account = Account(self.settings, clock, _COLLECTIONS)
        webhooks = WebhookSender(account, self.settings.webhooks, self._session)
        if self._observe:
            account.subscribe(self._observe)
        account.subscribe(webhooks.dispatch)
        account.acknowledged_at = webhooks.acknowledged_at
        account.watch(INTENTS, partial(on_intent_changed, account))
        faults, requests = Faults(), RequestLog()
        keys = ApiKeys(self.settings)
        rate_limiter = RateLimiter(self.settings.rate_limits_in_force)
        api = Api(
            account=account,
            router=_ROUTER,
            expander=_EXPANDER,
            keys=keys,
            rate_limiter=rate_limiter,
            idempotency=IdempotencyKeys(clock),
            faults=faults,
            requests=requests,
            url=self.url,
            observe=self._observe,
        )
        return State(account, webhooks, faults, keys, rate_limiter, requests, api)

    async def _discard_state(self) -> None:
        self.state.faults.clear()
        self.state.account.scheduler.clear()
        await self.state.webhooks.stop()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[_log_access], client_max_size=1024**2)
        app.add_routes(control_routes(self))
        app.router.add_get("/stripe.js", _serve_stripe_js)
        app.router.add_route("OPTIONS", "/v1/{rest:.*}", _allow_cors)
        app.router.add_route("*", "/{rest:.*}", self._handle_api)
        return app

    async def _handle_api(self, request: web.Request) -> web.StreamResponse:
        return await self.state.api.handle(request)


async def _allow_cors(_: web.Request) -> web.Response:
    """Answer a CORS preflight. Pages of any origin may call, as at Stripe."""
    return web.Response(
        status=200,
        headers={
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Methods": "GET, POST, HEAD, OPTIONS, DELETE",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Stripe-Version",
            "Access-Control-Max-Age": "300",
        },
    )


async def _serve_stripe_js(_: web.Request) -> web.Response:
    """Serve the stand-in for Stripe.js. Pages of any origin may load it."""
    headers = {"Cache-Control": "no-cache", "Cross-Origin-Resource-Policy": "cross-origin"}
    response = web.Response(text=stripe_js(), content_type="text/javascript", charset="utf-8", headers=headers)
    response.enable_compression()
    return response


@web.middleware
async def _log_access(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Log method, path and status, but no query or body: they contain secrets and personal data (P7)."""
    started = time.perf_counter()
    response = await handler(request)
    _access_log.info(
        "request",
        extra={
            "http": {
                "method": request.method,
                "path": request.path,
                "status": response.status,
                "milliseconds": round((time.perf_counter() - started) * 1000, 1),
                "request_id": response.headers.get("Request-Id"),
            }
        },
    )
    return response


@asynccontextmanager
async def start_simulator(settings: SimulatorSettings | None = None) -> AsyncIterator[Simulator]:
    """Run a simulator in this process during the block."""
    async with Simulator(settings) as simulator:
        yield simulator
