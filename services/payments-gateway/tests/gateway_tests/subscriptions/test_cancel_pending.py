"""A subscription that is cancelled before it is bound is never charged later, whatever happens at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from itertools import cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.intents import StripeIntent
from payments_gateway.domain.purchases import Payment
from payments_gateway.domain.stripe_billing import SubscriptionRefused
from payments_gateway.domain.stripe_errors import StripeUnavailable, UnsupportedStripeObject
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus
from payments_gateway.subscriptions.cancel import CancelMode

from ..assembly import CREATION_TAKES, Gateway
from ..billing_samples import CLUB_CONTEXT
from ..fakes import Crash, SlowWire, until
from ..samples import ATTEMPT_ID, INTENT_CREATED_AT
from ..simulated_billing import Billing, event

OWNER = "user-1"
CALLS_OF_A_CANCEL = 9
"""get, cancel, begin, find, whose it is, open payment, cancel at Stripe, activate; and one that does not happen."""
WHOSE_IT_IS = 4
"""The call that fails in any case: it is nobody's yet."""


async def cancel(billing: Billing) -> Subscription:
    """Cancel the only subscription as its owner."""
    subscription = billing.the_recorded()
    return await billing.gateway.cancels.cancel(subscription.id, OWNER, CancelMode.AT_PERIOD_END)


async def try_to_cancel(billing: Billing) -> Subscription | BaseException:
    """Return the answer or the error of a cancel."""
    [answer] = await asyncio.gather(cancel(billing), return_exceptions=True)
    return answer


async def paid(billing: Billing, card: str = "pm_card_visa") -> StripeIntent:
    """Let a user pay for a subscription."""
    intent = await billing.paid(card=card)
    stored = billing.gateway.attempts.stored()[0]
    billing.gateway.attempts.put(replace(stored, context=replace(stored.context, user_id=OWNER)))
    return intent


async def require_ended(billing: Billing, count: int) -> None:
    """Fail unless Stripe created this many, none is alive, and the row says so."""
    assert list((await billing.at_stripe()).values()) == ["canceled"] * count
    assert billing.the_recorded().status is SubscriptionStatus.CANCELED


async def test_a_cancelled_subscription_is_not_created(billing: Billing) -> None:
    """Neither by a repeated report nor by a later one, and Stripe is not asked."""
    intent = await paid(billing)
    await billing.crash(intent, "subscriptions.begin_activation")
    billing.gateway.wire.calls.clear()

    cancelled = await cancel(billing)
    await billing.fulfil(intent)

    assert (cancelled.status, cancelled.is_bound) == (SubscriptionStatus.CANCELED, False)
    assert not any(call.startswith("billing") for call in billing.gateway.wire.calls)
    await require_ended(billing, 0)


@pytest.mark.parametrize(
    ("call", "created"),
    [("subscriptions.begin_activation", 0), ("billing.create", 1), ("subscriptions.activate", 1)],
)
async def test_a_cancel_during_an_activation_ends_it(billing: Billing, call: str, created: int) -> None:
    """The Stripe subscription that is created after all is cancelled before it is bound."""
    intent = await paid(billing)
    billing.gateway.wire.meanwhile(call, lambda: try_to_cancel(billing))

    purchase = await billing.fulfil(intent)

    assert [each.status for each in purchase.subscriptions] == [SubscriptionStatus.CANCELED]
    assert billing.the_recorded().is_bound is bool(created)
    await require_ended(billing, created)


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("call", range(CALLS_OF_A_CANCEL))
@pytest.mark.parametrize("heals", ["report", "event", "cancel"])
async def test_a_repeat_completes_after_a_cancel_that_crashed(
    billing: Billing, heals: str, call: int, *, after_effect: bool
) -> None:
    """The answer of the create was lost. What is left to do is found in orders, by whoever comes next."""
    intent = await paid(billing)
    await billing.crash(intent, "billing.create", after_effect=True)
    [stripe_id] = await billing.at_stripe()
    billing.gateway.wire.calls.clear()
    billing.gateway.wire.fail(call, Crash(), after_effect=after_effect)
    if call < CALLS_OF_A_CANCEL - 1 and (call, after_effect) != (WHOSE_IT_IS, True):
        with pytest.raises(Crash):
            await cancel(billing)
    billing.gateway.wire.heal()

    if billing.the_recorded().cancel_requested_at is None or heals == "cancel":
        await cancel(billing)
    elif heals == "report":
        await billing.fulfil(intent)
    else:
        await billing.on_event(billing.the_recorded(), stripe_id)

    assert billing.the_recorded().is_bound
    await require_ended(billing, 1)


