"""First charge of a subscription: paid, declined, asked for, debited, too late."""

from dataclasses import replace
from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SETTINGS, SimulatedStripe, simulated_stripe

ASKS_ALWAYS = "pm_card_authenticationRequired"
FAILS_LATER = "pm_card_chargeCustomerFail"
SAVES: Any = {"save_default_payment_method": "on_subscription"}


async def fetch(sim: SimulatedStripe, subscription_id: str) -> stripe.Subscription:
    """Retrieve the subscription as it is now."""
    return await sim.api.v1.subscriptions.retrieve_async(subscription_id)


def first_intent(subscription: stripe.Subscription) -> str:
    """Return the id of the payment intent of the first charge."""
    invoice: Any = subscription.latest_invoice
    return str(invoice.confirmation_secret.client_secret).split("_secret_")[0]


async def test_the_first_invoice_is_finalized_and_charged_at_once(sim: SimulatedStripe) -> None:
    """Its events come in Stripe's order, and the subscription is created before it is paid."""
    await sim.subscription()

    types = await sim.event_types()
    assert types[types.index("customer.updated") :] == [
        "customer.updated",
        "customer.subscription.created",
        "invoice.created",
        "payment_intent.created",
        "invoice.finalized",
        "charge.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice.updated",
        "invoice_payment.paid",
        "customer.subscription.updated",
        "payment_intent.succeeded",
        "charge.updated",
    ]
    (activated,) = await sim.events("customer.subscription.updated")
    assert activated["data"]["previous_attributes"] == {"status": "incomplete"}


async def test_the_card_that_worked_is_saved_if_asked_for(sim: SimulatedStripe) -> None:
    """A declined first charge, paid with another card, makes that card the subscription's, which renewals charge."""
    subscription = await sim.subscription(FAILS_LATER, payment_settings=SAVES)

    await sim.pay(first_intent(subscription), payment_method="pm_card_mastercard")
    paid = await fetch(sim, subscription.id)
    await sim.later(days=31, hours=2)

    intent = await sim.api.v1.payment_intents.retrieve_async(first_intent(subscription))
    invoices = await sim.api.v1.invoices.list_async({"subscription": subscription.id})
    assert [invoice.status for invoice in invoices.data] == ["paid", "paid"]
    assert (paid.status, paid.default_payment_method) == ("active", intent.payment_method)
    assert paid.default_payment_method != subscription.default_payment_method


async def test_the_card_that_worked_is_not_saved_by_default(sim: SimulatedStripe) -> None:
    """Renewals are then charged to the card that was declined."""
    subscription = await sim.subscription(FAILS_LATER)

    await sim.pay(first_intent(subscription), payment_method="pm_card_mastercard")

    paid = await fetch(sim, subscription.id)
    assert paid.default_payment_method == subscription.default_payment_method


async def test_an_off_session_charge_that_asks_needs_the_buyer_to_confirm_anew(sim: SimulatedStripe) -> None:
    """It leaves an intent without a payment method and with the reason, where an on-session one waits for an action."""
    off = await sim.subscription(ASKS_ALWAYS, off_session=True)
    on = await sim.subscription(ASKS_ALWAYS)

    left = await sim.api.v1.payment_intents.retrieve_async(first_intent(off))
    waiting = await sim.api.v1.payment_intents.retrieve_async(first_intent(on))
    assert (off.status, left.status, left.next_action) == ("incomplete", "requires_payment_method", None)
    assert left.last_payment_error is not None
    assert left.last_payment_error.code == "authentication_required"
    assert (on.status, waiting.status) == ("incomplete", "requires_action")
    asked = [event["data"]["object"]["id"] for event in await sim.events("invoice.payment_action_required")]
    assert len(asked) == 2


