"""What bad input and bad luck come to in carts with subscriptions."""

from typing import TYPE_CHECKING, Any, Final

import pytest

from .conftest import Waiter, until
from .harness.knobs import Knobs
from .harness.plans import Plans, made_at_stripe, plan_only
from .harness.shop import Cart, Line, Shop
from .harness.system import System
from .harness.wares import Offer, Rhythm, Ware, make_offers, until_on_sale

if TYPE_CHECKING:
    from stripe.params import PriceCreateParams

MONTHLY: Final[dict[str, Any]] = {"interval": "month"}
MOST: Final = 20

UNSOLD: Final[dict[str, dict[str, Any]]] = {
    "metered": {"unit_amount": 900, "recurring": {**MONTHLY, "usage_type": "metered", "meter": "mtr_1"}},
    "tiered": {
        "recurring": MONTHLY,
        "billing_scheme": "tiered",
        "tiers_mode": "volume",
        "tiers": [{"up_to": "inf", "unit_amount": 5}],
    },
    "with a trial of no number": {"unit_amount": 900, "recurring": MONTHLY, "metadata": {"trial_days": "a week"}},
    "with a trial of three years": {"unit_amount": 900, "recurring": MONTHLY, "metadata": {"trial_days": "1095"}},
}


@pytest.mark.parametrize("kind", UNSOLD)
async def test_a_plan_that_is_not_sold(system: System, shop: Shop, knobs: Knobs, plans: Plans, kind: str) -> None:
    """Its line is named, and nothing is made at Stripe or stored."""
    wanted: PriceCreateParams = {"currency": "usd", "product_data": {"name": f"Plan {kind}"}, **UNSOLD[kind]}  # type: ignore[typeddict-item] # a table of such
    price = await system.stripe.v1.prices.create_async(wanted)
    cart = Cart([Line(plans["tea"].price_id), Line(price.id)])

    await assert_refused(system, shop, knobs, cart, "items[1].priceId")


async def test_two_currencies(system: System, shop: Shop, knobs: Knobs, plans: Plans) -> None:
    """A plan in another currency than the rest of the cart is refused by its line."""
    (foreign,) = await on_sale(system, shop, [Ware("Tee", {"eur": 900}, rhythm=Rhythm("month"))])

    await assert_refused(
        system, shop, knobs, Cart([Line(plans["tea"].price_id), Line(foreign.price_id)]), "items[1].priceId"
    )


async def test_one_line_too_many_in_a_billing_interval(system: System, shop: Shop, knobs: Knobs, plans: Plans) -> None:
    """Twenty monthly lines are sold beside a yearly one, as two subscriptions; the twenty-first is refused by name."""
    offers = await on_sale(
        system, shop, [Ware(f"Part {place}", {"usd": 100 + place}, rhythm=Rhythm("month")) for place in range(MOST + 1)]
    )
    fitting = [Line(plans["almanac"].price_id), *(Line(offer.price_id) for offer in offers[:MOST])]

    granted = await shop.initiate(Cart(fitting))

    assert [each["interval"] for each in granted.ok()["recurring"]] == ["year", "month"]
    await assert_refused(
        system, shop, knobs, Cart([*fitting, Line(offers[MOST].price_id)]), f"items[{MOST + 1}].priceId"
    )


async def test_one_billing_interval_too_many(system: System, shop: Shop, knobs: Knobs) -> None:
    """Each would be a subscription: the line that begins a sixth one is named."""
    rhythms = [Ware(f"Every {days} days", {"usd": 500}, rhythm=Rhythm("day", days)) for days in range(1, 7)]
    offers = await on_sale(system, shop, rhythms)

    await assert_refused(system, shop, knobs, Cart([Line(offer.price_id) for offer in offers]), "items[5].priceId")


