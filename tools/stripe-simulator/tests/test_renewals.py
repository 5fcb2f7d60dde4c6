"""Renewals: a draft, an hour later an invoice, then its payment; and the events that announce them."""

from typing import Any

import pytest
import stripe

from stripe_simulator.testing import Receiver, SimulatedStripe

FAILS_LATER = "pm_card_chargeCustomerFail"
MONTH_DAYS = 31


async def latest_invoice(sim: SimulatedStripe, subscription_id: str) -> stripe.Invoice:
    """Retrieve the subscription's latest invoice."""
    subscription = await sim.api.v1.subscriptions.retrieve_async(subscription_id, {"expand": ["latest_invoice"]})
    invoice = subscription.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    return invoice


async def until_renewed(sim: SimulatedStripe, subscription: stripe.Subscription) -> None:
    """Advance the clock to a minute after the end of the subscription's present period."""
    now = (await sim.control("POST", "/clock/advance", {"seconds": 0}))["now"]
    shown = (await sim.api.v1.subscriptions.retrieve_async(subscription.id)).to_dict()
    end = shown["items"]["data"][0]["current_period_end"]
    await sim.control("POST", "/clock/advance", {"seconds": end - now + 60})


async def test_a_renewal_is_a_draft_for_an_hour(sim: SimulatedStripe) -> None:
    """It is finalized and charged then. The subscription is renewed before, and active all the time."""
    subscription = await sim.subscription()
    await until_renewed(sim, subscription)
    draft = await latest_invoice(sim, subscription.id)

    await sim.later(hours=1)

    invoice = await latest_invoice(sim, subscription.id)
    assert (draft.status, draft.number, draft.billing_reason) == ("draft", None, "subscription_cycle")
    assert draft.automatically_finalizes_at == draft.created + 3600 == draft.next_payment_attempt
    assert (invoice.id, invoice.status, invoice.amount_paid) == (draft.id, "paid", 1200)
    assert invoice.status_transitions.finalized_at == draft.created + 3600
    types = await sim.event_types()
    assert types[types.index("invoice.upcoming") :] == [
        "invoice.upcoming",
        "customer.subscription.updated",
        "invoice.created",
        "payment_intent.created",
        "invoice.finalized",
        "charge.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice.updated",
        "invoice_payment.paid",
        "payment_intent.succeeded",
        "charge.updated",
    ]


async def test_a_renewal_names_what_it_changed(sim: SimulatedStripe) -> None:
    """The items with their old periods, and the invoice before."""
    subscription = await sim.subscription()
    before = (await sim.api.v1.subscriptions.retrieve_async(subscription.id)).to_dict()

    await until_renewed(sim, subscription)

    renewed = (await sim.events("customer.subscription.updated"))[-1]["data"]
    assert renewed["previous_attributes"] == {
        "items": {"data": before["items"]["data"]},
        "latest_invoice": before["latest_invoice"],
    }


async def test_a_draft_waits_for_its_webhook(sim: SimulatedStripe, receiver: Receiver) -> None:
    """The hour begins when every endpoint has acknowledged `invoice.created`."""
    await sim.subscribe(receiver, "invoice.created")
    subscription = await sim.subscription()
    await sim.control("POST", "/webhooks/rules", {"types": ["invoice.created"], "hold": True})
    await until_renewed(sim, subscription)
    await sim.later(hours=5)
    waiting = await latest_invoice(sim, subscription.id)

    await sim.control("POST", "/webhooks/release", {})
    await sim.wait_until_idle()
    await sim.later(hours=2)

    paid = await latest_invoice(sim, subscription.id)
    assert (waiting.status, paid.status) == ("draft", "paid")
    assert paid.webhooks_delivered_at is not None
    assert paid.status_transitions.finalized_at == paid.webhooks_delivered_at + 3600


async def test_a_draft_waits_72_hours_at_most(sim: SimulatedStripe, receiver: Receiver) -> None:
    """It is finalized then, though the webhook was not acknowledged."""
    await sim.subscribe(receiver, "invoice.created")
    subscription = await sim.subscription()
    await sim.control("POST", "/webhooks/rules", {"types": ["invoice.created"], "drop": True})
    await until_renewed(sim, subscription)
    await sim.later(hours=71)
    waiting = await latest_invoice(sim, subscription.id)

    await sim.later(hours=1)

    paid = await latest_invoice(sim, subscription.id)
    assert (waiting.status, paid.status, paid.webhooks_delivered_at) == ("draft", "paid", None)


