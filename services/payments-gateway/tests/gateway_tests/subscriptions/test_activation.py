import asyncio
from dataclasses import replace

import pytest

from payments_gateway.domain.attempts import Interval, LineItem, Recurring
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import Purchase
from payments_gateway.domain.stripe_errors import (
    IdempotencyKeyReused,
    NotFoundAtStripe,
    StripeUnavailable,
    UnsupportedStripeObject,
)
from payments_gateway.domain.subscriptions import StripeSubscriptionMismatch, SubscriptionStatus

from ..samples import ATTEMPT_ID, MONTHLY, YEARLY
from ..simulated_billing import Billing

CALLS_OF_ONE_SUBSCRIPTION = (
    "attempts.find",
    "orders.record_purchase",
    "subscriptions.begin_activation",
    "billing.create",
    "subscriptions.activate",
    "attempts.delete_all",
)


async def test_a_mixed_cart_becomes_an_order_and_its_subscriptions(billing: Billing) -> None:
    """One Stripe subscription for each billing interval, with its first invoice; the order has the one-time lines."""
    paid = await billing.paid(await billing.plan(), await billing.plan(YEARLY), await billing.plan(), one_time=500)

    purchase = await billing.fulfil(paid)

    assert purchase.order is not None
    assert (purchase.order.total.minor_units, len(purchase.order.items)) == (500, 1)
    assert [len(each.items) for each in purchase.subscriptions] == [2, 1]
    assert [each.status.value for each in purchase.subscriptions] == ["active", "active"]
    assert [each.invoices[0].total.minor_units for each in purchase.subscriptions] == [2400, 1200]
    assert billing.gateway.attempts.stored() == []
    await billing.require_bound(2)


async def test_p3_what_is_sold_is_bound_whatever_its_id(billing: Billing) -> None:
    """Products of before 2018-05-21 may have spaces in their ids."""
    product = await billing.stripe.api.v1.products.create_async({"id": "Gold plan", "name": "Gold"})
    price = await billing.stripe.api.v1.prices.create_async(
        {"currency": "usd", "unit_amount": 1200, "recurring": {"interval": "month"}, "product": product.id}
    )
    plan = LineItem(price.id, product.id, "Gold", 1, Money(1200, "usd"), MONTHLY)

    try:
        await billing.fulfil(await billing.paid(plan))
    except UnsupportedStripeObject:
        pytest.fail("charged, and not bound")

    await billing.require_bound()


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("call", CALLS_OF_ONE_SUBSCRIPTION)
async def test_p3_a_repeat_completes_after_a_crash_at_any_call(
    billing: Billing, call: str, *, after_effect: bool
) -> None:
    """Killed before or after the effect of any call, the repeat ends in exactly one Stripe subscription."""
    paid = await billing.paid()
    await billing.crash(paid, call, after_effect=after_effect)

    await billing.fulfil(paid)

    await billing.require_bound()


@pytest.mark.parametrize("call", ["billing.create", "subscriptions.activate"])
async def test_p3_a_crash_whose_repeat_comes_when_the_key_is_forgotten(billing: Billing, call: str) -> None:
    """After a day Stripe would create another under the same key, so the existing one is searched first."""
    paid = await billing.paid()
    await billing.crash(paid, call, after_effect=call == "billing.create")
    await billing.later(hours=25)

    await billing.fulfil(paid)

    await billing.require_bound()
    assert len(await billing.keys()) == 1


async def test_p3_an_old_key_is_abandoned_only_when_no_worker_trusts_it(billing: Billing) -> None:
    """A worker to whom the key is young enough may be about to create; another must not use the next key yet."""
    paid = await billing.paid()
    await billing.crash(paid, "billing.create")
    await billing.later(hours=11.99)
    late: list[BaseException | Purchase] = []

    async def another_worker() -> None:
        await billing.later(hours=0.02)
        late.extend(await asyncio.gather(billing.fulfil(paid), return_exceptions=True))

    billing.gateway.wire.meanwhile("billing.create", another_worker)
    await billing.fulfil(paid)

    assert [type(outcome) for outcome in late] == [StripeUnavailable]
    await billing.require_bound()


