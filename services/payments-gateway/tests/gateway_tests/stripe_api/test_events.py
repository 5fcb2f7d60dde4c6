"""Stripe's list of events, over a simulator."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.stripe_events import TooManyEvents, object_id
from payments_gateway.domain.webhook_events import UnreadableIntentSucceeded
from payments_gateway.stripe_api.events import StripeEvents
from stripe_simulator.rate_limits import UNLIMITED
from stripe_simulator.settings import SimulatorSettings
from stripe_simulator.testing import SimulatedStripe, simulated_stripe

from ..samples import ATTEMPT_ID
from ..stripe_stand_in import roomy_limiter, stripe_client, stripe_stand_in

OURS = {"checkoutAttemptId": ATTEMPT_ID}
HOUR = timedelta(hours=1)


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedStripe]:
    """Give an empty Stripe."""
    async with simulated_stripe(SimulatorSettings(seed=7, secret_key="sk_test_1", rate_limits=UNLIMITED)) as simulated:
        yield simulated


def events_of(sim: SimulatedStripe) -> StripeEvents:
    """Return its list of events."""
    return StripeEvents(stripe_client(sim.simulator.url, sim.session, roomy_limiter()))


async def pay(sim: SimulatedStripe, metadata: dict[str, str]) -> str:
    """Let an intent be paid; return its id."""
    intent = await sim.intent(automatic_payment_methods={"enabled": True}, metadata=metadata)
    await sim.pay(intent.id)
    return intent.id


async def test_events_are_listed_by_the_ids_of_their_objects_oldest_first(sim: SimulatedStripe) -> None:
    """A payment is retrieved, whatever its event shows. Those without an effect, and other software's, are left out."""
    intent_id = await pay(sim, OURS)
    await pay(sim, {})
    refund = await sim.api.v1.refunds.create_async({"payment_intent": intent_id, "amount": 500})
    now = datetime.now(UTC)

    listed = await events_of(sim).list_between(now - HOUR, now + HOUR, None)

    paid = [each.event for each in listed if each.type == "payment_intent.succeeded"]
    assert paid == [UnreadableIntentSucceeded(IntentRef(intent_id, IntentKind.PAYMENT), livemode=False)]
    assert refund.id in {object_id(each.event) for each in listed}
    assert not {each.type for each in listed} & {"payment_intent.created", "charge.succeeded"}
    assert [each.created_at for each in listed] == sorted(each.created_at for each in listed)


async def test_only_events_of_the_time_are_listed(sim: SimulatedStripe) -> None:
    """Both ends are included."""
    await pay(sim, OURS)
    now = datetime.now(UTC)
    events = events_of(sim)
    [event, *_] = await events.list_between(now - HOUR, now + HOUR, None)

    found = await events.list_between(event.created_at, event.created_at, None)
    later = await events.list_between(now + HOUR, now + HOUR, None)

    assert (event in found, later) == (True, [])


async def test_more_than_a_page_is_listed_up_to_the_limit(sim: SimulatedStripe) -> None:
    """More than the limit is refused."""
    intent_id = await pay(sim, OURS)
    for _ in range(60):
        await sim.api.v1.refunds.create_async({"payment_intent": intent_id, "amount": 1})
    now = datetime.now(UTC)
    events = events_of(sim)

    listed = await events.list_between(now - HOUR, now + HOUR, None)

    assert len(listed) > 100
    with pytest.raises(TooManyEvents):
        await events.list_between(now - HOUR, now + HOUR, len(listed) - 1)


@pytest.mark.parametrize(
    "changes",
    [{"data": {"object": {"object": "refund"}}}, {"account": "acct_other"}, {"type": "price.created"}],
    ids=["without an id", "of a connected account", "of a type without effect"],
)
async def test_an_event_that_names_no_object_of_ours_is_left_out(changes: dict[str, Any]) -> None:
    """It does not keep the others."""
    shown = {"object": "event", "type": "refund.updated", "created": 1, "data": {"object": {"id": "re_1"}}}
    async with stripe_stand_in() as stand_in:
        page = [{**shown, "id": "evt_1", **changes}, {**shown, "id": "evt_2"}]
        for data in (page, []):  # of the first types, and of the others
            stand_in.answer({"object": "list", "data": data, "has_more": False, "url": "/v1/events"})

        listed = await StripeEvents(stand_in.client).list_between(datetime.now(UTC), datetime.now(UTC), None)

    assert {each.id for each in listed} == {"evt_2"}


async def test_an_event_that_names_no_object_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """The cursor passes it, so somebody has to look at it."""
    shown = {"id": "evt_1", "object": "event", "type": "refund.updated", "created": 1, "data": {"object": {}}}
    async with stripe_stand_in() as stand_in:
        for data in ([shown], []):
            stand_in.answer({"object": "list", "data": data, "has_more": False, "url": "/v1/events"})

        await StripeEvents(stand_in.client).list_between(datetime.now(UTC), datetime.now(UTC), None)

    [record] = [each for each in caplog.records if each.levelname == "ERROR"]
    assert (record.__dict__["event"], record.__dict__["event_type"]) == ("evt_1", "refund.updated")
