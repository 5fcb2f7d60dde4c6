import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from payments_gateway.domain.attempts import Interval, Recurring
from payments_gateway.domain.purchases import Purchase
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripeUnavailable, UnsupportedStripeObject
from payments_gateway.domain.subscriptions import (
    StripeSubscriptionMismatch,
    StripeSubscriptionState,
    Subscription,
    SubscriptionStatus,
)

from .billing_stage import WEBHOOK, YEARLY, BillingStage, billing_stage
from .fakes import Crash
from .samples import ATTEMPT_ID

CALLS_OF_ONE_SUBSCRIPTION = 6
"""find, record, delete, begin, create, activate."""


@pytest.fixture
async def stage() -> AsyncIterator[BillingStage]:
    """Give the gateway's parts over a Stripe simulator."""
    async with billing_stage() as opened:
        yield opened


def bound(stage: BillingStage) -> dict[str, str]:
    """Show what orders knows of Stripe's subscriptions: status by Stripe's id."""
    return {row.stripe_subscription_id: row.status.value for row in stage.rows() if row.stripe_subscription_id}


async def test_a_setup_intent_becomes_a_subscription_without_an_order(stage: BillingStage) -> None:
    """Nothing was received and nothing was to be: the purchase is the subscription, with its first invoice."""
    paid = await stage.paid(await stage.plan(unit_amount=1900))

    purchase = await stage.fulfilled(paid)

    [row] = stage.rows()
    assert (purchase.order, purchase.subscriptions) == (None, (row,))
    assert row.status is SubscriptionStatus.ACTIVE
    assert [(invoice.total.minor_units, invoice.status.value) for invoice in row.invoices] == [(1900, "paid")]
    assert stage.gateway.attempts.stored() == []


async def test_a_mixed_cart_becomes_an_order_and_its_subscriptions(stage: BillingStage) -> None:
    """One Stripe subscription for each billing interval; the order holds the one-time lines alone."""
    paid = await stage.paid(await stage.plan(), await stage.plan(YEARLY), await stage.plan(), one_time=500)

    purchase = await stage.fulfilled(paid)

    assert purchase.order is not None
    assert (purchase.order.total.minor_units, len(purchase.order.items)) == (500, 1)
    assert [len(row.items) for row in purchase.subscriptions] == [2, 1]
    assert bound(stage) == await stage.at_stripe()
    assert set(bound(stage).values()) == {"active"}


async def test_p1_only_our_id_travels_to_stripe(stage: BillingStage) -> None:
    """The subscription carries one metadata key, and is paid with the method just used."""
    paid = await stage.paid(await stage.plan())

    await stage.fulfilled(paid)

    [row] = stage.rows()
    made = (await stage.stripe.api.v1.subscriptions.retrieve_async(str(row.stripe_subscription_id))).to_dict()
    assert made["metadata"] == {"subscriptionId": row.id}
    assert made["default_payment_method"] == paid.payment_method_id
    assert await stage.keys() == [f"subscription:{row.id}:1"]


async def test_a_trial_begins_without_a_charge(stage: BillingStage) -> None:
    """As frozen in the attempt, whatever the price says now."""
    plan = replace(await stage.plan(), recurring=Recurring(Interval.MONTH, 1, 14))

    await stage.fulfilled(await stage.paid(plan))

    [row] = stage.rows()
    assert row.status is SubscriptionStatus.TRIALING
    assert row.state is not None
    assert row.state.trial_end == row.state.current_period_end
    assert [invoice.amount_paid.minor_units for invoice in row.invoices] == [0]


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("place", range(CALLS_OF_ONE_SUBSCRIPTION))
async def test_p3_a_crash_on_the_way_to_a_subscription(
    stage: BillingStage,
    place: int,
    after_effect: bool,  # noqa: FBT001 — a case
) -> None:
    """Killed at any call, before or after its effect: the repeat ends in exactly one Stripe subscription."""
    paid = await stage.paid(await stage.plan())
    stage.gateway.wire.fail(place, Crash(), after_effect=after_effect)

    with pytest.raises(Crash):
        await stage.fulfilled(paid)
    stage.gateway.wire.heal()
    await stage.fulfilled(paid)

    assert len(await stage.at_stripe()) == 1
    assert bound(stage) == await stage.at_stripe()


@pytest.mark.parametrize("place", ["billing.create", "subscriptions.activate"])
async def test_p3_a_crash_whose_repeat_comes_when_the_key_is_forgotten(stage: BillingStage, place: str) -> None:
    """A day later Stripe would make a second one for the same key: it is asked what it has before that."""
    paid = await stage.paid(await stage.plan())
    stage.gateway.wire.fail(place, Crash(), after_effect=place == "billing.create")
    with pytest.raises(Crash):
        await stage.fulfilled(paid)
    stage.gateway.wire.heal()
    await stage.later(hours=25)

    await stage.fulfilled(paid)

    assert len(await stage.at_stripe()) == 1
    assert bound(stage) == await stage.at_stripe()
    assert len(await stage.keys()) == 1


