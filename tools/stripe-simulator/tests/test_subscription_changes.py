"""Changes that the customer portal and the Dashboard make to a subscription, by the API's own parameters."""

from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe

DAY = 24 * 3600


async def update(sim: SimulatedStripe, subscription: stripe.Subscription, **changes: Any) -> stripe.Subscription:
    """Update the subscription."""
    params: Any = changes
    return await sim.api.v1.subscriptions.update_async(subscription.id, params)


async def fetch(sim: SimulatedStripe, subscription: stripe.Subscription) -> stripe.Subscription:
    """Retrieve the subscription as it is now."""
    return await sim.api.v1.subscriptions.retrieve_async(subscription.id)


async def invoices(sim: SimulatedStripe, subscription: stripe.Subscription) -> list[stripe.Invoice]:
    """List the subscription's invoices, newest first."""
    return (await sim.api.v1.invoices.list_async({"subscription": subscription.id, "limit": 100})).data


async def last_update(sim: SimulatedStripe) -> dict[str, Any]:
    """Return `previous_attributes` of the last update of a subscription."""
    data: dict[str, Any] = (await sim.events("customer.subscription.updated"))[-1]["data"]
    previous: dict[str, Any] = data["previous_attributes"]
    return previous


def only_item(subscription: stripe.Subscription) -> dict[str, Any]:
    """Return the only item."""
    [item] = subscription.to_dict()["items"]["data"]
    found: dict[str, Any] = item
    return found


async def amounts(sim: SimulatedStripe) -> list[tuple[int, bool]]:
    """List the invoice items, oldest first, with their amount and whether an invoice has them."""
    items = (await sim.api.v1.invoice_items.list_async({"limit": 100})).data
    return [(item.amount, item.invoice is not None) for item in reversed(items)]


async def test_a_date_ends_it(sim: SimulatedStripe) -> None:
    """Until then the end can be undone."""
    subscription = await sim.subscription()
    end = subscription.created + 10 * DAY
    asked = await update(sim, subscription, cancel_at=end)
    undone = await update(sim, subscription, cancel_at="")
    await sim.later(days=11)
    kept = await fetch(sim, subscription)
    await update(sim, subscription, cancel_at=end + 10 * DAY)

    await sim.later(days=10)

    ended = await fetch(sim, subscription)
    assert (asked.cancel_at, asked.cancel_at_period_end, undone.cancel_at, undone.canceled_at) == (
        end,
        False,
        None,
        None,
    )
    assert (kept.status, ended.status, ended.ended_at) == ("active", "canceled", end + 10 * DAY)


async def test_the_two_kinds_of_end_exclude_each_other(sim: SimulatedStripe) -> None:
    """And neither may be past."""
    subscription = await sim.subscription()

    with pytest.raises(stripe.InvalidRequestError, match="only specify one"):
        await update(sim, subscription, cancel_at=subscription.created + DAY, cancel_at_period_end=True)
    with pytest.raises(stripe.InvalidRequestError, match="in the future"):
        await update(sim, subscription, cancel_at=subscription.created)


@pytest.mark.parametrize(
    ("behaviour", "status", "event"),
    [
        ("keep_as_draft", "draft", None),
        ("mark_uncollectible", "uncollectible", "invoice.marked_uncollectible"),
        ("void", "void", "invoice.voided"),
    ],
)
async def test_paused_collection_charges_nothing(
    sim: SimulatedStripe, behaviour: str, status: str, event: str | None
) -> None:
    """The subscription stays active and makes invoices, announced by nothing."""
    subscription = await sim.subscription()
    paused = await update(sim, subscription, pause_collection={"behavior": behaviour})

    await sim.later(days=31, hours=2)

    shown = await fetch(sim, subscription)
    assert paused.to_dict()["pause_collection"] == {"behavior": behaviour, "resumes_at": None}
    assert shown.status == "active"
    assert (await invoices(sim, subscription))[0].status == status
    types = await sim.event_types()
    assert "invoice.upcoming" not in types
    assert event is None or event in types


