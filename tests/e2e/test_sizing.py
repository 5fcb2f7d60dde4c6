"""Processor time and memory that a purchase costs each process, for docs/performance.md."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .harness.control_api import ControlApi
from .harness.products import run_concurrently
from .harness.shop import Shop
from .harness.system import System, running_system
from .timeouts import UNDER_LOAD

AT_STRIPES_LIMITS: Final = 20
"""Checkouts a second that gateways begin at Stripe's default limits: 0.8 of 25."""
AT_ONCE: Final = 4
PURCHASES: Final = 120
SUBSCRIPTIONS: Final = 40
"""Purchases of a mug and two subscriptions of different intervals."""
SERVICES: Final = ("gateway", "checkout-session", "orders", "reconciler")
STORES: Final = ("valkey", "postgres")
_TICKS: Final = os.sysconf("SC_CLK_TCK")

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run one of each service, with the limits of Stripe's live mode."""
    live = {"STRIPE_REQUESTS_PER_SECOND": "100"}
    settings = {**UNDER_LOAD, "gateway": {**UNDER_LOAD["gateway"], **live, "STRIPE_SHARE": "1"}, "reconciler": live}
    options = StackOptions(reconcilers=1, seed=1, settings=settings)
    async with running_system(tmp_path_factory.mktemp("sizing"), options=options, embedded=True) as running:
        yield running


async def test_one_of_each_service_carries_stripes_default_limits(system: System) -> None:
    """Each purchase is begun, paid, reported by its webhook, polled once and completed by the browser."""
    async with system.shop() as guest, system.shop(user_id="subscriber") as subscriber:
        used = await used_by(system, partial(buy, system, guest, mug=1, notebook=1), PURCHASES)
        await used_by(system, partial(buy, system, subscriber, mug=1, coffee=1, almanac=1), SUBSCRIPTIONS)

    assert all(used[name] * AT_STRIPES_LIMITS < 1 for name in SERVICES), used


async def used_by(system: System, purchase: Callable[[], Awaitable[None]], count: int) -> dict[str, float]:
    """Return the seconds of processor time that a purchase costs each process, and print them."""
    async with ControlApi(system.backend.addresses.stripe_api) as control_api:
        await run_concurrently([purchase] * AT_ONCE)
        await control_api.until_idle()
        before = {name: processor_seconds(pid) for name, pid in system.backend.pids().items()}
        await run_concurrently([purchase] * count, at_once=AT_ONCE)
        await control_api.until_idle()
    used = {name: (processor_seconds(pid) - before[name]) / count for name, pid in system.backend.pids().items()}
    for name in (*SERVICES, *STORES):
        memory = resident_mebibytes(system.backend.pids()[name])
        print(f"{name}: {1000 * used[name]:.1f} ms a purchase, {memory:.0f} MiB")  # noqa: T201 - figures
    return used


async def buy(system: System, shop: Shop, **quantities: int) -> None:
    """Buy a cart, as a browser does."""
    checkout = await shop.checkout(system.cart(**quantities))
    (await shop.status(checkout.attempt_id)).ok()
    (await shop.pay(checkout)).ok()
    assert (await shop.complete(checkout)).ok()["status"] == "completed"


def processor_seconds(pid: int) -> float:
    """Return the time that a process has used, with its children (PostgreSQL has one for each connection)."""
    pids = [pid, *(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    fields = [Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split() for each in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / _TICKS


def resident_mebibytes(pid: int) -> float:
    """Return the memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
