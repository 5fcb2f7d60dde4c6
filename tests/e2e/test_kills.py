"""The gateway is killed at every call that it makes, before the call's effect and after it (P3).

A proxy holds the call; then the process gets SIGKILL. The client repeats its request with the same Idempotency-Key, and
Stripe repeats its event.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .billing_scenarios import BILLING, BILLING_CALLS, Activate
from .checkout_scenarios import (
    Begin,
    BeginAgain,
    BeginCompleted,
    BeginOvertaken,
    BeginPaid,
    BeginTwice,
    Replace,
    ReplacePaid,
)
from .harness.control_api import ControlApi
from .harness.interceptor import Breakpoint, Moment
from .harness.outgoing_calls import BACKGROUND_CALLS, OutgoingCall
from .harness.system import running_system
from .payment_scenarios import (
    Report,
    ReportAfterReturn,
    ReportOfAnotherSum,
    ReportWithoutAttempt,
    Return,
    ReturnWithoutAttempt,
)
from .refund_scenarios import ReportDispute, ReportRefund, ReportRefundedCharge
from .scenario import Environment, Scenario, Snapshot, take_snapshot
from .subscription_checkout_scenarios import BeginFirstSubscription, BeginSubscriptionAgain, ReplaceSubscription
from .timeouts import LONG

pytestmark = pytest.mark.long

SCENARIOS: Final[tuple[type[Scenario], ...]] = (
    *(Begin, BeginAgain, BeginTwice, BeginOvertaken, BeginPaid, BeginCompleted, Replace, ReplacePaid),
    *(BeginFirstSubscription, BeginSubscriptionAgain, ReplaceSubscription),
    *(Return, ReturnWithoutAttempt, Report, ReportWithoutAttempt, ReportOfAnotherSum, ReportAfterReturn),
    *(ReportRefund, ReportRefundedCharge, ReportDispute),
)
CALLS: Final = [(kind, index) for kind in SCENARIOS for index in range(len(kind.calls))]
CASES: Final = [
    pytest.param(kind, index, id=f"{kind.__name__}-{index + 1}-{kind.calls[index].name}")
    for kind, index in (*CALLS, *BILLING_CALLS)
]
NEVER_KILLED_AT: Final = {
    OutgoingCall.RETRIEVE_PRICE: "changes nothing",
    OutgoingCall.LIST_ORDERS: "changes nothing",
    OutgoingCall.GET_ORDER: "changes nothing",
    OutgoingCall.GET_SUBSCRIPTION: "changes nothing",
    OutgoingCall.DELETE_ATTEMPTS: "the attempts stay due: the reconciler deletes them (ADR 56)",
    OutgoingCall.LOG_EVENTS: "a lost batch is handled once more, which changes nothing (ADR 40)",
}


@dataclass(frozen=True)
class HeldRequest:
    """A request of a scenario, held at one of its calls."""

    held: Breakpoint
    request: "asyncio.Task[int | None]"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def environment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Environment]:
    """Run one gateway with long timeouts, behind proxies."""
    options = StackOptions(durable=False, seed=2, settings={"gateway": LONG})
    async with (
        running_system(tmp_path_factory.mktemp("holdfast"), options=options, with_proxies=True) as system,
        ControlApi(system.backend.addresses.stripe_api) as control_api,
        system.shop() as shop,
    ):
        await control_api.add_webhook_rule(types=["*"], drop=True, count=None)
        yield Environment(system, control_api, shop)


@pytest.fixture(autouse=True)
def _no_call_stays_held(environment: Environment) -> Iterator[None]:
    """Keep a failed test from disturbing the next one."""
    yield
    environment.system.proxies.reset()


@pytest.mark.parametrize("kind", [*SCENARIOS, *BILLING], ids=lambda kind: kind.__name__)
async def test_p3_every_outgoing_call_is_named(environment: Environment, kind: type[Scenario]) -> None:
    """Without a kill a scenario makes exactly the calls that it names."""
    before = await take_snapshot(environment.system)
    scenario = kind(environment)
    await scenario.arrange()
    environment.system.proxies.clear_calls()

    status = await scenario.status_of_act()
    calls = Counter(call.name for call in environment.system.proxies.calls if call.name not in BACKGROUND_CALLS)
    await scenario.recover()

    assert status == scenario.status
    assert calls == Counter(scenario.calls)
    await assert_settled(environment, before, [scenario])


def test_p3_the_gateway_is_killed_at_every_call() -> None:
    """No call is left out but those that change nothing."""
    killed_at = {kind.calls[index] for kind, index in (*CALLS, *BILLING_CALLS)}

    assert killed_at == set(OutgoingCall) - NEVER_KILLED_AT.keys()


@pytest.mark.parametrize(("kind", "index"), CASES)
async def test_p3_a_kill_at_any_call_harms_nobody(environment: Environment, kind: type[Scenario], index: int) -> None:
    """One SIGKILL hits one request before the call's effect and another after it; both end like undisturbed ones."""
    before = await take_snapshot(environment.system)
    both = [kind(environment), kind(environment)]
    for scenario in both:
        await scenario.arrange()
    held = [await hold(scenario, index, moment) for scenario, moment in zip(both, Moment, strict=True)]

    statuses = await kill_gateway(environment, held)
    await asyncio.gather(*(scenario.recover() for scenario in both))

    assert statuses == [None, None]
    await assert_settled(environment, before, both)


