"""The gateway is killed at every call that it makes to others, before the call's effect and after it.

A proxy outside the service holds the request or keeps the answer back; then the process gets a real SIGKILL. Initiate
is made good by the client's repeat with the same Idempotency-Key, fulfilment by Stripe's own redelivery alone.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .adjustment_situations import ADJUSTED, AdjustmentRoad
from .conftest import Waiter
from .deadlines import PATIENT
from .fulfilment_situations import FULFILLED
from .harness.checkpoint import Moment
from .harness.knobs import Knobs
from .harness.shop import Shop
from .harness.system import System, running_system
from .initiate_situations import INITIATED
from .sigkill import RETRYING_SOON, kill_gateway, run_into
from .situations import SUCCEEDED, Road, Situation, Stage

pytestmark = pytest.mark.long

if TYPE_CHECKING:
    from stripe.params import PaymentIntentListParams, SetupIntentListParams

IN_THE_BACKGROUND: Final = {
    "GET /v1/prices": "the price book reads the catalogue at the start and from time to time; no request waits for it",
    "GET /v1/shipping_rates": "same",
    "/grpc.health.v1.Health/Check": "asked for by readiness probes, not by buyers or Stripe",
}
"""Calls that belong to no checkout, and why."""

SITUATIONS: Final = (*INITIATED, *FULFILLED, *ADJUSTED)
CALLS: Final = [
    pytest.param(situation, index, id=f"{situation.__name__}-{index + 1}-{road.name}")
    for situation in SITUATIONS
    for index, road in enumerate(situation.calls)
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run one gateway behind proxies, at a Stripe that soon delivers again."""
    options = StackOptions(durable=False, seed=2, simulator_arguments=RETRYING_SOON, settings={"gateway": PATIENT})
    async with running_system(tmp_path_factory.mktemp("holdfast"), options=options, with_proxies=True) as running:
        yield running


@dataclass(frozen=True)
class Found:
    """What earlier tests left behind."""

    newest_intent: str | None
    newest_setup: str | None
    attempts: list[str]


@pytest.fixture
def stage(system: System, shop: Shop, knobs: Knobs) -> Stage:
    """Set the stage for a situation."""
    return Stage(system, shop, knobs)


@pytest_asyncio.fixture(loop_scope="session")
async def found(system: System) -> Found:
    """Look around before anything happens."""
    newest = await system.stripe.v1.payment_intents.list_async({"limit": 1})
    setups = await system.stripe.v1.setup_intents.list_async({"limit": 1})
    return Found(
        newest.data[0].id if newest.data else None,
        setups.data[0].id if setups.data else None,
        await system.attempts.content_keys(),
    )


@pytest.mark.parametrize("kind", SITUATIONS, ids=lambda kind: kind.__name__)
async def test_p3_every_outgoing_call_has_its_case(
    stage: Stage, settled: Waiter, found: Found, kind: type[Situation]
) -> None:
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
    await assert_paid_once(stage, situation)
    await assert_nothing_else(stage.system, found, [situation])


def test_p3_every_kind_of_call_is_met() -> None:
    """No kind of call is named that no situation takes."""
    met = {road for situation in SITUATIONS for road in situation.calls}

    assert met == {*Road, *AdjustmentRoad}


@pytest.mark.parametrize(("kind", "index"), CALLS)
async def test_p3_killed_at_any_call(
    stage: Stage, settled: Waiter, found: Found, kind: type[Situation], index: int
) -> None:
    """One SIGKILL meets one checkout before the call's effect and one after it; both end as if nothing had been."""
    both = [kind(stage), kind(stage)]
    for situation in both:
        await situation.arrange()
    caught = [await run_into(situation, index, moment) for situation, moment in zip(both, Moment, strict=True)]

    answers = await kill_gateway(stage.system, caught)
    await asyncio.gather(*(situation.recover() for situation in both))
    await asyncio.gather(*(settled(situation.checkout) for situation in both))
    await stage.knobs.idle()

    assert answers == [None, None]
    for situation in both:
        await assert_paid_once(stage, situation)
    await assert_nothing_else(stage.system, found, both)


async def assert_paid_once(stage: Stage, situation: Situation) -> None:
    """Assert that the payment has its one order or is set aside once, with its sum, and that Stripe was told so."""
    system, checkout = stage.system, situation.checkout
    intent = await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)
    received = (intent.id, intent.amount_received, intent.currency)
    outcome = "quarantined" if situation.set_aside_as else "purchase"
    payments = await system.books.payments_of(checkout.attempt_id)
    orders = await system.books.orders_of(checkout.attempt_id)
    deliveries = await stage.knobs.deliveries(object_id=checkout.intent_id, event_type=SUCCEEDED)

    assert [(row["outcome"], row["quarantine_reason"]) for row in payments] == [(outcome, situation.set_aside_as)]
    assert [(row["intent_id"], row["amount_minor"], row["currency"]) for row in payments] == [received]
    content = await system.records.content_set_aside(intent.id)
    assert (content is not None and "Harbour Street" in content.shipping_address.line1) == situation.content_set_aside
    assert [(row["payment_intent_id"], row["total_minor"], row["currency"]) for row in orders] == (
        [] if situation.set_aside_as else [received]
    )
    assert [delivery["state"] for delivery in deliveries] == ["delivered"]
    if not situation.set_aside_as:
        order = (await stage.shop.status(checkout.attempt_id, headers=situation.headers)).ok()["purchase"]["order"]
        assert (order["refundedAmount"], order["disputedAmount"]) == situation.taken_back


async def assert_nothing_else(system: System, found: Found, situations: Sequence[Situation]) -> None:
    """Assert that there is no other intent, paid or payable, no second payment, and no attempt's content."""
    page: PaymentIntentListParams = {"limit": 100}
    if found.newest_intent is not None:
        page["ending_before"] = found.newest_intent
    setup_page: SetupIntentListParams = {"limit": 100}
    if found.newest_setup is not None:
        setup_page["ending_before"] = found.newest_setup
    intents = await system.stripe.v1.payment_intents.list_async(page)
    setups = await system.stripe.v1.setup_intents.list_async(setup_page)
    paid = {situation.checkout.intent_id: "succeeded" for situation in situations}
    retired = {situation.retired.intent_id: "canceled" for situation in situations if situation.retired}

    held = {intent.id: intent.status for intent in intents.data}
    assert held | {setup.id: setup.status for setup in setups.data} == paid | retired
    for intent_id in retired:
        assert await system.books.payment(intent_id) is None
    assert await system.attempts.content_keys() == found.attempts
