import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from payments_gateway.domain.stripe_errors import NotFoundAtStripe, UnsupportedStripeObject
from payments_gateway.domain.stripe_events import object_id
from payments_gateway.domain.subscriptions import Subscription, SubscriptionStatus
from payments_gateway.domain.webhook_events import SubscriptionItemChanged

from ..simulated_billing import Billing, event

UNKNOWN_ID = "00000000-0000-4000-8000-00000000dead"


async def created_but_not_bound(billing: Billing) -> tuple[Subscription, str]:
    """Let the creator of a subscription crash before it is bound; return the subscription and Stripe's id."""
    await billing.crash(await billing.paid(), "subscriptions.activate")
    [stripe_id] = await billing.at_stripe()
    return billing.the_recorded(), stripe_id


async def test_an_event_writes_what_stripe_shows_now(billing: Billing) -> None:
    """The event itself is not read."""
    before = await billing.begun()
    await billing.end(before)

    await billing.on_event(before)

    after = billing.the_recorded()
    assert after.status is SubscriptionStatus.CANCELED
    assert after.state is not None
    assert after.state.ended_at is not None
    assert after.version > before.version


async def test_more_items_than_stripe_shows_at_once_are_written(billing: Billing) -> None:
    """From the first charge to the end: the others are listed."""
    plans = [await billing.plan() for _ in range(12)]
    [subscription] = (await billing.fulfil(await billing.paid(*plans))).subscriptions
    bound = billing.the_recorded()
    await billing.end(subscription)

    await billing.on_event(bound)

    states = [each.state for each in (bound, billing.the_recorded())]
    wanted = [plan.price_id for plan in plans]
    assert [[item.price_id for item in state.items] for state in states if state is not None] == [wanted, wanted]


async def test_a_discount_that_names_only_its_item_is_written(billing: Billing) -> None:
    """The item leads to its subscription; one that is gone is acknowledged."""
    subscription = await billing.begun()
    assert subscription.state is not None
    item_id = str(subscription.state.items[0].stripe_item_id)
    coupon = await billing.stripe.api.v1.coupons.create_async({"percent_off": 50, "duration": "forever"})
    discounted: Any = {"items": [{"id": item_id, "discounts": [{"coupon": coupon.id}]}]}
    await billing.stripe.api.v1.subscriptions.update_async(str(subscription.stripe_subscription_id), discounted)

    for named_id in (item_id, "si_gone"):
        await billing.gateway.dispatcher.dispatch(
            SubscriptionItemChanged(named_id), "evt_1", billing.gateway.clock.now()
        )

    state = billing.the_recorded().state
    assert state is not None
    assert [each.coupon_id for each in state.discounts] == [coupon.id]


async def test_the_invoice_that_the_event_names_is_written_once(billing: Billing) -> None:
    """A renewal adds an invoice and no order."""
    subscription = await billing.begun()
    await billing.later(hours=32 * 24)

    for invoice_id in await billing.invoice_ids(subscription.stripe_subscription_id) * 2:
        await billing.on_event(subscription, stripe_invoice_id=invoice_id)

    reasons = [invoice.billing_reason for invoice in billing.the_recorded().invoices]
    assert sorted(reasons) == ["subscription_create", "subscription_cycle"]
    assert len(billing.gateway.orders.decisions) == 1


async def test_an_event_that_is_faster_than_the_creator_binds(billing: Billing) -> None:
    """Both end with the same binding."""
    paid = await billing.paid()

    async def event_arrives() -> None:
        [stripe_id] = await billing.at_stripe()
        await billing.on_event(billing.the_recorded(), stripe_id)

    billing.gateway.wire.meanwhile("subscriptions.activate", event_arrives)

    await billing.fulfil(paid)

    await billing.require_bound()


