import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripeUnavailable, UnsupportedStripeObject
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus
from payments_gateway.stripe_api.subscriptions import subscription_from_stripe

from .billing_stage import BillingStage, billing_stage, hint
from .fakes import Crash

UNKNOWN_ID = "00000000-0000-4000-8000-00000000dead"


@pytest.fixture
async def stage() -> AsyncIterator[BillingStage]:
    """Give the gateway's parts over a Stripe simulator."""
    async with billing_stage() as opened:
        yield opened


async def made_but_not_bound(stage: BillingStage) -> tuple[Subscription, str]:
    """Let whoever creates a subscription die before it is bound; return its row and Stripe's id."""
    paid = await stage.paid(await stage.plan())
    stage.gateway.wire.fail("subscriptions.activate", Crash())
    with pytest.raises(Crash):
        await stage.fulfilled(paid)
    stage.gateway.wire.heal()
    [row] = stage.rows()
    [made] = await stage.at_stripe()
    return row, made


async def test_the_row_follows_stripe(stage: BillingStage) -> None:
    """The event is a hint; what Stripe shows when it is asked is written."""
    row = await stage.begun()
    await stage.stripe.api.v1.subscriptions.cancel_async(str(row.stripe_subscription_id))

    await stage.gateway.sync.on_event(hint(row))

    [after] = stage.rows()
    assert after.status is SubscriptionStatus.CANCELED
    assert after.state is not None
    assert after.state.ended_at is not None
    assert after.version > row.version


async def test_the_invoice_that_the_event_names_is_kept(stage: BillingStage) -> None:
    """One row for each invoice, and never two for one; a renewal makes no order."""
    row = await stage.begun()
    await stage.later(hours=32 * 24)
    renewed = await stage.stripe.api.v1.invoices.list_async({"subscription": str(row.stripe_subscription_id)})

    for invoice in [*renewed.data, *renewed.data]:
        await stage.gateway.sync.on_event(hint(row, stripe_invoice_id=invoice.id))

    [after] = stage.rows()
    assert sorted(invoice.billing_reason for invoice in after.invoices) == ["subscription_create", "subscription_cycle"]
    assert len(stage.gateway.orders.decisions) == 1


async def test_an_event_that_is_faster_than_the_answer_binds_the_row(stage: BillingStage) -> None:
    """Stripe tells of what was made before whoever made it has written it down: both end at the same binding."""
    paid = await stage.paid(await stage.plan())

    async def event_arrives() -> None:
        [made] = await stage.at_stripe()
        await stage.gateway.sync.on_event(hint(stage.rows()[0], made))

    stage.gateway.wire.meanwhile("subscriptions.activate", event_arrives)

    await stage.fulfilled(paid)

    [row] = stage.rows()
    assert {row.stripe_subscription_id: row.status.value} == await stage.at_stripe()


async def test_an_event_is_not_lost_to_somebody_who_binds_an_older_state(stage: BillingStage) -> None:
    """Who created it binds what it was then, while the event tells what became of it since: the newer state stays."""
    row, made = await made_but_not_bound(stage)
    older = subscription_from_stripe((await stage.stripe.api.v1.subscriptions.retrieve_async(made)).to_dict())
    await stage.stripe.api.v1.subscriptions.cancel_async(made)

    async def creator_binds() -> None:
        await stage.gateway.subscriptions.activate(row.id, row.version, older.state, None)

    stage.gateway.wire.meanwhile("subscriptions.activate", creator_binds)

    await stage.gateway.sync.on_event(hint(row, made))

    assert stage.rows()[0].status is SubscriptionStatus.CANCELED


async def test_the_event_that_binds_keeps_the_invoice_that_it_names(stage: BillingStage) -> None:
    """Nobody was there until it was renewed: the event of the first charge binds it, and neither charge is lost."""
    row, made = await made_but_not_bound(stage)
    await stage.later(hours=32 * 24)
    charged = await stage.stripe.api.v1.invoices.list_async({"subscription": made})
    [first] = [invoice.id for invoice in charged.data if invoice.billing_reason == "subscription_create"]

    await stage.gateway.sync.on_event(hint(row, made, stripe_invoice_id=first))

    assert {invoice.id for invoice in stage.rows()[0].invoices} == {invoice.id for invoice in charged.data}


