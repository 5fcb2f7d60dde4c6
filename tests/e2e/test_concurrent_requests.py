"""Random carts, bought concurrently at two gateways.

Each payment is reported by a webhook to each gateway and by the returning browser, mostly at the same moment.
"""

import random
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .harness.control_api import ControlApi
from .harness.load import Purchase, Reports, buy_all, buyers_of_distinct_sums, open_shops, reports_of
from .harness.products import Price, Product, create_prices, until_on_sale
from .harness.shop import Cart, Line
from .harness.stores import OrderCounts
from .harness.system import System, running_system
from .timeouts import UNDER_LOAD

SEED: Final = 20_260_101
PURCHASES: Final = 150
AT_ONCE: Final = 32
PRODUCTS: Final = 60
MAX_RANDOM_LINES: Final = 12
SHIPPING: Final = 500
USERS: Final = 8
MIN_OVERLAP: Final = 0.5
"""Share of payments whose two webhooks must be under way at the same moment; about 1 on a quiet machine."""
MIN_OVERLAP_WITH_BROWSER: Final = 0.1
"""Share of payments whose browser must return at that moment too; a third if six more processes want both cores."""
RETRYING_SOON: Final = ("--webhook-backoff", "0.1", "--webhook-backoff-max", "0.4", "--webhook-attempts", "20")

Item = tuple[str, str, int, int]
"""Price id, name, quantity and unit amount of an order's line."""


@dataclass(frozen=True)
class Market:
    """Prices for sale."""

    prices: Mapping[str, Price]
    """By price id."""
    shipping_rate: str

    def total(self, cart: Cart) -> int:
        """Return a cart's sum in minor units."""
        lines = sum(self.prices[line.price_id].unit_amount * line.quantity for line in cart.lines)
        return lines + (SHIPPING if cart.shipping_option_id else 0)

    def items(self, cart: Cart) -> list[Item]:
        """Return a cart's lines as its order must have them."""
        lines = [(self.prices[line.price_id], line.quantity) for line in cart.lines]
        return [(price.id, price.name, quantity, price.unit_amount) for price, quantity in lines]


@dataclass(frozen=True)
class Bought:
    """All purchases and Stripe's reports of them."""

    market: Market
    purchases: Sequence[Purchase]
    reports: Reports


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run two gateways without proxies; Stripe delivers every event to both."""
    options = StackOptions(
        gateways=2,
        webhook_for_each_gateway=True,
        durable=False,
        seed=3,
        simulator_arguments=RETRYING_SOON,
        settings=UNDER_LOAD,
    )
    async with running_system(tmp_path_factory.mktemp("holdfast"), options=options) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bought(system: System) -> Bought:
    """Buy all carts, thirty-two at a time, and wait until Stripe has delivered every event."""
    dice = random.Random(SEED)  # noqa: S311 - not for secrets
    user_ids = [*(f"user-{number}" for number in range(USERS)), None]
    async with (
        ControlApi(system.backend.addresses.stripe_api) as control_api,
        open_shops(system, user_ids) as shops,
    ):
        market = await open_market(dice, system)
        await until_on_sale(shops[0], market.prices.values())
        buyers = list(
            buyers_of_distinct_sums(dice, shops, lambda: random_cart(dice, market), market.total, PURCHASES),
        )
        await control_api.until_idle()
        purchases = await buy_all(buyers, at_once=AT_ONCE)
        await control_api.until_idle()
        return Bought(market, purchases, await reports_of(control_api, purchases))


async def test_p5_every_order_has_the_sum_that_stripe_received(system: System, bought: Bought) -> None:
    """Different sums, one by one: the cart's, the one that Stripe received, and the order's."""
    due = {each.checkout.intent_id: (bought.market.total(each.buyer.cart), "usd") for each in bought.purchases}

    intents = await intents_at_stripe(system)
    received = {intent["id"]: (intent["amount_received"], intent["currency"]) for intent in intents}
    orders = await system.orders_db.rows("SELECT payment_intent_id, total_minor, currency FROM orders")

    assert len(set(received.values())) == len(received) == len(orders) == PURCHASES
    assert {row["payment_intent_id"]: (row["total_minor"], row["currency"]) for row in orders} == received == due


async def test_p1_every_intent_carries_the_attempt_id_alone(system: System, bought: Bought) -> None:
    """Stripe holds `metadata: {checkoutAttemptId}`."""
    intents = await intents_at_stripe(system)

    assert {intent["id"]: intent["metadata"] for intent in intents} == {
        each.checkout.intent_id: {"checkoutAttemptId": each.checkout.attempt_id} for each in bought.purchases
    }


async def test_p3_every_cart_became_one_order(system: System, bought: Bought) -> None:
    """Each attempt has one order with the cart's lines, a number of its own, and one outbox message."""
    orders = await recorded_orders(system)
    messages = await system.orders_db.rows("SELECT topic, aggregate_id FROM outbox")

    assert {order["attempt"]: (order["user_id"], order["items"]) for order in orders} == {
        each.checkout.attempt_id: (each.buyer.begins_at.user_id, bought.market.items(each.buyer.cart))
        for each in bought.purchases
    }
    assert len({order["number"] for order in orders}) == len(orders) == PURCHASES
    assert {message["topic"] for message in messages} == {"purchase.recorded"}
    assert sorted(message["aggregate_id"] for message in messages) == sorted(order["id"] for order in orders)


