"""A gateway for each test, over fakes of its own."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from .assembly import Gateway
from .http_edge import Edge, served


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """Give the gateway's parts over fakes, with the catalogue read."""
    async with Gateway().opened() as opened:
        yield opened


@pytest.fixture
async def http(gateway: Gateway) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a client of the gateway's HTTP edge on a real server."""
    async with served(Edge(gateway)) as client:
        yield client
