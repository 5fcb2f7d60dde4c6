"""What carts with subscriptions come to, whoever buys and by whichever road the news of the payment arrives."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import pytest_asyncio

from .conftest import Waiter
from .harness.knobs import Knobs
from .harness.plans import Plans, billed, booked, cart_of, made_at_stripe, plan_only, recorded, shown
from .harness.shop import Cart, Checkout, Line, Reply, Shop
from .harness.system import System
from .harness.wares import Offer, Ware, make_offers, until_on_sale

RECORD: Final = "/checkout.orders.v1.OrdersService/RecordPurchase"
CREATE: Final = "POST /v1/subscriptions"
SUCCEEDED: Final = ("payment_intent.succeeded", "setup_intent.succeeded")
ONCE: Final = {"mug": 1800, "notebook": 950, "tote": 2400}
SHIPPING: Final = 500


@dataclass(frozen=True)
class Case:
    """A cart, by short names of wares and quantities."""

    once: Mapping[str, int] = field(default_factory=dict)
    """Paid once, and shipped."""
    again: Mapping[str, int] = field(default_factory=dict)
    """Paid again and again."""

    @property
    def taken_now(self) -> int:
        """What the intent takes."""
        return sum(ONCE[ware] * quantity for ware, quantity in self.once.items()) + (SHIPPING if self.once else 0)

    def rhythms(self, plans: Plans) -> list[dict[str, Any]]:
        """Return what is charged again, one for each billing interval, as the gateway shows it."""
        sums: dict[tuple[str, int, int], int] = {}
        for name, quantity in self.again.items():
            rhythm = plans[name].rhythm
            assert rhythm is not None
            key = (rhythm.interval, rhythm.interval_count, rhythm.trial_days)
            sums[key] = sums.get(key, 0) + plans[name].unit_amount * quantity
        return [
            {"interval": key[0], "intervalCount": key[1], "amount": amount, "currency": "usd", "trialDays": key[2]}
            for key, amount in sums.items()
        ]

    def lines(self, plans: Plans, rhythm: Mapping[str, Any]) -> list[tuple[Offer, int]]:
        """Return the lines of one billing interval."""
        wanted = (rhythm["interval"], rhythm["intervalCount"], rhythm["trialDays"])
        offers = [(plans[name], quantity) for name, quantity in self.again.items()]
        return [
            (offer, quantity)
            for offer, quantity in offers
            if offer.rhythm and (offer.rhythm.interval, offer.rhythm.interval_count, offer.rhythm.trial_days) == wanted
        ]


CASES: Final = {
    "one-time": Case(once={"mug": 2, "notebook": 1}),
    "subscription": Case(again={"tea": 2}),
    "mixed": Case(once={"mug": 1}, again={"tea": 1, "cake": 3}),
    "two-intervals": Case(once={"tote": 1}, again={"tea": 1, "almanac": 2}),
    "trial": Case(again={"club": 1, "bread": 2}),
}


@dataclass(frozen=True)
class Sale:
    """A cart that is being bought."""

    system: System
    knobs: Knobs
    shop: Shop
    checkout: Checkout
    settled: Waiter


async def webhook_first(sale: Sale) -> Reply:
    """Let Stripe report the payment before the buyer comes back."""
    (await sale.shop.pay(sale.checkout)).ok()
    await sale.settled(sale.checkout)
    return await sale.shop.come_back(sale.checkout)


async def browser_first(sale: Sale) -> Reply:
    """Let the buyer come back before Stripe reports the payment."""
    await sale.knobs.deliver(types=list(SUCCEEDED), object_id=sale.checkout.intent_id, hold=True, count=None)
    (await sale.shop.pay(sale.checkout)).ok()
    reply = await sale.shop.come_back(sale.checkout)
    await sale.knobs.release_deliveries()
    return reply


async def both_at_once(sale: Sale) -> Reply:
    """Let both gateways' webhooks and the buyer have read the attempt before any of them records."""
    traps = [sale.system.faults.orders.checkpoint.hold_next(RECORD) for _ in range(3)]
    (await sale.shop.pay(sale.checkout)).ok()
    coming_back = asyncio.create_task(sale.shop.come_back(sale.checkout))
    await asyncio.gather(*(trap.sprung() for trap in traps))
    for trap in traps:
        trap.release()
    return await coming_back


