"""Many buyers at once: every road to every order is taken at the same moment, through two gateways.

Five hundred random carts are bought once; each test then looks at another side of what that came to.
"""

import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .deadlines import AT_LEISURE
from .harness.knobs import Knobs
from .harness.operators import Tally
from .harness.rush import Buyer, Purchase, Reports, Span, overlap, reports_of, rush
from .harness.shop import Cart, Line, Shop
from .harness.system import System, running_system
from .harness.wares import Offer, Ware, make_offers, make_shipping_rate, until_on_sale

SEED: Final = 20_260_101
PURCHASES: Final = 500
AT_ONCE: Final = 32
ONE_BY_ONE: Final = 20
"""Purchases made before, one at a time, for comparison of the times."""
WARES: Final = 60
MOST_LINES: Final = 12
SHIPPING: Final = 595
USERS: Final = 8

LEAST_OVERLAP: Final = 0.9
"""Share of payments whose two webhooks must have been under way at the same moment."""
LEAST_OVERLAP_WITH_BROWSER: Final = 0.5
"""Share of payments where the browser's request must have been under way at that moment too."""

# What is refused is delivered again soon, but not for ever.
RETRYING_SOON: Final = ("--webhook-backoff", "0.1", "--webhook-backoff-max", "0.4", "--webhook-attempts", "20")

Note = Callable[[str, object], None]
Item = tuple[str, str, int, int]
"""A line of an order: price id, name, quantity, unit amount."""


@dataclass(frozen=True)
class Market:
    """What is on sale."""

    offers: Mapping[str, Offer]
    """By price id."""
    shipping_rate: str

    def total(self, cart: Cart) -> int:
        """Return what a cart comes to, in minor units."""
        lines = sum(self.offers[line.price_id].unit_amount * line.quantity for line in cart.lines)
        return lines + (SHIPPING if cart.shipping_option_id else 0)

    def items(self, cart: Cart) -> list[Item]:
        """Return a cart's lines as an order should have them."""
        sold = [(self.offers[line.price_id], line.quantity) for line in cart.lines]
        return [(offer.price_id, offer.name, quantity, offer.unit_amount) for offer, quantity in sold]


@dataclass(frozen=True)
class Crossfire:
    """What was bought at once, what was bought before one by one, and how Stripe reported it."""

    market: Market
    purchases: Sequence[Purchase]
    reports: Reports
    seconds: float
    alone: Sequence[Purchase]
    alone_reports: Reports

    @property
    def everything(self) -> Sequence[Purchase]:
        """Every purchase there was."""
        return [*self.purchases, *self.alone]

    @property
    def overlapping(self) -> int:
        """How many payments were reported to both gateways at the same moment."""
        return sum(overlap(self._webhooks(each)) for each in self.purchases)

    @property
    def overlapping_with_browser(self) -> int:
        """How many payments were reported to both gateways and by the browser at the same moment."""
        return sum(overlap([*self._webhooks(each), each.come_back]) for each in self.purchases)

    def _webhooks(self, purchase: Purchase) -> Sequence[Span]:
        return self.reports.spans[purchase.checkout.intent_id]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run two gateways, to each of which Stripe reports every event, with nothing in between."""
    options = StackOptions(
        gateways=2,
        webhook_for_each_gateway=True,
        durable=False,
        seed=3,
        simulator_arguments=RETRYING_SOON,
        settings=AT_LEISURE,
    )
    async with running_system(tmp_path_factory.mktemp("holdfast"), options=options) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def crossfire(system: System, record_testsuite_property: Note) -> Crossfire:
    """Buy five hundred carts, thirty-two at a time, and wait until Stripe has nothing more to say."""
    async with Knobs(system.backend.addresses.stripe_api) as knobs, open_shops(system) as shops:
        dice = random.Random(SEED)  # noqa: S311 - what somebody buys is no secret
        market = await open_market(dice, system, shops)
        buyers = list(random_buyers(dice, market, shops, ONE_BY_ONE + PURCHASES))
        await knobs.idle()
        alone = await rush(buyers[:ONE_BY_ONE], at_once=1)
        await knobs.idle()
        began = time.monotonic()
        purchases = await rush(buyers[ONE_BY_ONE:], at_once=AT_ONCE)
        await knobs.idle()
        seconds = time.monotonic() - began
        reports, alone_reports = await reports_of(knobs, purchases), await reports_of(knobs, alone)
    bought = Crossfire(market, purchases, reports, seconds, alone, alone_reports)
    for name, value in figures(bought):
        record_testsuite_property(name, value)
        sys.stdout.write(f"{name}: {value}\n")
    return bought


async def test_p5_every_order_is_what_stripe_received(system: System, crossfire: Crossfire) -> None:
    """Five hundred different sums, one by one: what the cart comes to, what Stripe received, what the order says."""
    due = {each.checkout.intent_id: crossfire.market.total(each.buyer.cart) for each in crossfire.everything}

    listed = await system.stripe.v1.payment_intents.list_async({"limit": 100})
    received = {intent.id: (intent.amount_received, intent.currency) async for intent in listed.auto_paging_iter()}
    orders = await system.books.rows("SELECT payment_intent_id, total_minor, currency FROM orders")

    recorded = {order["payment_intent_id"]: (order["total_minor"], order["currency"]) for order in orders}
    assert len(crossfire.purchases) == PURCHASES
    assert len(set(received.values())) == len(received) == len(orders) == PURCHASES + ONE_BY_ONE
    assert recorded == received == {intent_id: (amount, "usd") for intent_id, amount in due.items()}


async def test_p3_every_cart_became_one_order(system: System, crossfire: Crossfire) -> None:
    """Each attempt has its one order with the cart's lines, a number of its own, and one message in the outbox."""
    orders = await recorded_orders(system)
    told = await system.books.rows("SELECT topic, aggregate_id FROM outbox")

    assert {order["attempt"]: (order["user_id"], order["items"]) for order in orders} == {
        each.checkout.attempt_id: (each.buyer.begins_at.user_id, crossfire.market.items(each.buyer.cart))
        for each in crossfire.everything
    }
    assert len({order["number"] for order in orders}) == len(orders) == len(crossfire.everything)
    assert {row["topic"] for row in told} == {"purchase.recorded"}
    assert sorted(row["aggregate_id"] for row in told) == sorted(order["id"] for order in orders)


