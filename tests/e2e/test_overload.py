"""More buyers than a gateway has slots for: it refuses checkouts early, and finishes what it has begun.

The slots are few and Stripe slow, so that the load needs little of the machine.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .conftest import until
from .harness.control_api import ControlApi
from .harness.open_loop import Load, buy_steadily, summary
from .harness.shop import Checkout, Shop
from .harness.system import System, running_system

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]

SLOTS: Final = 16
"""Checkouts begin while fewer than half of them are taken."""
STRIPE_SECONDS: Final = 0.4
CAPACITY: Final = SLOTS / 2 / (2 * STRIPE_SECONDS)
"""Checkouts a second: each waits for Stripe twice, to begin and to complete."""
SECONDS: Final = 6.0
LEAST_SHARE: Final = 0.8
"""Of the most checkouts that were completed under any load. A quiet machine completes 0.92."""
FEW: Final = 0.1
"""Part of the others that bursts may find no slot for. Their buyers come again, and webhooks make the orders."""
LONGEST_SECONDS: Final = 2.0
GROWTH_MIB: Final = 10
REPORTED_AT_ONCE: Final = 40
REFUSED: Final = "503 overloaded"
_SETTINGS: Final = {"gateway": {"MAX_IN_FLIGHT": str(SLOTS), "CATALOGUE_REFRESH_SECONDS": "3600"}}


@dataclass
class Refusals:
    """Retry-After of every 503 that the shop's buyers were answered."""

    retry_after: list[str]

    def observe(self, status: int, _body: bytes, headers: Mapping[str, str]) -> None:
        """Keep that of one response."""
        if status == 503:
            self.retry_after.append(headers.get("Retry-After", ""))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run one gateway with few slots."""
    options = StackOptions(durable=False, seed=51, rate_limits=False, settings=_SETTINGS)
    async with running_system(tmp_path_factory.mktemp("holdfast"), options=options, embedded=True) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def control_api(system: System) -> AsyncIterator[ControlApi]:
    """Control the simulator."""
    async with ControlApi(system.backend.addresses.stripe_api) as opened:
        yield opened
        await opened.clear_faults()


async def test_goodput_stays_at_its_peak_under_ten_times_the_load(system: System, control_api: ControlApi) -> None:
    """Accepted requests are answered within two seconds, the others refused by name, and memory does not grow."""
    refusals = Refusals([])
    await control_api.add_fault(kind="latency_before", path="/v1/payment_intents*", seconds=STRIPE_SECONDS, count=None)
    async with _shop(system, refusals) as shop:
        loads = [await _offer(system, shop, CAPACITY)]
        before = _memory_mib(system)
        loads += [await _offer(system, shop, factor * CAPACITY) for factor in (3, 10)]
        after = _memory_mib(system)
        metrics = await _metrics(shop)
    await control_api.until_idle()
    counts = await system.orders_db.counts()

    print([summary(load.requests) for load in loads], before, after)  # noqa: T201 — figures
    requests = [each for load in loads for each in load.requests]
    goodput = [_completed(load) for load in loads]
    offered = Counter(each.kind for each in requests)
    refused = Counter(each.kind for each in requests if each.outcome == REFUSED)
    assert min(goodput[1:]) >= LEAST_SHARE * max(goodput), goodput
    assert {each.outcome for each in requests if not each.is_ok} == {REFUSED}
    assert refused["initiate"] > 0
    assert all(refused[kind] <= FEW * offered[kind] for kind in offered.keys() - {"initiate"}), refused
    assert max(each.seconds for each in requests) <= LONGEST_SECONDS
    assert set(refusals.retry_after) == {"2"}
    assert counts.orders == len({paid for load in loads for paid in load.paid})
    assert after - before <= GROWTH_MIB
    assert metrics["low"] == refused["initiate"]
    assert '"overloaded, requests are refused"' in system.backend.logs()["gateway"]


async def test_p3_webhooks_that_are_refused_come_again(system: System, control_api: ControlApi) -> None:
    """Stripe reports many payments at once to a gateway that has no slots left for them."""
    await control_api.add_webhook_rule(types=["payment_intent.succeeded"], hold=True, count=None)
    async with system.shop() as shop:
        paid = [await _pay(system, shop) for _ in range(REPORTED_AT_ONCE)]
        before = await _metrics(shop)
        await control_api.clear_webhook_rules()
        await control_api.release_deliveries()
        await until(lambda: _recorded(system, paid), "every order is there", seconds=60)
        after = await _metrics(shop)

    assert after["normal"] > before.get("normal", 0)


def _shop(system: System, refusals: Refusals) -> Shop:
    addresses = system.backend.addresses
    return Shop(
        gateway=addresses.gateways[0],
        stripe_api=addresses.stripe_api,
        publishable_key=addresses.stripe_publishable_key,
        jwt_secret=addresses.jwt_secret,
        observe=refusals.observe,
    )


async def _offer(system: System, shop: Shop, a_second: float) -> Load:
    """Let buyers come at a rate for a while, and wait until all of them are served."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(SECONDS, over.set)
    return await buy_steadily(shop, lambda: system.cart(mug=1), a_second, over)


def _completed(load: Load) -> int:
    return sum(each.is_ok for each in load.requests if each.kind == "complete")


async def _pay(system: System, shop: Shop) -> Checkout:
    checkout = await shop.checkout(system.cart(mug=1))
    (await shop.pay(checkout)).ok()
    return checkout


async def _recorded(system: System, paid: list[Checkout]) -> bool:
    rows = await system.orders_db.rows("SELECT checkout_attempt_id FROM orders")
    return {each.attempt_id for each in paid} <= {str(row["checkout_attempt_id"]) for row in rows}


def _memory_mib(system: System) -> int:
    status = Path(f"/proc/{system.backend.pids()['gateway']}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


async def _metrics(shop: Shop) -> dict[str, float]:
    """Return the numbers of refused requests by their criticality."""
    async with shop.session.get(f"{shop.gateway}/metrics") as answer:
        found = re.findall(r'holdfast_requests_shed_total\{criticality="(\w+)"\} (\S+)', await answer.text())
    return {name: float(number) for name, number in found}
