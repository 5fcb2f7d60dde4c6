"""Puts a simulator together, starts and stops it."""

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

from stripe_simulator import billing
from stripe_simulator.access import ApiKeys
from stripe_simulator.account import Account
from stripe_simulator.api import Api
from stripe_simulator.clock import Clock
from stripe_simulator.control_api import control_routes
from stripe_simulator.endpoints import Router
from stripe_simulator.expansion import Expander
from stripe_simulator.faults import Faults
from stripe_simulator.idempotency import IdempotencyKeys
from stripe_simulator.payment_flow import INTENTS
from stripe_simulator.registry import RESOURCES
from stripe_simulator.request_log import RequestLog
from stripe_simulator.settings import SimulatorSettings
from stripe_simulator.state import State
from stripe_simulator.webhooks.sender import WebhookSender

_access_log = logging.getLogger("stripe_simulator.access")
_ROUTER = Router(RESOURCES)
_EXPANDER = Expander(RESOURCES)
_COLLECTIONS = {resource.collection: resource.kind for resource in RESOURCES}
_GRACE_SECONDS = 0.5


class Simulator:
    """A running stand-in for Stripe. Use as an async context manager, or `start` and `stop` it.

    `world` is everything it knows; `reset` begins a new one. While it is `preparing` it says that it is not up yet.
    """

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self.url = ""
        self.preparing = False
        self.state: State
        self._session: aiohttp.ClientSession
        self._runner: web.AppRunner

    async def start(self) -> None:
        """Listen; afterwards `url` says where."""
        listener = socket.create_server((self.settings.host, self.settings.port), backlog=1024)
        host, port = listener.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        # Servers close what was idle for some seconds; a delivery that is sent in that very moment would fail.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=1.0)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        self.state = self._new_state()
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=_GRACE_SECONDS)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def stop(self) -> None:
        """Stop at once: held requests are released, deliveries given up."""
        await self._discard_state()
        await self._runner.cleanup()
        await self._session.close()

    async def reset(self) -> None:
        """Forget everything, webhook endpoints included, and begin again with the same seed."""
        await self._discard_state()
        self.state = self._new_state()

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
        account.silence(webhooks.rules.silences)
        account.subscribe(webhooks.dispatch)
        account.watch(INTENTS, partial(billing.intent_changed, account))
        idempotency, faults, requests = IdempotencyKeys(clock), Faults(), RequestLog()
        api = Api(
            account=account,
            router=_ROUTER,
            expander=_EXPANDER,
            keys=ApiKeys(self.settings),
            idempotency=idempotency,
            faults=faults,
            requests=requests,
            url=self.url,
        )
        return State(account, webhooks, idempotency, faults, requests, api)

    async def _discard_state(self) -> None:
        self.state.faults.clear()
        self.state.account.scheduler.clear()
        await self.state.webhooks.stop()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[_log_access], client_max_size=1024**2)
        app.add_routes(control_routes(self))
        app.router.add_route("OPTIONS", "/v1/{rest:.*}", _allow_browsers)
        app.router.add_route("*", "/{rest:.*}", self._answer_api)
        return app

    async def _answer_api(self, request: web.Request) -> web.StreamResponse:
        return await self.state.api.handle(request)


async def _allow_browsers(_: web.Request) -> web.Response:
    """Answer a browser's preflight: pages of any origin may call, as at Stripe."""
    return web.Response(
        status=200,
        headers={
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Methods": "GET, POST, HEAD, OPTIONS, DELETE",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Stripe-Version",
            "Access-Control-Max-Age": "300",
        },
    )


@web.middleware
async def _log_access(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Log method, path and status: never query strings or bodies, which carry secrets and personal data."""
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
    """Run a simulator in this process for as long as the block lasts."""
    async with Simulator(settings) as simulator:
        yield simulator