async def test_p3_nothing_is_created_with_a_key_that_may_be_forgotten(billing: Billing) -> None:
    """Two workers find nothing under it; a slow one must not use it when Stripe has forgotten it meanwhile."""
    paid = await billing.paid()
    await billing.crash(paid, "billing.create")
    await billing.later(hours=14)

    await asyncio.gather(*(billing.fulfil(paid) for _ in range(2)), return_exceptions=True)
    await billing.fulfil(paid)

    assert set(await billing.keys()) == {f"subscription:{billing.the_recorded().id}:2"}
    await billing.require_bound()


async def test_p3_a_pending_subscription_is_activated_without_its_attempt(billing: Billing) -> None:
    """The attempt is deleted once the purchase is recorded; the repeat finds in orders what is left to do."""
    paid = await billing.paid()
    billing.gateway.wire.fail("billing.create", StripeUnavailable())
    with pytest.raises(StripeUnavailable):
        await billing.fulfil(paid)
    await billing.gateway.deletions.flush()
    before = billing.the_recorded().status, billing.gateway.attempts.stored()
    billing.gateway.wire.heal()

    await billing.fulfil(paid)

    assert before == (SubscriptionStatus.PENDING, [])
    assert billing.the_recorded().status is SubscriptionStatus.ACTIVE
    await billing.require_bound()


async def test_a_payment_without_a_payment_method_records_its_order(billing: Billing) -> None:
    """The subscription has failed and is never tried, however often it is reported."""
    paid = replace(await billing.paid(one_time=500), payment_method_id=None)

    purchases = [await billing.fulfil(paid) for _ in range(3)]

    assert all(purchase.order for purchase in purchases)
    assert billing.the_recorded().activation_failure == "payment_method_missing"
    assert await billing.at_stripe() == {}


async def test_p3_many_workers_at_once_create_one(billing: Billing) -> None:
    """Webhooks and browsers fulfil the same intent at the same time."""
    paid = await billing.paid(await billing.plan(), await billing.plan(YEARLY))
    found = billing.gateway.attempts.at(ATTEMPT_ID)

    await asyncio.gather(
        *(billing.fulfil(paid) for _ in range(4)),
        *(billing.gateway.fulfilment.fulfil_for_buyer(paid, found) for _ in range(4)),
        return_exceptions=True,  # a key in use is a transient failure
    )
    await billing.fulfil(paid)

    await billing.require_bound(2)


@pytest.mark.parametrize("fault", ["error_after", "error_unsaved", "reset_after", "cut_body_after", "not_json_after"])
async def test_p3_a_failure_that_hides_its_effect_creates_one(billing: Billing, fault: str) -> None:
    """A 500 after the creation, stored under the key or not, and answers that broke off."""
    paid = await billing.paid()
    await billing.fault(fault)

    await billing.fulfil(paid)

    await billing.require_bound()


async def test_p3_an_exhausted_key_is_abandoned_once(billing: Billing) -> None:
    """Three workers meet the stored failure; the generation advances by one, and all use the same next key."""
    paid = await billing.paid()
    await billing.fault("error_before")

    await asyncio.gather(*(billing.fulfil(paid) for _ in range(3)), return_exceptions=True)
    await billing.fulfil(paid)

    subscription = billing.the_recorded()
    assert subscription.activation_generation == 2
    assert set(await billing.keys()) == {f"subscription:{subscription.id}:{generation}" for generation in (1, 2)}
    await billing.require_bound()


async def test_p3_a_key_that_another_release_uses_is_not_abandoned(billing: Billing) -> None:
    """It sends other parameters under it, and its create is slow: what it creates later is adopted."""
    paid = await billing.paid()
    billing.gateway.wire.fail("billing.create", IdempotencyKeyReused())
    with pytest.raises(StripeUnavailable):
        await billing.fulfil(paid)
    pending = billing.the_recorded()
    await billing.begun_elsewhere(
        customer=pending.stripe_customer_id,
        default_payment_method=pending.payment_method_id,
        metadata={"subscriptionId": pending.id},
    )

    await billing.fulfil(paid)

    assert pending.activation_generation == 1
    await billing.require_bound()