async def test_an_event_keeps_the_charge_that_somebody_binds_as_it_was(stage: BillingStage) -> None:
    """A charge may change while the subscription's own state does not, as it does with one more try of the card."""
    row, made = await made_but_not_bound(stage)
    fetched = await stage.stripe.api.v1.subscriptions.retrieve_async(made, {"expand": ["latest_invoice"]})
    shown = subscription_from_stripe(fetched.to_dict())
    assert shown.latest_invoice is not None
    older = replace(shown.latest_invoice, attempt_count=shown.latest_invoice.attempt_count - 1)

    async def creator_binds() -> None:
        await stage.gateway.subscriptions.activate(row.id, row.version, shown.state, older)

    stage.gateway.wire.meanwhile("subscriptions.activate", creator_binds)

    await stage.gateway.sync.on_event(hint(row, made))

    assert stage.rows()[0].invoices == (shown.latest_invoice,)


async def test_an_event_shows_that_a_failed_activation_was_made(stage: BillingStage) -> None:
    """The process was killed after Stripe made it, and was then told that it had failed: it is bound after all."""
    paid = await stage.paid(await stage.plan())
    stage.gateway.wire.fail("billing.create", Crash(), after_effect=True)
    with pytest.raises(Crash):
        await stage.fulfilled(paid)
    stage.gateway.wire.heal()
    [row] = stage.rows()
    failed = await stage.gateway.subscriptions.fail_activation(row.id, row.version, "resource_missing")
    [made] = await stage.at_stripe()

    await stage.gateway.sync.on_event(hint(failed, made))

    assert stage.rows()[0].status is SubscriptionStatus.ACTIVE


async def test_an_older_state_never_replaces_a_newer_one(stage: BillingStage) -> None:
    """A slow fetch of an old state ends after a newer one was written: Stripe is asked again."""
    row = await stage.begun()

    async def ended_and_written() -> None:
        await stage.stripe.api.v1.subscriptions.cancel_async(str(row.stripe_subscription_id))
        await stage.gateway.other_sync.on_event(hint(row))

    stage.gateway.wire.meanwhile("subscriptions.apply_state", ended_and_written)

    await stage.gateway.sync.on_event(hint(row))

    assert stage.rows()[0].status is SubscriptionStatus.CANCELED


async def test_the_version_is_read_before_stripe_is_asked(stage: BillingStage) -> None:
    """Read after, it would vouch for a state that is older than the row."""
    row = await stage.begun()

    async def ended_and_written() -> None:
        await stage.stripe.api.v1.subscriptions.cancel_async(str(row.stripe_subscription_id))
        await stage.gateway.other_sync.on_event(hint(row))

    stage.gateway.wire.meanwhile("subscriptions.get_subscription_by_stripe_id", ended_and_written)

    await stage.gateway.sync.on_event(hint(row))

    assert stage.rows()[0].status is SubscriptionStatus.CANCELED


@pytest.mark.parametrize("failure", [StripeUnavailable(), NotFoundAtStripe(), UnsupportedStripeObject()])
async def test_a_first_charge_that_cannot_be_looked_at_is_not_offered(stage: BillingStage, failure: Exception) -> None:
    """The purchase is shown all the same."""
    row = await stage.begun(card="pm_card_authenticationRequired")
    stage.gateway.wire.fail("billing.retrieve", failure)

    assert await stage.gateway.incomplete_payments.client_secrets([row]) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"stripe_subscription_id": "sub_foreign", "subscription_id": None},
        {"stripe_subscription_id": "sub_foreign", "subscription_id": "not one of our ids"},
        {"stripe_subscription_id": "sub_foreign", "subscription_id": UNKNOWN_ID},
        {"livemode": True},
    ],
    ids=["without our id", "with another's id", "with an unknown id", "of the other mode"],
)
async def test_what_is_not_ours_is_left_alone(stage: BillingStage, changes: dict[str, Any]) -> None:
    """Other subscriptions live on the same Stripe account: nothing is asked, nothing is written."""
    row = await stage.begun()
    stage.gateway.wire.calls.clear()

    await stage.gateway.sync.on_event(hint(row, **changes))

    assert stage.rows() == [row]
    assert not [call for call in stage.gateway.wire.calls if call.startswith("billing.")]


async def test_a_copy_that_carries_our_id_is_not_taken_for_ours(stage: BillingStage) -> None:
    """Somebody made a second one by hand, metadata and all: the row stays bound to its own."""
    row = await stage.begun()
    copy = await stage.stripe.subscription(metadata={"subscriptionId": row.id})

    await stage.gateway.sync.on_event(hint(row, copy.id))

    assert stage.rows() == [row]