async def test_an_event_is_repeated_until_the_cancel_succeeds(billing: Billing) -> None:
    """The row stays unbound and cancelled while Stripe is away."""
    intent = await paid(billing)
    await billing.crash(intent, "billing.create", after_effect=True)
    [stripe_id] = await billing.at_stripe()
    billing.gateway.wire.fail("billing.cancel_now", StripeUnavailable())
    await try_to_cancel(billing)
    before = billing.the_recorded()
    with pytest.raises(StripeUnavailable):
        await billing.on_event(before, stripe_id)
    billing.gateway.wire.heal()

    await billing.on_event(before, stripe_id)

    assert (before.status, before.is_bound) == (SubscriptionStatus.CANCELED, False)
    assert before.may_need_activation
    await require_ended(billing, 1)


async def test_what_was_never_created_is_searched_until_nobody_can_create_it(billing: Billing) -> None:
    """A worker that began before the cancel may be slow: reports are repeated for ten minutes, then it is settled."""
    intent = await paid(billing)
    await billing.crash(intent, "billing.create")
    await try_to_cancel(billing)
    with pytest.raises(StripeUnavailable):
        await billing.fulfil(intent)
    await billing.later(hours=0.2)

    await billing.fulfil(intent)
    billing.gateway.wire.calls.clear()
    await billing.fulfil(intent)

    assert not any(call.startswith("billing") for call in billing.gateway.wire.calls)
    await require_ended(billing, 0)


async def test_a_cancel_is_answered_once_nothing_under_way_can_charge(
    billing: Billing, caplog: pytest.LogCaptureFixture
) -> None:
    """A create that is under way may still charge. If it does, the cancel is not answered yet, and an error says so."""
    intent = await paid(billing)
    first: list[Subscription | BaseException] = []

    async def cancel_meanwhile() -> None:
        first.append(await try_to_cancel(billing))

    billing.gateway.wire.meanwhile("billing.create", cancel_meanwhile)
    await billing.fulfil(intent)
    second = await cancel(billing)

    [refused] = first
    assert isinstance(refused, StripeUnavailable)
    assert refused.retry_after_seconds == CREATION_TAKES.total_seconds()
    assert (second.status, second.invoices[0].amount_paid.minor_units) == (SubscriptionStatus.CANCELED, 1200)
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == [
        "a cancelled subscription was charged"
    ]


@pytest.mark.parametrize("killed", [True, False])
async def test_a_first_debit_at_the_bank_is_reported(
    billing: Billing, caplog: pytest.LogCaptureFixture, *, killed: bool
) -> None:
    """The end does not stop it: a person gives it back. A repeat of a cancel that was killed reports it again."""
    intent = await paid(billing, card="pm_usBankAccount")
    await billing.crash(intent, "subscriptions.activate")

    if killed:
        billing.gateway.wire.fail("billing.cancel_now", Crash(), after_effect=True)
        with pytest.raises(Crash):
            await cancel(billing)
        billing.gateway.wire.heal()
    await cancel(billing)

    assert list((await billing.at_stripe()).values()) == ["incomplete_expired"]
    reports = [each.message for each in caplog.records if each.levelname == "ERROR"]
    assert reports == ["a cancelled subscription was charged"] * (2 if killed else 1)


async def test_a_cancel_after_a_refusal_waits_for_requests_beside_it(billing: Billing) -> None:
    """One of them creates the subscription after the cancel, and ends it; nothing is charged after the answer."""
    intent = await paid(billing)
    early: list[Subscription | BaseException] = []

    async def refuse_and_cancel() -> None:
        billing.gateway.wire.fail("billing.create", SubscriptionRefused("resource_missing"))
        await billing.fulfil(intent)
        billing.gateway.wire.heal()
        early.append(await try_to_cancel(billing))

    billing.gateway.wire.meanwhile("billing.create", refuse_and_cancel)
    await billing.fulfil(intent)
    answer = await cancel(billing)

    assert [type(outcome) for outcome in early] == [StripeUnavailable]
    assert answer.status is SubscriptionStatus.CANCELED
    await require_ended(billing, 1)


async def test_a_cancel_after_a_refusal_is_answered_once_they_are_over(billing: Billing) -> None:
    """Nothing was created."""
    intent = await paid(billing)
    billing.gateway.wire.fail("billing.create", SubscriptionRefused("resource_missing"))
    await billing.fulfil(intent)

    early = await try_to_cancel(billing)
    billing.gateway.clock.advance(CREATION_TAKES.total_seconds())

    assert isinstance(early, StripeUnavailable)
    assert (await cancel(billing)).status is SubscriptionStatus.CANCELED
    await require_ended(billing, 0)


async def test_a_cancel_is_answered_while_stripe_is_away(billing: Billing) -> None:
    """Not at once, but when no create is under way any more."""
    intent = await paid(billing)
    await billing.crash(intent, "billing.create")
    billing.gateway.wire.fail("billing.find_existing", StripeUnavailable())
    early = await try_to_cancel(billing)
    billing.gateway.clock.advance(CREATION_TAKES.total_seconds())

    answered = await cancel(billing)

    assert isinstance(early, StripeUnavailable)
    assert answered.status is SubscriptionStatus.CANCELED


