"""Whom Stripe charges again and again: one customer for each user, whatever happens on the way."""

import asyncio
import uuid
from collections.abc import Sequence

import pytest
import stripe

from .conftest import Waiter
from .harness.knobs import Knobs
from .harness.plans import Plans, plan_only
from .harness.shop import CONTACT, Cart, Checkout, Line, Shop
from .harness.system import System
from .harness.wares import Rhythm, Ware, make_offers, until_on_sale

AT_ONCE = 20


async def customers_made_after(system: System, newest: str) -> list[stripe.Customer]:
    """Return the customers that Stripe has made since, newest first."""
    return (await system.stripe.v1.customers.list_async({"limit": 100, "ending_before": newest})).data


async def newest_customer(system: System) -> str:
    """Make a customer that is nobody's, so that later ones can be told."""
    return (await system.stripe.v1.customers.create_async({})).id


async def setup_intent(system: System, checkout: Checkout) -> stripe.SetupIntent:
    """Return the setup intent of a checkout, as Stripe holds it."""
    return await system.stripe.v1.setup_intents.retrieve_async(checkout.intent_id)


async def test_twenty_first_checkouts_at_once_make_one_customer(system: System, plans: Plans, knobs: Knobs) -> None:
    """At two gateways, each with an intent of its own: Stripe has made no customer that nobody uses."""
    user_id, newest = f"user-{uuid.uuid4()}", await newest_customer(system)
    async with system.shop(user_id=user_id) as first, system.shop(user_id=user_id, gateway=1) as second:
        begun = await asyncio.gather(*(shop.checkout(plan_only(plans, tea=1)) for shop in (first, second) * 10))

    [made] = await customers_made_after(system, newest)
    named = {(await setup_intent(system, checkout)).customer for checkout in begun}
    assert len({checkout.intent_id for checkout in begun}) == AT_ONCE
    assert named == {made.id} == {await system.books.customer_of(user_id)}


async def test_p7_stripe_is_told_the_email_address_and_nothing_else(system: System, plans: Plans, knobs: Knobs) -> None:
    """No name, no phone, no address, no user id, no metadata; and the key by which it is made tells no user id."""
    user_id, newest, mark = f"user-{uuid.uuid4()}", await newest_customer(system), await knobs.requests_so_far()
    async with system.shop(user_id=user_id) as shop:
        await shop.checkout(plan_only(plans, tea=1))

    [made] = await customers_made_after(system, newest)
    [asked] = await knobs.requests("POST", "/v1/customers", after=mark)
    held = made.to_dict()
    told = {name for name in ("address", "description", "name", "phone", "shipping", "metadata") if held.get(name)}
    assert (asked["params"], held["email"], told) == ({}, CONTACT["email"], set())
    assert user_id not in str(asked)


@pytest.mark.parametrize("signed_in", [True, False], ids=["user", "guest"])
async def test_a_customer_deleted_at_stripe_is_replaced(
    system: System,
    plans: Plans,
    knobs: Knobs,
    settled: Waiter,
    signed_in: bool,  # noqa: FBT001 — a case
) -> None:
    """The next checkouts, twenty at once, agree on one new customer for a user, and one can be paid."""
    user_id = f"user-{uuid.uuid4()}" if signed_in else None
    async with system.shop(user_id=user_id) as shop:
        gone = (await setup_intent(system, await shop.checkout(plan_only(plans, tea=1)))).customer
        await system.stripe.v1.customers.delete_async(str(gone))
        newest = await newest_customer(system)

        begun = await asyncio.gather(*(shop.checkout(plan_only(plans, cake=1)) for _ in range(AT_ONCE)))
        (await shop.pay(begun[0])).ok()
        await settled(begun[0])
        await knobs.idle()

    made = {customer.id for customer in await customers_made_after(system, newest)}
    named = {(await setup_intent(system, checkout)).customer for checkout in begun}
    [subscription] = await system.books.subscriptions_of(begun[0].attempt_id)
    assert named == made
    assert len(made) == (1 if signed_in else AT_ONCE)
    assert subscription["status"] == "active"


