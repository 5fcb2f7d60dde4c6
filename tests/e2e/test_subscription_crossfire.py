"""Many mixed carts at once: all roads to each purchase are taken at the same moment, and Stripe fails after the effect.

Three hundred carts are bought once; each test then looks at another side of what that came to.
"""

import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .deadlines import AT_LEISURE
from .harness.knobs import Knobs
from .harness.operators import Tally
from .harness.plans import recorded, shown
from .harness.rush import Buyer, Purchase, Reports, overlap, reports_of, rush
from .harness.shop import Cart, Line, Shop
from .harness.system import System, running_system
from .harness.wares import Offer, Rhythm, Ware, make_offers, until_on_sale

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]
"""The first test waits for all purchases, which takes a busy machine its time."""

SEED: Final = 20_260_401
PURCHASES: Final = 300
AT_ONCE: Final = 32
TRIES: Final = 4
"""A checkout for which Stripe fails more often than one request makes up for is asked for again."""
WARES: Final = 40
PLANS: Final = 12
"""Of each rhythm."""
RHYTHMS: Final = (Rhythm("month"), Rhythm("year"), Rhythm("week", 2))
USERS: Final = 24
GUESTS: Final = 4

FAILING: Final = ("/v1/payment_intents", "/v1/subscriptions", "/v1/customers")
"""Where Stripe answers 500 after the effect."""
FAILURE_RATE: Final = 0.1
FAILURES_AMONG: Final = {"/v1/payment_intents": 300, "/v1/subscriptions": 400, "/v1/customers": 60}
"""Out of so many first requests."""
UNHEEDED: Final = (
    "charge.*",
    "customer.created",
    "customer.updated",
    "payment_method.*",
    "payment_intent.created",
    "payment_intent.canceled",
    "invoice.created",
    "invoice.finalized",
    "invoice.payment_succeeded",
)
"""Events that say nothing which another one does not say too."""
LEAST_OVERLAP: Final = 0.9

UNLIMITED: Final = {"STRIPE_MAX_CONCURRENT": "400", "STRIPE_REQUESTS_PER_SECOND": "2000"}
SETTINGS: Final = {
    **AT_LEISURE,
    "gateway": {**AT_LEISURE["gateway"], **UNLIMITED},
    "gateway-2": {**AT_LEISURE["gateway-2"], **UNLIMITED},
}
# What is refused is delivered again soon, but not for ever.
RETRYING_SOON: Final = ("--webhook-backoff", "0.1", "--webhook-backoff-max", "0.4", "--webhook-attempts", "40")

Note = Callable[[str, object], None]
Item = tuple[str, int]
"""Price id and quantity."""


@dataclass(frozen=True)
class Market:
    """What is on sale."""

    once: Mapping[str, Offer]
    """By price id; so is the next."""
    again: Mapping[str, Offer]

    def total(self, cart: Cart) -> int:
        """Return what a cart's intent takes, in minor units."""
        return sum(self.once[line.price_id].unit_amount * line.quantity for line in cart.lines if self.is_once(line))

    def is_once(self, line: Line) -> bool:
        """Whether a line is paid once."""
        return line.price_id in self.once

    def begun_by(self, cart: Cart) -> dict[Rhythm, list[Item]]:
        """Return what a cart subscribes to, by billing interval in the order of the cart."""
        begun = defaultdict[Rhythm, list[Item]](list)
        for line in cart.lines:
            rhythm = None if self.is_once(line) else self.again[line.price_id].rhythm
            if rhythm is not None:
                begun[rhythm].append((line.price_id, line.quantity))
        return begun


