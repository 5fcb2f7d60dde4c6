from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from stripe_simulator.billing_periods import period_end
from stripe_simulator.testing import Receiver, SimulatedStripe

DAY = 24 * 3600
FAILS_LATER = "pm_card_chargeCustomerFail"
ASKS_ALWAYS = "pm_card_authenticationRequired"


async def fetch(sim: SimulatedStripe, subscription_id: str) -> stripe.Subscription:
    """Retrieve the subscription as it is now."""
    return await sim.api.v1.subscriptions.retrieve_async(subscription_id)


async def invoices(sim: SimulatedStripe, subscription_id: str) -> list[stripe.Invoice]:
    """List the subscription's invoices, newest first."""
    return (await sim.api.v1.invoices.list_async({"subscription": subscription_id, "limit": 100})).data


async def wait_days(sim: SimulatedStripe, days: float) -> None:
    """Advance the simulated clock."""
    await sim.control("POST", "/clock/advance", {"seconds": days * DAY})


def first_intent(subscription: stripe.Subscription) -> str:
    """Return the id of the payment intent of the first charge."""
    invoice: Any = subscription.latest_invoice
    return str(invoice.confirmation_secret.client_secret).split("_secret_")[0]


@pytest.mark.parametrize(
    ("card", "code"),
    [
        (FAILS_LATER, "card_declined"),
        (ASKS_ALWAYS, "subscription_payment_intent_requires_action"),
        ("pm_card_visa", None),
    ],
)
async def test_error_if_incomplete_leaves_all_or_nothing(
    sim: SimulatedStripe, receiver: Receiver, card: str, code: str | None
) -> None:
    """No object, no event and no scheduled action is left of a first charge that is not paid."""
    customer, method = await sim.saved_card(card)
    price = await sim.recurring_price()
    before = await sim.event_types()
    await sim.subscribe(receiver)
    params: Any = {
        "customer": customer,
        "default_payment_method": method,
        "items": [{"price": price}],
        "payment_behavior": "error_if_incomplete",
    }

    refused = None
    try:
        await sim.api.v1.subscriptions.create_async(params)
    except stripe.CardError as error:
        refused = error.code
    await wait_days(sim, 3)

    paid = code is None
    subscriptions = await sim.api.v1.subscriptions.list_async({"customer": customer, "status": "all"})
    assert refused == code
    assert [each.status for each in subscriptions.data] == ["active"] * paid
    assert bool(receiver.received) is paid
    assert len((await sim.api.v1.payment_intents.list_async({"customer": customer})).data) == paid
    assert ("invoice.paid" in (await sim.event_types())[len(before) :]) is paid


async def test_the_first_charge_makes_it_active(sim: SimulatedStripe) -> None:
    """The intent of its first invoice carries none of the subscription's metadata."""
    subscription = await sim.subscription(metadata={"subscriptionId": "ours"})

    invoice: Any = subscription.latest_invoice
    intent = await sim.api.v1.payment_intents.retrieve_async(first_intent(subscription))
    assert (subscription.status, invoice.status, invoice.amount_paid) == ("active", "paid", 1200)
    assert (intent.status, intent.to_dict()["metadata"]) == ("succeeded", {})
    assert invoice.parent.subscription_details.subscription == subscription.id


async def test_a_trial_charges_nothing_until_it_ends(sim: SimulatedStripe) -> None:
    """Its first invoice is zero. The first charge is at the end of the trial."""
    subscription = await sim.subscription(trial_period_days=14)
    during = await fetch(sim, subscription.id)

    await wait_days(sim, 14)

    after = await fetch(sim, subscription.id)
    assert (during.status, after.status) == ("trialing", "active")
    assert [invoice.total for invoice in await invoices(sim, subscription.id)] == [1200, 0]


async def test_a_declined_first_charge_leaves_it_incomplete(sim: SimulatedStripe) -> None:
    """A payment with another card makes it active."""
    subscription = await sim.subscription(FAILS_LATER)

    paid = await sim.pay(first_intent(subscription))

    assert subscription.status == "incomplete"
    assert paid["status"] == "succeeded"
    assert (await fetch(sim, subscription.id)).status == "active"


async def test_a_challenged_first_charge_leaves_it_incomplete(sim: SimulatedStripe) -> None:
    """The passed challenge makes it active."""
    subscription = await sim.subscription(ASKS_ALWAYS)

    await sim.control("POST", f"/payment_intents/{first_intent(subscription)}/challenge", {"succeed": True})

    assert subscription.status == "incomplete"
    assert "invoice.payment_action_required" in await sim.event_types()
    assert (await fetch(sim, subscription.id)).status == "active"