async def test_an_event_is_not_lost_to_a_creator_who_binds_an_older_state(billing: Billing) -> None:
    """The newer state is written after the binding."""
    pending, stripe_id = await created_but_not_bound(billing)
    older = await billing.gateway.billing.retrieve(stripe_id)
    await billing.stripe.api.v1.subscriptions.cancel_async(stripe_id)
    billing.gateway.wire.meanwhile(
        "subscriptions.activate",
        lambda: billing.gateway.subscriptions.activate(pending.id, pending.version, older.state, None),
    )

    await billing.on_event(pending, stripe_id)

    assert billing.the_recorded().status is SubscriptionStatus.CANCELED


async def test_an_event_is_not_lost_to_a_creator_who_binds_an_older_invoice(billing: Billing) -> None:
    """An invoice can change while the subscription's state stays, for example after another charge attempt."""
    pending, stripe_id = await created_but_not_bound(billing)
    snapshot = await billing.gateway.billing.retrieve(stripe_id)
    assert snapshot.latest_invoice is not None
    older = replace(snapshot.latest_invoice, attempt_count=snapshot.latest_invoice.attempt_count - 1)
    billing.gateway.wire.meanwhile(
        "subscriptions.activate",
        lambda: billing.gateway.subscriptions.activate(pending.id, pending.version, snapshot.state, older),
    )

    await billing.on_event(pending, stripe_id)

    assert billing.the_recorded().invoices == (snapshot.latest_invoice,)


async def test_the_event_that_binds_writes_the_invoice_that_it_names(billing: Billing) -> None:
    """After a renewal the event of the first charge binds, and neither invoice is lost."""
    pending, stripe_id = await created_but_not_bound(billing)
    await billing.later(hours=32 * 24)
    invoice_ids = await billing.invoice_ids(stripe_id)

    await billing.on_event(pending, stripe_id, stripe_invoice_id=invoice_ids[-1])

    assert {invoice.id for invoice in billing.the_recorded().invoices} == set(invoice_ids)


async def test_an_event_binds_a_subscription_whose_activation_failed(billing: Billing) -> None:
    """The process was killed after Stripe created it, and a later run recorded a refusal."""
    paid = await billing.paid()
    await billing.crash(paid, "billing.create", after_effect=True)
    pending = billing.the_recorded()
    failed = await billing.gateway.subscriptions.fail_activation(pending.id, pending.version, "resource_missing")
    [stripe_id] = await billing.at_stripe()

    await billing.on_event(failed, stripe_id)

    assert billing.the_recorded().status is SubscriptionStatus.ACTIVE


@pytest.mark.parametrize("call", ["subscriptions.apply_state", "subscriptions.get_subscription_by_stripe_id"])
async def test_an_older_state_never_replaces_a_newer_one(billing: Billing, call: str) -> None:
    """Another gateway writes a newer state after the fetch, or before it but after the version was read."""
    subscription = await billing.begun()

    async def end_and_write() -> None:
        await billing.end(subscription)
        await billing.gateway.another_sync().on_event(event(subscription))

    billing.gateway.wire.meanwhile(call, end_and_write)

    await billing.on_event(subscription)

    assert billing.the_recorded().status is SubscriptionStatus.CANCELED


@pytest.mark.parametrize(
    "changes",
    [
        {"stripe_subscription_id": "sub_foreign", "subscription_id": None},
        {"stripe_subscription_id": "sub_foreign", "subscription_id": "not one of our ids"},
        {"stripe_subscription_id": "sub_foreign", "subscription_id": UNKNOWN_ID},
        {"livemode": True},
    ],
    ids=["without our id", "with another id", "with an unknown id", "of the other mode"],
)
async def test_an_event_that_is_not_ours_is_ignored(billing: Billing, changes: dict[str, Any]) -> None:
    """Stripe is not asked, and nothing is written."""
    subscription = await billing.begun()
    billing.gateway.wire.calls.clear()

    await billing.on_event(subscription, **changes)

    assert billing.recorded() == [subscription]
    assert not [call for call in billing.gateway.wire.calls if call.startswith("billing.")]