async def test_a_draft_of_the_pause_is_collected_later(sim: SimulatedStripe) -> None:
    """An hour after its automatic collection is turned on again."""
    subscription = await sim.subscription()
    await update(sim, subscription, pause_collection={"behavior": "keep_as_draft"})
    await sim.later(days=32)
    await update(sim, subscription, pause_collection="")
    [draft, _] = await invoices(sim, subscription)

    await sim.api.v1.invoices.update_async(draft.id, {"auto_advance": True})
    await sim.later(hours=1.1)

    assert (draft.status, draft.auto_advance) == ("draft", False)
    assert (await invoices(sim, subscription))[0].status == "paid"


async def test_paused_collection_resumes_at_its_time(sim: SimulatedStripe) -> None:
    """With an event. An empty value resumes at once."""
    subscription = await sim.subscription()
    resumes_at = subscription.created + 5 * DAY
    pause = {"behavior": "void", "resumes_at": resumes_at}
    await update(sim, subscription, pause_collection=pause)
    await sim.later(days=6)
    resumed = await fetch(sim, subscription)
    named = await last_update(sim)
    await update(sim, subscription, pause_collection={"behavior": "void"})

    emptied = await update(sim, subscription, pause_collection="")

    assert (resumed.pause_collection, emptied.pause_collection) == (None, None)
    assert named == {"pause_collection": pause}


async def test_an_ended_one_does_not_resume(sim: SimulatedStripe) -> None:
    """No event follows its end."""
    subscription = await sim.subscription()
    pause = {"behavior": "void", "resumes_at": subscription.created + 5 * DAY}
    await update(sim, subscription, pause_collection=pause)
    await sim.api.v1.subscriptions.cancel_async(subscription.id)

    await sim.later(days=6)

    assert (await sim.event_types())[-1] == "customer.subscription.deleted"


async def test_a_new_price_is_prorated_with_the_next_invoice(sim: SimulatedStripe) -> None:
    """A credit for the unused time and a charge for the remaining one wait for it, in invoice items."""
    subscription = await sim.subscription()
    item = only_item(subscription)
    half = (item["current_period_end"] - item["current_period_start"]) / 2
    await sim.later(hours=half / 3600)
    dearer = await sim.recurring_price(2400)

    changed = await update(sim, subscription, items=[{"id": item["id"], "price": dearer}])
    waiting = await amounts(sim)
    previous = await last_update(sim)
    await sim.later(days=20)

    assert (only_item(changed)["id"], only_item(changed)["price"]["id"]) == (item["id"], dearer)
    assert waiting == [(-600, False), (1200, False)]
    assert previous["items"]["data"][0]["price"]["unit_amount"] == 1200
    assert [invoice.total for invoice in await invoices(sim, subscription)] == [3000, 1200]
    assert await amounts(sim) == [(-600, True), (1200, True)]


@pytest.mark.parametrize(("behaviour", "totals"), [("none", [1200]), ("always_invoice", [600, 1200])])
async def test_a_change_is_billed_as_told(sim: SimulatedStripe, behaviour: str, totals: list[int]) -> None:
    """Not at all, or at once by an invoice that does not wait an hour."""
    subscription = await sim.subscription()
    item = only_item(subscription)
    half = (item["current_period_end"] - item["current_period_start"]) / 2
    await sim.later(hours=half / 3600)

    changed = await update(sim, subscription, items=[{"id": item["id"], "quantity": 2}], proration_behavior=behaviour)

    made = await invoices(sim, subscription)
    assert only_item(changed)["quantity"] == 2
    assert [invoice.total for invoice in made] == totals
    assert made[0].status == "paid"
    assert changed.latest_invoice == made[0].id


async def test_items_are_added_and_deleted(sim: SimulatedStripe) -> None:
    """The last one cannot be deleted."""
    subscription = await sim.subscription()
    item, other = only_item(subscription), await sim.recurring_price(500)

    added = await update(sim, subscription, items=[{"price": other, "quantity": 3}], proration_behavior="none")
    [_, new] = added.to_dict()["items"]["data"]
    deleted = await update(sim, subscription, items=[{"id": item["id"], "deleted": True}], proration_behavior="none")
    listed = await sim.api.v1.subscription_items.list_async({"subscription": subscription.id})

    assert (new["price"]["id"], new["quantity"]) == (other, 3)
    assert only_item(deleted)["id"] == new["id"] == listed.data[0].id
    with pytest.raises(stripe.InvalidRequestError):
        await update(sim, subscription, items=[{"id": new["id"], "deleted": True}])