async def test_two_trials_in_one_billing_interval(system: System, shop: Shop, knobs: Knobs, plans: Plans) -> None:
    """They would be one Stripe subscription, which has one trial: the second line is named."""
    cart = plan_only(plans, tea=1, club=1)

    await assert_refused(system, shop, knobs, cart, "items[1].priceId")


async def test_shipping_that_nothing_pays_for(system: System, shop: Shop, knobs: Knobs, plans: Plans) -> None:
    """Nothing is taken now, so that shipping must be free."""
    rate = system.backend.catalogue.shipping_rates["standard"]
    cart = Cart([Line(plans["tea"].price_id)], shipping_option_id=rate)

    await assert_refused(system, shop, knobs, cart, "shippingOptionId")


async def test_p3_a_setup_intent_whose_attempt_is_gone_is_set_aside(
    system: System, shop: Shop, knobs: Knobs, plans: Plans
) -> None:
    """It is quarantined once, whoever tells of it, and begins no subscription."""
    await knobs.deliver(types=["setup_intent.succeeded"], hold=True)
    checkout = await shop.checkout(plan_only(plans, tea=1))
    (await shop.pay(checkout)).ok()
    await system.attempts.lose_content(checkout.attempt_id)

    await knobs.release_deliveries()
    reply = await shop.come_back(checkout)
    await knobs.idle()

    (payment,) = await system.books.payments_of(checkout.attempt_id)
    intent = await system.stripe.v1.setup_intents.retrieve_async(checkout.intent_id)
    assert (payment["kind"], payment["outcome"]) == ("setup", "quarantined")
    assert payment["quarantine_reason"] == "attempt_missing"
    assert reply.ok()["status"] == "needs_review"
    assert await system.books.subscriptions_of(checkout.attempt_id) == []
    assert await made_at_stripe(system, str(intent.customer)) == []