async def test_a_run_tries_three_keys_at_most(billing: Billing) -> None:
    """The next run continues from there."""
    paid = await billing.paid()
    await billing.fault("error_before", count=None)

    with pytest.raises(StripeUnavailable):
        await billing.fulfil(paid)

    assert len(set(await billing.keys())) == 3
    assert billing.the_recorded().status is SubscriptionStatus.PENDING


@pytest.mark.parametrize("hours", [0, 25])
async def test_one_that_was_cancelled_before_it_was_bound_is_adopted(billing: Billing, hours: int) -> None:
    """It is bound as canceled, and no other is created."""
    paid = await billing.paid()
    await billing.crash(paid, "billing.create", after_effect=True)
    [created] = await billing.at_stripe()
    await billing.stripe.api.v1.subscriptions.cancel_async(created)
    await billing.later(hours)

    await billing.fulfil(paid)

    assert await billing.at_stripe() == {created: "canceled"}
    await billing.require_bound()


async def test_a_refused_subscription_fails_for_good_and_alone(
    billing: Billing, caplog: pytest.LogCaptureFixture
) -> None:
    """The refusal is recorded and logged, a repeat does not ask Stripe again, and the other subscription begins."""
    archived = await billing.plan()
    paid = await billing.paid(archived, await billing.plan(YEARLY))
    await billing.stripe.api.v1.prices.update_async(archived.price_id, {"active": False})

    await billing.fulfil(paid)
    failed, active = (await billing.fulfil(paid)).subscriptions

    assert failed.status is SubscriptionStatus.ACTIVATION_FAILED
    assert active.status is SubscriptionStatus.ACTIVE
    assert len(await billing.keys()) == 2
    assert billing.gateway.subscriptions.failures == ["invalid_request"]
    assert [record.levelname for record in caplog.records if "refused a bought" in record.message] == ["ERROR"]


async def test_subscriptions_of_a_purchase_are_created_one_after_the_other(billing: Billing) -> None:
    """Stripe refuses parallel writes on a customer; the next one begins when the one before is bound."""
    paid = await billing.paid(await billing.plan(), await billing.plan(YEARLY))

    await billing.fulfil(paid)

    one = ["subscriptions.begin_activation", "billing.create", "subscriptions.activate"]
    assert [call for call in billing.gateway.wire.calls if call in one] == one * 2


async def test_two_reports_at_once_wait_for_each_others_creates(billing: Billing) -> None:
    """Browser return and webhook use the same keys, and Stripe takes longer for a create than two retries."""
    paid = await billing.paid(await billing.plan(), await billing.plan(YEARLY))
    await billing.fault("latency_before", seconds=0.8, count=None)

    purchases = await asyncio.gather(*(billing.fulfil(paid) for _ in range(2)))

    assert {each.status.value for purchase in purchases for each in purchase.subscriptions} == {"active"}
    await billing.require_bound(2)


async def test_one_that_is_unavailable_does_not_stop_the_others(billing: Billing) -> None:
    """The transient failure is raised once the others are done."""
    trial = replace(await billing.plan(), recurring=Recurring(Interval.MONTH, 1, 14))
    paid = await billing.paid(trial, await billing.plan(YEARLY))
    await billing.fault("proxy_error_before", params={"trial_period_days": "14"}, count=None)

    with pytest.raises(StripeUnavailable):
        await billing.fulfil(paid)

    assert [each.status.value for each in billing.recorded()] == ["pending", "active"]