async def test_p3_nothing_is_left_and_nothing_is_quarantined(system: System, bought: Bought) -> None:
    """No attempt has content or a check time, and each payment has one decision, a purchase."""
    assert await system.attempt_store.content_keys() == []
    assert await system.attempt_store.count_due() == 0
    assert await system.orders_db.counts() == OrderCounts(orders=PURCHASES, purchases=PURCHASES, quarantined=0)


async def test_p3_every_report_is_answered_with_success(bought: Bought) -> None:
    """Both gateways answer 200 to the first attempt of every delivery."""
    assert bought.reports.answers == {200: 2 * PURCHASES}
    assert {len(spans) for spans in bought.reports.spans.values()} == {2}


async def test_p3_every_browser_is_shown_the_recorded_order(system: System, bought: Bought) -> None:
    """The answer to the returning browser is the order in the database."""
    recorded = {order["attempt"]: order for order in await recorded_orders(system)}

    assert {each.reply.status for each in bought.purchases} == {200}
    for each in bought.purchases:
        assert each.reply.body["status"] == "completed"
        assert as_recorded(each.reply.body["order"], each) == recorded[each.checkout.attempt_id]


async def test_p6_every_user_reads_their_own_orders(system: System, bought: Bought) -> None:
    """The pages of GET /api/orders give each user exactly their orders, newest first."""
    orders = await recorded_orders(system)

    for user_id in {each.buyer.begins_at.user_id for each in bought.purchases} - {None}:
        async with system.shop(user_id=user_id, gateway=1) as shop:
            read = await shop.all_orders(limit=7)
        assert [order["id"] for order in read] == [order["id"] for order in orders if order["user_id"] == user_id]


async def test_the_reports_came_at_the_same_moment(bought: Bought) -> None:
    """Most payments were reported to both gateways at once, and some by the browser too."""
    both = bought.reports.overlapping(bought.purchases)
    with_browser = bought.reports.overlapping(bought.purchases, with_browser=True)
    sys.stdout.write(f"both webhooks at once: {both}, with the browser: {with_browser}, of {PURCHASES}\n")

    assert both >= MIN_OVERLAP * PURCHASES
    assert with_browser >= MIN_OVERLAP_WITH_BROWSER * PURCHASES


async def open_market(dice: random.Random, system: System) -> Market:
    """Put products of random prices on sale."""
    products = [Product(f"Product {number}", {"usd": dice.randint(101, 9_999)}) for number in range(PRODUCTS)]
    prices = await create_prices(system.stripe, products)
    return Market({price.id: price for price in prices}, system.backend.catalogue.shipping_rates["standard"])


def random_cart(dice: random.Random, market: Market) -> Cart:
    """Return a cart of a few different products, to be shipped or not."""
    chosen = dice.sample(list(market.prices), dice.randint(1, MAX_RANDOM_LINES))
    lines = [Line(price_id, dice.randint(1, 9)) for price_id in chosen]
    return Cart(lines, shipping_option_id=dice.choice([None, market.shipping_rate]))


async def intents_at_stripe(system: System) -> list[dict[str, Any]]:
    """Return every payment intent."""
    listed = await system.stripe.v1.payment_intents.list_async({"limit": 100})
    return [intent.to_dict() async for intent in listed.auto_paging_iter()]


async def recorded_orders(system: System) -> list[dict[str, Any]]:
    """Return every order with its items, newest first."""
    orders = await system.orders_db.rows(
        "SELECT id::text, number, checkout_attempt_id AS attempt, user_id, total_minor AS total, currency"
        " FROM orders ORDER BY created_at DESC, orders.id DESC"
    )
    items = defaultdict[str, list[Item]](list)
    for row in await system.orders_db.rows("SELECT * FROM order_items ORDER BY position"):
        items[str(row["order_id"])].append((row["price_id"], row["name"], row["quantity"], row["unit_amount_minor"]))
    return [{**order, "items": items[order["id"]]} for order in orders]


def as_recorded(order: Mapping[str, Any], purchase: Purchase) -> dict[str, Any]:
    """Return an order of the gateway's answer in the form of `recorded_orders`."""
    return {
        "id": order["id"],
        "number": order["number"],
        "attempt": order["checkoutAttemptId"],
        "user_id": purchase.buyer.begins_at.user_id,
        "total": order["totalAmount"],
        "currency": order["currency"],
        "items": [(item["priceId"], item["name"], item["quantity"], item["unitAmount"]) for item in order["items"]],
    }