async def test_a_price_that_was_archived_before_its_subscription_began(
    system: System, members_shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """The order stands; the subscription has failed for everybody to see, and Stripe is not asked again and again."""
    (plan,) = await on_sale(system, members_shop, [Ware("Last issue", {"usd": 800}, rhythm=Rhythm("month"))])
    mug = system.cart(mug=1)
    checkout = await members_shop.checkout(
        Cart([*mug.lines, Line(plan.price_id)], shipping_option_id=mug.shipping_option_id)
    )
    await system.stripe.v1.prices.update_async(plan.price_id, {"active": False})
    mark = await knobs.requests_so_far()

    (await members_shop.pay(checkout)).ok()
    await settled(checkout)
    await knobs.idle()
    refusals = await knobs.requests("POST", "/v1/subscriptions", after=mark)
    (event,) = {each["event_id"] for each in await paid_deliveries(knobs, checkout.intent_id)}
    await knobs.redeliver(event, copies=3)
    await knobs.idle()

    (row,) = await system.books.subscriptions_of(checkout.attempt_id)
    assert (row["status"], row["stripe_subscription_id"]) == ("activation_failed", None)
    assert row["activation_failure"]
    assert len(await system.books.orders_of(checkout.attempt_id)) == 1
    assert {each["status"] for each in await paid_deliveries(knobs, checkout.intent_id)} == {200}
    assert 1 <= len(refusals) <= 2  # one for each gateway that was told at the same moment
    assert await knobs.requests("POST", "/v1/subscriptions", after=mark) == refusals
    shown = (await members_shop.subscription(row["id"])).ok()
    assert shown["status"] == "activation_failed"
    assert (await members_shop.status(checkout.attempt_id)).ok()["status"] == "completed"
    cancelled = await members_shop.cancel_subscription(row["id"])
    assert (cancelled.status, cancelled.problem) == (409, "subscription_not_active_yet")


async def test_an_activation_that_fails_for_now_is_made_good_by_the_repeat(
    system: System, shop: Shop, knobs: Knobs, plans: Plans, settled: Waiter
) -> None:
    """The purchase is answered with the subscription pending; the webhook gets 503 until Stripe makes it."""
    fault = await knobs.fault(kind="error_unsaved", method="POST", path="/v1/subscriptions", count=None)
    checkout = await shop.checkout(plan_only(plans, tea=1))
    (await shop.pay(checkout)).ok()
    returned = (await shop.come_back(checkout)).ok()

    async def refused() -> bool:
        return bool(await paid_deliveries(knobs, checkout.intent_id))

    await until(refused, "a refused delivery")
    await knobs.remove_fault(fault)
    await settled(checkout)
    await knobs.idle()

    (row,) = await system.books.subscriptions_of(checkout.attempt_id)
    tried = [each["status"] for each in await paid_deliveries(knobs, checkout.intent_id)]
    assert [one["status"] for one in returned["subscriptions"]] == ["pending"]
    assert (returned["status"], row["status"]) == ("completed", "active")
    assert set(tried) == {503, 200}
    assert len(await made_at_stripe(system, row["stripe_customer_id"])) == 1


async def test_a_subscription_cancelled_before_the_answer_to_its_creation_is_adopted(
    system: System, shop: Shop, knobs: Knobs, plans: Plans, settled: Waiter
) -> None:
    """Stripe made it and answered 500; it is cancelled there; the repeat finds the cancelled one and makes no other."""
    await knobs.deliver(types=["customer.subscription.*", "invoice.*"], drop=True, count=None)
    fault = await knobs.fault(kind="error_after", method="POST", path="/v1/subscriptions", count=None)
    lists = await knobs.fault(kind="error_unsaved", method="GET", path="/v1/subscriptions", count=None)
    checkout = await shop.checkout(plan_only(plans, tea=1))
    (await shop.pay(checkout)).ok()
    (await shop.come_back(checkout)).ok()
    (pending,) = await system.books.subscriptions_of(checkout.attempt_id)
    made = (await begun_at_stripe(system, pending["stripe_customer_id"]))[0]
    await system.stripe.v1.subscriptions.cancel_async(made)

    await knobs.remove_fault(lists)
    await knobs.remove_fault(fault)
    await settled(checkout)
    await knobs.idle()

    (row,) = await system.books.subscriptions_of(checkout.attempt_id)
    assert [one["id"] for one in await made_at_stripe(system, row["stripe_customer_id"])] == [made]
    assert pending["status"] == "pending"
    assert (row["status"], row["stripe_subscription_id"]) == ("canceled", made)


async def begun_at_stripe(system: System, customer_id: str) -> list[str]:
    """Return the ids of a customer's subscriptions by the events of their beginning: Stripe's list of them is away."""
    events = await system.stripe.v1.events.list_async({"type": "customer.subscription.created", "limit": 100})
    begun = [event.to_dict()["data"]["object"] for event in events.data]
    return [each["id"] for each in begun if each["customer"] == customer_id]


async def paid_deliveries(knobs: Knobs, intent_id: str) -> list[dict[str, Any]]:
    """Return the tries to report that an intent succeeded."""
    tries = await knobs.delivery_attempts(object_id=intent_id)
    return [each for each in tries if each["event_type"].endswith("intent.succeeded")]


async def on_sale(system: System, shop: Shop, wares: list[Ware]) -> list[Offer]:
    """Put wares on sale at both gateways."""
    offers = await make_offers(system.stripe, wares)
    async with system.shop(gateway=1) as other:
        await until_on_sale([shop, other], [offer.price_id for offer in offers])
    return offers


async def assert_refused(system: System, shop: Shop, knobs: Knobs, cart: Cart, field: str) -> None:
    """Assert that a cart is a 422 which names a field, and leaves nothing."""
    mark, stored = await knobs.requests_so_far(), await system.attempts.content_keys()

    reply = await shop.initiate(cart)

    assert (reply.status, reply.fields) == (422, [field]), reply.body
    assert await knobs.requests("POST", "*", after=mark) == []
    assert await system.attempts.content_keys() == stored