async def test_p3_an_old_key_is_let_go_only_when_nobody_trusts_it_any_more(stage: BillingStage) -> None:
    """One worker thinks it is young enough and is on its way to Stripe; another must not go on with the next one."""
    paid = await stage.paid(await stage.plan())
    stage.gateway.wire.fail("billing.create", Crash())
    with pytest.raises(Crash):
        await stage.fulfilled(paid)
    stage.gateway.wire.heal()
    await stage.later(hours=11.99)
    late: list[BaseException | Purchase] = []

    async def another_worker() -> None:
        await stage.later(hours=0.02)
        late.extend(await asyncio.gather(stage.fulfilled(paid), return_exceptions=True))

    stage.gateway.wire.meanwhile("billing.create", another_worker)
    await stage.fulfilled(paid)

    assert [type(outcome) for outcome in late] == [StripeUnavailable]
    assert bound(stage) == await stage.at_stripe()
    assert len(await stage.at_stripe()) == 1


async def test_p3_nothing_more_is_made_with_a_key_that_may_be_forgotten(stage: BillingStage) -> None:
    """Two workers find nothing under it; one that is slow must not use it when Stripe has forgotten it meanwhile."""
    paid = await stage.paid(await stage.plan())
    stage.gateway.wire.fail("billing.create", Crash())
    with pytest.raises(Crash):
        await stage.fulfilled(paid)
    stage.gateway.wire.heal()
    await stage.later(hours=14)

    await asyncio.gather(*(stage.fulfilled(paid) for _ in range(2)), return_exceptions=True)
    await stage.fulfilled(paid)

    [row] = stage.rows()
    assert set(await stage.keys()) == {f"subscription:{row.id}:2"}
    assert bound(stage) == await stage.at_stripe()
    assert len(await stage.at_stripe()) == 1


async def test_a_pending_subscription_is_finished_without_its_attempt(stage: BillingStage) -> None:
    """The attempt is gone with the purchase recorded: the repeat finds in orders what is left to do."""
    paid = await stage.paid(await stage.plan())
    stage.gateway.wire.fail("billing.create", StripeUnavailable())
    with pytest.raises(StripeUnavailable):
        await stage.fulfilled(paid)
    pending = [row.status for row in stage.rows()]
    stage.gateway.wire.heal()

    await stage.fulfilled(paid)

    assert pending == [SubscriptionStatus.PENDING]
    assert stage.gateway.attempts.stored() == []
    assert bound(stage) == await stage.at_stripe()
    assert list(bound(stage).values()) == ["active"]


async def test_p3_many_workers_at_once_create_one(stage: BillingStage) -> None:
    """Webhooks and browsers that fulfil the same intent at the same moment."""
    paid = await stage.paid(await stage.plan(), await stage.plan(YEARLY))
    found = stage.gateway.attempts.at(ATTEMPT_ID)

    await asyncio.gather(
        *(stage.gateway.fulfilment.fulfil(paid, WEBHOOK) for _ in range(4)),
        *(stage.gateway.fulfilment.fulfil_for_buyer(paid, found) for _ in range(4)),
        return_exceptions=True,  # a key in use is passing: whoever met it is asked again
    )
    await stage.fulfilled(paid)

    assert len(await stage.at_stripe()) == 2
    assert bound(stage) == await stage.at_stripe()


@pytest.mark.parametrize("fault", ["error_after", "error_unsaved", "reset_after", "cut_body_after", "not_json_after"])
async def test_p3_a_failure_that_tells_nothing_about_its_effect(stage: BillingStage, fault: str) -> None:
    """A 500 after the effect, stored or not, and answers that broke off: one subscription, and it is bound."""
    paid = await stage.paid(await stage.plan())
    await stage.fault(fault)

    await stage.fulfilled(paid)

    assert len(await stage.at_stripe()) == 1
    assert bound(stage) == await stage.at_stripe()


async def test_a_stored_failure_without_effect_is_followed_by_another_key(stage: BillingStage) -> None:
    """Nothing was made with the first key, and it will answer 500 for ever."""
    paid = await stage.paid(await stage.plan())
    await stage.fault("error_before")

    await stage.fulfilled(paid)

    [row] = stage.rows()
    assert await stage.keys() == [f"subscription:{row.id}:1"] * 2 + [f"subscription:{row.id}:2"]
    assert bound(stage) == await stage.at_stripe()


