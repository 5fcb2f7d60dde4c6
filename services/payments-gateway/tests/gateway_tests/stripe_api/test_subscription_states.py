"""States of Stripe subscriptions, read from Stripe's JSON."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from payments_gateway.domain.attempts import Interval
from payments_gateway.domain.money import Money
from payments_gateway.domain.subscriptions import (
    BilledItem,
    Discount,
    PauseCollection,
    StripeSubscriptionState,
    SubscriptionStatus,
    sum_of,
)
from payments_gateway.rpc.subscription_states import state_from_proto, state_to_proto
from payments_gateway.stripe_api.calls import UNREADABLE
from payments_gateway.stripe_api.catalogue import price_from_stripe
from payments_gateway.stripe_api.subscription_states import state_from_stripe
from payments_gateway.stripe_api.subscriptions import StripeSubscriptions

from ..billing_samples import item_json, price_json, subscription_json
from ..stripe_stand_in import StripeStandIn, stripe_stand_in

END = datetime(2030, 1, 1, 1, tzinfo=UTC)
END_SECONDS = 1_893_459_600
LATER_SECONDS = END_SECONDS + 300 * 24 * 3600
EURO_COUPON = {
    "id": "SPRING",
    "name": "Spring",
    "percent_off": None,
    "amount_off": 500,
    "currency": "eur",
    "currency_options": {"usd": {"amount_off": 550}},
}
COUPON = {
    "id": "SPRING",
    "name": "Spring",
    "percent_off": 12.5,
    "amount_off": None,
    "currency": None,
    "duration": "forever",
}


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    """Give a Stripe that responds as told."""
    async with stripe_stand_in() as served:
        yield served


def items(*shown: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a list of items as a subscription contains it."""
    return {"object": "list", "url": "/v1/subscription_items", "data": list(shown), "has_more": False, **more}


def discount_json(discount_id: str = "di_1", coupon: Any = None, **changes: Any) -> dict[str, Any]:
    """Return a discount as Stripe sends it."""
    shown = {"id": discount_id, "object": "discount", "end": None, "subscription_item": None}
    return {**shown, "source": {"coupon": coupon, "type": "coupon"}, **changes}


def state(**changes: Any) -> StripeSubscriptionState:
    """Read a subscription, with some fields changed."""
    return state_from_stripe(subscription_json(**changes))


def test_what_portal_and_dashboard_can_do_is_read() -> None:
    """A plan that no catalogue knows, an end, a pause, discounts, another card."""
    shown = state(
        items=items(item_json("si_9", price=price_json("price_new"), quantity=7)),
        cancel_at=END_SECONDS,
        pause_collection={"behavior": "void", "resumes_at": END_SECONDS},
        discounts=[
            discount_json("di_1", COUPON, end=END_SECONDS),
            discount_json(
                "di_2",
                {**COUPON, "name": None, "percent_off": None, "amount_off": 300, "currency": "usd", "duration": "once"},
            ),
        ],
        default_payment_method={"id": "pm_2", "object": "payment_method"},
        collection_method="send_invoice",
    )

    assert shown.items == (BilledItem("si_9", "price_new", "prod_club", "Club", 7, 900, "usd", Interval.MONTH, 3, END),)
    assert (shown.cancel_at, shown.cancel_at_period_end, shown.ends_with_a_period) == (END, False, True)
    assert shown.pause_collection == PauseCollection("void", END)
    assert shown.discounts == (
        Discount("di_1", "SPRING", "Spring", 12.5, None, END, None, "forever"),
        Discount("di_2", "SPRING", "", None, Money(300, "usd"), None, None, "once"),
    )
    assert (shown.default_payment_method_id, shown.collection_method) == ("pm_2", "send_invoice")


@pytest.mark.parametrize(
    ("cancel_at", "with_a_period", "within_the_period"),
    [(END_SECONDS - 1, False, True), (END_SECONDS, True, True), (LATER_SECONDS, True, False), (None, False, False)],
)
def test_items_of_different_intervals_end_with_either(
    cancel_at: int | None, *, with_a_period: bool, within_the_period: bool
) -> None:
    """Stripe ends them with the first, unless it is told otherwise: a date of its portal may be that of any item."""
    both = items(item_json("si_1", current_period_end=LATER_SECONDS), item_json("si_2", current_period_end=END_SECONDS))

    shown = state(items=both, cancel_at=cancel_at)

    assert shown.current_period_end == datetime.fromtimestamp(LATER_SECONDS, UTC)
    assert (shown.ends_with_a_period, shown.ends_within_the_period) == (with_a_period, within_the_period)


def test_a_coupon_that_is_not_expanded_has_an_id() -> None:
    """Its terms are not known."""
    assert state(discounts=[discount_json(coupon="SPRING")]).discounts == (
        Discount("di_1", "SPRING", "", None, None, None, None, None),
    )


