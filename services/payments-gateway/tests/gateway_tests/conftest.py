"""A gateway for each test, over fakes of its own."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from payments_gateway.stripe_api.http import REQUESTS
from payments_gateway.stripe_api.operations import OPERATIONS

from .assembly import Gateway
from .http_edge import Edge, served

_ONLY_OF_THE_COMMAND = "/v1/webhook_endpoints"


@pytest.fixture(autouse=True, scope="session")
def all_operations_are_known() -> Iterator[None]:
    """Fail after the last test if one of them made a request whose limit cannot be set."""
    yield
    sent = {sample.labels["operation"] for metric in REQUESTS.collect() for sample in metric.samples}
    assert {each for each in sent if _ONLY_OF_THE_COMMAND not in each} <= OPERATIONS


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