@dataclass(frozen=True)
class Crossfire:
    """What was bought at once, how Stripe reported it, and how often it failed."""

    market: Market
    purchases: Sequence[Purchase]
    reports: Reports
    seconds: float
    failures: Mapping[str, Counter[int]]
    """By path, what requests that make something were answered; repeated answers left out."""
    undelivered: int

    @property
    def overlapping(self) -> int:
        """How many payments were reported to both gateways at the same moment."""
        return sum(overlap(self.reports.spans[each.checkout.intent_id]) for each in self.purchases)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run two gateways, to each of which Stripe reports every event, with nothing in between."""
    options = StackOptions(
        gateways=2,
        webhook_for_each_gateway=True,
        durable=False,
        seed=9,
        simulator_arguments=RETRYING_SOON,
        settings=SETTINGS,
    )
    async with running_system(tmp_path_factory.mktemp("holdfast"), options=options) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def crossfire(system: System, record_testsuite_property: Note) -> Crossfire:
    """Buy three hundred carts, thirty-two at a time, and wait until Stripe has nothing more to say."""
    dice = random.Random(SEED)  # noqa: S311 - what somebody buys is no secret
    async with Knobs(system.backend.addresses.stripe_api) as knobs, open_shops(system) as shops:
        market = await open_market(dice, system, shops)
        buyers = list(random_buyers(dice, market, shops))
        await knobs.idle()
        await knobs.deliver(types=list(UNHEEDED), drop=True, count=None)
        for path in FAILING:
            await fail_some(dice, knobs, path)
        began = time.monotonic()
        purchases = await rush(buyers, at_once=AT_ONCE, tries=TRIES)
        await knobs.idle(seconds=240)
        seconds = time.monotonic() - began
        reports = await reports_of(knobs, purchases)
        failures = {path: await answers(knobs, path) for path in FAILING}
        undelivered = [each for each in await knobs.deliveries() if each["state"] not in ("delivered", "dropped")]
    bought = Crossfire(market, purchases, reports, seconds, failures, len(undelivered))
    for name, value in figures(bought):
        record_testsuite_property(name, value)
        sys.stdout.write(f"{name}: {value}\n")
    return bought


async def test_p5_every_order_is_what_stripe_received(system: System, crossfire: Crossfire) -> None:
    """Three hundred different sums: what the one-time lines come to, what Stripe received, what the order says."""
    due = {each.checkout.intent_id: crossfire.market.total(each.buyer.cart) for each in crossfire.purchases}

    listed = await system.stripe.v1.payment_intents.list_async({"limit": 100})
    received = {
        intent.id: intent.amount_received
        async for intent in listed.auto_paging_iter()
        if intent.status == "succeeded" and "checkoutAttemptId" in intent.metadata
    }
    orders = await system.books.rows("SELECT payment_intent_id, total_minor FROM orders")

    assert len(crossfire.purchases) == PURCHASES
    assert len(set(due.values())) == PURCHASES
    assert received == due
    assert sorted((order["payment_intent_id"], order["total_minor"]) for order in orders) == sorted(due.items())


async def test_p3_every_interval_became_one_subscription(system: System, crossfire: Crossfire) -> None:
    """One row for each billing interval of each cart, with its lines, bound to the one that Stripe has for it."""
    rows = await rows_by_attempt(system)
    at_stripe = await all_at_stripe(system)

    wanted = {each.checkout.attempt_id: crossfire.market.begun_by(each.buyer.cart) for each in crossfire.purchases}
    assert {attempt: [rhythm_of(row) for row in begun] for attempt, begun in rows.items()} == {
        attempt: list(begun) for attempt, begun in wanted.items()
    }
    everything = [row for begun in rows.values() for row in begun]
    assert Counter(row["status"] for row in everything) == {"active": len(everything)}
    assert len(everything) == len(at_stripe)
    assert {row["id"]: recorded(row) for row in everything} == {
        one["metadata"]["subscriptionId"]: shown(one) for one in at_stripe
    }
    bought = {row["id"]: wanted[attempt][rhythm_of(row)] for attempt, begun in rows.items() for row in begun}
    assert {one["metadata"]["subscriptionId"]: items_of(one) for one in at_stripe} == bought


async def test_p3_every_subscription_was_charged_once(system: System, crossfire: Crossfire) -> None:
    """Each has one paid invoice, of the sum of its lines, and the row of it."""
    at_stripe = await all_at_stripe(system)
    charged = await system.books.rows(
        "SELECT stripe_subscription_id AS id, total_minor, amount_paid_minor, i.status FROM subscription_invoices i"
        " JOIN subscriptions s ON s.id = i.subscription_id"
    )

    due = {one["id"]: sum(unit["price"]["unit_amount"] * unit["quantity"] for unit in lines(one)) for one in at_stripe}
    assert {row["id"]: (row["total_minor"], row["amount_paid_minor"], row["status"]) for row in charged} == {
        stripe_id: (amount, amount, "paid") for stripe_id, amount in due.items()
    }
    assert len(charged) == len(due)


async def test_one_customer_for_each_user(system: System, crossfire: Crossfire) -> None:
    """All that a user subscribed to is one customer's, whom nobody else is; guests have one for each purchase."""
    rows = await rows_by_attempt(system)
    kept = {row["user_id"]: row["stripe_customer_id"] for row in await system.books.rows("SELECT * FROM customers")}

    used = defaultdict[str, set[str]](set)
    for each in crossfire.purchases:
        who = each.buyer.begins_at.user_id or each.checkout.attempt_id
        used[who] |= {row["stripe_customer_id"] for row in rows[each.checkout.attempt_id]}
    users = {each.buyer.begins_at.user_id for each in crossfire.purchases} - {None}
    assert {len(customers) for customers in used.values()} == {1}
    assert len(set.union(*used.values())) == len(used)
    assert kept == {user_id: next(iter(used[user_id])) for user_id in users if user_id}


