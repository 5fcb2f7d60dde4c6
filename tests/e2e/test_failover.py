"""PostgreSQL and Redis fail over under load: nothing acknowledged is lost, and buyers are served again soon."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from devstack.embedded_postgres import EmbeddedPostgres
from devstack.embedded_sentinels import EmbeddedSentinels
from devstack.stack import ORDERS_DATABASE
from devstack.stack_options import StackOptions

from .conftest import until
from .harness.control_api import ControlApi
from .harness.shop import Checkout, Reply, Shop
from .harness.stores import OrdersDb
from .harness.system import System, running_system

pytestmark = [pytest.mark.timeout(500), pytest.mark.long]

A_SECOND: Final = 5
BUYERS: Final = 150
STRUCK_AFTER: Final = 40
"""Purchases before the primary is killed."""
SERVED_AGAIN_SECONDS: Final = 60.0
REPEAT_SECONDS: Final = 90.0
DOWN_AFTER_MS: Final = 2000
HTTP_OK: Final = 200
_REPEATED: Final = {202, 429, 502, 503, 504}


@dataclass
class Load:
    """Buyers who repeat each request until it succeeds, as the frontend does."""

    system: System
    shop: Shop
    granted: list[Checkout] = field(default_factory=list)
    completed: list[Checkout] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    """Seconds until each request succeeded, with all its repeats."""
    refused: int = 0

    async def run(self) -> None:
        """Let the buyers come at a steady rate."""
        began = time.monotonic()
        buyers = []
        for number in range(BUYERS):
            await asyncio.sleep(began + number / A_SECOND - time.monotonic())
            buyers.append(asyncio.create_task(self._buy()))
        await asyncio.gather(*buyers)

    async def _buy(self) -> None:
        key = str(uuid.uuid4())
        reply = await self._repeated(lambda: self.shop.initiate(self.system.cart(mug=1), idempotency_key=key))
        checkout = self.shop.granted(reply)
        self.granted.append(checkout)
        (await self.shop.pay(checkout)).ok()
        await self._repeated(lambda: self.shop.complete(checkout))
        self.completed.append(checkout)

    async def _repeated(self, request: Callable[[], Awaitable[Reply]]) -> Reply:
        began = time.monotonic()
        while (reply := await request()).status in _REPEATED and time.monotonic() - began < REPEAT_SECONDS:
            self.refused += 1
            await asyncio.sleep(0.2)
        self.waits.append(time.monotonic() - began)
        assert reply.status == HTTP_OK, reply
        return reply


@asynccontextmanager
async def under_load(system: System) -> AsyncIterator[Load]:
    """Run the load, and strike in the block once it is steady."""
    async with system.shop() as shop:
        load = Load(system, shop)
        running = asyncio.create_task(load.run())
        await until(lambda: _reached(load), "the load is steady", seconds=60)
        yield load
        await running


async def _reached(load: Load) -> bool:
    return len(load.completed) >= STRUCK_AFTER


async def _noticed(load: Load) -> bool:
    return load.refused > 0


@pytest.fixture
def sentinels() -> Iterator[EmbeddedSentinels]:
    """Run a primary and its replica that write every change to the disk, and three Sentinels."""
    with EmbeddedSentinels.temporary(appendonly=True, options={"appendfsync": "always"}) as running:
        yield running


async def test_p4_a_failover_of_postgresql_loses_no_acknowledged_purchase(tmp_path: Path) -> None:
    """The primary is killed, and the synchronous standby promoted: orders finds it by its URL of two hosts."""
    options = StackOptions(durable=False, seed=48)
    async with running_system(tmp_path / "system", options=options, embedded=True) as system:
        primary = system.backend.process("postgres")
        assert isinstance(primary, EmbeddedPostgres)
        standby = await asyncio.to_thread(primary.synchronous_standby, tmp_path / "standby")
        try:
            first, second = primary.url(ORDERS_DATABASE), f",127.0.0.1:{standby.port}/{ORDERS_DATABASE}"
            await system.backend.restart("orders", {"DATABASE_URL": first.replace(f"/{ORDERS_DATABASE}", second)})
            async with under_load(system) as load:
                await system.backend.kill("postgres")
                await until(lambda: _noticed(load), "a buyer is refused", seconds=60)
                await asyncio.to_thread(standby.promote)

            async with OrdersDb(standby.url(ORDERS_DATABASE)) as orders_db:
                await _check(load, orders_db)
        finally:
            await asyncio.to_thread(standby.destroy)


async def test_p2_a_failover_by_sentinel_loses_no_acknowledged_checkout(
    tmp_path: Path, sentinels: EmbeddedSentinels
) -> None:
    """The primary is killed, the Sentinels promote its replica, and the old primary comes back as a replica."""
    options = StackOptions(durable=False, seed=49)
    killed, replica = sentinels.primary, sentinels.replica
    async with running_system(tmp_path, options=options, embedded=True) as system:
        durable = {"REDIS_URL": sentinels.url, "DURABILITY": "fsync", "DURABLE_REPLICAS": "1"}
        await system.backend.restart("checkout-session", durable)
        await asyncio.to_thread(sentinels.automatic_failover, down_after_ms=DOWN_AFTER_MS)
        async with under_load(system) as load:
            await asyncio.to_thread(killed.kill)
            await asyncio.to_thread(sentinels.wait_until_promoted, replica)
            await asyncio.to_thread(killed.start)

        await _check(load, system.orders_db)


async def _check(load: Load, orders_db: OrdersDb) -> None:
    """Each checkout whose secret was released, and which was paid, became one order; nobody waited for long."""
    async with ControlApi(load.system.backend.addresses.stripe_api) as control_api:
        await control_api.until_idle()
    counts = await orders_db.counts()
    recorded = {row["checkout_attempt_id"] for row in await orders_db.rows("SELECT checkout_attempt_id FROM orders")}
    print(f"{counts}, {load.refused} refused, longest wait {max(load.waits):.1f} s")  # noqa: T201 - figures for the docs
    assert (counts.orders, counts.purchases, counts.quarantined) == (BUYERS, BUYERS, 0)
    assert recorded == {checkout.attempt_id for checkout in load.granted}
    assert load.refused > 0
    assert max(load.waits) < SERVED_AGAIN_SECONDS
