from dataclasses import replace
from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SETTINGS, SimulatedStripe, simulated_stripe


async def customers(sim: SimulatedStripe, count: int) -> list[str]:
    """Create customers and return their ids, newest first."""
    made = [await sim.api.v1.customers.create_async({"name": f"C{number}"}) for number in range(count)]
    return [each.id for each in reversed(made)]


def ids(page: Any) -> list[str]:
    """Return the ids on a page."""
    return [each.id for each in page.data]


async def test_pages(sim: SimulatedStripe) -> None:
    """Ten objects by default, newest first. Cursors go both ways, and the library walks all pages."""
    newest_first = await customers(sim, 11)
    listing = sim.api.v1.customers.list_async

    default = await listing()
    after = await listing({"limit": 2, "starting_after": newest_first[1]})
    last = await listing({"limit": 2, "starting_after": newest_first[8]})
    before = await listing({"limit": 2, "ending_before": newest_first[4]})
    walked = [each.id async for each in (await listing({"limit": 4})).auto_paging_iter()]

    assert (ids(default), default.has_more, default.url) == (newest_first[:10], True, "/v1/customers")
    assert (ids(after), after.has_more) == (newest_first[2:4], True)
    assert (ids(last), last.has_more) == (newest_first[9:], False)
    assert (ids(before), before.has_more) == (newest_first[2:4], True)
    assert walked == newest_first


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"limit": 0}, "greater than or equal to 1"),
        ({"limit": 101}, "less than or equal to 100"),
        ({"starting_after": "cus_nobody"}, "No such customer"),
        ({"starting_after": "cus_1", "ending_before": "cus_2"}, "only specify one"),
    ],
    ids=str,
)
async def test_invalid_pages_are_refused(sim: SimulatedStripe, params: Any, message: str) -> None:
    """Limits, unknown cursors, and two cursors at once."""
    with pytest.raises(stripe.InvalidRequestError, match=message):
        await sim.api.v1.customers.list_async(params)


async def test_lists_filter_by_time(sim: SimulatedStripe) -> None:
    """`created` is a second or has bounds, by the simulated clock."""
    early = await sim.api.v1.customers.create_async({})
    await sim.control("POST", "/clock/advance", {"seconds": 3600})
    late = await sim.api.v1.customers.create_async({})
    filters: list[tuple[Any, list[str]]] = [
        ({"gte": late.created}, [late.id]),
        ({"gt": early.created}, [late.id]),
        ({"lt": late.created}, [early.id]),
        ({"lte": early.created}, [early.id]),
        ({"gte": early.created, "lte": late.created}, [late.id, early.id]),
        (late.created, [late.id]),
    ]

    pages = [await sim.api.v1.customers.list_async({"created": created}) for created, _ in filters]

    assert [ids(page) for page in pages] == [found for _, found in filters]


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("payment_intents", "customer"),
        ("setup_intents", "customer"),
        ("subscriptions", "customer"),
        ("subscriptions", "price"),
        ("invoices", "subscription"),
        ("prices", "product"),
        ("refunds", "charge"),
        ("disputes", "payment_intent"),
    ],
)
async def test_lists_of_unknown_objects_are_refused(sim: SimulatedStripe, path: str, param: str) -> None:
    """Not answered with an empty page."""
    status, body, _ = await sim.raw("GET", f"/v1/{path}?{param}=gone_1")

    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "resource_missing", param)


async def test_a_deleted_customer_keeps_a_history(sim: SimulatedStripe) -> None:
    """Lists of its objects are answered."""
    customer = await sim.api.v1.customers.create_async({})
    intent = await sim.intent(customer=customer.id)
    await sim.api.v1.customers.delete_async(customer.id)

    assert ids(await sim.api.v1.payment_intents.list_async({"customer": customer.id})) == [intent.id]


async def test_events_may_be_listed_late_and_in_another_order() -> None:
    """With a lag some are missing at first, and all are there once it is over."""
    async with simulated_stripe(replace(SETTINGS, event_list_lag_seconds=60.0)) as sim:
        for _ in range(20):
            await sim.intent()
        at_first = len((await sim.api.v1.events.list_async({"limit": 100})).data)
        await sim.control("POST", "/clock/advance", {"seconds": 30})
        halfway = len((await sim.api.v1.events.list_async({"limit": 100})).data)
        await sim.control("POST", "/clock/advance", {"seconds": 30})
        after = len((await sim.api.v1.events.list_async({"limit": 100})).data)

    assert at_first < halfway < after == 20


