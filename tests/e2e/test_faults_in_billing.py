"""Each call that a subscription's activation, life and end make is broken, or stays without an answer.

Before its effect and after it. What passes heals within the request; a silence that is as long as a call may take, or
anything that lasts, is told, and whoever asks again afterwards (Stripe does) finds one purchase, one Stripe
subscription for each billing interval, and rows that say what Stripe says.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .billing_situations import PLACES, Place, assert_billed_once
from .conftest import Waiter
from .deadlines import HURRIED, LONGEST_SECONDS
from .harness.checkpoint import Ending, Moment
from .harness.knobs import Knobs
from .harness.shop import Shop
from .harness.system import System, running_system
from .sigkill import RETRYING_SOON
from .situations import Stage

pytestmark = pytest.mark.long

_OK: Final = 200
_TOLD: Final = {_OK, 500, 503}
"""200 where the buyer came back: bought is bought, and Stripe's own report is still owed its answer."""


@dataclass(frozen=True)
class Fault:
    """How calls are spoiled, and how many of them; None for all until somebody was told."""

    ending: Ending
    moment: Moment
    count: int | None

    @property
    def name(self) -> str:
        """All of it."""
        return f"{self.ending.name}_{self.moment.name}{'_once' if self.count else ''}"

    @property
    def heals(self) -> bool:
        """Whether the call itself is made again in time."""
        return self.count is not None and self.ending is not Ending.FAILS


FAULTS: Final = [
    *(Fault(Ending.BREAKS, moment, count) for moment in Moment for count in (1, None)),
    *(Fault(Ending.STAYS_SILENT, moment, None) for moment in Moment),
    Fault(Ending.FAILS, Moment.AFTER_EFFECT, 1),
]
OF_STRIPE: Final = [Fault(Ending.STAYS_SILENT, moment, 1) for moment in Moment]
"""A try at Stripe has less time than the call; at orders they are one."""
CASES: Final = [
    pytest.param(place, fault, id=f"{place.name}-{fault.name}")
    for place in PLACES
    for fault in (*FAULTS, *(OF_STRIPE if place.at_stripe else ()))
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run one gateway in a hurry, behind proxies, at a Stripe that soon delivers again."""
    options = StackOptions(durable=False, seed=12, simulator_arguments=RETRYING_SOON, settings={"gateway": HURRIED})
    async with running_system(tmp_path_factory.mktemp("holdfast"), options=options, with_proxies=True) as running:
        yield running


@pytest.fixture
def stage(system: System, shop: Shop, knobs: Knobs) -> Stage:
    """Set the stage for a situation."""
    return Stage(system, shop, knobs)


@pytest.mark.parametrize(("place", "fault"), CASES)
async def test_p3_a_spoiled_call_of_billing_harms_nobody(
    stage: Stage, settled: Waiter, place: Place, fault: Fault
) -> None:
    """The call was spoiled; what that came to was told in time; in the end everything is there once."""
    situation = place.kind(stage)
    await situation.arrange()
    checkpoint = stage.system.faults.on(place.road).checkpoint
    mishap = checkpoint.spoil(
        place.road, fault.moment, fault.ending, concerns=lambda _call: True, skip=place.earlier, count=fault.count
    )

    began = time.monotonic()
    answer = await situation.act()
    seconds = time.monotonic() - began
    checkpoint.disarm()
    await situation.recover()
    await settled(situation.checkout)
    await stage.knobs.idle()

    assert mishap.hits >= 1
    assert answer == situation.answer if fault.heals else answer in _TOLD
    assert seconds < LONGEST_SECONDS
    await assert_billed_once(stage.system, situation)
