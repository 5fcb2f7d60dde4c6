"""Random attempt ids from many addresses at once must not keep a buyer waiting."""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .harness.flood import ALL_SENT
from .harness.shop import Shop
from .harness.system import System, running_system

pytestmark = pytest.mark.long

SETTINGS: Final = {
    # The defaults in production, which tests do without.
    "LOOKUP_PER_ADDRESS_PER_MINUTE": "600",
    "LOOKUP_PER_ADDRESS_BURST": "200",
    "REFUSAL_PAUSE_SECONDS": "2",
    "TRUSTED_PROXIES": "127.0.0.0/8",
}
WINDOW_SECONDS: Final = 6.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def limited(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run one gateway with the rate limits of production, behind a proxy that names the client."""
    options = StackOptions(durable=False, settings={"gateway": SETTINGS})
    async with running_system(tmp_path_factory.mktemp("limited"), options=options, embedded=True) as running:
        yield running


async def test_random_ids_from_forty_addresses_do_not_slow_a_buyer_down(limited: System) -> None:
    """At 15 connections each. The median initiate takes at most 1.5 times as long as before and after the flood."""
    async with limited.shop() as shop:
        await _initiate_all_along(limited, shop)  # warms up
        quiet = await _initiate_all_along(limited, shop)
        async with _flood(limited.backend.addresses.gateways[0]) as answers:
            flooded = await _initiate_all_along(limited, shop)
        quiet += await _initiate_all_along(limited, shop)

    medians = statistics.median(flooded), statistics.median(quiet)
    print(f"median initiate: {medians[0]:.4f} s in the flood, {medians[1]:.4f} s without; {answers}")  # noqa: T201
    assert medians[0] <= 1.5 * medians[1]
    assert answers.keys() <= {"404", "429"}


async def _initiate_all_along(system: System, shop: Shop) -> list[float]:
    """Begin one checkout after another for a while; return the seconds that each took."""
    until, seconds = time.monotonic() + WINDOW_SECONDS, list[float]()
    while (began := time.monotonic()) < until:
        (await shop.initiate(system.cart(mug=1))).ok()
        seconds.append(time.monotonic() - began)
    return seconds


@asynccontextmanager
async def _flood(gateway: str) -> AsyncIterator[dict[str, int]]:
    """Flood the gateway; at the end, give the number of responses by status."""
    answers: dict[str, int] = {}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.e2e.harness.flood", gateway),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    try:
        assert (await process.stdout.readline()).decode().strip() == ALL_SENT
        yield answers
        told, _ = await process.communicate(b"")  # closes its standard input
        answers.update(json.loads(told))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