async def test_p3_nothing_is_left_and_nothing_is_set_aside(system: System, crossfire: Crossfire) -> None:
    """No attempt's content, no delivery that was given up, one decision for each payment, and none a quarantine."""
    assert await system.attempts.content_keys() == []
    assert crossfire.undelivered == 0
    assert await system.books.tally() == Tally(orders=PURCHASES, purchases=PURCHASES, quarantined=0)


async def test_p3_every_browser_is_shown_its_purchase(system: System, crossfire: Crossfire) -> None:
    """Each POST /api/orders answered the order and the subscriptions that stand in the database."""
    rows = await rows_by_attempt(system)

    assert {(each.reply.status, each.reply.body["status"]) for each in crossfire.purchases} == {(200, "completed")}
    for each in crossfire.purchases:
        told = each.reply.body
        assert told["order"]["totalAmount"] == crossfire.market.total(each.buyer.cart)
        assert [one["id"] for one in told["subscriptions"]] == [row["id"] for row in rows[each.checkout.attempt_id]]


def test_stripe_failed_and_reported_at_once(crossfire: Crossfire) -> None:
    """A tenth of what makes something was answered 500 after the effect, and almost every report overlapped."""
    for path, answered in crossfire.failures.items():
        assert answered[500] == FAILURE_RATE * FAILURES_AMONG[path], path
    assert crossfire.overlapping >= LEAST_OVERLAP * PURCHASES


@asynccontextmanager
async def open_shops(system: System) -> AsyncIterator[list[tuple[Shop, ...]]]:
    """Open a shop in front of each gateway for each of some users and guests."""
    async with AsyncExitStack() as opened:
        yield [
            tuple([await opened.enter_async_context(system.shop(user_id=user_id, gateway=way)) for way in (0, 1)])
            for user_id in [*(f"user-{number}" for number in range(USERS)), *([None] * GUESTS)]
        ]