def test_all_that_may_be_null_is_read() -> None:
    """Where the types of Stripe's libraries say so."""
    usage = item_json("si_1", price=price_json(unit_amount=None, recurring=None))
    del usage["quantity"]
    shown = state(
        items=items(usage),
        trial_end=None,
        cancel_at=None,
        canceled_at=None,
        ended_at=None,
        latest_invoice=None,
        default_payment_method=None,
        pause_collection={"behavior": "keep_as_draft", "resumes_at": None},
        discounts=[discount_json(coupon=None)],
    )

    assert shown.items == (BilledItem("si_1", "price_club", "prod_club", "Club", None, None, "usd", None, None, END),)
    assert shown.pause_collection == PauseCollection("keep_as_draft", None)
    assert shown.discounts == (Discount("di_1", None, "", None, None, None, None, None),)
    assert (shown.latest_invoice_id, shown.default_payment_method_id, shown.cancel_at) == (None, None, None)


@pytest.mark.parametrize(
    ("price", "amount"),
    [
        ({"unit_amount": 0}, 0),
        ({"unit_amount": None, "unit_amount_decimal": "0.5"}, None),
        ({"unit_amount": None, "billing_scheme": "tiered"}, None),
        ({"transform_quantity": {"divide_by": 10, "round": "up"}}, None),
        ({"currency": "eur", "currency_options": {"eur": {"unit_amount": 900}, "usd": {"unit_amount": 990}}}, 990),
        ({"currency": "eur"}, None),
    ],
)
def test_one_unit_has_an_amount_or_none_is_shown(price: dict[str, Any], amount: int | None) -> None:
    """It is that in the subscription's currency. A package's amount is not that of a unit."""
    [item] = state(items=items(item_json(price=price_json(**price)))).items

    assert (item.unit_amount, item.currency) == (amount, "usd")


@pytest.mark.parametrize(
    ("product", "name"),
    [
        ({"id": "prod_1", "object": "product", "deleted": True}, ""),
        ({"id": "prod_1", "name": "x" * 300}, "x" * 249 + "…"),
        ({"id": "prod_1", "name": "a\0b"}, ""),
        ("prod_1", ""),
    ],
)
def test_a_product_has_a_name_that_can_be_stored(product: Any, name: str) -> None:
    """Or none: its id identifies it."""
    [item] = state(items=items(item_json(price=price_json(product=product)))).items

    assert (item.product_id, item.name) == ("prod_1", name)


@pytest.mark.parametrize(
    "shown",
    [items(has_more=True), items(item_json(discounts=["di_1"]))],
    ids=["more than one page", "a discount of its own"],
)
async def test_items_that_a_subscription_does_not_show_are_listed(
    stand_in: StripeStandIn, shown: dict[str, Any]
) -> None:
    """The coupon of an item is too deep to be expanded from the subscription."""
    stand_in.answer(subscription_json(items=shown))
    pages = [
        item_json("si_1", discounts=[discount_json(coupon=COUPON, subscription_item="si_1")]),
        item_json("si_2"),
    ]
    stand_in.answer(items(pages[0], has_more=True))
    stand_in.answer(items(pages[1]))

    found = (await StripeSubscriptions(stand_in.client).retrieve("sub_1")).state

    assert [item.stripe_item_id for item in found.items] == ["si_1", "si_2"]
    assert found.discounts == (Discount("di_1", "SPRING", "Spring", 12.5, None, None, "si_1", "forever"),)
    assert [sent.path for sent in stand_in.sent] == ["/v1/subscriptions/sub_1", *["/v1/subscription_items"] * 2]
    assert stand_in.sent[1].fields["subscription"] == "sub_1"


async def test_an_ended_subscription_keeps_all_its_items(stand_in: StripeStandIn) -> None:
    """Those that it does not show are listed, too."""
    stand_in.answer(subscription_json(status="canceled", items=items(item_json("si_1"), has_more=True)))
    stand_in.answer(items(item_json("si_1"), item_json("si_2")))

    found = (await StripeSubscriptions(stand_in.client).retrieve("sub_1")).state

    assert [item.stripe_item_id for item in found.items] == ["si_1", "si_2"]