async def test_a_debit_leaves_it_incomplete_until_the_bank_has_paid(sim: SimulatedStripe) -> None:
    """A processing debit keeps it from expiring after 23 hours."""
    subscription = await sim.subscription(FAILS_LATER)
    await sim.pay(first_intent(subscription), payment_method="pm_usBankAccount")
    during = await fetch(sim, subscription.id)

    await sim.control("POST", f"/payment_intents/{first_intent(subscription)}/settle", {"succeed": True})

    assert during.status == "incomplete"
    assert (await fetch(sim, subscription.id)).status == "active"


async def slow_bank() -> Any:
    """Return a simulator where a debit takes four days."""
    return simulated_stripe(replace(SETTINGS, settlement_seconds=4 * 24 * 3600.0))


@pytest.mark.parametrize(("account", "status"), [("success", "active"), ("insufficientFunds", "incomplete_expired")])
async def test_a_debit_may_take_longer_than_23_hours(account: str, status: str) -> None:
    """The subscription waits for it, and expires if it then fails."""
    async with await slow_bank() as sim:
        subscription = await sim.subscription(FAILS_LATER)
        await sim.pay(first_intent(subscription), payment_method=f"pm_usBankAccount_{account}")
        await sim.later(days=3)
        during = await fetch(sim, subscription.id)

        await sim.later(days=2)

        assert during.status == "incomplete"
        assert (await fetch(sim, subscription.id)).status == status


async def test_a_processing_debit_activates_it_if_set() -> None:
    """Stripe's documentation says so too; a debit that fails then leaves it active, with a void invoice."""
    async with simulated_stripe(replace(SETTINGS, processing_debit_activates=True)) as sim:
        subscription = await sim.subscription(FAILS_LATER)
        await sim.pay(first_intent(subscription), payment_method="pm_usBankAccount")
        during = await fetch(sim, subscription.id)

        await sim.control("POST", f"/payment_intents/{first_intent(subscription)}/settle", {"succeed": False})

        invoice = await sim.api.v1.invoices.retrieve_async(str(during.latest_invoice))
        assert (during.status, invoice.status) == ("active", "void")
        assert (await fetch(sim, subscription.id)).status == "active"


async def test_a_customer_has_one_currency(sim: SimulatedStripe) -> None:
    """The first subscription sets it, with an event. A second currency is refused, and nothing is created."""
    subscription = await sim.subscription()
    params: Any = {
        "currency": "eur",
        "unit_amount": 900,
        "recurring": {"interval": "month"},
        "product_data": {"name": "A plan"},
    }
    price = (await sim.api.v1.prices.create_async(params)).id
    again: Any = {
        "customer": subscription.customer,
        "default_payment_method": subscription.default_payment_method,
        "items": [{"price": price}],
    }

    with pytest.raises(stripe.InvalidRequestError, match="cannot combine currencies on a single customer"):
        await sim.api.v1.subscriptions.create_async(again)

    (updated,) = await sim.events("customer.updated")
    assert updated["data"]["object"]["currency"] == "usd"
    assert updated["data"]["previous_attributes"] == {"currency": None}
    assert len((await sim.api.v1.subscriptions.list_async({"status": "all"})).data) == 1


async def test_an_incomplete_one_expires_when_it_is_canceled(sim: SimulatedStripe) -> None:
    """In an update, and its invoice is void."""
    subscription = await sim.subscription(FAILS_LATER)

    ended = await sim.api.v1.subscriptions.cancel_async(subscription.id)

    invoice = await sim.api.v1.invoices.retrieve_async(str(ended.latest_invoice))
    assert (ended.status, ended.canceled_at, invoice.status) == ("incomplete_expired", ended.ended_at, "void")
    types = await sim.event_types()
    assert types[-1] == "customer.subscription.updated"
    assert "customer.subscription.deleted" not in types


async def test_an_incomplete_one_can_change_little(sim: SimulatedStripe) -> None:
    """Its metadata and payment method, but not its end."""
    subscription = await sim.subscription(FAILS_LATER)

    with pytest.raises(stripe.InvalidRequestError, match="incomplete"):
        await sim.api.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})

    changed = await sim.api.v1.subscriptions.update_async(subscription.id, {"metadata": {"a": "b"}})
    assert changed.metadata["a"] == "b"