async def test_one_that_stripe_created_and_deleted_is_not_created_again(billing: Billing) -> None:
    """The key replays an object that was deleted with test data: a person decides, the webhook is acknowledged."""
    paid = await billing.paid()
    billing.gateway.wire.fail("billing.create", NotFoundAtStripe())

    [outcome] = await asyncio.gather(billing.fulfil(paid), return_exceptions=True)
    billing.gateway.wire.heal()
    await billing.fulfil(paid)

    assert isinstance(outcome, Purchase)
    assert billing.the_recorded().status is SubscriptionStatus.ACTIVATION_FAILED
    assert billing.gateway.subscriptions.failures == ["resource_missing"]
    assert await billing.at_stripe() == {}


async def test_an_unsupported_answer_leaves_it_pending(billing: Billing, caplog: pytest.LogCaptureFixture) -> None:
    """The buyer may have been charged, so it has not failed: the webhook is repeated until a version supports it."""
    paid = await billing.paid()
    billing.gateway.wire.fail("billing.create", UnsupportedStripeObject(), after_effect=True)

    with pytest.raises(UnsupportedStripeObject):
        await billing.fulfil(paid)
    before = billing.the_recorded().status
    billing.gateway.wire.heal()
    await billing.fulfil(paid)

    assert before is SubscriptionStatus.PENDING
    assert [record.levelname for record in caplog.records if "unsupported" in record.message] == ["ERROR"]
    await billing.require_bound()


async def test_a_returning_buyer_is_shown_a_pending_subscription(billing: Billing) -> None:
    """The purchase is recorded; that Stripe is unavailable is not the buyer's failure."""
    paid = await billing.paid()
    billing.gateway.wire.fail("billing.create", StripeUnavailable())

    decision = await billing.gateway.fulfilment.fulfil_for_buyer(paid, billing.gateway.attempts.at(ATTEMPT_ID))

    assert isinstance(decision, Purchase)
    assert [each.status for each in decision.subscriptions] == [SubscriptionStatus.PENDING]


@pytest.mark.parametrize("found_again", [True, False])
async def test_after_a_version_conflict_both_are_read_again(billing: Billing, *, found_again: bool) -> None:
    """The state that is bound was read after the version; one that is deleted meanwhile has failed."""
    paid = await billing.paid()

    async def write_elsewhere() -> None:
        billing.gateway.subscriptions.touch(billing.the_recorded().id)
        if not found_again:
            billing.gateway.wire.fail("billing.retrieve", NotFoundAtStripe())
            billing.gateway.wire.fail("billing.create", NotFoundAtStripe())

    billing.gateway.wire.meanwhile("subscriptions.activate", write_elsewhere)

    await billing.fulfil(paid)

    assert "billing.retrieve" in billing.gateway.wire.calls
    assert billing.the_recorded().status.value == ("active" if found_again else "activation_failed")


async def test_a_second_stripe_subscription_is_logged_and_not_bound(
    billing: Billing, caplog: pytest.LogCaptureFixture
) -> None:
    """It can only come from outside; the bound one stays, and a person has to cancel one of the two."""
    paid = await billing.paid()
    other = await billing.begun_elsewhere()

    async def bind_elsewhere() -> None:
        recorded = billing.the_recorded()
        await billing.gateway.subscriptions.activate(recorded.id, recorded.version, other.state, None)

    billing.gateway.wire.meanwhile("subscriptions.activate", bind_elsewhere)

    purchase = await billing.fulfil(paid)

    assert [each.stripe_subscription_id for each in purchase.subscriptions] == [other.id]
    assert [record.levelname for record in caplog.records if "a second Stripe" in record.message] == ["ERROR"]


async def test_one_whose_stripe_subscription_is_bound_elsewhere_stays_pending(billing: Billing) -> None:
    """Somebody copied our id to another subscription: the webhook is not acknowledged."""
    paid = await billing.paid()
    billing.gateway.wire.fail("subscriptions.activate", StripeSubscriptionMismatch())

    [outcome] = await asyncio.gather(billing.fulfil(paid), return_exceptions=True)

    assert isinstance(outcome, StripeUnavailable)
    assert billing.the_recorded().status is SubscriptionStatus.PENDING