async def test_a_renewal_is_announced(sim: SimulatedStripe) -> None:
    """Seven days before, by an invoice without an id that is not stored."""
    subscription = await sim.subscription()
    [item] = subscription.to_dict()["items"]["data"]

    await until_renewed(sim, subscription)

    (upcoming,) = await sim.events("invoice.upcoming")
    invoice = upcoming["data"]["object"]
    assert "id" not in invoice
    assert (invoice["billing_reason"], invoice["amount_due"]) == ("upcoming", 1200)
    assert (invoice["period_start"], invoice["period_end"]) == (
        item["current_period_start"],
        item["current_period_end"],
    )
    assert len((await sim.api.v1.invoices.list_async({"subscription": subscription.id})).data) == 2


async def test_a_discount_that_ends_is_not_announced(sim: SimulatedStripe) -> None:
    """The preview is of the invoice that comes, and its lines name no invoice, since there is none."""
    coupon: Any = {"percent_off": 50, "duration": "repeating", "duration_in_months": 1}
    made = await sim.api.v1.coupons.create_async(coupon)
    subscription = await sim.subscription(discounts=[{"coupon": made.id}])

    await until_renewed(sim, subscription)

    (upcoming,) = await sim.events("invoice.upcoming")
    preview, invoice = upcoming["data"]["object"], await latest_invoice(sim, subscription.id)
    assert (preview["total"], preview["total"]) == (1200, invoice.total)
    assert [line["invoice"] for line in preview["lines"]["data"]] == [None]


@pytest.mark.parametrize(("trial_days", "after_days"), [(14, 11), (2, 0)])
async def test_the_end_of_a_trial_is_announced(sim: SimulatedStripe, trial_days: int, after_days: int) -> None:
    """Three days before, or at once if that is sooner."""
    subscription = await sim.subscription(trial_period_days=trial_days)

    await sim.later(days=trial_days - 0.1)

    (notice,) = await sim.events("customer.subscription.trial_will_end")
    assert notice["data"]["object"]["id"] == subscription.id
    assert notice["created"] - subscription.created == pytest.approx(after_days * 24 * 3600, abs=2)


async def test_the_end_of_a_trial_is_billed_an_hour_later(sim: SimulatedStripe) -> None:
    """It is active from the end on."""
    subscription = await sim.subscription(trial_period_days=14)
    await until_renewed(sim, subscription)
    renewed = await sim.api.v1.subscriptions.retrieve_async(subscription.id)
    draft = await latest_invoice(sim, subscription.id)

    await sim.later(hours=1)

    assert (renewed.status, draft.status) == ("active", "draft")
    assert (await latest_invoice(sim, subscription.id)).status == "paid"


async def test_a_detached_card_fails_the_renewal(sim: SimulatedStripe) -> None:
    """The subscription still names it, and is past due. A new card pays the next attempt."""
    subscription = await sim.subscription()
    card = str(subscription.default_payment_method)
    await sim.api.v1.payment_methods.detach_async(card)
    await until_renewed(sim, subscription)
    await sim.later(hours=1)
    failed = await sim.api.v1.subscriptions.retrieve_async(subscription.id)

    intent = await sim.api.v1.setup_intents.create_async({"customer": str(subscription.customer)})
    await sim.control("POST", f"/setup_intents/{intent.id}/pay", {"payment_method": "pm_card_mastercard"})
    saved = str((await sim.api.v1.setup_intents.retrieve_async(intent.id)).payment_method)
    await sim.api.v1.subscriptions.update_async(subscription.id, {"default_payment_method": saved})
    await sim.later(days=4)

    (event,) = await sim.events("invoice.payment_failed")
    assert (failed.status, failed.default_payment_method) == ("past_due", card)
    assert event["data"]["object"]["next_payment_attempt"] is not None
    assert (await sim.api.v1.subscriptions.retrieve_async(subscription.id)).status == "active"


