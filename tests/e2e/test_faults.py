"""Each outgoing call of the gateway meets each fault, before its effect and after it (P2, P3).

The first test runs all rows of the fault table, most of them concurrently; then each test examines one row.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .billing_scenarios import BILLING
from .checkout_scenarios import Begin
from .fault_table import ROWS, SCENARIOS, TARGETS, Answer, GrpcFault, Queue, Row, Target
from .harness.control_api import ControlApi
from .harness.grpc_proxy import GrpcProxy
from .harness.http_proxy import call_name
from .harness.interceptor import Fault, Moment, ObservedCall
from .harness.outgoing_calls import OutgoingCall
from .harness.products import run_concurrently
from .harness.shop import Shop
from .harness.system import running_system
from .payment_scenarios import Return
from .scenario import Environment, ExpectedState, Scenario, take_snapshot
from .timeouts import REQUEST_DEADLINE_SECONDS, SHORT

pytestmark = pytest.mark.timeout(300)
"""The first test waits for the whole table."""

AT_ONCE: Final = 12

CallCounts = Mapping[type[Scenario], Counter[str]]
_ROOM: Final = {"MAX_IN_FLIGHT": "1000"}


@dataclass
class Run:
    """A row and its result."""

    row: Row
    scenario: Scenario
    fault: Fault | None = None
    fault_id: str = ""
    hits: int = 0
    answer: Answer | None = None
    seconds: float = 0.0
    released: frozenset[str] = field(default=frozenset(), repr=False)
    """The secrets that clients had at the time of the answer."""
    left: ExpectedState | None = None
    """After the answer, while the fault lasts."""
    failed_recovery: str = ""
    ended: ExpectedState | None = None
    """After recovery."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def environment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Environment]:
    """Run two gateways with short timeouts, and with room for the requests that all faults hold up at once."""
    gateway = SHORT | _ROOM
    settings = {"gateway": gateway, "gateway-2": gateway, "checkout-session": _ROOM, "orders": _ROOM}
    options = StackOptions(gateways=2, durable=False, seed=8, settings=settings)
    folder = tmp_path_factory.mktemp("holdfast")
    async with (
        running_system(folder, options=options, with_proxies=True, straight_to_stripe=True) as system,
        ControlApi(system.backend.addresses.stripe_api) as control_api,
        system.shop() as shop,
    ):
        await control_api.add_webhook_rule(types=["*"], drop=True, count=None)
        yield Environment(system, control_api, shop)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def undisturbed(environment: Environment) -> CallCounts:
    """Run each scenario without a fault and count its calls."""
    counts = {}
    for number, kind in enumerate(SCENARIOS, start=len(ROWS) + 1):
        scenario = kind(environment, number)
        await scenario.prepare()
        mark = await environment.control_api.request_count()
        (await scenario.act(environment.shop)).ok()
        requests = await environment.control_api.requests("*", "*", after=mark)
        to_stripe = [call_name(request["method"], request["path"]) for request in requests]
        calls = [call.name for call in environment.system.proxies.calls if _belongs_to(scenario, call)]
        counts[kind] = Counter([*to_stripe, *calls])
    return counts


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def runs(request: pytest.FixtureRequest, environment: Environment, undisturbed: CallCounts) -> Mapping[str, Run]:
    """Run the rows of the selected tests; return the results by name."""
    selected = set(_rows_of(request.session.items))
    all_runs = [
        Run(row, row.target.scenario(environment, number))
        for number, row in enumerate(ROWS, start=1)
        if row.name in selected
    ]
    async with environment.system.shop(gateway=1) as second_gateway:
        concurrent = [run for run in all_runs if run.row.queue is Queue.NONE]
        await _run_all(run.scenario.prepare for run in concurrent)
        act = partial(_act, environment)
        await asyncio.gather(
            _run_all(partial(act, run, environment.shop) for run in concurrent if not run.row.takes_long),
            *(act(run, environment.shop) for run in concurrent if run.row.takes_long),
            *(
                _run_queue(environment, door, [run for run in all_runs if run.row.queue is queue])
                for queue, door in (
                    (Queue.CUSTOMERS, environment.shop),
                    (Queue.RATE_LIMITED, second_gateway),
                )
            ),
        )
    while_failing = await take_snapshot(environment.system)
    environment.system.proxies.reset()
    await environment.control_api.clear_faults()
    await _run_all(partial(_recover, run) for run in all_runs)
    afterwards = await take_snapshot(environment.system)
    for run in all_runs:
        run.left = while_failing.state_of(run.scenario, run.released)
        run.ended = afterwards.state_of(run.scenario)
    return {run.row.name: run for run in all_runs}


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.name, marks=[] if row.is_short else [pytest.mark.long]) for row in ROWS]
)
async def test_p3_a_fault_is_answered_and_harms_nobody(runs: Mapping[str, Run], row: Row) -> None:
    """The fault hit, the client was answered in time, the state was exact, and a repeat ended in one purchase."""
    run = runs[row.name]

    assert run.hits == row.fault.count if row.fault.count else run.hits >= 1
    assert run.answer == row.answer
    assert run.seconds < REQUEST_DEADLINE_SECONDS
    assert run.left == row.left
    assert run.failed_recovery == ""
    assert run.ended == replace(run.scenario.ends, payable=row.abandoned)