async def test_keys_are_not_spent_without_end(stage: BillingStage) -> None:
    """While every key is spent the run gives up after a few; the next one goes on from there."""
    paid = await stage.paid(await stage.plan())
    await stage.fault("error_before", count=None)

    with pytest.raises(StripeUnavailable):
        await stage.fulfilled(paid)

    assert len(set(await stage.keys())) == 3
    assert stage.rows()[0].status is SubscriptionStatus.PENDING


async def test_p3_two_workers_abandon_a_spent_key_once(stage: BillingStage) -> None:
    """Both see the stored failure; the generation advances by one, and both use the same next key."""
    paid = await stage.paid(await stage.plan())
    await stage.fault("error_before")

    await asyncio.gather(*(stage.gateway.fulfilment.fulfil(paid, WEBHOOK) for _ in range(3)), return_exceptions=True)
    await stage.fulfilled(paid)

    assert len(await stage.at_stripe()) == 1
    assert stage.rows()[0].activation_generation == 2
    assert bound(stage) == await stage.at_stripe()


@pytest.mark.parametrize("hours", [0, 25])
async def test_one_that_was_cancelled_in_between_is_adopted(stage: BillingStage, hours: int) -> None:
    """Created, not yet bound, and ended at Stripe meanwhile: bound as canceled, and not created anew."""
    paid = await stage.paid(await stage.plan())
    stage.gateway.wire.fail("billing.create", Crash(), after_effect=True)
    with pytest.raises(Crash):
        await stage.fulfilled(paid)
    stage.gateway.wire.heal()
    [made] = await stage.at_stripe()
    await stage.stripe.api.v1.subscriptions.cancel_async(made)
    await stage.later(hours)

    await stage.fulfilled(paid)

    assert bound(stage) == {made: "canceled"} == await stage.at_stripe()


async def test_an_archived_price_fails_the_activation_for_good(
    stage: BillingStage, caplog: pytest.LogCaptureFixture
) -> None:
    """It is noted and told to the operator; the webhook is acknowledged, and its repeat does not ask Stripe again."""
    plan = await stage.plan()
    paid = await stage.paid(plan)
    await stage.stripe.api.v1.prices.update_async(plan.price_id, {"active": False})

    await stage.fulfilled(paid)
    purchase = await stage.fulfilled(paid)

    [row] = purchase.subscriptions
    assert (row.status, row.activation_failure) == (SubscriptionStatus.ACTIVATION_FAILED, "invalid_request")
    assert len(await stage.keys()) == 1
    assert [record.levelname for record in caplog.records if "refused a bought" in record.message] == ["ERROR"]


async def test_one_that_stripe_made_and_has_no_more_is_not_made_again(stage: BillingStage) -> None:
    """Its key is still remembered and its object wiped: a person has to look, and the webhook is acknowledged."""
    paid = await stage.paid(await stage.plan())
    stage.gateway.wire.fail("billing.create", NotFoundAtStripe())

    [outcome] = await asyncio.gather(stage.fulfilled(paid), return_exceptions=True)
    stage.gateway.wire.heal()
    await stage.fulfilled(paid)

    [row] = stage.rows()
    assert isinstance(outcome, Purchase)
    assert (row.status, row.activation_failure) == (SubscriptionStatus.ACTIVATION_FAILED, "resource_missing")
    assert await stage.at_stripe() == {}


async def test_one_that_is_gone_before_it_is_bound_fails(stage: BillingStage) -> None:
    """Somebody wrote the row, so that Stripe is asked once more, and knows it no more."""
    paid = await stage.paid(await stage.plan())

    async def somebody_writes() -> None:
        stage.gateway.subscriptions.touch(stage.rows()[0].id)
        stage.gateway.wire.fail("billing.retrieve", NotFoundAtStripe())
        stage.gateway.wire.fail("billing.create", NotFoundAtStripe())

    stage.gateway.wire.meanwhile("subscriptions.activate", somebody_writes)

    await stage.fulfilled(paid)

    assert stage.rows()[0].status is SubscriptionStatus.ACTIVATION_FAILED