async def test_p1_a_setup_intent_carries_exactly_the_attempt_id(system: System, plans: Plans, shop: Shop) -> None:
    """What it is for besides: a customer, without the buyer, and no method that could not be charged again."""
    checkout = await shop.checkout(plan_only(plans, tea=1))

    held = (await setup_intent(system, checkout)).to_dict()
    assert held["metadata"] == {"checkoutAttemptId": checkout.attempt_id}
    assert held["usage"] == "off_session"
    assert {"boleto", "ideal"} <= set(held["excluded_payment_method_types"])


async def test_a_mixed_cart_keeps_the_payment_method(
    system: System, plans: Plans, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """The card that paid belongs to the customer afterwards, so that it can be charged again."""
    mixed = Cart([*system.cart(mug=1).lines, Line(plans["tea"].price_id)])
    checkout = await shop.checkout(mixed)
    (await shop.pay(checkout)).ok()
    await settled(checkout)
    await knobs.idle()

    held = await system.stripe.v1.payment_intents.retrieve_async(checkout.intent_id)
    method = await system.stripe.v1.payment_methods.retrieve_async(str(held.payment_method))
    assert (held.setup_future_usage, held.amount) == ("off_session", 1800)
    assert method.customer == held.customer


@pytest.mark.parametrize("order", [("once", "again"), ("again", "once"), ("both", "again")], ids="-to-".join)
async def test_a_changed_cart_changes_the_kind_of_intent(
    system: System, plans: Plans, shop: Shop, knobs: Knobs, settled: Waiter, order: Sequence[str]
) -> None:
    """Only the last one can be paid; the stale tab's is cancelled, whichever kind it is."""
    once, again = system.cart(mug=1), plan_only(plans, tea=1)
    carts = {"once": once, "again": again, "both": Cart([*once.lines, *again.lines])}
    first = await shop.checkout(carts[order[0]])

    second = await shop.checkout(carts[order[1]].superseding(first.attempt_id))
    stale = await shop.pay(first)
    (await shop.pay(second)).ok()
    await settled(second)
    await knobs.idle()

    status = (await shop.status(first.attempt_id)).ok()["status"]
    assert (stale.status, status) == (400, "superseded")
    assert await system.books.payment(first.intent_id) is None
    assert len(await system.books.orders_of(second.attempt_id)) == (order[1] == "once")
    assert len(await system.books.subscriptions_of(second.attempt_id)) == (order[1] == "again")


async def test_what_cannot_be_sold_leaves_nothing_at_stripe(
    system: System, plans: Plans, knobs: Knobs, shop: Shop
) -> None:
    """A metered price, one in tiers, two currencies, 21 lines in an interval: 422 naming the line, nothing made."""
    metered = await system.stripe.v1.prices.create_async(
        {
            "product_data": {"name": "Water"},
            "currency": "usd",
            "unit_amount": 5,
            "recurring": {"interval": "month", "usage_type": "metered"},
        }
    )
    euro, *boxes = await make_offers(
        system.stripe,
        [
            Ware("Tee", {"eur": 900}, rhythm=Rhythm("month")),
            *(Ware(f"Box {number}", {"usd": 100}, rhythm=Rhythm("month")) for number in range(21)),
        ],
    )
    await until_on_sale([shop], [euro.price_id, *(box.price_id for box in boxes)])
    tea, mark = Line(plans["tea"].price_id), await knobs.requests_so_far()
    contents = await system.attempts.content_keys()
    carts = {
        "items[1].priceId": [
            Cart([tea, Line(metered.id)]),
            Cart([tea, Line(system.backend.catalogue.prices["crates"])]),
            Cart([tea, Line(euro.price_id)]),
        ],
        "items[20].priceId": [Cart([Line(box.price_id) for box in boxes])],
    }

    answers = [(field, await shop.initiate(cart)) for field, of_field in carts.items() for cart in of_field]

    assert [(reply.status, reply.fields) for _, reply in answers] == [(422, [field]) for field, _ in answers]
    assert await knobs.requests("POST", "*", after=mark) == []
    assert await system.attempts.content_keys() == contents
