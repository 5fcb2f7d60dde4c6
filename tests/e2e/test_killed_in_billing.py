"""The gateway is killed at every call that a subscription's activation, life and end make, before its effect and after.

One purchase, one Stripe subscription for each billing interval, and rows that say what Stripe says: as if nothing had
been.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .billing_situations import BILLED, PLACES, Billed, BillingRoad, Place, assert_billed_once
from .conftest import Waiter
from .deadlines import PATIENT
from .harness.checkpoint import Moment
from .harness.knobs import Knobs
from .harness.shop import Shop
from .harness.system import System, running_system
from .sigkill import RETRYING_SOON, kill_gateway, run_into
from .situations import Stage

pytestmark = pytest.mark.long

BACKGROUND: Final = ("GET /v1/prices", "GET /v1/shipping_rates", "/grpc.health.v1.Health/Check")
"""Calls that belong to no checkout."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run one gateway behind proxies, at a Stripe that soon delivers again."""
    options = StackOptions(durable=False, seed=11, simulator_arguments=RETRYING_SOON, settings={"gateway": PATIENT})
    async with running_system(tmp_path_factory.mktemp("holdfast"), options=options, with_proxies=True) as running:
        yield running


@pytest.fixture
def stage(system: System, shop: Shop, knobs: Knobs) -> Stage:
    """Set the stage for a situation."""
    return Stage(system, shop, knobs)


@pytest.mark.parametrize("kind", BILLED, ids=lambda kind: kind.__name__)
async def test_p3_every_call_of_billing_has_its_case(stage: Stage, settled: Waiter, kind: type[Billed]) -> None:
    """Undisturbed, a situation takes exactly the calls that it names."""
    situation = kind(stage)
    await situation.arrange()
    stage.system.faults.forget_calls()

    answer = await situation.act()
    taken = Counter(call.road for call in stage.system.faults.calls if call.road not in BACKGROUND)

    await situation.recover()
    await settled(situation.checkout)
    await stage.knobs.idle()
    assert answer == situation.answer
    assert taken == Counter(situation.calls)
    await assert_billed_once(stage.system, situation)


def test_p3_the_gateway_is_killed_at_every_kind_of_call() -> None:
    """No kind of call is named at which it is not; reading a row has no effect to lose."""
    met = {kind.calls[index] for kind in BILLED for index in kind.killed_at}

    assert met >= set(BillingRoad) - {BillingRoad.GET_SUBSCRIPTION}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_p3_killed_at_any_call_of_billing(stage: Stage, settled: Waiter, place: Place) -> None:
    """One SIGKILL meets one subscription before the call's effect and one after it; both end as if nothing had been."""
    both = [place.kind(stage), place.kind(stage)]
    for situation in both:
        await situation.arrange()
    caught = [await run_into(situation, place.index, moment) for situation, moment in zip(both, Moment, strict=True)]

    answers = await kill_gateway(stage.system, caught)
    await asyncio.gather(*(situation.recover() for situation in both))
    await asyncio.gather(*(settled(situation.checkout) for situation in both))
    await stage.knobs.idle()

    assert answers == [None, None]
    for situation in both:
        await assert_billed_once(stage.system, situation)
