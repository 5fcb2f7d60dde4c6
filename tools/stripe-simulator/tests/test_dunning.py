"""Failed renewals: who counts as a retry, what is retried, and what voiding an invoice does to the subscription."""

from dataclasses import replace
from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SETTINGS, SimulatedStripe, simulated_stripe

FAILS_LATER = "pm_card_chargeCustomerFail"
MONTH_DAYS = 31


async def renewed(
    sim: SimulatedStripe, like: str, *, days: float = MONTH_DAYS, interval: Any = "month"
) -> stripe.Subscription:
    """Return a subscription whose saved card behaves like another one when it is renewed."""
    customer, method = await sim.saved_card()
    price = await sim.recurring_price(1200, interval)
    subscription = await sim.api.v1.subscriptions.create_async(
        {"customer": customer, "default_payment_method": method, "items": [{"price": price}]}
    )
    await sim.control("POST", f"/payment_methods/{method}/behave", {"like": like})
    await sim.later(days=days, hours=2)
    return subscription


async def invoices(sim: SimulatedStripe, subscription: stripe.Subscription) -> list[stripe.Invoice]:
    """Return the subscription's invoices, newest first."""
    params: Any = {"subscription": subscription.id, "expand": ["data.confirmation_secret"]}
    return (await sim.api.v1.invoices.list_async(params)).data


async def status(sim: SimulatedStripe, subscription: stripe.Subscription) -> str:
    """Return the subscription's status."""
    return (await sim.api.v1.subscriptions.retrieve_async(subscription.id)).status


def intent_of(invoice: stripe.Invoice) -> str:
    """Return the id of the payment intent of an invoice."""
    assert invoice.confirmation_secret is not None
    return invoice.confirmation_secret.client_secret.partition("_secret_")[0]


async def test_a_buyers_own_attempts_are_no_retries(sim: SimulatedStripe) -> None:
    """After the first attempt only automatic ones count; those by hand neither move the next one nor end anything."""
    subscription = await renewed(sim, FAILS_LATER)
    [first, _] = await invoices(sim, subscription)

    for _ in range(4):
        declined = await sim.pay(intent_of(first), payment_method="pm_card_chargeDeclined")
        assert declined["status"] == "requires_payment_method"
    with pytest.raises(stripe.CardError):
        await sim.api.v1.invoices.pay_async(str(first.id))

    [after, _] = await invoices(sim, subscription)
    failures = [each["data"]["object"]["attempt_count"] for each in await sim.events("invoice.payment_failed")]
    assert (after.attempt_count, after.next_payment_attempt) == (1, first.next_payment_attempt)
    assert failures == [1] * 6
    assert await status(sim, subscription) == "past_due"


async def test_retries_count_and_the_last_one_ends_the_subscription(sim: SimulatedStripe) -> None:
    """The attempts of the buyer in between do not bring the end nearer."""
    subscription = await renewed(sim, FAILS_LATER)
    [open_invoice, _] = await invoices(sim, subscription)
    seen = []
    for days in (3, 5, 7):
        await sim.pay(intent_of(open_invoice), payment_method="pm_card_chargeDeclined")
        seen.append((open_invoice.attempt_count, await status(sim, subscription)))
        await sim.later(days=days)
        [open_invoice, _] = await invoices(sim, subscription)

    assert seen == [(1, "past_due"), (2, "past_due"), (3, "past_due")]
    assert (open_invoice.attempt_count, await status(sim, subscription)) == (4, "canceled")


async def test_a_first_attempt_by_hand_starts_the_retries(sim: SimulatedStripe) -> None:
    """Any payment attempt counts as the first one."""
    subscription = await renewed_draft(sim)
    [draft, _] = await invoices(sim, subscription)

    with pytest.raises(stripe.CardError):
        await sim.api.v1.invoices.pay_async(str(draft.id))

    [tried, _] = await invoices(sim, subscription)
    assert (draft.status, tried.status, tried.attempt_count) == ("draft", "open", 1)
    assert tried.next_payment_attempt is not None
    assert await status(sim, subscription) == "past_due"


async def renewed_draft(sim: SimulatedStripe) -> stripe.Subscription:
    """Return a subscription whose renewal, to a card that declines, is still a draft."""
    subscription = await renewed(sim, FAILS_LATER, days=0)
    item = (await sim.api.v1.subscriptions.retrieve_async(subscription.id)).to_dict()["items"]["data"][0]
    now = (await sim.control("POST", "/clock/advance", {"seconds": 0}))["now"]
    await sim.control("POST", "/clock/advance", {"seconds": item["current_period_end"] - now + 60})
    return subscription


