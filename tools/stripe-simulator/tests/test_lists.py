from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe


async def customers(sim: SimulatedStripe, count: int) -> list[str]:
    """Create customers and answer their ids, newest first as lists show them."""
    made = [await sim.api.v1.customers.create_async({"name": f"C{number}"}) for number in range(count)]
    return [each.id for each in reversed(made)]


def ids(page: Any) -> list[str]:
    """Answer the ids on a page."""
    return [each.id for each in page.data]


async def test_lists_show_ten_objects_newest_first(sim: SimulatedStripe) -> None:
    """Without a limit there are ten, and `has_more` says whether there are others."""
    newest_first = await customers(sim, 11)

    page = await sim.api.v1.customers.list_async()

    assert ids(page) == newest_first[:10]
    assert (page.has_more, page.url) == (True, "/v1/customers")


async def test_pages_follow_each_other(sim: SimulatedStripe) -> None:
    """`starting_after` goes on, `ending_before` goes back, and the last page says so."""
    newest_first = await customers(sim, 5)
    cursor = newest_first[1]

    after = await sim.api.v1.customers.list_async({"limit": 2, "starting_after": cursor})
    last = await sim.api.v1.customers.list_async({"limit": 2, "starting_after": newest_first[2]})
    before = await sim.api.v1.customers.list_async({"limit": 2, "ending_before": newest_first[4]})

    assert (ids(after), after.has_more) == (newest_first[2:4], True)
    assert (ids(last), last.has_more) == (newest_first[3:], False)
    assert (ids(before), before.has_more) == (newest_first[2:4], True)


async def test_the_library_walks_all_pages(sim: SimulatedStripe) -> None:
    """Auto-paging finds everything once."""
    newest_first = await customers(sim, 7)

    page = await sim.api.v1.customers.list_async({"limit": 3})
    walked = [each.id async for each in page.auto_paging_iter()]

    assert walked == newest_first


@pytest.mark.parametrize("limit", [0, 101, -1])
async def test_limits_are_1_to_100(sim: SimulatedStripe, limit: int) -> None:
    """Other limits are refused."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.customers.list_async({"limit": limit})

    assert (refused.value.code, refused.value.param) == ("parameter_invalid_integer", "limit")


async def test_an_unknown_cursor_is_refused(sim: SimulatedStripe) -> None:
    """A cursor that leads nowhere is a 400 with its name."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.customers.list_async({"starting_after": "cus_nobody"})

    assert (refused.value.code, refused.value.param) == ("resource_missing", "starting_after")


async def test_two_cursors_are_refused(sim: SimulatedStripe) -> None:
    """A page is either after or before something."""
    first, second = await customers(sim, 2)

    with pytest.raises(stripe.InvalidRequestError, match="only specify one"):
        await sim.api.v1.customers.list_async({"starting_after": first, "ending_before": second})


async def test_lists_filter_by_time(sim: SimulatedStripe) -> None:
    """`created` takes a second or bounds, by the simulator's clock."""
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


async def test_events_page_backwards_from_a_cursor(sim: SimulatedStripe) -> None:
    """A backfill reads what came after the last event it has seen, by type and time."""
    await sim.intent()
    seen = (await sim.api.v1.events.list_async()).data[0]
    second = await sim.intent()
    await sim.pay(second.id)

    newer = await sim.api.v1.events.list_async({"ending_before": seen.id})
    succeeded = await sim.api.v1.events.list_async({"types": ["payment_intent.succeeded"]})
    intents = await sim.api.v1.events.list_async({"type": "payment_intent.*"})
    since = await sim.api.v1.events.list_async({"created": {"gte": seen.created}})

    assert [event.type for event in newer.data] == [
        "payment_intent.succeeded",
        "charge.succeeded",
        "payment_intent.created",
    ]
    assert [event.type for event in succeeded.data] == ["payment_intent.succeeded"]
    assert len(intents.data) == 3
    assert len(since.data) == 4


async def test_events_are_kept_for_thirty_days(sim: SimulatedStripe) -> None:
    """Older events are no longer listed."""
    await sim.intent()
    await sim.control("POST", "/clock/advance", {"seconds": 31 * 24 * 3600})

    page = await sim.api.v1.events.list_async()

    assert page.data == []


async def test_fields_are_expanded(sim: SimulatedStripe) -> None:
    """Ids become objects, several levels deep, on objects and on lists."""
    customer = await sim.api.v1.customers.create_async({"name": "A Buyer"})
    intent = await sim.intent(customer=customer.id)
    await sim.pay(intent.id)
    paths = ["latest_charge.customer", "payment_method"]

    one = await sim.api.v1.payment_intents.retrieve_async(intent.id, {"expand": paths})
    many = await sim.api.v1.payment_intents.list_async({"expand": ["data.customer"]})

    seen = one.to_dict()
    assert seen["latest_charge"]["customer"]["name"] == "A Buyer"
    assert seen["payment_method"]["card"]["last4"] == "4242"
    assert many.data[0].to_dict()["customer"]["id"] == customer.id


async def test_expanding_leaves_the_stored_object_alone(sim: SimulatedStripe) -> None:
    """What was expanded once is an id again the next time."""
    price = await sim.api.v1.prices.create_async(
        {"currency": "usd", "unit_amount": 100, "product_data": {"name": "Tea"}, "expand": ["product"]}
    )

    again = await sim.api.v1.prices.retrieve_async(price.id)

    assert isinstance(price.product, stripe.Product)
    assert again.product == price.product.id


async def test_what_is_empty_stays_empty_when_expanded(sim: SimulatedStripe) -> None:
    """Expanding a null is no error."""
    intent = await sim.intent()

    seen = await sim.api.v1.payment_intents.retrieve_async(intent.id, {"expand": ["latest_charge.customer"]})

    assert seen.latest_charge is None


@pytest.mark.parametrize("path", ["metadata", "data.customer", "latest_charge.a.b.c.d"])
async def test_what_cannot_be_expanded_is_refused(sim: SimulatedStripe, path: str) -> None:
    """A path that leads nowhere, or too deep, is a 400."""
    intent = await sim.intent()
    await sim.pay(intent.id)

    with pytest.raises(stripe.InvalidRequestError, match=r"cannot (be expanded|expand)"):
        await sim.api.v1.payment_intents.retrieve_async(intent.id, {"expand": [path]})


async def test_a_bad_expansion_changes_nothing(sim: SimulatedStripe) -> None:
    """Paths are checked before anything is executed."""
    with pytest.raises(stripe.InvalidRequestError):
        await sim.intent(expand=["metadata"])

    assert (await sim.api.v1.payment_intents.list_async()).data == []
