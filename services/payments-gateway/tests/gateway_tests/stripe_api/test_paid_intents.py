"""Lists of succeeded intents, at a simulated Stripe."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from payments_gateway.domain.attempts import IntentKind
from payments_gateway.domain.audit import PaidIntent, Window
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.stripe_api.paid_intents import StripePaidIntents
from stripe_simulator.testing import SimulatedStripe, simulated_stripe

from ..samples import ATTEMPT_ID, intent_ref
from ..stripe_stand_in import intent_json, stripe_stand_in

LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)
PAYMENTS: Final = Window(IntentKind.PAYMENT, LONG_AGO)


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedStripe]:
    """Give a Stripe without intents."""
    async with simulated_stripe() as simulated:
        yield simulated


async def paid(sim: SimulatedStripe, **changes: Any) -> str:
    """Create an intent and pay it; return its id."""
    intent = await sim.intent(metadata={"checkoutAttemptId": ATTEMPT_ID}, **changes)
    await sim.pay(intent.id)
    return intent.id


async def everything(sim: SimulatedStripe, window: Window) -> list[PaidIntent]:
    """Return the intents of all pages."""
    found: list[PaidIntent] = []
    after: str | None = None
    while True:
        page = await StripePaidIntents(sim.api).page(window, after)
        found += page.found
        if page.next is None:
            return found
        after = page.next


async def test_only_succeeded_intents_are_listed(sim: SimulatedStripe) -> None:
    """With the amount that was received, and what was given back of it."""
    await sim.intent()
    paid_id = await paid(sim, amount=1250)
    await sim.api.v1.refunds.create_async({"payment_intent": paid_id, "amount": 250})

    page = await StripePaidIntents(sim.api).page(PAYMENTS, None)

    [found] = page.found
    assert (found.ref, found.attempt_id) == (intent_ref(paid_id), ATTEMPT_ID)
    assert (found.received, found.refunded) == (Money(1250, "usd"), Money(250, "usd"))
    assert (page.next, page.looked_at) == (None, 2)


async def test_pages_follow_each_other(sim: SimulatedStripe) -> None:
    """Each intent comes once, the last created first."""
    ids = []
    for _ in range(105):
        ids.append(await paid(sim))
        await sim.later(hours=1)

    found = await everything(sim, PAYMENTS)

    assert [each.ref.id for each in found] == ids[::-1]
    assert [each.created_at for each in found] == sorted((each.created_at for each in found), reverse=True)


async def test_a_list_begins_with_its_time(sim: SimulatedStripe) -> None:
    """The second itself is in it, as in the list of decisions."""
    ids = []
    for _ in range(3):
        ids.append(await paid(sim))
        await sim.later(hours=1)
    second = await StripePaidIntents(sim.api).find(intent_ref(ids[1]))
    assert second is not None

    found = await everything(sim, Window(IntentKind.PAYMENT, second.created_at))

    assert [each.ref.id for each in found] == [ids[2], ids[1]]


async def test_setup_intents_have_no_amounts(sim: SimulatedStripe) -> None:
    """They are listed apart."""
    await sim.saved_card()

    [found] = await everything(sim, Window(IntentKind.SETUP, LONG_AGO))

    assert (found.ref.kind, found.received, found.refunded) == (IntentKind.SETUP, None, None)
    assert await everything(sim, PAYMENTS) == []


async def test_an_intent_that_did_not_succeed_is_not_found(sim: SimulatedStripe) -> None:
    """Nor is one that Stripe does not know."""
    intents = StripePaidIntents(sim.api)
    waiting = await sim.intent()

    assert await intents.find(intent_ref(waiting.id)) is None
    assert await intents.find(intent_ref("pi_unknown")) is None


@pytest.mark.parametrize(
    ("metadata", "fails"), [({}, False), ({"checkoutAttemptId": ATTEMPT_ID}, True)], ids=["other software's", "ours"]
)
async def test_an_unreadable_intent_of_ours_is_not_left_out(metadata: dict[str, str], fails: bool) -> None:  # noqa: FBT001
    """An audit that skips one in silence proves nothing."""
    async with stripe_stand_in() as stand_in:
        shown = intent_json(status="succeeded", metadata=metadata, amount_received="12.50")
        stand_in.answer({"object": "list", "url": "/v1/payment_intents", "has_more": False, "data": [shown]})
        intents = StripePaidIntents(stand_in.client)

        if fails:
            with pytest.raises(StripeUnavailable):
                await intents.page(PAYMENTS, None)
        else:
            assert (await intents.page(PAYMENTS, None)).found == []