async def test_another_interval_begins_a_new_period(sim: SimulatedStripe) -> None:
    """It is billed at once, less the unused time, and renewed a year later."""
    subscription = await sim.subscription()
    item = only_item(subscription)
    half = (item["current_period_end"] - item["current_period_start"]) / 2
    await sim.later(hours=half / 3600)
    yearly = await sim.recurring_price(12000, "year")

    changed = await update(sim, subscription, items=[{"id": item["id"], "price": yearly}])
    await sim.later(days=360)
    within = await invoices(sim, subscription)
    await sim.later(days=7)

    moved = only_item(changed)
    assert moved["current_period_end"] - moved["current_period_start"] == 365 * DAY
    assert [invoice.total for invoice in within] == [11400, 1200]
    assert [invoice.total for invoice in await invoices(sim, subscription)] == [12000, 11400, 1200]


async def test_an_end_with_the_period_moves_along(sim: SimulatedStripe) -> None:
    """When the period changes. What the customer said about it is kept until the end."""
    subscription = await sim.subscription()
    said = {"comment": "too dear", "feedback": "too_expensive"}
    await update(sim, subscription, cancel_at_period_end=True, cancellation_details=said)
    yearly = await sim.recurring_price(12000, "year")

    moved = await update(sim, subscription, items=[{"id": only_item(subscription)["id"], "price": yearly}])
    await sim.later(days=367)

    ended = await fetch(sim, subscription)
    assert moved.cancel_at == only_item(moved)["current_period_end"] == ended.ended_at
    kept = ended.to_dict()["cancellation_details"]
    assert kept == {**said, "reason": "cancellation_requested", "feedback_option": None}


async def test_a_downgrade_at_once_leaves_a_credit(sim: SimulatedStripe) -> None:
    """Its negative invoice is paid, and the customer's balance pays for the next one."""
    subscription = await sim.subscription(items=[{"price": await sim.recurring_price(10_000)}])
    item, cheaper = only_item(subscription), await sim.recurring_price(1000)
    half = (item["current_period_end"] - item["current_period_start"]) / 2
    await sim.later(hours=half / 3600)

    await update(sim, subscription, items=[{"id": item["id"], "price": cheaper}], proration_behavior="always_invoice")
    credited = await sim.api.v1.customers.retrieve_async(str(subscription.customer))
    await sim.later(days=20)

    [renewal, credit, _] = await invoices(sim, subscription)
    assert (credit.total, credit.amount_due, credit.status, credited.balance) == (-4500, 0, "paid", -4500)
    assert (renewal.total, renewal.amount_due, renewal.starting_balance) == (1000, 0, -4500)
    assert (await sim.api.v1.customers.retrieve_async(str(subscription.customer))).balance == -3500


async def test_a_trial_ends_now_or_later(sim: SimulatedStripe) -> None:
    """Now: it is billed at once. Later: the period, the notice and the first charge move."""
    ended, longer = await sim.subscription(trial_period_days=14), await sim.subscription(trial_period_days=14)
    end = longer.created + 30 * DAY

    now = await update(sim, ended, trial_end="now")
    moved = await update(sim, longer, trial_end=end)
    await sim.later(days=28)

    assert (now.status, [invoice.total for invoice in await invoices(sim, ended)][-2:]) == ("active", [1200, 0])
    assert (moved.status, moved.trial_end, only_item(moved)["current_period_end"]) == ("trialing", end, end)
    notices = await sim.events("customer.subscription.trial_will_end")
    assert [notice["created"] for notice in notices] == [end - 3 * DAY]
    assert (await fetch(sim, longer)).status == "trialing"


async def test_a_trial_is_added_later(sim: SimulatedStripe) -> None:
    """The unused time is credited with the first invoice after it."""
    subscription = await sim.subscription()
    item = only_item(subscription)
    half = (item["current_period_end"] - item["current_period_start"]) / 2
    await sim.later(hours=half / 3600)
    end = subscription.created + 60 * DAY

    begun = await update(sim, subscription, trial_end=end)
    await sim.later(days=46)

    assert (begun.status, begun.trial_end, only_item(begun)["current_period_end"]) == ("trialing", end, end)
    assert (await fetch(sim, subscription)).status == "active"
    assert [invoice.total for invoice in await invoices(sim, subscription)] == [600, 1200]