async def test_an_incomplete_one_expires_after_23_hours(sim: SimulatedStripe) -> None:
    """Its invoice is then void."""
    subscription = await sim.subscription(FAILS_LATER)

    await wait_days(sim, 1)

    expired = await fetch(sim, subscription.id)
    assert expired.status == "incomplete_expired"
    assert [invoice.status for invoice in await invoices(sim, subscription.id)] == ["void"]


async def test_a_year_brings_twelve_renewals(sim: SimulatedStripe) -> None:
    """Advancing the clock by a year runs each renewal at its time, in order."""
    subscription = await sim.subscription()

    await wait_days(sim, 366)

    made = [invoice.created for invoice in await invoices(sim, subscription.id)]
    months = [datetime.fromtimestamp(moment, UTC).strftime("%Y-%m") for moment in reversed(made)]
    assert len(months) == len(set(months)) == 13
    assert (await fetch(sim, subscription.id)).status == "active"


async def test_a_failed_renewal_is_retried(sim: SimulatedStripe) -> None:
    """Meanwhile it is past due. A retry makes it active again, or the last one cancels it."""
    subscription = await sim.subscription()
    method = str(subscription.default_payment_method)
    await sim.control("POST", f"/payment_methods/{method}/behave", {"like": FAILS_LATER})
    await wait_days(sim, 31)
    failed = await fetch(sim, subscription.id)

    await sim.control("POST", f"/payment_methods/{method}/behave", {"like": "pm_card_visa"})
    await wait_days(sim, 4)
    recovered = await fetch(sim, subscription.id)
    await sim.control("POST", f"/payment_methods/{method}/behave", {"like": FAILS_LATER})
    await wait_days(sim, 60)

    assert (failed.status, recovered.status) == ("past_due", "active")
    assert (await fetch(sim, subscription.id)).status == "canceled"
    assert (await sim.event_types())[-1] == "customer.subscription.deleted"


async def test_a_cancel_at_period_end_ends_it_then(sim: SimulatedStripe) -> None:
    """Until then it stays active, and the cancellation can be undone."""
    subscription = await sim.subscription()
    asked = await sim.api.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    undone = await sim.api.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": False})
    await sim.api.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})

    await wait_days(sim, 32)

    ended = await fetch(sim, subscription.id)
    assert (asked.status, asked.cancel_at_period_end, undone.cancel_at) == ("active", True, None)
    assert ended.status == "canceled"
    assert len(await invoices(sim, subscription.id)) == 1


async def test_canceling_now_ends_it_now(sim: SimulatedStripe) -> None:
    """A second cancel is refused, and lists leave it out by default."""
    subscription = await sim.subscription()

    ended = await sim.api.v1.subscriptions.cancel_async(subscription.id)

    assert (ended.status, ended.ended_at is not None) == ("canceled", True)
    with pytest.raises(stripe.InvalidRequestError):
        await sim.api.v1.subscriptions.cancel_async(subscription.id)
    usual = await sim.api.v1.subscriptions.list_async({"customer": str(subscription.customer)})
    everything = await sim.api.v1.subscriptions.list_async({"customer": str(subscription.customer), "status": "all"})
    assert (len(usual.data), len(everything.data)) == (0, 1)


async def test_an_archived_price_and_the_card_of_another_customer_are_refused(sim: SimulatedStripe) -> None:
    """A price may be archived between purchase and activation."""
    price, (_, method) = await sim.recurring_price(), await sim.saved_card()
    await sim.api.v1.prices.update_async(price, {"active": False})

    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        await sim.subscription(items=[{"price": price}])
    with pytest.raises(stripe.InvalidRequestError, match="must be attached to the customer"):
        await sim.subscription(default_payment_method=method)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"items": [{"price": "price_none"}]}, "items[0][price]"),
        ({"default_payment_method": "pm_none"}, "default_payment_method"),
        ({"customer": "cus_none"}, "customer"),
        ({"trial_period_days": 731}, "trial_period_days"),
    ],
)
async def test_invalid_subscriptions_are_refused(sim: SimulatedStripe, changes: dict[str, Any], param: str) -> None:
    """The error names the parameter, and nothing is created."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.subscription(**changes)

    assert refused.value.param == param
    assert (await sim.api.v1.subscriptions.list_async({"status": "all"})).data == []


def test_a_period_ends_on_the_last_day_of_a_shorter_month() -> None:
    """A period that begins on 31 January ends on 28 February, the next one on 31 March."""
    anchor = int(datetime(2027, 1, 31, 12, tzinfo=UTC).timestamp())

    first = period_end(anchor, "month", 1, after=anchor)
    second = period_end(anchor, "month", 1, after=first)

    assert datetime.fromtimestamp(first, UTC) == datetime(2027, 2, 28, 12, tzinfo=UTC)
    assert datetime.fromtimestamp(second, UTC) == datetime(2027, 3, 31, 12, tzinfo=UTC)
