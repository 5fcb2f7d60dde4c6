"""The gateway is killed at every call that it makes to others, before the call's effect and after it.

A proxy outside the service holds the request or keeps the answer back; then the process gets a real SIGKILL. Initiate
is made good by the client's repeat with the same Idempotency-Key, fulfilment by Stripe's own redelivery alone.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .conftest import Waiter
from .harness.checkpoint import Moment, Trap
from .harness.knobs import Knobs
from .harness.shop import Checkout, Shop
from .harness.system import System, running_system
from .situations import SITUATIONS, SUCCEEDED, Road, Situation, Stage

IN_THE_BACKGROUND: Final = {
    "GET /v1/prices": "the price book reads the catalogue at the start and from time to time; no request waits for it",
    "GET /v1/shipping_rates": "same",
    "/grpc.health.v1.Health/Check": "asked for by readiness probes, not by buyers or Stripe",
}
"""Calls that belong to no checkout, and why."""

CALLS: Final = [
    pytest.param(situation, index, id=f"{situation.__name__}-{index + 1}-{road.name}")
    for situation in SITUATIONS
    for index, road in enumerate(situation.calls)
]

PATIENT: Final = {
    # Whoever is held must still be waiting when the gateway dies.
    "SERVICE_TIMEOUT_SECONDS": "60",
    "STRIPE_TIMEOUT_SECONDS": "60",
    "REQUEST_DEADLINE_SECONDS": "120",
    "CATALOGUE_REFRESH_SECONDS": "3600",
}
RETRYING_SOON: Final = ("--webhook-backoff", "0.1", "--webhook-backoff-max", "0.4", "--webhook-attempts", "200")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run one gateway behind proxies, at a Stripe that soon delivers again."""
    options = StackOptions(
        durable=False, seed=2, simulator_arguments=RETRYING_SOON, settings={"gateway": PATIENT}
    )
    async with running_system(tmp_path_factory.mktemp("holdfast"), options=options, with_proxies=True) as running:
        yield running


@pytest.fixture
def stage(system: System, shop: Shop, knobs: Knobs) -> Stage:
    """Set the stage for a situation."""
    return Stage(system, shop, knobs)


@pytest.mark.parametrize("kind", SITUATIONS, ids=lambda kind: kind.__name__)
async def test_p3_every_outgoing_call_has_its_case(stage: Stage, settled: Waiter, kind: type[Situation]) -> None:
    """Undisturbed, a situation takes exactly the calls at which the gateway is killed below."""
    situation = kind(stage)
    await situation.arrange()
    stage.system.faults.forget_calls()

    answer = await situation.act()
    taken = Counter(call.road for call in stage.system.faults.calls if call.road not in IN_THE_BACKGROUND)

    await situation.recover()
    await settled(situation.checkout)
    await stage.knobs.idle()
    assert answer == situation.answer
    assert taken == Counter(situation.calls)
    await assert_as_it_should_be(stage.system, situation)


def test_p3_every_kind_of_call_is_met() -> None:
    """No kind of call is named that no situation takes."""
    met = {road for situation in SITUATIONS for road in situation.calls}

    assert met == set(Road)


@pytest.mark.parametrize(("kind", "index"), CALLS)
async def test_p3_killed_at_any_call(
    stage: Stage, settled: Waiter, kind: type[Situation], index: int
) -> None:
    """One SIGKILL meets one checkout before the call's effect and one after it; both end as if nothing had been."""
    before, after = kind(stage), kind(stage)
    await before.arrange()
    await after.arrange()
    caught = [
        await run_into(stage.system, before, index, Moment.BEFORE_EFFECT),
        await run_into(stage.system, after, index, Moment.AFTER_EFFECT),
    ]

    answers = await kill_with(stage.system, caught)
    await asyncio.gather(before.recover(), after.recover())
    await asyncio.gather(settled(before.checkout), settled(after.checkout))
    await stage.knobs.idle()

    assert answers == [None, None]
    await assert_as_it_should_be(stage.system, before)
    await assert_as_it_should_be(stage.system, after)
    assert await unpaid_intents(stage.system) == {}