async def test_p3_nothing_is_left_and_nothing_is_set_aside(system: System, crossfire: Crossfire) -> None:
    """No attempt's content, none to be checked, one decision for each payment, and none of them a quarantine."""
    bought = len(crossfire.everything)

    assert await system.attempts.content_keys() == []
    assert await system.attempts.count_due() == 0
    assert await system.books.tally() == Tally(orders=bought, purchases=bought, quarantined=0)


async def test_p3_every_report_is_answered_with_success(crossfire: Crossfire) -> None:
    """Both gateways answer 200 to the first delivery of every event, whoever was first."""
    assert crossfire.reports.answers == {200: 2 * PURCHASES}
    assert {len(spans) for spans in crossfire.reports.spans.values()} == {2}


async def test_p3_every_browser_is_shown_the_recorded_order(system: System, crossfire: Crossfire) -> None:
    """What POST /api/orders answered in the crossfire is the order that stands in the database."""
    recorded = {order["attempt"]: order for order in await recorded_orders(system)}

    assert {each.reply.status for each in crossfire.everything} == {200}
    for each in crossfire.everything:
        assert each.reply.body["status"] == "completed"
        assert as_row(each.reply.body["order"]) == without_user(recorded[each.checkout.attempt_id])


async def test_p3_every_user_reads_their_own_orders(system: System, crossfire: Crossfire) -> None:
    """Paging through GET /api/orders gives each user exactly their orders, newest first, as they stand."""
    recorded = await recorded_orders(system)

    for user_id in {each.buyer.begins_at.user_id for each in crossfire.everything}:
        async with system.shop(user_id=user_id, gateway=1) as shop:
            read = [as_row(order) async for order in all_orders(shop)]
        assert read == [without_user(order) for order in recorded if order["user_id"] == user_id]


def test_p3_the_reports_did_overlap(crossfire: Crossfire) -> None:
    """Almost every payment was reported to both gateways at the same moment, and mostly by the browser as well."""
    assert crossfire.overlapping >= LEAST_OVERLAP * PURCHASES
    assert crossfire.overlapping_with_browser >= LEAST_OVERLAP_WITH_BROWSER * PURCHASES


@asynccontextmanager
async def open_shops(system: System) -> AsyncIterator[list[tuple[Shop, ...]]]:
    """Open a shop in front of each gateway for each of some users."""
    async with AsyncExitStack() as opened:
        yield [
            tuple(
                [await opened.enter_async_context(system.shop(user_id=f"user-{user}", gateway=way)) for way in (0, 1)]
            )
            for user in range(USERS)
        ]