async def test_another_ones_stripe_subscription_is_not_cancelled(
    billing: Billing, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody copied our id into its metadata. The cancelled one is searched on: its own may exist, too."""
    intent = await paid(billing)
    await billing.crash(intent, "billing.create")
    recorded = billing.the_recorded()
    elsewhere = await billing.begun_elsewhere(
        customer=recorded.stripe_customer_id,
        default_payment_method=recorded.payment_method_id,
        metadata={"subscriptionId": recorded.id},
    )
    billing.gateway.subscriptions.by_id["other"] = replace(recorded, id="other", stripe_subscription_id=elsewhere.id)

    await asyncio.gather(billing.gateway.cancels.cancel(recorded.id, OWNER, CancelMode.NOW), return_exceptions=True)

    assert await billing.at_stripe() == {elsewhere.id: "active"}
    assert billing.gateway.subscriptions.by_id[recorded.id].may_need_activation
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == [
        "a second Stripe subscription exists for one subscription"
    ]


@pytest.mark.parametrize("ended_by", ["cancel", "event"])
async def test_one_that_cannot_be_read_is_ended(billing: Billing, ended_by: str) -> None:
    """It is ended before it is read: otherwise it would charge until a version of the gateway can read it."""
    intent = await paid(billing)
    await billing.crash(intent, "billing.create", after_effect=True)
    [stripe_id] = await billing.at_stripe()
    billing.gateway.wire.fail("billing.retrieve", UnsupportedStripeObject())
    if ended_by == "event":
        billing.gateway.wire.fail("billing.find_existing", StripeUnavailable())
    await try_to_cancel(billing)
    billing.gateway.wire.heal()
    billing.gateway.wire.fail("billing.retrieve", UnsupportedStripeObject())
    billing.gateway.wire.fail("billing.cancel_now", UnsupportedStripeObject(), after_effect=True)

    if ended_by == "event":
        await billing.on_event(billing.the_recorded(), stripe_id)

    await require_ended(billing, 1)


async def test_a_bound_subscription_keeps_its_paid_period(billing: Billing) -> None:
    """An activation that is faster than the cancel leads to a cancel at Stripe, in the mode that was asked for."""
    intent = await paid(billing)
    await billing.crash(intent, "subscriptions.begin_activation")
    billing.gateway.wire.meanwhile("subscriptions.cancel_pending", lambda: billing.fulfil(intent))

    cancelled = await cancel(billing)

    assert cancelled.status is SubscriptionStatus.ACTIVE
    assert cancelled.state is not None
    assert cancelled.state.cancel_at_period_end


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    pauses=st.lists(st.integers(0, 20), min_size=1, max_size=30),
    lost=st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=4),
    order=st.permutations(["report", "report", "cancel", "cancel"]),
)
def test_nothing_is_alive_at_stripe_after_a_cancel(
    pauses: list[int], lost: list[tuple[int, bool]], order: list[str]
) -> None:
    """Reports, cancels and events in any interleaving, with calls whose effect or answer is lost."""
    asyncio.run(_cancel_meanwhile(pauses, lost, order))


async def _cancel_meanwhile(pauses: list[int], lost: list[tuple[int, bool]], order: list[str]) -> None:
    gateway = Gateway(wire=SlowWire(cycle(pauses)))
    for position, after_effect in lost:
        gateway.wire.fail(position, StripeUnavailable(), after_effect=after_effect)
    payment = Payment(
        IntentRef("seti_1", IntentKind.SETUP),
        ATTEMPT_ID,
        None,
        livemode=False,
        intent_created_at=INTENT_CREATED_AT,
        payment_method_id="pm_1",
    )
    [recorded] = gateway.subscriptions.record(payment, replace(CLUB_CONTEXT, user_id=OWNER))
    work: dict[str, Callable[[], Awaitable[object]]] = {
        "report": lambda: gateway.activation.activate(recorded.id),
        "cancel": lambda: gateway.cancels.cancel(recorded.id, OWNER, CancelMode.NOW),
    }

    async def report_creation() -> None:
        await until(lambda: bool(gateway.fake_billing.created) or all(task.done() for task in tasks))
        for stripe_id in gateway.fake_billing.created:
            await _until_acknowledged(gateway, partial(gateway.sync.on_event, event(recorded, stripe_id)))

    tasks = [asyncio.create_task(_until_acknowledged(gateway, work[each])) for each in order]
    await asyncio.gather(report_creation(), *tasks)

    assert gateway.subscriptions.by_id[recorded.id].status is SubscriptionStatus.CANCELED
    alive = [each for each in gateway.fake_billing.created.values() if each.state.ended_at is None]
    assert alive == []


async def _until_acknowledged(gateway: Gateway, work: Callable[[], Awaitable[object]]) -> None:
    """Repeat as Stripe and a buyer do, some minutes later."""
    while True:
        try:
            await work()
        except StripeUnavailable:
            gateway.clock.advance(400)
        else:
            return
