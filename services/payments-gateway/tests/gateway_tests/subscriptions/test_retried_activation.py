"""A failed activation that a person lets begin again creates one Stripe subscription, whatever else is under way."""

import asyncio
from dataclasses import replace
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.intents import StripeIntent
from payments_gateway.domain.purchases import Payment, Purchase
from payments_gateway.domain.stripe_billing import SubscriptionRefused
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.domain.subscriptions import SubscriptionStatus

from ..assembly import Gateway
from ..billing_samples import CLUB_CONTEXT
from ..fakes import Crash, SlowWire
from ..samples import ATTEMPT_ID, INTENT_CREATED_AT
from ..simulated_billing import Billing

REQUESTS_ENDED_SECONDS = 601
"""Time after which no request of a failed generation is under way."""


async def test_a_failed_activation_begins_again_after_the_price_was_mended(billing: Billing) -> None:
    """The next report of the payment creates it, once."""
    plan = await billing.plan()
    paid = await billing.paid(plan)
    await billing.stripe.api.v1.prices.update_async(plan.price_id, {"active": False})
    [failed] = (await billing.fulfil(paid)).subscriptions

    await billing.stripe.api.v1.prices.update_async(plan.price_id, {"active": True})
    billing.gateway.subscriptions.retry_activation(failed.id)
    await billing.later(hours=0.2)
    for _ in range(2):
        await billing.fulfil(paid)

    assert (failed.status.value, billing.the_recorded().status.value) == ("activation_failed", "active")
    await billing.require_bound()


async def test_a_failed_activation_begins_again_with_another_card(billing: Billing) -> None:
    """The first one was detached from its customer; the subscription is charged to the other one."""
    paid = await billing.paid()
    await billing.stripe.api.v1.payment_methods.detach_async(str(paid.payment_method_id))
    subscription = (await billing.fulfil(paid)).subscriptions[0]
    card = await billing.stripe.save_card(subscription.stripe_customer_id, "pm_card_mastercard")

    billing.gateway.subscriptions.retry_activation(subscription.id, card)
    await billing.later(hours=0.2)
    await billing.fulfil(paid)

    created = await billing.stripe.api.v1.subscriptions.retrieve_async(
        str(billing.the_recorded().stripe_subscription_id)
    )
    assert subscription.status is SubscriptionStatus.ACTIVATION_FAILED
    assert created.default_payment_method == card
    await billing.require_bound()


async def test_p3_a_late_request_of_a_failed_generation_makes_no_second_subscription(billing: Billing) -> None:
    """Stripe may store no refusal, so a late request succeeds once the price is mended; nobody creates meanwhile."""
    paid = await billing.paid()
    early: list[BaseException | Purchase] = []

    async def fail_and_begin_again() -> None:
        await refuse_and_retry(billing, paid)
        early.extend(await asyncio.gather(billing.fulfil(paid), return_exceptions=True))

    billing.gateway.wire.meanwhile("billing.create", fail_and_begin_again)
    await billing.fulfil(paid)
    await billing.later(hours=0.2)
    await billing.fulfil(paid)

    assert [type(outcome) for outcome in early] == [StripeUnavailable]
    await billing.require_bound()


async def test_p3_what_a_failed_generation_created_is_adopted(billing: Billing) -> None:
    """The late request was killed before it could bind the subscription."""
    paid = await billing.paid()

    async def fail_and_begin_again() -> None:
        await refuse_and_retry(billing, paid)
        billing.gateway.wire.fail("subscriptions.activate", Crash())

    billing.gateway.wire.meanwhile("billing.create", fail_and_begin_again)
    with pytest.raises(Crash):
        await billing.fulfil(paid)
    billing.gateway.wire.heal()
    await billing.later(hours=0.2)
    await billing.fulfil(paid)

    assert len(await billing.keys()) == 1
    await billing.require_bound()


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    pauses=st.lists(st.integers(0, 20), min_size=1, max_size=30),
    refusals=st.lists(st.booleans(), max_size=12),
    rounds=st.lists(st.integers(1, 4), min_size=1, max_size=3),
)
def test_p3_reports_refusals_and_retries_in_any_interleaving_create_one(
    pauses: list[int], refusals: list[bool], rounds: list[int]
) -> None:
    """Several reports at once, a person who lets the activation begin again at once, and refusals that come and go."""
    asyncio.run(_retry_meanwhile(pauses, refusals, rounds))


async def _retry_meanwhile(pauses: list[int], refusals: list[bool], rounds: list[int]) -> None:
    gateway = Gateway(wire=SlowWire(cycle(pauses)))
    gateway.fake_billing.refusals = list(refusals)
    payment = Payment(
        IntentRef("seti_1", IntentKind.SETUP),
        ATTEMPT_ID,
        None,
        livemode=False,
        intent_created_at=INTENT_CREATED_AT,
        payment_method_id="pm_1",
    )
    [recorded] = gateway.subscriptions.record(payment, replace(CLUB_CONTEXT))

    def retry_if_failed() -> None:
        if gateway.subscriptions.by_id[recorded.id].status is SubscriptionStatus.ACTIVATION_FAILED:
            gateway.subscriptions.retry_activation(recorded.id)

    async def person(reports: list[asyncio.Task[object]]) -> None:
        while not all(report.done() for report in reports):
            retry_if_failed()
            await asyncio.sleep(0)

    for count in rounds:
        reports = [asyncio.create_task(_report(gateway, recorded.id)) for _ in range(count)]
        await asyncio.gather(person(reports), *reports)
        gateway.clock.advance(REQUESTS_ENDED_SECONDS)
    gateway.fake_billing.refusals.clear()
    retry_if_failed()
    await _report(gateway, recorded.id)

    assert list(gateway.fake_billing.created) == [gateway.subscriptions.by_id[recorded.id].stripe_subscription_id]


async def _report(gateway: Gateway, subscription_id: str) -> object:
    """Report the payment; while Stripe may still be creating the subscription, a later report comes."""
    try:
        return await gateway.activation.activate(subscription_id)
    except StripeUnavailable:
        return None


async def refuse_and_retry(billing: Billing, paid: StripeIntent) -> None:
    """Let Stripe refuse to create the subscription, and a person let its activation begin again."""
    billing.gateway.wire.fail("billing.create", SubscriptionRefused("resource_missing"))
    [failed] = (await billing.fulfil(paid)).subscriptions
    billing.gateway.wire.heal()
    billing.gateway.subscriptions.retry_activation(failed.id)
