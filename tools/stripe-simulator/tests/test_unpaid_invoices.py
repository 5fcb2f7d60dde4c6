"""Invoices that are void, wait for a bank, belong to a pause, or are below the least amount that Stripe charges."""

from dataclasses import replace
from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SETTINGS, SimulatedStripe, simulated_stripe

FAILS_LATER = "pm_card_chargeCustomerFail"
DEBIT = "pm_usBankAccount"
MONTH_DAYS = 31


async def fetch(sim: SimulatedStripe, subscription: stripe.Subscription) -> stripe.Subscription:
    """Retrieve the subscription as it is now."""
    return await sim.api.v1.subscriptions.retrieve_async(subscription.id)


async def latest_invoice(sim: SimulatedStripe, subscription: stripe.Subscription) -> stripe.Invoice:
    """Retrieve the subscription's latest invoice."""
    return await sim.api.v1.invoices.retrieve_async(str((await fetch(sim, subscription)).latest_invoice))


async def until_draft(sim: SimulatedStripe, subscription: stripe.Subscription) -> None:
    """Advance the clock to a minute after the end of the subscription's present period."""
    now = (await sim.control("POST", "/clock/advance", {"seconds": 0}))["now"]
    end = (await fetch(sim, subscription)).to_dict()["items"]["data"][0]["current_period_end"]
    await sim.control("POST", "/clock/advance", {"seconds": end - now + 60})


def intent_of(subscription: stripe.Subscription) -> str:
    """Return the id of the intent that pays the first invoice."""
    invoice: Any = subscription.latest_invoice
    return str(invoice.confirmation_secret.client_secret.partition("_secret_")[0])


async def debited(sim: SimulatedStripe) -> tuple[stripe.Subscription, str]:
    """Return a subscription whose first debit is processing, and the intent's id."""
    subscription = await sim.subscription(FAILS_LATER)
    intent_id = intent_of(subscription)
    await sim.pay(intent_id, payment_method=DEBIT)
    return subscription, intent_id


async def test_voiding_the_first_invoice_expires_an_incomplete_subscription(sim: SimulatedStripe) -> None:
    """At once and with an event."""
    subscription = await sim.subscription(FAILS_LATER)

    await sim.api.v1.invoices.void_invoice_async(str((await latest_invoice(sim, subscription)).id))

    expired = await fetch(sim, subscription)
    (updated,) = await sim.events("customer.subscription.updated")
    assert expired.status == "incomplete_expired"
    assert expired.ended_at is not None
    assert updated["data"]["previous_attributes"] == {"ended_at": None, "status": "incomplete"}


async def test_an_invoice_whose_debit_is_processing_cannot_be_void(sim: SimulatedStripe) -> None:
    """Nothing changes, and the debit pays it."""
    subscription, intent_id = await debited(sim)
    before = len(await sim.event_types())

    with pytest.raises(stripe.InvalidRequestError, match="pending payments waiting to clear"):
        await sim.api.v1.invoices.void_invoice_async(str((await latest_invoice(sim, subscription)).id))
    after = len(await sim.event_types())
    await sim.control("POST", f"/payment_intents/{intent_id}/settle", {"succeed": True})

    assert (before, (await latest_invoice(sim, subscription)).status) == (after, "paid")
    assert (await fetch(sim, subscription)).status == "active"


@pytest.mark.parametrize(("succeed", "left"), [(True, "paid"), (False, "void")])
async def test_a_debit_outlives_the_subscription_that_is_canceled(
    sim: SimulatedStripe, *, succeed: bool, left: str
) -> None:
    """The invoice stays open until the bank decides, and pays for nothing."""
    subscription, intent_id = await debited(sim)

    ended = await sim.api.v1.subscriptions.cancel_async(subscription.id)
    during = await latest_invoice(sim, subscription)
    await sim.control("POST", f"/payment_intents/{intent_id}/settle", {"succeed": succeed})

    after = await latest_invoice(sim, subscription)
    intent = await sim.api.v1.payment_intents.retrieve_async(intent_id)
    assert intent.status == ("succeeded" if succeed else "canceled")
    assert (ended.status, during.status, during.auto_advance) == ("incomplete_expired", "open", False)
    assert (after.status, after.amount_paid) == (left, 1200 if succeed else 0)
    assert (await fetch(sim, subscription)).status == "incomplete_expired"