@pytest.mark.parametrize("kind", SCENARIOS, ids=lambda kind: kind.__name__)
async def test_every_call_of_a_scenario_has_its_rows(undisturbed: CallCounts, kind: type[Scenario]) -> None:
    """Without a fault a scenario makes exactly the calls that it names, and each of them is in the table."""
    assert undisturbed[kind] == Counter(kind.calls)
    assert set(kind.calls) <= {target.call for target in TARGETS}


async def test_every_observed_call_is_in_a_table(
    environment: Environment, undisturbed: CallCounts, runs: Mapping[str, Run]
) -> None:
    """All calls of the gateways are known, and each is in this table or fails in the billing scenarios.

    The log of events is written and recorded attempts are deleted beside the requests: a failure is no request's.
    """
    observed = environment.system.proxies.call_names.union(*undisturbed.values())
    in_table = {target.call for target in TARGETS} | {OutgoingCall.LOG_EVENTS, OutgoingCall.DELETE_ATTEMPTS}
    in_billing = {call for kind in BILLING for call in kind.calls}

    assert observed <= in_table
    assert set(OutgoingCall) == in_table | in_billing


@pytest.mark.parametrize("moment", Moment, ids=lambda moment: moment.name)
@pytest.mark.parametrize(("kind", "call"), [(Begin, OutgoingCall.SAVE_ATTEMPT), (Return, OutgoingCall.RECORD_PURCHASE)])
async def test_p3_a_connection_cut_during_a_call_harms_nobody(
    environment: Environment, kind: type[Scenario], call: OutgoingCall, moment: Moment
) -> None:
    """The connection to a service ends during a call that stores: answered in time, and bought once."""
    scenario = kind(environment, len(ROWS) + len(SCENARIOS) + 1)
    await scenario.prepare()
    proxy = environment.system.proxies.on(call)
    assert isinstance(proxy, GrpcProxy)
    held = proxy.interceptor.break_at(call, moment)

    request = asyncio.create_task(scenario.act(environment.shop))
    await held.hit()
    await proxy.cut()
    reply = await request
    held.drop()
    await scenario.recover()

    assert reply.status in {200, 503}  # depending on gRPC's own retry
    assert (await take_snapshot(environment.system)).state_of(scenario) == scenario.ends


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_call_has_short_rows_for_both_moments(target: Target) -> None:
    """`make test` fails each call before its effect and after it."""
    moments = {row.fault.moment for row in ROWS if row.target == target and row.is_short}

    assert moments == set(Moment)


def _rows_of(tests: Iterable[pytest.Item]) -> Iterator[str]:
    """Yield the names of the rows that these tests examine."""
    for test in tests:
        if (
            isinstance(test, pytest.Function)
            and test.originalname == test_p3_a_fault_is_answered_and_harms_nobody.__name__
        ):
            yield test.callspec.id


async def _act(environment: Environment, run: Run, door: Shop) -> None:
    """Inject the row's fault, send the request, and note the answer."""
    await _inject(environment, run)
    began = time.monotonic()
    reply = await run.scenario.act(door)
    run.seconds = time.monotonic() - began
    run.answer = Answer(reply.status, reply.problem, reply.headers.get("Retry-After"))
    run.released = frozenset(run.scenario.secrets)
    run.hits = run.fault.hits if run.fault else await environment.control_api.fault_hits(run.fault_id)


async def _inject(environment: Environment, run: Run) -> None:
    target, fault = run.row.target, run.row.fault
    if isinstance(fault, GrpcFault):
        run.fault = environment.system.proxies.on(target.call).interceptor.add_fault(
            target.call,
            fault.moment,
            fault.ending,
            concerns=partial(_belongs_to, run.scenario),
            skip=target.skip,
            count=fault.count,
        )
        return
    request = run.scenario.stripe_filter(target.call)
    run.fault_id = await environment.control_api.add_fault(
        kind=fault.kind, count=fault.count, **request, **fault.options
    )


def _belongs_to(scenario: Scenario, call: ObservedCall) -> bool:
    return call.headers.get("x-request-id") == scenario.request_id


async def _run_queue(environment: Environment, door: Shop, runs: Iterable[Run]) -> None:
    for run in runs:
        await run.scenario.prepare()
        await _act(environment, run, door)
        if run.fault_id:
            await environment.control_api.remove_fault(run.fault_id)
        if run.row.fault.name == "rate_limit" and run.answer is not None:
            await asyncio.sleep(int(run.answer.retry_after or 0))  # the gateway sends nothing to Stripe until then


async def _recover(run: Run) -> None:
    try:
        await run.scenario.recover()
    except AssertionError as failure:
        run.failed_recovery = str(failure)


async def _run_all(jobs: Iterable[Callable[[], Awaitable[None]]]) -> None:
    await run_concurrently(list(jobs), at_once=AT_ONCE)
