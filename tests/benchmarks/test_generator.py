"""The load generator charges a server for all who come while it stalls."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from bench.generator import Generator, run
from bench.job import Job, Result

RATE: Final = 100
COUNT: Final = 100
STALL_SECONDS: Final = 0.5
STALLS_AT: Final = 20
"""Request at which the server begins to stall. In an open loop fifty come until it goes on."""
SLOW_MS: Final = 100


async def test_arrivals_go_on_while_the_server_stalls() -> None:
    """In an open loop half of the requests come during the stall, and nearly all of those wait."""
    result = await requests_to_stalling_server(asyncio.sleep, rate=RATE)

    assert result.outcomes == {"200": COUNT}
    assert result.late_ms["p50"] < SLOW_MS
    assert result.seconds < COUNT / RATE + STALL_SECONDS
    assert result.latency_ms["p90"] > SLOW_MS
    assert result.latency_ms["max"] >= 1000 * STALL_SECONDS


async def test_latency_counts_from_the_intended_start() -> None:
    """If the generator stalls too, as on a busy machine, the requests that it sends late are charged all the same."""
    result = await requests_to_stalling_server(stall_everything, rate=RATE)

    assert result.outcomes == {"200": COUNT}
    assert result.late_ms["max"] > SLOW_MS
    assert result.latency_ms["p90"] > SLOW_MS


async def test_a_closed_loop_hides_the_stall() -> None:
    """Only the request in flight waits: this is why latency is measured in open loops."""
    result = await requests_to_stalling_server(asyncio.sleep, rate=None)

    assert result.outcomes == {"200": COUNT}
    assert result.latency_ms["p90"] < SLOW_MS
    assert result.latency_ms["max"] >= 1000 * STALL_SECONDS


async def test_requests_of_two_jobs_alternate() -> None:
    """Two closed loops of one request in flight take turns, so that noise of the machine meets both."""
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path.split("/")[1])
        return web.Response()

    async with serving(answer) as url:
        jobs = [Job("catalogue", [f"{url}/{side}"], 20) for side in ("old", "new")]
        with Generator() as generator:
            await asyncio.to_thread(generator.run, *jobs)

    assert paths == ["old", "new"] * 20


async def stall_everything(seconds: float) -> None:
    """Block the loop that the server shares with the generator here."""
    time.sleep(max(0.0, seconds))  # noqa: ASYNC251 - blocking is the purpose


async def requests_to_stalling_server(stall: Callable[[float], Awaitable[None]], *, rate: float | None) -> Result:
    """Send requests to a server that answers at once, but for one stall."""
    received, goes_on = 0, 0.0

    async def answer(_request: web.Request) -> web.Response:
        nonlocal received, goes_on
        received += 1
        if received == STALLS_AT:
            goes_on = time.monotonic() + STALL_SECONDS
        await stall(goes_on - time.monotonic())
        return web.Response()

    async with serving(answer) as url:
        (result,) = await run([Job("catalogue", [url], COUNT, rate=rate)])
    return result


@asynccontextmanager
async def serving(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Serve all paths on a free port."""
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