@pytest.mark.parametrize("changes", [{"amount": 100}, {"currency": "eur"}, None])
async def test_the_intent_of_an_invoice_stays_its_own(sim: SimulatedStripe, changes: Any) -> None:
    """Neither canceled nor of another amount: the invoice would be paid by less, or by a retry of a canceled intent."""
    subscription = await sim.subscription(payment_behavior="default_incomplete")
    intent_id = intent_of(subscription)
    api = sim.api.v1.payment_intents

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await (api.update_async(intent_id, changes) if changes else api.cancel_async(intent_id))

    assert refused.value.code == "simulator_not_modelled"


async def test_a_draft_of_a_deleted_customer_is_not_finalized(sim: SimulatedStripe) -> None:
    """It stays a draft, and no scheduled action fails."""
    subscription = await sim.subscription()
    pause: Any = {"pause_collection": {"behavior": "keep_as_draft"}}
    await sim.api.v1.subscriptions.update_async(subscription.id, pause)
    await sim.later(days=32)
    await sim.api.v1.customers.delete_async(str(subscription.customer))
    [draft] = (await sim.api.v1.invoices.list_async({"subscription": subscription.id, "status": "draft"})).data

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.invoices.update_async(str(draft.id), {"auto_advance": True})

    await sim.later(days=1)
    assert (refused.value.code, refused.value.param) == ("resource_missing", "customer")


async def test_the_only_invoice_left_can_be_void() -> None:
    """The first one is void because its debit failed; without an invoice that decides, the subscription is active."""
    async with simulated_stripe(replace(SETTINGS, processing_debit_activates=True)) as sim:
        subscription, intent_id = await debited(sim)
        await sim.control("POST", f"/payment_intents/{intent_id}/settle", {"succeed": False})
        await until_draft(sim, subscription)
        await sim.later(hours=1)
        before = await fetch(sim, subscription)

        await sim.api.v1.invoices.void_invoice_async(str((await latest_invoice(sim, subscription)).id))

        assert (before.status, (await fetch(sim, subscription)).status) == ("past_due", "active")


async def test_a_void_invoice_gives_the_balance_back(sim: SimulatedStripe) -> None:
    """A credit that it used up is the customer's again."""
    subscription = await sim.subscription()
    item = (await fetch(sim, subscription)).to_dict()["items"]["data"][0]
    cheaper: Any = {
        "items": [{"id": item["id"], "price": await sim.recurring_price(700)}],
        "proration_behavior": "always_invoice",
    }
    await sim.api.v1.subscriptions.update_async(subscription.id, cheaper)
    credit = (await sim.api.v1.customers.retrieve_async(str(subscription.customer))).balance
    method = str(subscription.default_payment_method)
    await sim.control("POST", f"/payment_methods/{method}/behave", {"like": FAILS_LATER})
    await sim.later(days=MONTH_DAYS, hours=2)
    used_up = (await sim.api.v1.customers.retrieve_async(str(subscription.customer))).balance

    await sim.api.v1.invoices.void_invoice_async(str((await latest_invoice(sim, subscription)).id))

    given_back = (await sim.api.v1.customers.retrieve_async(str(subscription.customer))).balance
    assert credit is not None
    assert credit < 0
    assert (used_up, given_back) == (0, credit)


async def test_a_draft_from_before_the_pause_is_charged(sim: SimulatedStripe) -> None:
    """The pause stops only what is created in it."""
    subscription = await sim.subscription()
    await until_draft(sim, subscription)
    await sim.api.v1.subscriptions.update_async(subscription.id, {"pause_collection": {"behavior": "void"}})

    await sim.later(hours=2)

    assert (await latest_invoice(sim, subscription)).status == "paid"


