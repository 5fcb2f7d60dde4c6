"""A server that gives Stripe's library prepared responses over loopback, and records its requests."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import stripe
from aiohttp import web

from payments_gateway.stripe_api.http import StripeHttp
from payments_gateway.stripe_api.rate_limiter import Priority, RequestRates, StripeLimiter

from .samples import ATTEMPT_ID, INTENT_CREATED_AT

stripe.enable_telemetry = False  # it writes a file


@dataclass(frozen=True)
class Sent:
    """A received request."""

    method: str
    path: str
    fields: Mapping[str, str]
    """Fields of the query or of the form."""
    headers: Mapping[str, str]


@dataclass
class StripeStandIn:
    """Gives the prepared responses in order."""

    client: stripe.StripeClient
    limiter: StripeLimiter
    sent: list[Sent] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)

    def answer(self, body: Mapping[str, Any], *, status: int = 200, **headers: str) -> None:
        """Prepare a response; underscores in header names become dashes."""
        spelled = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append(web.json_response(body, status=status, headers=spelled))

    def page(self, status: int, **headers: str) -> None:
        """Prepare a page of HTML, as a proxy would send."""
        spelled = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append(
            web.Response(text="<html></html>", status=status, content_type="text/html", headers=spelled)
        )

    def refuse(self, status: int, kind: str, code: str | None = None, **headers: str) -> None:
        """Prepare an error in Stripe's envelope, whose message quotes the request."""
        error = {"type": kind, "code": code, "message": "No such thing: ada@example.com"}
        self.answer({"error": error}, status=status, **headers)


def roomy_limiter() -> StripeLimiter:
    """Return a limiter that never waits."""
    return limiter_of_slots(100)


def limiter_of_slots(max_concurrent: int) -> StripeLimiter:
    """Return a limiter of so many slots, and of high rates."""
    return StripeLimiter(
        max_concurrent=max_concurrent,
        rates=RequestRates(total=10_000, operation=10_000),
        max_wait_seconds=5,
        monotonic=time.monotonic,
    )


def stripe_client(
    url: str,
    session: aiohttp.ClientSession,
    limiter: StripeLimiter,
    *,
    key: str = "sk_test_1",
    max_retries: int = 0,
    timeout_seconds: float = 5.0,
    budget_seconds: float = 10.0,
) -> stripe.StripeClient:
    """Return a client of the server at a URL, built as the bootstrap builds it, with the shortest pauses."""
    http = StripeHttp(
        session,
        limiter,
        priority=Priority.FULFIL,
        timeout_seconds=timeout_seconds,
        budget_seconds=budget_seconds,
        max_retries=max_retries,
        randomness=lambda: 0.0,
    )
    return stripe.StripeClient(key, http_client=http, base_addresses={"api": url}, max_network_retries=0)


@asynccontextmanager
async def serving(handle: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """Serve every request with a handler on a free port; give the URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def stripe_stand_in(*, max_retries: int = 0) -> AsyncIterator[StripeStandIn]:
    """Serve on a free port and give the stand-in with its client."""

    async def handle(request: web.Request) -> web.Response:
        fields = parse_qsl(await request.text() or request.query_string, keep_blank_values=True)
        stand_in.sent.append(Sent(request.method, request.path, dict(fields), request.headers))
        return stand_in.answers.pop(0)

    limiter = roomy_limiter()
    async with serving(handle) as url, aiohttp.ClientSession() as session:
        stand_in = StripeStandIn(stripe_client(url, session, limiter, max_retries=max_retries), limiter)
        yield stand_in


def intent_json(intent_id: str = "pi_1", **changes: Any) -> dict[str, Any]:
    """Return a PaymentIntent as Stripe sends it."""
    shown = {
        "id": intent_id,
        "object": "payment_intent",
        "created": int(INTENT_CREATED_AT.timestamp()),
        "status": "requires_payment_method",
        "amount": 1250,
        "amount_received": 0,
        "currency": "usd",
        "livemode": False,
        "metadata": {"checkoutAttemptId": ATTEMPT_ID},
        "client_secret": f"{intent_id}_secret_hush",
        "last_payment_error": None,
    }
    return {**shown, **changes}