async def hold(scenario: Scenario, index: int, moment: Moment) -> HeldRequest:
    """Send a scenario's request, and wait until one of its calls is held."""
    call = scenario.calls[index]
    interceptor = scenario.system.proxies.on(call).interceptor
    held = interceptor.break_at(call, moment, skip=scenario.calls[:index].count(call))
    request = asyncio.create_task(scenario.status_of_act())
    hit = asyncio.create_task(held.hit())
    await asyncio.wait({request, hit}, return_when=asyncio.FIRST_COMPLETED)
    hit.cancel()
    assert held.is_hit, f"{call.name} was not called: {request}"
    return HeldRequest(held, request)


async def kill_gateway(environment: Environment, held: Sequence[HeldRequest]) -> list[int | None]:
    """Kill the gateway while calls are held, drop them, and start it again; return the statuses of the requests."""
    assert not any(each.request.done() for each in held)
    await environment.system.backend.kill("gateway")
    for each in held:
        each.held.drop()
    statuses = await asyncio.gather(*(each.request for each in held))
    await environment.system.backend.start("gateway")
    return list(statuses)


async def assert_settled(environment: Environment, before: Snapshot, scenarios: Sequence[Scenario]) -> None:
    """Assert that each payment has one decision with its sum, and that nothing else is stored or payable."""
    after = await take_snapshot(environment.system)

    assert (after.payable, after.contents) == (before.payable, before.contents)
    for scenario in scenarios:
        if isinstance(scenario, Activate):
            await scenario.assert_billed_once()
        else:
            assert after.state_of(scenario) == scenario.ends
            await assert_decided_once(scenario)


async def assert_decided_once(scenario: Scenario) -> None:
    """Assert that the payment is one purchase or quarantined once, with the sum that Stripe received (P5)."""
    intent, orders_db = await scenario.intent(), scenario.system.orders_db
    received = (intent["id"], intent["amount_received"], intent["currency"])
    outcome = "quarantined" if scenario.quarantine_reason else "purchase"
    payments = await orders_db.payments_of(scenario.checkout.attempt_id)
    orders = await orders_db.orders_of(scenario.checkout.attempt_id)
    content = await scenario.system.rpc.quarantined_content(intent["id"])

    assert [(row["outcome"], row["quarantine_reason"]) for row in payments] == [(outcome, scenario.quarantine_reason)]
    assert [(row["intent_id"], row["amount_minor"], row["currency"]) for row in payments] == [received]
    assert [(row["payment_intent_id"], row["total_minor"], row["currency"]) for row in orders] == (
        [] if scenario.quarantine_reason else [received]
    )
    assert (content is not None and "Harbour Street" in content.shipping_address.line1) == scenario.quarantined_content
    if scenario.retired:
        assert await orders_db.payment(scenario.retired.intent_id) is None