async def test_a_draft_of_the_pause_is_void_though_the_pause_ends(sim: SimulatedStripe) -> None:
    """It was created before payments are collected again."""
    subscription = await sim.subscription()
    await sim.api.v1.subscriptions.update_async(subscription.id, {"pause_collection": {"behavior": "void"}})
    await until_draft(sim, subscription)
    await sim.api.v1.subscriptions.update_async(subscription.id, {"pause_collection": ""})

    await sim.later(hours=2)

    assert (await latest_invoice(sim, subscription)).status == "void"


async def test_an_amount_below_the_minimum_is_due_with_the_next_invoice(sim: SimulatedStripe) -> None:
    """Nobody pays it before: the customer owes it."""
    customer, method = await sim.saved_card()
    subscription = await sim.api.v1.subscriptions.create_async(
        {
            "customer": customer,
            "default_payment_method": method,
            "items": [{"price": await sim.recurring_price(30)}],
        }
    )
    first = await latest_invoice(sim, subscription)
    owed = (await sim.api.v1.customers.retrieve_async(customer)).balance

    await sim.later(days=MONTH_DAYS, hours=2)

    second = await latest_invoice(sim, subscription)
    assert (subscription.status, first.status, first.amount_due, first.amount_paid) == ("active", "paid", 0, 0)
    assert (first.ending_balance, owed) == (30, 30)
    assert (second.starting_balance, second.amount_paid, second.ending_balance) == (30, 60, 0)
    assert (await sim.api.v1.customers.retrieve_async(customer)).balance == 0


async def test_a_free_renewal_activates_a_past_due_subscription(sim: SimulatedStripe) -> None:
    """Its latest invoice is paid then."""
    customer, method = await sim.saved_card()
    price = await sim.recurring_price(1200, "week")
    params: Any = {"customer": customer, "default_payment_method": method, "items": [{"price": price}]}
    subscription = await sim.api.v1.subscriptions.create_async(params)
    await sim.control("POST", f"/payment_methods/{method}/behave", {"like": FAILS_LATER})
    await sim.later(days=7, hours=2)
    before = await fetch(sim, subscription)
    free = await sim.api.v1.coupons.create_async({"percent_off": 100, "duration": "forever"})
    await sim.api.v1.subscriptions.update_async(subscription.id, {"discounts": [{"coupon": free.id}]})

    await sim.later(days=7)

    assert (before.status, (await latest_invoice(sim, subscription)).status) == ("past_due", "paid")
    assert (await fetch(sim, subscription)).status == "active"


async def test_a_free_draft_can_be_paid(sim: SimulatedStripe) -> None:
    """It is finalized, and costs nothing."""
    free = await sim.api.v1.coupons.create_async({"percent_off": 100, "duration": "forever"})
    subscription = await sim.subscription(discounts=[{"coupon": free.id}])
    await until_draft(sim, subscription)

    paid = await sim.api.v1.invoices.pay_async(str((await latest_invoice(sim, subscription)).id))

    assert (paid.status, paid.amount_paid) == ("paid", 0)


async def test_a_draft_tells_when_it_is_finalized(sim: SimulatedStripe) -> None:
    """Not at all while it is not collected automatically, and an hour after it is again."""
    subscription = await sim.subscription()
    await until_draft(sim, subscription)
    draft = await latest_invoice(sim, subscription)
    off = await sim.api.v1.invoices.update_async(str(draft.id), {"auto_advance": False})
    await sim.later(hours=0.5)

    on = await sim.api.v1.invoices.update_async(str(draft.id), {"auto_advance": True})
    await sim.later(hours=0.75)
    waiting = await latest_invoice(sim, subscription)
    await sim.later(hours=0.5)

    paid = await latest_invoice(sim, subscription)
    assert (off.automatically_finalizes_at, off.next_payment_attempt) == (None, None)
    assert (waiting.status, paid.status) == ("draft", "paid")
    assert paid.status_transitions.finalized_at == on.automatically_finalizes_at