ROADS: Final[Mapping[str, Callable[[Sale], Awaitable[Reply]]]] = {
    "webhook-first": webhook_first,
    "browser-first": browser_first,
    "both-at-once": both_at_once,
}


@pytest_asyncio.fixture(loop_scope="session", params=["guest", "user"])
async def door(system: System, knobs: Knobs, request: pytest.FixtureRequest) -> AsyncIterator[Shop]:
    """Open a shop for a guest, and for a user who has bought nothing so far."""
    user_id = None if request.param == "guest" else f"user-{uuid.uuid4()}"
    async with system.shop(user_id=user_id) as opened:
        yield opened


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("name", CASES)
async def test_a_cart_becomes_exactly_what_it_says(
    system: System, knobs: Knobs, plans: Plans, settled: Waiter, door: Shop, name: str, road: str
) -> None:
    """Sums, intent, rows, customer and Stripe's subscriptions are as the cart says, and everybody sees the same."""
    case = CASES[name]
    granted = await door.initiate(cart_of(system, plans, case.once, case.again))
    checkout = door.opened(granted)

    reply = await ROADS[road](Sale(system, knobs, door, checkout, settled))
    await settled(checkout)
    await knobs.idle()

    assert_promised(case, plans, granted.body)
    assert reply.ok()["status"] == "completed"
    paid = await the_paid_intent(system, checkout)
    await assert_recorded(system, case, checkout, door.user_id)
    await assert_subscribed(system, case, plans, checkout, paid, door.user_id)
    await assert_seen(system, case, door, checkout)
    await assert_reported_once(knobs, checkout)


async def test_p3_all_who_activate_at_once_make_one_stripe_subscription(
    system: System, knobs: Knobs, plans: Plans, shop: Shop, settled: Waiter
) -> None:
    """Two webhooks and the browser have all asked Stripe for it before any of them is answered."""
    # Else an event about what the first of them made may bind it before the others ask.
    await knobs.deliver(types=["customer.subscription.*", "invoice.*"], hold=True, count=None)
    traps = [system.faults.stripe_api.checkpoint.swallow_next(CREATE) for _ in range(3)]
    recording = [system.faults.orders.checkpoint.hold_next(RECORD) for _ in range(3)]
    checkout = await shop.checkout(plan_only(plans, tea=1))
    (await shop.pay(checkout)).ok()
    coming_back = asyncio.create_task(shop.come_back(checkout))
    await asyncio.gather(*(trap.sprung() for trap in recording))
    for trap in recording:
        trap.release()

    await asyncio.gather(*(trap.sprung() for trap in traps))
    for trap in traps:
        trap.release()
    reply = await coming_back
    await settled(checkout)
    await knobs.release_deliveries()
    await knobs.idle()

    (row,) = await system.books.subscriptions_of(checkout.attempt_id)
    made = [one["id"] for one in await made_at_stripe(system, row["stripe_customer_id"])]
    assert made == [row["stripe_subscription_id"]]
    assert [one["id"] for one in reply.ok()["subscriptions"]] == [row["id"]]


async def test_a_user_keeps_the_customer(system: System, plans: Plans, knobs: Knobs, settled: Waiter) -> None:
    """A second checkout makes no second customer; a cart that is paid once needs none."""
    async with system.shop(user_id=f"user-{uuid.uuid4()}") as shop:
        first = await shop.checkout(plan_only(plans, tea=1))
        mark = await knobs.requests_so_far()

        again = await shop.checkout(plan_only(plans, cake=1))
        once = await shop.checkout(system.cart(mug=1))

    assert await knobs.requests("POST", "/v1/customers", after=mark) == []
    assert (await the_paid_intent(system, again))["customer"] == (await the_paid_intent(system, first))["customer"]
    assert (await the_paid_intent(system, once))["customer"] is None