async def open_market(dice: random.Random, system: System, shops: Sequence[tuple[Shop, ...]]) -> Market:
    """Put wares of random prices on sale, and wait until both gateways sell them."""
    prices = dice.sample(range(101, 9_999), WARES)
    wares = [Ware(f"Ware {place}", {"usd": amount}) for place, amount in enumerate(prices)]
    rate = await make_shipping_rate(system.stripe, name="By boat", amount=SHIPPING, currency="usd")
    offers = {offer.price_id: offer for offer in await make_offers(system.stripe, wares)}
    await until_on_sale(shops[0], offers)
    return Market(offers, rate)


def random_buyers(
    dice: random.Random, market: Market, shops: Sequence[tuple[Shop, ...]], count: int
) -> Iterator[Buyer]:
    """Yield buyers whose carts all come to another sum, with half of them returning to another gateway."""
    seen: set[int] = set()
    while len(seen) < count:
        cart = random_cart(dice, market)
        if (total := market.total(cart)) not in seen:
            seen.add(total)
            of_one_user = dice.choice(shops)
            yield Buyer(cart, begins_at=dice.choice(of_one_user), returns_to=dice.choice(of_one_user))


def random_cart(dice: random.Random, market: Market) -> Cart:
    """Fill a cart with some different wares, to be shipped or not."""
    chosen = dice.sample(list(market.offers), dice.randint(1, MOST_LINES))
    lines = [Line(price_id, dice.randint(1, 9)) for price_id in chosen]
    return Cart(lines, shipping_option_id=dice.choice([None, market.shipping_rate]))


async def recorded_orders(system: System) -> list[dict[str, Any]]:
    """Return every order with its lines as the database has it, newest first."""
    orders = await system.books.rows(
        "SELECT id::text, number, checkout_attempt_id AS attempt, user_id, total_minor AS total, currency"
        " FROM orders ORDER BY created_at DESC, orders.id DESC"
    )
    items = defaultdict[str, list[Item]](list)
    for row in await system.books.rows("SELECT * FROM order_items ORDER BY position"):
        items[str(row["order_id"])].append((row["price_id"], row["name"], row["quantity"], row["unit_amount_minor"]))
    return [{**order, "items": items[order["id"]]} for order in orders]


def without_user(order: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of an order what the gateway shows to nobody."""
    return {name: value for name, value in order.items() if name != "user_id"}


def as_row(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order that the gateway answered, spelled as the database spells it."""
    return {
        "id": order["id"],
        "number": order["number"],
        "attempt": order["checkoutAttemptId"],
        "total": order["totalAmount"],
        "currency": order["currency"],
        "items": [(item["priceId"], item["name"], item["quantity"], item["unitAmount"]) for item in order["items"]],
    }


async def all_orders(shop: Shop) -> AsyncIterator[dict[str, Any]]:
    """Page through a user's orders."""
    query = {"limit": "7"}
    while True:
        page = (await shop.orders(**query)).ok()
        for order in page["orders"]:
            yield order
        if not page.get("nextCursor"):
            return
        query["cursor"] = page["nextCursor"]


def figures(bought: Crossfire) -> Iterator[tuple[str, object]]:
    """Yield what was measured: for the test report, and for whoever runs this with `pytest -rP`."""
    yield "seed of the carts", SEED
    yield "purchases a second", f"{PURCHASES / bought.seconds:.1f}"
    yield "both webhooks at once", f"{bought.overlapping / PURCHASES:.1%}"
    yield "both webhooks and the browser at once", f"{bought.overlapping_with_browser / PURCHASES:.1%}"
    for when, purchases, reports in (
        ("one by one", bought.alone, bought.alone_reports),
        (f"{AT_ONCE} at once", bought.purchases, bought.reports),
    ):
        webhooks = [span for spans in reports.spans.values() for span in spans]
        yield f"initiate, {when}", in_milliseconds(each.initiate for each in purchases)
        yield f"webhook, {when}", in_milliseconds(webhooks)
        yield f"POST /api/orders, {when}", in_milliseconds(each.come_back for each in purchases)


def in_milliseconds(spans: Iterable[Span]) -> str:
    """Say how long something took: median and 95th percentile."""
    hundredths = statistics.quantiles((1000 * span.seconds for span in spans), n=100, method="inclusive")
    return f"median {hundredths[49]:.0f} ms, p95 {hundredths[94]:.0f} ms"