async def open_market(dice: random.Random, system: System, shops: Sequence[tuple[Shop, ...]]) -> Market:
    """Put wares and plans of random prices on sale, and wait until both gateways sell them."""
    wares = [Ware(f"Ware {place}", {"usd": dice.randint(101, 9_999)}) for place in range(WARES)]
    plans = [
        Ware(f"Plan {place} by the {rhythm.interval}", {"usd": dice.randint(101, 4_999)}, rhythm=rhythm)
        for rhythm in RHYTHMS
        for place in range(PLANS)
    ]
    offers = {offer.price_id: offer for offer in await make_offers(system.stripe, [*wares, *plans])}
    await until_on_sale(shops[0], offers)
    return Market(
        {price_id: offer for price_id, offer in offers.items() if offer.rhythm is None},
        {price_id: offer for price_id, offer in offers.items() if offer.rhythm is not None},
    )


def random_buyers(dice: random.Random, market: Market, shops: Sequence[tuple[Shop, ...]]) -> Iterator[Buyer]:
    """Yield buyers whose intents all come to another sum, with half of them returning to another gateway."""
    seen: set[int] = set()
    while len(seen) < PURCHASES:
        cart = random_cart(dice, market)
        if (total := market.total(cart)) not in seen:
            seen.add(total)
            of_one = dice.choice(shops)
            yield Buyer(cart, begins_at=dice.choice(of_one), returns_to=dice.choice(of_one))


def random_cart(dice: random.Random, market: Market) -> Cart:
    """Fill a cart with some wares and some plans, in any order."""
    chosen = dice.sample(list(market.once), dice.randint(1, 5)) + dice.sample(list(market.again), dice.randint(1, 3))
    dice.shuffle(chosen)
    return Cart([Line(price_id, dice.randint(1, 9)) for price_id in chosen])


async def fail_some(dice: random.Random, knobs: Knobs, path: str) -> None:
    """Let some of the first requests that make something be answered 500 after they took effect."""
    among = FAILURES_AMONG[path]
    # A fault does not count what an earlier one has struck.
    for struck_before, place in enumerate(sorted(dice.sample(range(among), round(FAILURE_RATE * among)))):
        await knobs.fault(kind="error_after", method="POST", path=path, skip=place - struck_before, first_only=True)


async def answers(knobs: Knobs, path: str) -> Counter[int]:
    """Count what Stripe answered to what it had not answered before."""
    return Counter(each["status"] for each in await knobs.requests("POST", path) if not each["replayed"])


async def rows_by_attempt(system: System) -> dict[str, list[dict[str, Any]]]:
    """Return the subscriptions' rows by attempt id, in the order of the cart."""
    found = defaultdict[str, list[dict[str, Any]]](list)
    for row in await system.books.rows("SELECT *, id::text AS id FROM subscriptions ORDER BY position"):
        found[row["checkout_attempt_id"]].append(row)
    return found


async def all_at_stripe(system: System) -> list[dict[str, Any]]:
    """Return every subscription that Stripe has."""
    listed = await system.stripe.v1.subscriptions.list_async({"status": "all", "limit": 100})
    return [made.to_dict() async for made in listed.auto_paging_iter()]


def rhythm_of(row: Mapping[str, Any]) -> Rhythm:
    """Return a row's billing interval."""
    return Rhythm(row["interval"], row["interval_count"], row["trial_days"])


def lines(at_stripe: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the items of a Stripe subscription."""
    return list(at_stripe["items"]["data"])


def items_of(at_stripe: Mapping[str, Any]) -> list[Item]:
    """Return what a Stripe subscription charges for."""
    return [(unit["price"]["id"], unit["quantity"]) for unit in lines(at_stripe)]


def figures(bought: Crossfire) -> Iterator[tuple[str, object]]:
    """Yield what was measured: for the test report, and for whoever runs this with `pytest -rP`."""
    yield "seed of the carts", SEED
    yield "mixed purchases a second", f"{PURCHASES / bought.seconds:.1f}"
    yield "both webhooks at once", f"{bought.overlapping / PURCHASES:.1%}"
    for path, answered in bought.failures.items():
        yield f"500 after the effect at {path}", f"{answered[500]} of {answered.total()}"
    yield "tries of webhooks by answer", dict(bought.reports.answers)
