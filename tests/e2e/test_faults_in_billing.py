"""Each call that a subscription's activation, life and end make is broken, before its effect and after it.

A break that passes heals within the request. One that lasts is told, and whoever asks again afterwards (Stripe does)
finds one purchase, one Stripe subscription for each billing interval, and rows that say what Stripe says.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .billing_situations import PLACES, Place, assert_billed_once
from .conftest import Waiter
from .harness.checkpoint import Ending, Moment
from .harness.knobs import Knobs
from .harness.shop import Shop
from .harness.system import System, running_system
from .sigkill import PATIENT, RETRYING_SOON
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


FAULTS: Final = [
    *(Fault(Ending.BREAKS, moment, count) for moment in Moment for count in (1, None)),
    Fault(Ending.FAILS, Moment.AFTER_EFFECT, 1),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run one gateway behind proxies, at a Stripe that soon delivers again."""
    options = StackOptions(durable=False, seed=12, simulator_arguments=RETRYING_SOON, settings={"gateway": PATIENT})
    async with running_system(tmp_path_factory.mktemp("holdfast"), options=options, with_proxies=True) as running:
        yield running


@pytest.fixture
def stage(system: System, shop: Shop, knobs: Knobs) -> Stage:
    """Set the stage for a situation."""
    return Stage(system, shop, knobs)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
async def test_p3_a_broken_call_of_billing_harms_nobody(
    stage: Stage, settled: Waiter, place: Place, fault: Fault
) -> None:
    """The call was broken; what that came to was told; in the end everything is there once."""
    situation = place.kind(stage)
    await situation.arrange()
    checkpoint = stage.system.faults.on(place.road).checkpoint
    mishap = checkpoint.spoil(
        place.road, fault.moment, fault.ending, concerns=lambda _call: True, skip=place.earlier, count=fault.count
    )

    answer = await situation.act()
    checkpoint.disarm()
    await situation.recover()
    await settled(situation.checkout)
    await stage.knobs.idle()

    assert mishap.hits >= 1
    assert answer == situation.answer if fault.count and fault.ending is Ending.BREAKS else answer in _TOLD
    await assert_billed_once(stage.system, situation)