async def test_a_copy_that_carries_our_id_is_reported(billing: Billing, caplog: pytest.LogCaptureFixture) -> None:
    """Ours stays bound to its own; a person ends the other one, and that is no error."""
    subscription = await billing.begun()
    copy = await billing.begun_elsewhere(metadata={"subscriptionId": subscription.id})

    await billing.on_event(subscription, copy.id)
    await billing.stripe.api.v1.subscriptions.cancel_async(copy.id)
    await billing.on_event(subscription, copy.id)

    assert billing.recorded() == [subscription]
    told = [each for each in caplog.records if each.levelname == "ERROR"]
    assert [(each.__dict__["subscription"], each.__dict__["stripe_subscription"]) for each in told] == [
        (subscription.id, copy.id)
    ]


@pytest.mark.parametrize(
    ("failure", "message"),
    [(NotFoundAtStripe(), "not found at Stripe"), (UnsupportedStripeObject(), "unsupported")],
    ids=["not found", "unsupported"],
)
async def test_a_permanent_failure_is_logged_and_acknowledged(
    billing: Billing, caplog: pytest.LogCaptureFixture, failure: Exception, message: str
) -> None:
    """Stripe disables an endpoint that fails for days. The recorded state stays; a newer version tries it again."""
    subscription = await billing.begun()
    billing.gateway.wire.fail("billing.retrieve", failure)

    [raised] = await asyncio.gather(billing.on_event(subscription), return_exceptions=True)

    assert (raised, billing.recorded()) == (None, [subscription])
    assert [record.levelname for record in caplog.records if message in record.message] == ["ERROR"]
    waiting = [event(subscription)] if message == "unsupported" else []
    assert billing.gateway.unsupported.events == waiting


async def test_an_item_that_is_not_understood_is_acknowledged(billing: Billing) -> None:
    """Nobody knows its subscription, so a newer version tries the item itself."""
    changed = SubscriptionItemChanged("si_1")
    billing.gateway.wire.fail("billing.find_by_item", UnsupportedStripeObject())

    await billing.gateway.dispatcher.dispatch(changed, "evt_1", billing.gateway.clock.now())

    assert billing.gateway.unsupported.events == [changed]


@pytest.mark.parametrize("failure", [NotFoundAtStripe(), UnsupportedStripeObject()], ids=["not found", "unsupported"])
async def test_the_state_does_not_wait_for_an_invoice(billing: Billing, failure: Exception) -> None:
    """A missing or unsupported invoice is left out; a newer version tries one that is not understood."""
    before = await billing.begun()
    await billing.end(before)
    billing.gateway.wire.fail("billing.retrieve_invoice", failure)

    await billing.on_event(before, stripe_invoice_id="in_other")

    after = billing.the_recorded()
    assert after.status is SubscriptionStatus.CANCELED
    assert after.invoices == before.invoices
    waiting = ["in_other"] if isinstance(failure, UnsupportedStripeObject) else []
    assert [object_id(each) for each in billing.gateway.unsupported.events] == waiting


async def test_a_change_is_logged_by_the_names_of_its_fields(
    billing: Billing, caplog: pytest.LogCaptureFixture
) -> None:
    """The values are in the row. A repeat changes nothing."""
    caplog.set_level(logging.INFO)
    subscription = await billing.begun()
    await billing.stripe.api.v1.subscriptions.update_async(
        str(subscription.stripe_subscription_id), {"cancel_at_period_end": True}
    )

    for _ in range(2):
        await billing.on_event(subscription)

    [logged] = [record.__dict__ for record in caplog.records if record.message == "subscription changed at Stripe"]
    assert logged["subscription"] == subscription.id
    assert logged["changed"] == "cancel_at_period_end cancel_at canceled_at"


async def test_an_event_of_another_products_subscription_is_logged(
    billing: Billing, caplog: pytest.LogCaptureFixture
) -> None:
    """Others may sell on the same account."""
    caplog.set_level(logging.INFO)
    subscription = await billing.begun()
    theirs = await billing.begun_elsewhere()

    await billing.on_event(subscription, theirs.id, subscription_id=None)

    [logged] = [record.__dict__ for record in caplog.records if "not ours" in record.message]
    assert logged["stripe_subscription"] == theirs.id
    assert billing.the_recorded() == subscription