async def test_items_that_stripe_refuses_to_list_block_no_end(
    stand_in: StripeStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """The items that the subscription shows are kept, its discounts by their ids."""
    stand_in.answer(subscription_json(status="canceled", items=items(item_json(discounts=["di_1"]), has_more=True)))
    stand_in.refuse(400, "invalid_request_error", "resource_missing")

    found = (await StripeSubscriptions(stand_in.client).retrieve("sub_1")).state

    assert (found.status, [item.stripe_item_id for item in found.items]) == (SubscriptionStatus.CANCELED, ["si_1"])
    assert found.discounts == (Discount("di_1", None, "", None, None, None, None, None),)
    assert [record.levelname for record in caplog.records if "cannot be listed" in record.message] == ["ERROR"]


async def test_an_items_amount_off_is_in_the_subscriptions_currency(stand_in: StripeStandIn) -> None:
    """From the list, the coupon's other currencies would be the fifth level, so the item is retrieved."""
    discounted = [discount_json(coupon={**EURO_COUPON, "currency_options": None}, subscription_item="si_1")]
    stand_in.answer(subscription_json(items=items(item_json(discounts=["di_1"]))))
    stand_in.answer(items(item_json("si_1", discounts=discounted), item_json("si_2")))
    stand_in.answer(item_json("si_1", discounts=[discount_json(coupon=EURO_COUPON, subscription_item="si_1")]))

    found = (await StripeSubscriptions(stand_in.client).retrieve("sub_1")).state

    assert [each.amount_off for each in found.discounts] == [Money(550, "usd")]
    assert [sent.path for sent in stand_in.sent[1:]] == ["/v1/subscription_items", "/v1/subscription_items/si_1"]
    assert stand_in.sent[2].fields["expand[2]"] == "discounts.source.coupon.currency_options"


@pytest.mark.parametrize(
    ("coupon", "amount"),
    [(EURO_COUPON, Money(550, "usd")), ({**EURO_COUPON, "currency_options": {}}, None)],
    ids=["with an amount in it", "without"],
)
def test_an_amount_off_is_in_the_subscriptions_currency(coupon: dict[str, Any], amount: Money | None) -> None:
    """Or none is shown: that of another currency would be a wrong one."""
    [discount] = state(currency="usd", discounts=[discount_json(coupon=coupon)]).discounts

    assert (discount.coupon_id, discount.amount_off) == ("SPRING", amount)


def test_what_is_sold_can_be_read_as_subscribed() -> None:
    """A price that the catalogue sells is paid for: were its subscription unreadable, it could not be bound."""
    price = price_json("Pro plan $699/month", {"id": "Gold plan ☕", "name": "Gold", "active": True})

    [item] = state(items=items(item_json(price=price))).items

    assert price_from_stripe(price).unsellable_reason is None
    assert (item.price_id, item.product_id) == ("Pro plan $699/month", "Gold plan ☕")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"status": "suspended"}, "status"),
        ({"status": "pending"}, "status"),
        ({"trial_end": -1}, "trial_end"),
        ({"cancel_at": 10**18}, "cancel_at"),
        ({"latest_invoice": 7}, "latest_invoice"),
        ({"pause_collection": {"behavior": None}}, "pause_collection"),
        ({"collection_method": ["by hand"]}, "collection_method"),
        ({"items": items(item_json(price=price_json("x" * 256)))}, "price"),
        ({"items": items(item_json(price=price_json(product={"id": "\ud800"})))}, "product"),
        ({"items": items(item_json(price=price_json(recurring={"interval": "quarter"})))}, "interval"),
        ({"items": items(item_json(price=price_json(unit_amount=-1)))}, "unit_amount"),
        ({"items": items(item_json(quantity=2**31))}, "quantity"),
        ({"items": items(item_json(current_period_end="soon"))}, "current_period_end"),
        ({"discounts": [discount_json(coupon={**COUPON, "id": "\0"})]}, "coupon"),
        ({"discounts": [discount_json(coupon={**COUPON, "percent_off": 101})]}, "percent_off"),
        ({"discounts": [discount_json(source={"type": "promotion"})]}, "source"),
        ({"discounts": [discount_json(id=7)]}, "discount"),
    ],
)
def test_an_unreadable_part_blocks_nothing_else(
    caplog: pytest.LogCaptureFixture, changes: dict[str, Any], part: str
) -> None:
    """An ended subscription must not go on as active for ever. It is logged once, and the rest can be stored."""
    changed = {"status": "canceled", "default_payment_method": "pm_2", "items": items(item_json())} | changes
    try:
        shown = state(**changed)
    except UNREADABLE:
        pytest.fail("the state was not read")

    assert shown.status is (SubscriptionStatus.UNKNOWN if part == "status" else SubscriptionStatus.CANCELED)
    assert (shown.default_payment_method_id, len(shown.items)) == ("pm_2", 1)
    assert len(shown.discounts) == len(changed.get("discounts", ()))
    assert [vars(record)["part"] for record in caplog.records] == [part]
    assert state_from_proto(state_to_proto(shown)) == shown


def test_every_discount_is_read(caplog: pytest.LogCaptureFixture) -> None:
    """Stripe allows 20 of the subscription, and 20 of each item. An operator is told of those that are left out."""
    many = [discount_json(f"di_{number}", COUPON) for number in range(20)]
    one_item = state(discounts=many, items=items(item_json(discounts=many)))
    assert (len(one_item.discounts), caplog.records) == (40, [])

    two_items = state(discounts=many, items=items(*[item_json(discounts=many)] * 2))

    assert len(two_items.discounts) == 50
    assert [(vars(each)["part"], vars(each)["count"]) for each in caplog.records] == [("discounts", 60)]


def test_no_sum_leaves_an_item_out(caplog: pytest.LogCaptureFixture) -> None:
    """Of more items than are stored, or with one that cannot be read, no amount can be said."""
    twenty, more = (state(items=items(*[item_json()] * count)).items for count in (20, 21))
    unreadable = state(items=items(item_json(), item_json(price=None))).items

    assert (len(twenty), sum_of(twenty), sum_of(unreadable)) == (20, Money(36_000, "usd"), None)
    assert (len(more), sum_of(more)) == (20, None)
    assert [vars(each).get("count") for each in caplog.records if "more parts" in each.message] == [21]