async def test_events_are_listed_for_thirty_days(sim: SimulatedStripe) -> None:
    """A backfill reads those after a cursor, by type and time."""
    await sim.intent()
    seen = (await sim.api.v1.events.list_async()).data[0]
    second = await sim.intent()
    await sim.pay(second.id)
    listing = sim.api.v1.events.list_async

    newer = await listing({"ending_before": seen.id})
    succeeded = await listing({"types": ["payment_intent.succeeded"]})
    since = await listing({"created": {"gte": seen.created}, "type": "payment_intent.*"})
    await sim.control("POST", "/clock/advance", {"seconds": 31 * 24 * 3600})

    types = ["charge.updated", "payment_intent.succeeded", "charge.succeeded", "payment_intent.created"]
    assert [event.type for event in newer.data] == types
    assert [event.type for event in succeeded.data] == types[1:2]
    assert len(since.data) == 3
    assert (await listing()).data == []


async def test_ids_are_expanded(sim: SimulatedStripe) -> None:
    """Several levels deep, on objects and lists. The stored object keeps the id, and null stays null."""
    customer = await sim.api.v1.customers.create_async({"name": "A Buyer"})
    intent, unpaid = await sim.intent(customer=customer.id), await sim.intent()
    await sim.pay(intent.id)
    paths = ["latest_charge.customer", "payment_method"]
    retrieve = sim.api.v1.payment_intents.retrieve_async

    one = (await retrieve(intent.id, {"expand": paths})).to_dict()
    many = await sim.api.v1.payment_intents.list_async({"expand": ["data.customer"]})
    empty = await retrieve(unpaid.id, {"expand": ["latest_charge.customer"]})

    assert one["latest_charge"]["customer"]["name"] == "A Buyer"
    assert one["payment_method"]["card"]["last4"] == "4242"
    assert many.data[1].to_dict()["customer"]["id"] == customer.id
    assert empty.latest_charge is None
    assert isinstance((await retrieve(intent.id)).latest_charge, str)


@pytest.mark.parametrize("path", ["metadata", "data.customer", "latest_charge.a.b.c.d"])
async def test_invalid_expansions_change_nothing(sim: SimulatedStripe, path: str) -> None:
    """Paths are checked before anything is executed."""
    with pytest.raises(stripe.InvalidRequestError, match=r"cannot (be expanded|expand)"):
        await sim.intent(expand=[path])

    assert (await sim.api.v1.payment_intents.list_async()).data == []


async def test_what_is_embedded_is_expanded_through_lists(sim: SimulatedStripe) -> None:
    """The product of a subscription's price is the fourth level, the last that Stripe expands."""
    coupon = await sim.api.v1.coupons.create_async({"percent_off": 12.5, "name": "Spring"})
    subscription = await sim.subscription(discounts=[{"coupon": coupon.id}], trial_period_days=1)
    paths = ["items.data.price.product", "items.data.price.currency_options", "discounts.source.coupon"]

    shown = (await sim.api.v1.subscriptions.retrieve_async(subscription.id, {"expand": paths})).to_dict()
    listed = await sim.api.v1.subscription_items.list_async(
        {"subscription": subscription.id, "expand": ["data.price.product", "data.discounts.source.coupon"]}
    )

    (price,) = (item["price"] for item in shown["items"]["data"])
    (same,) = (item.to_dict()["price"] for item in listed.data)
    assert price["product"]["name"] == same["product"]["name"] == "A plan"
    assert price["currency_options"]["usd"]["unit_amount"] == 1200
    assert [each["source"]["coupon"]["name"] for each in shown["discounts"]] == ["Spring"]
    with pytest.raises(stripe.InvalidRequestError, match="more than 4 levels"):
        await sim.api.v1.subscriptions.retrieve_async(
            subscription.id, {"expand": ["items.data.discounts.source.coupon"]}
        )


async def test_a_subscription_shows_its_first_ten_items(sim: SimulatedStripe) -> None:
    """The others are listed, in the same order."""
    prices = [await sim.recurring_price() for _ in range(12)]
    made = await sim.subscription(items=[{"price": price} for price in prices])
    api = sim.api.v1.subscription_items

    all_items = await api.list_async({"subscription": made.id, "limit": 100})
    first = await api.list_async({"subscription": made.id, "limit": 5})
    second = await api.list_async({"subscription": made.id, "limit": 5, "starting_after": first.data[-1].id})

    shown = [
        (await sim.api.v1.subscriptions.retrieve_async(made.id)),
        (await sim.api.v1.subscriptions.list_async()).data[0],
    ]
    embedded = [each.to_dict()["items"] for each in (made, *shown)]
    assert [each.price.id for each in all_items.data] == prices
    assert [[item["price"]["id"] for item in each["data"]] for each in embedded] == [prices[:10]] * 3
    assert all(each["has_more"] for each in embedded)
    assert [each.price.id for each in (*first.data, *second.data)] == prices[:10]
    assert (all_items.has_more, second.has_more) == (False, True)