async def test_one_that_stripe_does_not_know_stays_as_recorded(
    stage: BillingStage, caplog: pytest.LogCaptureFixture
) -> None:
    """Stripe keeps what has ended, so a missing one is an operator's matter; to be told again would not help."""
    row = await stage.begun()
    await stage.stripe.control("POST", "/reset")

    await stage.gateway.sync.on_event(hint(row))

    assert stage.rows() == [row]
    assert [record.levelname for record in caplog.records if "not found at Stripe" in record.message] == ["ERROR"]


async def test_what_cannot_be_kept_is_told_and_not_asked_for_again(
    stage: BillingStage, caplog: pytest.LogCaptureFixture
) -> None:
    """Stripe switches off an endpoint that fails for days, and no further delivery would be understood better."""
    row = await stage.begun()
    stage.gateway.wire.fail("billing.retrieve", UnsupportedStripeObject())

    [failure] = await asyncio.gather(stage.gateway.sync.on_event(hint(row)), return_exceptions=True)

    assert (failure, stage.rows()) == (None, [row])
    assert [record.levelname for record in caplog.records if "unsupported" in record.message] == ["ERROR"]


@pytest.mark.parametrize("failure", [NotFoundAtStripe(), UnsupportedStripeObject()], ids=["gone", "unusable"])
async def test_an_invoice_that_cannot_be_kept_holds_no_state_back(stage: BillingStage, failure: Exception) -> None:
    """What became of the subscription itself is written."""
    row = await stage.begun()
    await stage.stripe.api.v1.subscriptions.cancel_async(str(row.stripe_subscription_id))
    stage.gateway.wire.fail("billing.retrieve_invoice", failure)

    await stage.gateway.sync.on_event(hint(row, stripe_invoice_id="in_other"))

    [after] = stage.rows()
    assert after.status is SubscriptionStatus.CANCELED
    assert after.invoices == row.invoices


async def test_stripe_being_away_is_told(stage: BillingStage) -> None:
    """The event must come again."""
    row = await stage.begun()
    stage.gateway.wire.fail("billing.retrieve", StripeUnavailable())

    with pytest.raises(StripeUnavailable):
        await stage.gateway.sync.on_event(hint(row))


async def test_a_first_charge_that_the_buyer_finishes(stage: BillingStage) -> None:
    """Its client secret is handed out while it is open, by nobody stored, and not once it is paid."""
    row = await stage.begun(card="pm_card_authenticationRequired")
    secrets = await stage.gateway.incomplete_payments.client_secrets([row])
    intent_id = secrets[row.id].partition("_secret_")[0]
    await stage.stripe.pay(intent_id, payment_method="pm_card_visa")

    stale = await stage.gateway.incomplete_payments.client_secrets([row])
    await stage.gateway.sync.on_event(hint(row))

    [after] = stage.rows()
    assert stale == {}
    assert after.status is SubscriptionStatus.ACTIVE
    assert after.invoices[0].status.value == "paid"
    assert secrets[row.id] not in repr(after)


async def test_a_year_of_renewals(stage: BillingStage) -> None:
    """One charge fails and is recovered, the subscription ends with its last period: every invoice once."""
    row = await stage.begun()
    stripe_id = str(row.stripe_subscription_id)
    statuses = set()
    for month in range(12):
        if month == 5:
            await stage.stripe.control(
                "POST", f"/payment_methods/{row.payment_method_id}/behave", {"like": "pm_card_chargeCustomerFail"}
            )
        await stage.later(hours=30.5 * 24)
        if month == 5:
            await stage.gateway.sync.on_event(hint(row))
            statuses.add(stage.rows()[0].status)
            await stage.stripe.control(
                "POST", f"/payment_methods/{row.payment_method_id}/behave", {"like": "pm_card_visa"}
            )
            await stage.later(hours=4 * 24)
        if month == 11:
            await stage.stripe.api.v1.subscriptions.update_async(stripe_id, {"cancel_at_period_end": True})
            await stage.later(hours=32 * 24)
        listed = await stage.stripe.api.v1.invoices.list_async({"subscription": stripe_id, "limit": 100})
        for invoice in listed.data:
            await stage.gateway.sync.on_event(hint(row, stripe_invoice_id=invoice.id))
        statuses.add(stage.rows()[0].status)

    [after] = stage.rows()
    listed = await stage.stripe.api.v1.invoices.list_async({"subscription": stripe_id, "limit": 100})
    assert {invoice.id for invoice in after.invoices} == {invoice.id for invoice in listed.data}
    assert {invoice.status.value for invoice in after.invoices} == {"paid"}
    assert statuses == {SubscriptionStatus.PAST_DUE, SubscriptionStatus.ACTIVE, SubscriptionStatus.CANCELED}
    assert len(stage.gateway.orders.decisions) == 1