async def test_guests_share_no_customer(system: System, plans: Plans, shop: Shop) -> None:
    """Two guests with the same contact are two customers: nobody sees another's saved payment method."""
    both = [await shop.checkout(plan_only(plans, tea=1)) for _ in range(2)]

    customers = {(await the_paid_intent(system, checkout))["customer"] for checkout in both}
    assert len(customers) == 2
    assert None not in customers


async def test_a_free_line_beside_a_subscription_makes_an_order_of_nothing(
    system: System, plans: Plans, shop: Shop, knobs: Knobs, settled: Waiter
) -> None:
    """With nothing to pay now the intent is a SetupIntent; the free line is in an order all the same."""
    (gift,) = await make_offers(system.stripe, [Ware("Gift", {"usd": 0})])
    await until_on_sale([shop], [gift.price_id])
    cart = Cart([Line(gift.price_id), Line(plans["tea"].price_id)])

    checkout = await shop.checkout(cart)
    (await shop.pay(checkout)).ok()
    await settled(checkout)
    await knobs.idle()

    (order,) = await system.books.orders_of(checkout.attempt_id)
    (subscription,) = await system.books.subscriptions_of(checkout.attempt_id)
    assert checkout.sets_up
    assert (order["total_minor"], order["currency"]) == (0, "usd")
    assert [item["price_id"] for item in await system.books.items_of(checkout.attempt_id)] == [gift.price_id]
    assert subscription["status"] == "active"


async def test_p6_a_user_sees_and_cancels_only_their_own(
    system: System, plans: Plans, members_shop: Shop, settled: Waiter
) -> None:
    """Somebody else's subscription is a 404 to read and to cancel, and in nobody else's list."""
    checkout = await members_shop.checkout(plan_only(plans, tea=1))
    (await members_shop.pay(checkout)).ok()
    await settled(checkout)
    (row,) = await system.books.subscriptions_of(checkout.attempt_id)

    async with system.shop(user_id=f"user-{uuid.uuid4()}") as stranger:
        read = await stranger.subscription(row["id"])
        cancelled = await stranger.cancel_subscription(row["id"], "now")
        listed = (await stranger.subscriptions()).ok()

    assert (read.status, read.problem) == (cancelled.status, cancelled.problem) == (404, "subscription_not_found")
    assert listed["subscriptions"] == []
    assert (await members_shop.subscription(row["id"])).ok()["status"] == "active"


async def the_paid_intent(system: System, checkout: Checkout) -> dict[str, Any]:
    """Return a checkout's intent as Stripe has it."""
    intents = system.stripe.v1
    if checkout.sets_up:
        return (await intents.setup_intents.retrieve_async(checkout.intent_id)).to_dict()
    return (await intents.payment_intents.retrieve_async(checkout.intent_id)).to_dict()


def assert_promised(case: Case, plans: Plans, body: Mapping[str, Any]) -> None:
    """Assert that the buyer was told what will be taken, now and later."""
    rhythms = case.rhythms(plans)
    today = sum(rhythm["amount"] for rhythm in rhythms if not rhythm["trialDays"])
    assert body["intentType"] == ("payment" if case.once else "setup")
    assert (body["intentAmount"], body["amountDueToday"]) == (case.taken_now, case.taken_now + today)
    assert body["currency"] == "usd"
    assert body["recurring"] == rhythms


async def assert_recorded(system: System, case: Case, checkout: Checkout, user_id: str | None) -> None:
    """Assert the one decision, and the one order if anything was paid once (P3, P5)."""
    (payment,) = await system.books.payments_of(checkout.attempt_id)
    orders = await system.books.orders_of(checkout.attempt_id)
    assert (payment["outcome"], payment["intent_id"]) == ("purchase", checkout.intent_id)
    assert (payment["kind"], payment["amount_minor"]) == ("payment" if case.once else "setup", case.taken_now)
    assert [(order["total_minor"], order["currency"], order["user_id"]) for order in orders] == (
        [(case.taken_now, "usd", user_id)] if case.once else []
    )
    assert len(await system.books.items_of(checkout.attempt_id)) == len(case.once)