async def past_due(sim: SimulatedStripe) -> tuple[stripe.Subscription, stripe.Invoice]:
    """Return a subscription whose renewal failed, and the open invoice."""
    subscription = await sim.subscription()
    method = str(subscription.default_payment_method)
    await sim.control("POST", f"/payment_methods/{method}/behave", {"like": FAILS_LATER})
    await sim.later(days=MONTH_DAYS, hours=2)
    return subscription, await latest_invoice(sim, subscription.id)


async def test_an_open_invoice_can_be_paid(sim: SimulatedStripe) -> None:
    """With another card, and only once. A card that is declined is a 402."""
    subscription, invoice = await past_due(sim)
    intent = await sim.api.v1.setup_intents.create_async({"customer": str(subscription.customer)})
    await sim.control("POST", f"/setup_intents/{intent.id}/pay", {"payment_method": "pm_card_mastercard"})
    other = str((await sim.api.v1.setup_intents.retrieve_async(intent.id)).payment_method)

    with pytest.raises(stripe.CardError):
        await sim.api.v1.invoices.pay_async(str(invoice.id))
    paid = await sim.api.v1.invoices.pay_async(str(invoice.id), {"payment_method": other})

    assert (paid.status, paid.attempt_count) == ("paid", 1)
    assert (await sim.api.v1.subscriptions.retrieve_async(subscription.id)).status == "active"
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        await sim.api.v1.invoices.pay_async(str(invoice.id))


async def test_a_late_payment_changes_nothing_of_an_ended_subscription(sim: SimulatedStripe) -> None:
    """Its open invoice can still be paid."""
    subscription, invoice = await past_due(sim)
    saves: Any = {"payment_settings": {"save_default_payment_method": "on_subscription"}}
    await sim.api.v1.subscriptions.update_async(subscription.id, saves)
    ended = await sim.api.v1.subscriptions.cancel_async(subscription.id)
    shown = await sim.api.v1.invoices.retrieve_async(str(invoice.id), {"expand": ["confirmation_secret"]})
    assert shown.confirmation_secret is not None

    paid = await sim.pay(shown.confirmation_secret.client_secret.split("_secret_")[0])

    after = await sim.api.v1.subscriptions.retrieve_async(subscription.id)
    assert paid["status"] == "succeeded"
    assert (after.status, after.default_payment_method) == ("canceled", ended.default_payment_method)


async def test_an_open_invoice_can_be_given_up(sim: SimulatedStripe) -> None:
    """A void one does not count, and an uncollectible one counts as paid: the subscription is active again."""
    for give_up in (sim.api.v1.invoices.void_invoice_async, sim.api.v1.invoices.mark_uncollectible_async):
        subscription, invoice = await past_due(sim)

        await give_up(str(invoice.id))

        assert (await sim.api.v1.subscriptions.retrieve_async(subscription.id)).status == "active"


async def test_a_failed_renewal_tells_its_next_attempt(sim: SimulatedStripe) -> None:
    """In `invoice.payment_failed` and, with what changed, in `invoice.updated`."""
    subscription = await sim.subscription()
    method = str(subscription.default_payment_method)
    await sim.control("POST", f"/payment_methods/{method}/behave", {"like": FAILS_LATER})

    await sim.later(days=MONTH_DAYS, hours=2)

    updated = (await sim.events("invoice.updated"))[-1]["data"]
    assert updated["object"]["attempt_count"] == 1
    assert updated["previous_attributes"] == {"attempt_count": 0, "attempted": False, "next_payment_attempt": None}
    marked = (await sim.events("customer.updated"))[-1]["data"]
    assert marked["previous_attributes"] == {"delinquent": False}


async def test_a_deleted_customer_takes_the_subscriptions_along(sim: SimulatedStripe) -> None:
    """They are canceled with their event, are still shown, and are not renewed."""
    subscription = await sim.subscription()

    await sim.api.v1.customers.delete_async(str(subscription.customer))
    types = await sim.event_types()
    await sim.later(days=60)

    shown = await sim.api.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["customer"]})
    deleted = {"id": subscription.customer, "object": "customer", "deleted": True}
    assert (shown.status, shown.to_dict()["customer"]) == ("canceled", deleted)
    assert types.index("customer.subscription.deleted") < types.index("customer.deleted")
    assert len((await sim.api.v1.invoices.list_async({"subscription": subscription.id})).data) == 1
