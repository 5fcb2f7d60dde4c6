"""Faults of the calls that activate, change and end a subscription, before their effect and after it (P3).

A fault that passes heals within the request. Any other is answered, and a repeat finds one purchase, one Stripe
subscription for each billing interval, and rows that agree with Stripe.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .billing_scenarios import BILLING_CALLS, Activate, ActivateOnReturn
from .conftest import until
from .harness.control_api import ControlApi
from .harness.interceptor import Ending, Moment
from .harness.system import running_system
from .scenario import Environment
from .timeouts import REQUEST_DEADLINE_SECONDS, SHORT

pytestmark = pytest.mark.long

_UNFINISHED: Final = {500, 503}
"""Stripe reports again, until the work is done."""


@dataclass(frozen=True)
class BillingFault:
    """A fault, and the number of calls that it hits; None for all."""

    ending: Ending
    moment: Moment
    count: int | None

    @property
    def name(self) -> str:
        """Ending and moment, with `_once` if it does not last."""
        return f"{self.ending.name}_{self.moment.name}{'_once' if self.count else ''}"

    @property
    def heals(self) -> bool:
        """True if the call is retried within the request."""
        return self.count is not None and self.ending is not Ending.FAILS


FAULTS: Final = [
    *(BillingFault(Ending.BREAKS, moment, count) for moment in Moment for count in (1, None)),
    *(BillingFault(Ending.STAYS_SILENT, moment, None) for moment in Moment),
    BillingFault(Ending.FAILS, Moment.AFTER_EFFECT, 1),
]
STRIPE_FAULTS: Final = [BillingFault(Ending.STAYS_SILENT, moment, 1) for moment in Moment]
"""One try at Stripe has less time than the request; a call to orders has one try."""
CASES: Final = [
    pytest.param(kind, index, fault, id=f"{kind.__name__}-{index + 1}-{kind.calls[index].name}-{fault.name}")
    for kind, index in BILLING_CALLS
    for fault in (*FAULTS, *(STRIPE_FAULTS if kind.calls[index].to_stripe else ()))
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def environment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Environment]:
    """Run one gateway with short timeouts, behind proxies."""
    options = StackOptions(durable=False, seed=12, settings={"gateway": SHORT})
    async with (
        running_system(tmp_path_factory.mktemp("holdfast"), options=options, with_proxies=True) as system,
        ControlApi(system.backend.addresses.stripe_api) as control_api,
        system.shop() as shop,
    ):
        await control_api.add_webhook_rule(types=["*"], drop=True, count=None)
        yield Environment(system, control_api, shop)


@pytest.mark.parametrize(("kind", "index", "fault"), CASES)
async def test_p3_a_fault_of_billing_harms_nobody(
    environment: Environment, kind: type[Activate], index: int, fault: BillingFault
) -> None:
    """The fault hit and was answered in time; in the end everything is there once."""
    scenario, call = kind(environment), kind.calls[index]
    await scenario.arrange()
    interceptor = environment.system.proxies.on(call).interceptor
    injected = interceptor.add_fault(
        call, fault.moment, fault.ending, skip=kind.calls[:index].count(call), count=fault.count
    )

    began = time.monotonic()
    status = await scenario.status_of_act()
    seconds = time.monotonic() - began
    interceptor.reset()
    await until(lambda: _recovered(scenario), "recovery")

    assert injected.hits >= 1
    assert status in _allowed_statuses(scenario, fault)
    assert seconds < REQUEST_DEADLINE_SECONDS
    await scenario.assert_billed_once()


def _allowed_statuses(scenario: Activate, fault: BillingFault) -> set[int]:
    """Return success for a fault that heals, failure for one that lasts, and both for a failure that Stripe stored."""
    if fault.heals:
        return {scenario.status}
    # For a browser that returned the purchase is recorded, and Stripe's report finishes the rest.
    may_succeed = fault.count is not None or isinstance(scenario, ActivateOnReturn)
    return _UNFINISHED | {scenario.status} if may_succeed else _UNFINISHED


async def _recovered(scenario: Activate) -> bool:
    """Return True once a repeat succeeds: Stripe still works on the request that the gateway gave up."""
    try:
        await scenario.recover()
    except AssertionError:
        return False
    return True
