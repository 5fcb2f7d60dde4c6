import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from .http_proxy import HttpProxy, road_of


class Origin:
    """An API that remembers what reached it."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Answer with what came, and a header of our own."""
        body = await request.read()
        self.requests.append((request.method, str(request.rel_url), body))
        headers = {"Request-Id": "req_1", "Seen-Key": request.headers.get("Idempotency-Key", "")}
        return web.Response(status=402, body=body, headers=headers)


@pytest.fixture
def origin() -> Origin:
    """Make an API that nobody has called."""
    return Origin()


@pytest.fixture
async def proxy(origin: Origin) -> AsyncIterator[HttpProxy]:
    """Run a proxy in front of the API."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", origin.answer)
    async with TestServer(application) as server, HttpProxy(str(server.make_url("")).rstrip("/")) as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Make a caller."""
    async with aiohttp.ClientSession() as running:
        yield running


@pytest.mark.parametrize(
    ("path", "road"),
    [
        ("/v1/payment_intents", "GET /v1/payment_intents"),
        ("/v1/payment_intents/pi_1", "GET /v1/payment_intents/{id}"),
        ("/v1/payment_intents/pi_1/confirm", "GET /v1/payment_intents/{id}/confirm"),
        ("/v1/customers/cus_1/payment_methods/pm_1", "GET /v1/customers/{id}/payment_methods/{id}"),
        ("/v1/products/mug", "GET /v1/products/{id}"),
        ("/v1/prices/search", "GET /v1/prices/search"),
        ("/v1/checkout/sessions/cs_1", "GET /v1/checkout/sessions/{id}"),
    ],
)
def test_a_road_has_no_ids(path: str, road: str) -> None:
    """Two calls of the same kind share a road, whatever they are about."""
    assert road_of("GET", path) == road


async def test_carries_request_and_answer_unchanged(
    proxy: HttpProxy, origin: Origin, session: aiohttp.ClientSession
) -> None:
    """Method, query, body and headers go there, status, headers and body come back."""
    async with session.post(
        f"{proxy.url}/v1/things?expand[0]=a%20b", data=b"x=1", headers={"Idempotency-Key": "k"}
    ) as answer:
        got = (answer.status, answer.headers["Request-Id"], answer.headers["Seen-Key"], await answer.read())

    assert got == (402, "req_1", "k", b"x=1")
    assert origin.requests == [("POST", "/v1/things?expand%5B0%5D=a%20b", b"x=1")]


async def test_a_dropped_request_breaks_the_connection(
    proxy: HttpProxy, origin: Origin, session: aiohttp.ClientSession
) -> None:
    """The caller sees a broken connection and the API nothing."""
    trap = proxy.checkpoint.hold_next("POST /v1/things")
    caller = asyncio.create_task(session.post(f"{proxy.url}/v1/things"))
    await trap.sprung()

    trap.drop()

    with pytest.raises(aiohttp.ClientError):
        await caller
    assert origin.requests == []


async def test_a_swallowed_answer_leaves_its_effect(
    proxy: HttpProxy, origin: Origin, session: aiohttp.ClientSession
) -> None:
    """The API has done it, and the caller cannot know."""
    trap = proxy.checkpoint.swallow_next("POST /v1/things")
    caller = asyncio.create_task(session.post(f"{proxy.url}/v1/things", data=b"x=1"))
    await trap.sprung()

    trap.drop()

    with pytest.raises(aiohttp.ClientError):
        await caller
    assert len(origin.requests) == 1


async def test_an_origin_that_is_away_looks_like_a_broken_connection(
    origin: Origin, session: aiohttp.ClientSession
) -> None:
    """The proxy makes up no answer."""
    async with HttpProxy("http://127.0.0.1:9") as lonely:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{lonely.url}/v1/things")
