"""Overload at the HTTP edge: new checkouts are refused before webhooks, and these before what is paid."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from fastapi import APIRouter

from servicekit.unavailable import ServiceOverloaded

from ..assembly import Gateway
from ..http_edge import INITIATE, SHOP_ORIGIN, WEBHOOK, Edge, get, post, post_raw, served
from ..samples import ATTEMPT_ID, FOREIGN_ATTEMPT_ID, checkout_json

STATUS = f"/api/checkout/{ATTEMPT_ID}"
COMPLETE = {"checkoutAttemptId": ATTEMPT_ID, "paymentIntentId": "pi_1"}


@dataclass
class Busy:
    """A gateway of which some of four requests are in flight."""

    gateway: Gateway
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def served(self, in_flight: int) -> AsyncIterator[aiohttp.ClientSession]:
        """Serve it until the context ends."""
        async with served(Edge(self.gateway, max_in_flight=4, more_routes=[self._held()])) as http:
            held = [asyncio.create_task(get(http, "/api/checkout/held/1")) for _ in range(in_flight)]
            for _ in held:
                await self.arrived.acquire()
            yield http
            self.released.set()
            await asyncio.gather(*held)

    def _held(self) -> APIRouter:
        routes = APIRouter()

        @routes.get("/api/checkout/held/1")
        async def held() -> None:
            self.arrived.release()
            await self.released.wait()

        return routes


async def refused(http: aiohttp.ClientSession) -> list[str]:
    """Return the kinds of requests that are refused as overload."""
    answers = {
        "initiate": await post(http, INITIATE, checkout_json()),
        "webhook": await post_raw(http, WEBHOOK, b"{}"),
        "catalogue": await get(http, "/api/catalog"),
        "status": await get(http, STATUS),
        "complete": await post(http, "/api/orders", COMPLETE),
        "livez": await get(http, "/livez"),
        "readyz": await get(http, "/readyz"),
        "metrics": await get(http, "/metrics"),
    }
    return [name for name, answer in answers.items() if answer.status == 503]


@pytest.mark.parametrize(
    ("in_flight", "kinds"),
    [
        (1, []),
        (2, ["initiate"]),
        (3, ["initiate", "webhook", "catalogue"]),
        (4, ["initiate", "webhook", "catalogue", "status", "complete"]),
    ],
)
async def test_the_less_a_buyer_waits_for_it_the_sooner_it_is_refused(
    gateway: Gateway, in_flight: int, kinds: list[str]
) -> None:
    """Probes and metrics never are: a gateway that refuses is ready."""
    async with Busy(gateway).served(in_flight) as http:
        assert await refused(http) == kinds


async def test_a_refusal_is_a_problem_that_a_browser_can_read(gateway: Gateway) -> None:
    """With the time after which to come again."""
    async with Busy(gateway).served(4) as http:
        answer = await post(http, INITIATE, checkout_json(), Origin=SHOP_ORIGIN)

    assert (answer.status, answer.kind, answer.headers["Retry-After"]) == (503, "overloaded", "2")
    assert answer.json["requestId"] == answer.headers["X-Request-Id"]
    assert answer.headers["Access-Control-Allow-Origin"] == SHOP_ORIGIN
    assert answer.headers["Cache-Control"] == "no-store"


async def test_an_overloaded_service_is_overload_too(gateway: Gateway) -> None:
    """Not a dependency that is away."""
    gateway.wire.fail("attempts.save", ServiceOverloaded("checkout-session"))
    async with served(Edge(gateway)) as http:
        answer = await post(http, INITIATE, checkout_json())

    assert (answer.status, answer.kind, answer.headers["Retry-After"]) == (503, "overloaded", "2")


async def test_requests_that_are_answered_after_a_pause_hold_no_slot(gateway: Gateway) -> None:
    """Forged ids would else keep everybody out."""
    paused = asyncio.Semaphore(0)

    def pause_seconds() -> float:
        paused.release()
        return 0.5

    async with served(Edge(gateway, max_in_flight=4, refusal_pause_seconds=pause_seconds)) as http:
        waiting = []
        for _ in range(4):
            waiting.append(asyncio.create_task(get(http, f"/api/checkout/{FOREIGN_ATTEMPT_ID}")))
            await paused.acquire()
        meanwhile = await post(http, INITIATE, checkout_json())
        answers = await asyncio.gather(*waiting)

    assert meanwhile.status == 200
    assert [answer.status for answer in answers] == [404] * 4


async def test_a_burst_of_forged_ids_fills_no_slots(gateway: Gateway) -> None:
    """Nothing is waited for before the pause, not even a thread: each gives its slot back before the next takes one."""
    async with served(Edge(gateway, max_in_flight=4, refusal_pause_seconds=lambda: 0.5)) as http:
        path, body = f"/api/checkout/{FOREIGN_ATTEMPT_ID}", COMPLETE | {"checkoutAttemptId": FOREIGN_ATTEMPT_ID}
        reads = [get(http, path) for _ in range(12)]
        answers = await asyncio.gather(*reads, *(post(http, "/api/orders", body) for _ in range(12)))

    assert [answer.status for answer in answers] == [404] * 24
