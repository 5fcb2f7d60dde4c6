"""Rare states and parameters of subscriptions, and what events and objects say of the account's mode."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SETTINGS, SimulatedStripe, simulated_stripe


async def update(sim: SimulatedStripe, subscription: stripe.Subscription, **changes: Any) -> stripe.Subscription:
    """Update the subscription."""
    params: Any = changes
    return await sim.api.v1.subscriptions.update_async(subscription.id, params)


@pytest.mark.parametrize("paused_for_days", [0, 40])
async def test_a_paused_one_ends_with_its_period(sim: SimulatedStripe, paused_for_days: int) -> None:
    """At once if that has passed."""
    subscription = await sim.subscription()
    await sim.control("POST", f"/subscriptions/{subscription.id}/pause")
    await sim.later(days=paused_for_days)
    await update(sim, subscription, cancel_at_period_end=True)

    await sim.later(days=31 - min(paused_for_days, 31))

    ended = await sim.api.v1.subscriptions.retrieve_async(subscription.id)
    assert ended.status == "canceled"
    assert len(await sim.events("customer.subscription.deleted")) == 1


async def test_a_quantity_is_not_negative(sim: SimulatedStripe) -> None:
    """Neither of a new item nor of one that changes."""
    subscription = await sim.subscription()
    item = subscription.to_dict()["items"]["data"][0]

    for each in ({"id": item["id"], "quantity": -1}, {"price": await sim.recurring_price(), "quantity": -1}):
        with pytest.raises(stripe.InvalidRequestError, match="greater than or equal to 0"):
            await update(sim, subscription, items=[each])


async def test_a_proration_has_the_amount_of_one(sim: SimulatedStripe) -> None:
    """Times the quantity it is the amount."""
    subscription = await sim.subscription()
    item = subscription.to_dict()["items"]["data"][0]
    await sim.later(days=10)

    await update(sim, subscription, items=[{"id": item["id"], "quantity": 3}])

    charged = (await sim.api.v1.invoice_items.list_async({})).data[0]
    assert charged.pricing is not None
    assert charged.quantity == 3
    assert charged.amount > 0
    assert round(Decimal(str(charged.pricing.unit_amount_decimal)) * 3) == charged.amount


async def test_other_ends_and_methods_are_named_as_not_modelled(sim: SimulatedStripe) -> None:
    """Stripe has them."""
    subscription = await sim.subscription()

    with pytest.raises(stripe.InvalidRequestError) as end:
        await update(sim, subscription, cancel_at="min_period_end")
    with pytest.raises(stripe.InvalidRequestError) as method:
        await sim.api.v1.payment_methods.create_async({"type": "bancontact"})

    assert [end.value.code, method.value.code] == ["simulator_not_modelled"] * 2


@pytest.mark.parametrize(("key", "live"), [("sk_live_1", True), ("sk_test_1", False)])
async def test_objects_and_events_tell_the_mode(key: str, *, live: bool) -> None:
    """That of the secret key, also inside of others."""
    async with simulated_stripe(replace(SETTINGS, secret_key=key)) as sim:
        subscription = await sim.subscription()

        invoice: Any = subscription.latest_invoice
        events = await sim.events()
        modes = {subscription.livemode, invoice.livemode, invoice.lines.data[0].livemode}
        assert modes | {each["livemode"] for each in events} == {live}
        assert {each["data"]["object"]["livemode"] for each in events} == {live}


async def test_an_event_of_a_detached_card_tells_whose_it_was(sim: SimulatedStripe) -> None:
    """The card itself names nobody any more."""
    customer, method = await sim.saved_card()

    await sim.api.v1.payment_methods.detach_async(method)

    (event,) = await sim.events("payment_method.detached")
    assert event["data"]["object"]["customer"] is None
    assert event["data"]["previous_attributes"] == {"customer": customer}


async def test_an_event_of_a_refund_tells_what_was_refunded_before(sim: SimulatedStripe) -> None:
    """As an update would."""
    intent = await sim.intent(amount=1000)
    await sim.pay(intent.id)

    for amount in (400, 600):
        await sim.api.v1.refunds.create_async({"payment_intent": intent.id, "amount": amount})

    previous = [each["data"]["previous_attributes"] for each in await sim.events("charge.refunded")]
    assert previous == [{"amount_refunded": 0}, {"amount_refunded": 400, "refunded": False}]


async def test_one_that_has_ended_cannot_be_paused(sim: SimulatedStripe) -> None:
    """Its last event was its end."""
    subscription = await sim.subscription()
    await sim.api.v1.subscriptions.cancel_async(subscription.id)

    await sim.control("POST", f"/subscriptions/{subscription.id}/pause", status=400)


@pytest.mark.parametrize(
    ("amount", "changes", "statuses"),
    [(1200, {"trial_period_days": 7}, ("trialing", "past_due")), (0, {}, ("active", "active"))],
)
async def test_what_costs_nothing_yet_needs_no_payment_method(
    sim: SimulatedStripe, amount: int, changes: dict[str, Any], statuses: tuple[str, str]
) -> None:
    """A trial, whose first charge then fails, and a free plan."""
    price = await sim.recurring_price(amount)
    customer = (await sim.api.v1.customers.create_async({})).id
    params: Any = {"customer": customer, "items": [{"price": price}], **changes}

    made = await sim.api.v1.subscriptions.create_async(params)
    await sim.later(days=8)

    later = (await sim.api.v1.subscriptions.retrieve_async(made.id)).status
    assert (made.status, later) == statuses


async def test_a_default_payment_method_is_the_customers_own(sim: SimulatedStripe) -> None:
    """Another's is refused, and so is one that does not exist, for a new customer too."""
    (own, _), (_, foreign) = await sim.saved_card(), await sim.saved_card()
    customers = sim.api.v1.customers

    for method in (foreign, "pm_nope"):
        params: Any = {"invoice_settings": {"default_payment_method": method}}
        for refused in (customers.update_async(own, params), customers.create_async(params)):
            with pytest.raises(stripe.InvalidRequestError) as error:
                await refused
            assert error.value.code == "resource_missing"


async def test_an_update_that_awaits_its_payment_is_past_due(sim: SimulatedStripe) -> None:
    """With `default_incomplete` the invoice is open until the buyer pays it."""
    subscription = await sim.subscription()
    item = subscription.to_dict()["items"]["data"][0]
    await sim.later(days=10)

    changed = await update(
        sim,
        subscription,
        items=[{"id": item["id"], "quantity": 2}],
        proration_behavior="always_invoice",
        payment_behavior="default_incomplete",
        expand=["latest_invoice.confirmation_secret"],
    )
    invoice: Any = changed.latest_invoice
    await sim.pay(invoice.confirmation_secret.client_secret.partition("_secret_")[0])

    paid = await sim.api.v1.subscriptions.retrieve_async(subscription.id)
    assert (changed.status, invoice.status, paid.status) == ("past_due", "open", "active")


async def test_an_event_is_gone_after_thirty_days(sim: SimulatedStripe) -> None:
    """As an object and as a cursor."""
    await sim.intent()
    (event,) = await sim.events()
    await sim.later(days=31)

    for gone in (
        sim.api.v1.events.retrieve_async(event["id"]),
        sim.api.v1.events.list_async({"starting_after": event["id"]}),
    ):
        with pytest.raises(stripe.InvalidRequestError, match="No such event"):
            await gone