async def test_what_is_not_modelled_of_an_item_is_refused(sim: SimulatedStripe) -> None:
    """It does not pass silently."""
    subscription = await sim.subscription()
    taxed: Any = {"id": only_item(subscription)["id"], "tax_rates": ["txr_1"]}

    with pytest.raises(stripe.InvalidRequestError, match="does not model") as refused:
        await update(sim, subscription, items=[taxed])
    assert refused.value.param == "items[0][tax_rates]"


async def coupon(sim: SimulatedStripe, **params: Any) -> str:
    """Create a coupon and return its id."""
    wanted: Any = params
    return (await sim.api.v1.coupons.create_async(wanted)).id


@pytest.mark.parametrize(
    ("terms", "totals"),
    [
        ({"percent_off": 25, "duration": "forever"}, [900, 900, 900]),
        ({"amount_off": 200, "currency": "usd", "duration": "once"}, [1200, 1200, 1000]),
        ({"percent_off": 50, "duration": "repeating", "duration_in_months": 2}, [1200, 600, 600]),
    ],
)
async def test_a_coupon_discounts_as_long_as_it_says(
    sim: SimulatedStripe, terms: dict[str, Any], totals: list[int]
) -> None:
    """Every invoice, the first one, or those of some months."""
    subscription = await sim.subscription(discounts=[{"coupon": await coupon(sim, **terms)}])

    await sim.later(days=63)

    assert [invoice.total for invoice in await invoices(sim, subscription)] == totals
    left = (await fetch(sim, subscription)).discounts
    assert bool(left) is (terms["duration"] == "forever")


async def test_an_item_has_discounts_of_its_own(sim: SimulatedStripe) -> None:
    """They come before the subscription's, and take nothing off other items."""
    items: Any = [
        {"price": await sim.recurring_price(1000), "discounts": [{"coupon": await coupon(sim, percent_off=50)}]},
        {"price": await sim.recurring_price(4000)},
    ]
    all_of_it = await coupon(sim, percent_off=10, duration="forever")
    subscription = await sim.subscription(items=items, discounts=[{"coupon": all_of_it}])

    await sim.later(days=32)

    [renewal, first] = await invoices(sim, subscription)
    assert (first.total, renewal.total) == (4050, 4500)
    taken = [[each.amount for each in line.discount_amounts or []] for line in first.lines.data]
    assert taken == [[500, 50], [400]]


async def test_a_credit_is_part_of_what_was_paid(sim: SimulatedStripe) -> None:
    """Less what a used-up coupon took off."""
    subscription = await sim.subscription(discounts=[{"coupon": await coupon(sim, percent_off=50)}])
    item = only_item(subscription)
    half = (item["current_period_end"] - item["current_period_start"]) / 2
    await sim.later(hours=half / 3600)

    await update(sim, subscription, items=[{"id": item["id"], "price": await sim.recurring_price(2400)}])

    assert await amounts(sim) == [(-300, False), (1200, False)]


async def test_a_discount_is_added_and_removed(sim: SimulatedStripe) -> None:
    """With an event each, and no proration."""
    subscription = await sim.subscription()

    given = await update(sim, subscription, discounts=[{"coupon": await coupon(sim, percent_off=10)}])
    removed = await update(sim, subscription, discounts="")

    assert (len(given.discounts), removed.discounts) == (1, [])
    assert await amounts(sim) == []
    types = await sim.event_types()
    assert types.index("customer.discount.created") < types.index("customer.discount.deleted")


async def test_an_ended_one_changes_only_its_metadata(sim: SimulatedStripe) -> None:
    """Anything else is refused with Stripe's code."""
    subscription = await sim.subscription()
    await sim.api.v1.subscriptions.cancel_async(subscription.id)

    marked = await update(sim, subscription, metadata={"a": "b"})

    assert marked.metadata["a"] == "b"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await update(sim, subscription, cancel_at_period_end=False)
    assert refused.value.code == "invalid_canceled_subscription_fields"