@pytest.mark.parametrize("like", ["pm_card_chargeDeclinedStolenCard", "pm_card_authenticationRequired"])
async def test_a_hard_decline_is_not_charged_again(sim: SimulatedStripe, like: str) -> None:
    """Retries stay planned and counted, but wait for another payment method."""
    subscription = await renewed(sim, like)
    [invoice, _] = await invoices(sim, subscription)
    kinds = ("charge.failed", "payment_intent.requires_action", "payment_intent.payment_failed")
    charged = [len(await sim.events(kind)) for kind in kinds]
    failures = len(await sim.events("invoice.payment_failed"))

    await sim.later(days=4)
    [waiting, _] = await invoices(sim, subscription)
    again = [len(await sim.events(kind)) for kind in kinds]
    other = await sim.save_card(str(subscription.customer))
    await sim.api.v1.subscriptions.update_async(subscription.id, {"default_payment_method": other})
    await sim.later(days=5)

    [paid, _] = await invoices(sim, subscription)
    assert again == charged
    assert len(await sim.events("invoice.payment_failed")) == failures + 1
    assert (invoice.attempt_count, waiting.attempt_count, paid.attempt_count) == (1, 2, 3)
    assert waiting.next_payment_attempt is not None
    assert (paid.status, await status(sim, subscription)) == ("paid", "active")


async def test_no_retry_without_a_payment_method(sim: SimulatedStripe) -> None:
    """They are counted until the subscription ends."""
    subscription = await renewed(sim, FAILS_LATER, days=0)
    created = await sim.api.v1.subscriptions.retrieve_async(subscription.id)
    await sim.api.v1.payment_methods.detach_async(str(created.default_payment_method))
    await sim.later(days=MONTH_DAYS)

    await sim.later(days=16)

    [invoice, _] = await invoices(sim, subscription)
    assert (invoice.attempt_count, await status(sim, subscription)) == (4, "canceled")
    assert len(await sim.events("invoice.payment_failed")) == 4
    assert await sim.events("charge.failed") == []


async def test_voiding_the_newest_of_two_open_invoices_activates(sim: SimulatedStripe) -> None:
    """The older one is still retried and so is passed over; the paid one before it decides."""
    subscription = await renewed(sim, FAILS_LATER, days=14, interval="week")
    [newest, older, _] = await invoices(sim, subscription)
    before = await status(sim, subscription)

    await sim.api.v1.invoices.void_invoice_async(str(newest.id))

    assert (older.status, before, await status(sim, subscription)) == ("open", "past_due", "active")


async def test_a_retry_waits_for_a_debit() -> None:
    """It is made after the buyer's own debit has failed."""
    async with simulated_stripe(replace(SETTINGS, settlement_seconds=4 * 24 * 3600.0)) as sim:
        subscription = await renewed(sim, FAILS_LATER)
        [invoice, _] = await invoices(sim, subscription)
        await sim.pay(intent_of(invoice), payment_method="pm_usBankAccount_insufficientFunds")
        await sim.later(days=3.5)
        [during, _] = await invoices(sim, subscription)

        await sim.later(days=1)

        [after, _] = await invoices(sim, subscription)
        assert (during.attempt_count, after.attempt_count, await status(sim, subscription)) == (1, 2, "past_due")


async def test_an_invoice_that_is_not_collected_automatically_ends_nothing(sim: SimulatedStripe) -> None:
    """One that a pause left as a draft is paid by hand, and declined."""
    subscription = await renewed(sim, FAILS_LATER, days=0)
    paused: Any = {"pause_collection": {"behavior": "keep_as_draft"}}
    await sim.api.v1.subscriptions.update_async(subscription.id, paused)
    await sim.later(days=MONTH_DAYS, hours=2)
    [draft, _] = await invoices(sim, subscription)

    with pytest.raises(stripe.CardError):
        await sim.api.v1.invoices.pay_async(str(draft.id))

    [declined, _] = await invoices(sim, subscription)
    assert (declined.status, declined.next_payment_attempt) == ("open", None)
    assert await status(sim, subscription) == "past_due"


async def test_only_an_automatic_failure_makes_a_customer_delinquent(sim: SimulatedStripe) -> None:
    """A card that a buyer tries in vain does not."""
    waiting = await sim.subscription(payment_behavior="default_incomplete")
    [first] = await invoices(sim, waiting)
    await sim.pay(intent_of(first), payment_method="pm_card_chargeDeclined")
    overdue = await renewed(sim, FAILS_LATER)

    shown = [(await sim.api.v1.customers.retrieve_async(str(each.customer))).delinquent for each in (waiting, overdue)]

    assert shown == [False, True]


async def test_a_challenge_of_the_buyers_is_no_retry(sim: SimulatedStripe) -> None:
    """To begin it after two retries does not end the subscription, and to pass it pays."""
    subscription = await renewed(sim, FAILS_LATER)
    await sim.later(days=9)
    [invoice, _] = await invoices(sim, subscription)
    asked = await sim.pay(intent_of(invoice), payment_method="pm_card_authenticationRequired")
    during = await status(sim, subscription)

    await sim.control("POST", f"/payment_intents/{intent_of(invoice)}/challenge", {"succeed": True})

    [paid, _] = await invoices(sim, subscription)
    assert (invoice.attempt_count, asked["status"], during) == (3, "requires_action", "past_due")
    assert (paid.status, paid.attempt_count, await status(sim, subscription)) == ("paid", 3, "active")