async def assert_subscribed(
    system: System, case: Case, plans: Plans, checkout: Checkout, paid: Mapping[str, Any], user_id: str | None
) -> None:
    """Assert intent, customer, and one row and one Stripe subscription for each billing interval (P1, P3)."""
    rows = await system.books.subscriptions_of(checkout.attempt_id)
    assert paid["metadata"] == {"checkoutAttemptId": checkout.attempt_id}
    if not case.again:
        assert (paid["customer"], rows) == (None, [])
        return
    assert paid["usage" if checkout.sets_up else "setup_future_usage"] == "off_session"
    if user_id is not None:
        assert paid["customer"] == await system.books.customer_of(user_id)
    made = {one["metadata"]["subscriptionId"]: one for one in await made_at_stripe(system, paid["customer"])}
    assert made.keys() == {row["id"] for row in rows}
    assert len(made) == len(rows) == len(case.rhythms(plans))
    for row, rhythm in zip(rows, case.rhythms(plans), strict=True):
        lines = case.lines(plans, rhythm)
        await assert_one_subscription(system, row, rhythm, lines)
        at_stripe = made[row["id"]]
        assert at_stripe["metadata"] == {"subscriptionId": row["id"]}
        assert at_stripe["default_payment_method"] == row["stripe_payment_method_id"] == paid["payment_method"]
        assert at_stripe["customer"] == row["stripe_customer_id"]
        assert [(item["price"]["id"], item["quantity"]) for item in at_stripe["items"]["data"]] == [
            (offer.price_id, quantity) for offer, quantity in lines
        ]
        assert recorded(row) == shown(at_stripe)
        assert booked(await system.books.invoices_of(row["id"])) == billed([at_stripe["latest_invoice"]])
        assert row["user_id"] == user_id


async def assert_one_subscription(
    system: System, row: Mapping[str, Any], rhythm: Mapping[str, Any], lines: list[tuple[Offer, int]]
) -> None:
    """Assert that a row and its lines say what was bought."""
    trial = rhythm["trialDays"]
    (invoice,) = await system.books.invoices_of(row["id"])
    items = await system.books.subscription_items_of(row["id"])
    assert (row["interval"], row["interval_count"], row["trial_days"]) == (
        rhythm["interval"],
        rhythm["intervalCount"],
        trial,
    )
    assert row["status"] == ("trialing" if trial else "active")
    assert (invoice["status"], invoice["amount_paid_minor"]) == ("paid", 0 if trial else rhythm["amount"])
    assert [(item["price_id"], item["name"], item["quantity"], item["unit_amount_minor"]) for item in items] == [
        (offer.price_id, offer.name, quantity, offer.unit_amount) for offer, quantity in lines
    ]


async def assert_seen(system: System, case: Case, door: Shop, checkout: Checkout) -> None:
    """Assert that the buyer is shown what stands in the database, and a user lists it as theirs."""
    rows = await system.books.subscriptions_of(checkout.attempt_id)
    status = (await door.status(checkout.attempt_id)).ok()
    purchase = status["purchase"]
    seen = [(one["id"], one["status"], one["amount"]) for one in purchase["subscriptions"]]
    assert status["status"] == "completed"
    assert (purchase.get("order") or {}).get("totalAmount") == (case.taken_now if case.once else None)
    assert [(each[0], each[1]) for each in seen] == [(row["id"], row["status"]) for row in rows]
    if door.user_id is None:
        return
    listed = (await door.subscriptions()).ok()["subscriptions"]
    assert {(one["id"], one["status"], one["amount"]) for one in listed} == set(seen)
    for one in listed:
        assert (await door.subscription(one["id"])).ok()["checkoutAttemptId"] == checkout.attempt_id


async def assert_reported_once(knobs: Knobs, checkout: Checkout) -> None:
    """Assert that each gateway answered the report with success at once, and that there was one."""
    deliveries = await knobs.deliveries(object_id=checkout.intent_id)
    ended = [each for each in deliveries if each["event_type"] in SUCCEEDED]
    assert [(each["state"], each["attempts"]) for each in ended] == [("delivered", 1)] * 2
