"""One of two processes of a service hangs: its connections stay open, and it answers nothing."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio

from .harness.open_loop import CHECKOUTS_A_SECOND, Request, buy_steadily, summary
from .harness.replicas import SERVICES, Replicas, running_replicas

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

HANGS_SECONDS: Final = 20.0
"""The share of the failures is of the requests in this time."""
NONE_AFTER_SECONDS: Final = 2.0
LARGEST_SHARE: Final = 0.01
_QUIET_SECONDS: Final = 3.0
_SETTINGS: Final = {"gateway": {"CATALOGUE_REFRESH_SECONDS": "3600"}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replicas(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replicas]:
    """Run two processes of each service behind a balancer."""
    async with running_replicas(tmp_path_factory.mktemp("holdfast"), _SETTINGS) as running:
        yield running


@pytest.mark.parametrize("service", SERVICES)
async def test_the_other_replica_serves_the_buyers(replicas: Replicas, service: str) -> None:
    """At most one request in a hundred fails, and none that begins two seconds after the process froze."""
    requests, froze_at = await _buy_while_hung(replicas, service)

    failed = [each for each in requests if not each.is_ok]
    print(service, summary(requests), [round(each.began - froze_at, 2) for each in failed])  # noqa: T201 — figures
    assert len(failed) <= LARGEST_SHARE * len(requests)
    assert not [each for each in failed if each.began >= froze_at + NONE_AFTER_SECONDS]


async def _buy_while_hung(replicas: Replicas, service: str) -> tuple[list[Request], float]:
    """Return the requests that began while a process was frozen, and the moment at which it froze."""
    done = asyncio.Event()

    async def freeze() -> float:
        await asyncio.sleep(_QUIET_SECONDS)
        froze_at = time.monotonic()
        async with replicas.hung(replicas.running(service)[0]):
            await asyncio.sleep(HANGS_SECONDS)
            done.set()
        return froze_at

    async with replicas.shop() as shop:
        load, froze_at = await asyncio.gather(
            buy_steadily(shop, lambda: replicas.system.cart(mug=1), CHECKOUTS_A_SECOND, done), freeze()
        )
    return [each for each in load.requests if each.began >= froze_at], froze_at