async def test_one_whose_answer_is_not_understood_stays_pending(
    stage: BillingStage, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be charged already, so it has not failed: the webhook comes again, until this program knows the word."""
    paid = await stage.paid(await stage.plan())
    stage.gateway.wire.fail("billing.create", UnsupportedStripeObject(), after_effect=True)

    with pytest.raises(UnsupportedStripeObject):
        await stage.fulfilled(paid)
    pending = stage.rows()[0].status
    stage.gateway.wire.heal()
    await stage.fulfilled(paid)

    assert pending is SubscriptionStatus.PENDING
    assert [record.levelname for record in caplog.records if "unsupported" in record.message] == ["ERROR"]
    assert bound(stage) == await stage.at_stripe()
    assert len(bound(stage)) == 1


async def test_what_is_refused_keeps_nothing_else_waiting(stage: BillingStage) -> None:
    """Of two subscriptions one is refused and the other begins."""
    archived = await stage.plan()
    paid = await stage.paid(archived, await stage.plan(YEARLY))
    await stage.stripe.api.v1.prices.update_async(archived.price_id, {"active": False})

    await stage.fulfilled(paid)

    assert [row.status.value for row in stage.rows()] == ["activation_failed", "active"]


@pytest.mark.parametrize(
    "card", ["pm_card_authenticationRequired", "pm_card_chargeCustomerFail"], ids=["asks for the buyer", "declined"]
)
async def test_a_card_that_cannot_be_charged_now_leaves_it_incomplete(stage: BillingStage, card: str) -> None:
    """The purchase stands, and the buyer can finish the first charge."""
    await stage.fulfilled(await stage.paid(await stage.plan(), card=card))

    [row] = stage.rows()
    assert row.status is SubscriptionStatus.INCOMPLETE
    assert row.invoices[0].status.value == "open"
    assert (await stage.gateway.incomplete_payments.client_secrets([row])).keys() == {row.id}


async def test_one_that_cannot_be_begun_now_keeps_the_others_not_waiting(stage: BillingStage) -> None:
    """Each is settled by itself; the passing failure is told once the rest is done."""
    on_trial = replace(await stage.plan(), recurring=Recurring(Interval.MONTH, 1, 14))
    paid = await stage.paid(on_trial, await stage.plan(YEARLY))
    await stage.fault("proxy_error_before", params={"trial_period_days": "14"}, count=None)

    with pytest.raises(StripeUnavailable):
        await stage.fulfilled(paid)

    assert [row.status.value for row in stage.rows()] == ["pending", "active"]


async def test_a_buyer_who_came_back_is_shown_what_is_pending(stage: BillingStage) -> None:
    """Stripe is away: the purchase is recorded and shown; no failure of the buyer's."""
    paid = await stage.paid(await stage.plan())
    stage.gateway.wire.fail("billing.create", StripeUnavailable())

    decision = await stage.gateway.fulfilment.fulfil_for_buyer(paid, stage.gateway.attempts.at(ATTEMPT_ID))

    assert isinstance(decision, Purchase)
    assert [row.status for row in decision.subscriptions] == [SubscriptionStatus.PENDING]


async def test_the_row_is_written_only_where_its_version_holds(stage: BillingStage) -> None:
    """Somebody wrote it while Stripe was asked: it is read again, and Stripe too."""
    paid = await stage.paid(await stage.plan())

    async def somebody_else() -> None:
        [row] = stage.rows()
        stage.gateway.subscriptions.touch(row.id)

    stage.gateway.wire.meanwhile("subscriptions.activate", somebody_else)

    await stage.fulfilled(paid)

    assert "billing.retrieve" in stage.gateway.wire.calls
    assert bound(stage) == await stage.at_stripe()


async def test_a_second_stripe_subscription_is_told_and_not_bound(
    stage: BillingStage, caplog: pytest.LogCaptureFixture
) -> None:
    """It must never happen; if it does, what is bound stays, and a person is told of both."""
    paid = await stage.paid(await stage.plan())

    other = await stage.stripe.subscription()

    async def somebody_else() -> None:
        [row] = stage.rows()
        await stage.gateway.subscriptions.activate(row.id, row.version, _state_of(row, other.id), None)

    stage.gateway.wire.meanwhile("subscriptions.activate", somebody_else)

    purchase = await stage.fulfilled(paid)

    assert [row.stripe_subscription_id for row in purchase.subscriptions] == [other.id]
    assert [record.levelname for record in caplog.records if "a second Stripe" in record.message] == ["ERROR"]


async def test_one_whose_stripe_subscription_is_another_ones_stays_unsettled(stage: BillingStage) -> None:
    """Somebody copied our id to what is bound elsewhere: the webhook is not told that all is well."""
    paid = await stage.paid(await stage.plan())
    stage.gateway.wire.fail("subscriptions.activate", StripeSubscriptionMismatch())

    [outcome] = await asyncio.gather(stage.fulfilled(paid), return_exceptions=True)

    assert isinstance(outcome, StripeUnavailable)
    assert [row.status for row in stage.rows()] == [SubscriptionStatus.PENDING]


def _state_of(row: Subscription, stripe_subscription_id: str) -> StripeSubscriptionState:
    assert row.state is None
    return StripeSubscriptionState(
        stripe_subscription_id=stripe_subscription_id,
        status=SubscriptionStatus.ACTIVE,
        current_period_end=None,
        trial_end=None,
        cancel_at_period_end=False,
        cancel_at=None,
        canceled_at=None,
        ended_at=None,
        latest_invoice_id=None,
    )
