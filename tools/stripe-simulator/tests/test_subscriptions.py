from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from stripe_simulator.billing_periods import period_end
from stripe_simulator.testing import SimulatedStripe

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
    """Let simulated time pass."""
    await sim.control("POST", "/clock/advance", {"seconds": days * DAY})


def first_intent(subscription: stripe.Subscription) -> str:
    """Answer the id of the payment intent of the first charge."""
    invoice: Any = subscription.latest_invoice
    return str(invoice.confirmation_secret.client_secret).split("_secret_")[0]


async def test_the_first_charge_makes_it_active(sim: SimulatedStripe) -> None:
    """Its first invoice is paid with an intent that carries none of the subscription's metadata."""
    subscription = await sim.subscription(metadata={"subscriptionId": "ours"})

    invoice: Any = subscription.latest_invoice
    intent = await sim.api.v1.payment_intents.retrieve_async(first_intent(subscription))
    assert (subscription.status, invoice.status, invoice.amount_paid) == ("active", "paid", 1200)
    assert (intent.status, intent.to_dict()["metadata"]) == ("succeeded", {})
    assert invoice.parent.subscription_details.subscription == subscription.id


async def test_a_trial_charges_nothing_until_it_ends(sim: SimulatedStripe) -> None:
    """Its first invoice is over nothing; the first charge comes with the end of the trial."""
    subscription = await sim.subscription(trial_period_days=14)
    during = await fetch(sim, subscription.id)

    await wait_days(sim, 14)

    after = await fetch(sim, subscription.id)
    assert (during.status, after.status) == ("trialing", "active")
    assert [invoice.total for invoice in await invoices(sim, subscription.id)] == [1200, 0]


async def test_a_declined_first_charge_leaves_it_incomplete(sim: SimulatedStripe) -> None:
    """The buyer may pay with another card, which makes it active."""
    subscription = await sim.subscription(FAILS_LATER)

    paid = await sim.pay(first_intent(subscription))

    assert subscription.status == "incomplete"
    assert paid["status"] == "succeeded"
    assert (await fetch(sim, subscription.id)).status == "active"


async def test_a_first_charge_that_asks_for_authentication_waits_for_the_buyer(sim: SimulatedStripe) -> None:
    """It is incomplete until the buyer has passed the challenge."""
    subscription = await sim.subscription(ASKS_ALWAYS)

    await sim.control("POST", f"/payment_intents/{first_intent(subscription)}/challenge", {"succeed": True})

    assert subscription.status == "incomplete"
    assert "invoice.payment_action_required" in await sim.event_types()
    assert (await fetch(sim, subscription.id)).status == "active"


async def test_an_incomplete_one_expires_after_23_hours(sim: SimulatedStripe) -> None:
    """Its invoice is void then, and cannot be paid any more."""
    subscription = await sim.subscription(FAILS_LATER)

    await wait_days(sim, 1)

    expired = await fetch(sim, subscription.id)
    assert expired.status == "incomplete_expired"
    assert [invoice.status for invoice in await invoices(sim, subscription.id)] == ["void"]


async def test_a_year_brings_twelve_renewals(sim: SimulatedStripe) -> None:
    """Advancing the clock by a year lets each renewal happen at its time, in order."""
    subscription = await sim.subscription()

    await wait_days(sim, 366)

    made = [invoice.created for invoice in await invoices(sim, subscription.id)]
    months = [datetime.fromtimestamp(moment, UTC).strftime("%Y-%m") for moment in reversed(made)]
    assert len(months) == len(set(months)) == 13
    assert (await fetch(sim, subscription.id)).status == "active"


async def test_a_failed_renewal_is_tried_again(sim: SimulatedStripe) -> None:
    """It is past due meanwhile; with a card that works again the next try makes it active."""
    subscription = await sim.subscription()
    method = str(subscription.default_payment_method)
    await sim.control("POST", f"/payment_methods/{method}/behave", {"like": FAILS_LATER})
    await wait_days(sim, 31)
    failed = await fetch(sim, subscription.id)

    await sim.control("POST", f"/payment_methods/{method}/behave", {"like": "pm_card_visa"})
    await wait_days(sim, 4)

    assert failed.status == "past_due"
    assert (await fetch(sim, subscription.id)).status == "active"


async def test_after_the_last_try_it_is_canceled(sim: SimulatedStripe) -> None:
    """As the settings say; nothing is charged any more."""
    subscription = await sim.subscription()
    method = str(subscription.default_payment_method)
    await sim.control("POST", f"/payment_methods/{method}/behave", {"like": FAILS_LATER})

    await wait_days(sim, 31)
    await wait_days(sim, 16)

    ended = await fetch(sim, subscription.id)
    assert ended.status == "canceled"
    assert "customer.subscription.deleted" in await sim.event_types()


async def test_a_cancel_at_period_end_ends_it_then(sim: SimulatedStripe) -> None:
    """Until then it stays active, and the wish can be taken back."""
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
    """A second cancel finds nothing to cancel, and lists leave it out unless all are asked for."""
    subscription = await sim.subscription()

    ended = await sim.api.v1.subscriptions.cancel_async(subscription.id)

    assert (ended.status, ended.ended_at is not None) == ("canceled", True)
    with pytest.raises(stripe.InvalidRequestError):
        await sim.api.v1.subscriptions.cancel_async(subscription.id)
    usual = await sim.api.v1.subscriptions.list_async({"customer": str(subscription.customer)})
    everything = await sim.api.v1.subscriptions.list_async({"customer": str(subscription.customer), "status": "all"})
    assert (len(usual.data), len(everything.data)) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"items": [{"price": "price_none"}]}, "items[0][price]"),
        ({"default_payment_method": "pm_none"}, "default_payment_method"),
        ({"customer": "cus_none"}, "customer"),
        ({"trial_period_days": 731}, "trial_period_days"),
    ],
)
async def test_what_does_not_fit_is_refused(sim: SimulatedStripe, changes: dict[str, Any], param: str) -> None:
    """The refusal names the parameter, and nothing is made."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.subscription(**changes)

    assert refused.value.param == param
    assert (await sim.control("GET", "/state"))["objects"]["subscriptions"] == 0


async def test_an_archived_price_is_refused(sim: SimulatedStripe) -> None:
    """A price that was archived between purchase and activation cannot be subscribed to."""
    price = await sim.plan()
    await sim.api.v1.prices.update_async(price, {"active": False})

    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        await sim.subscription(items=[{"price": price}])


async def test_somebody_elses_card_is_refused(sim: SimulatedStripe) -> None:
    """The payment method must belong to the customer."""
    _, method = await sim.saved_card()

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.subscription(default_payment_method=method)

    assert refused.value.param == "default_payment_method"


def test_a_month_without_the_day_ends_on_its_last() -> None:
    """A plan begun on 31 January is billed on 28 February and on 31 March again."""
    anchor = int(datetime(2027, 1, 31, 12, tzinfo=UTC).timestamp())

    first = period_end(anchor, "month", 1, after=anchor)
    second = period_end(anchor, "month", 1, after=first)

    assert datetime.fromtimestamp(first, UTC) == datetime(2027, 2, 28, 12, tzinfo=UTC)
    assert datetime.fromtimestamp(second, UTC) == datetime(2027, 3, 31, 12, tzinfo=UTC)
