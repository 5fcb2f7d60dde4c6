"""Three hundred carts with subscriptions, bought concurrently at two gateways while Stripe fails after the effect."""

import random
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .harness.control_api import ControlApi
from .harness.load import Purchase, Reports, buy_all, buyers_of_distinct_sums, open_shops, reports_of
from .harness.products import (
    BillingInterval,
    Price,
    Product,
    create_prices,
    recorded_state,
    stripe_state,
    subscriptions_at_stripe,
    until_on_sale,
)
from .harness.shop import Cart, Line
from .harness.stores import OrderCounts, Row
from .harness.system import System, running_system
from .timeouts import UNDER_LOAD

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]
"""The first test waits for all purchases."""

SEED: Final = 20_260_401
PURCHASES: Final = 300
AT_ONCE: Final = 32
TRIES: Final = 4
"""A checkout for which Stripe fails more often than one request can make up for is repeated."""
PRODUCTS: Final = 40
PLANS_PER_INTERVAL: Final = 12
INTERVALS: Final = (BillingInterval("month"), BillingInterval("year"), BillingInterval("week", 2))
USERS: Final = 24
GUESTS: Final = 4
FAILURE_RATE: Final = 0.1
FAILURES_AMONG: Final = {"/v1/payment_intents": 300, "/v1/subscriptions": 400, "/v1/customers": 60}
"""Numbers of first requests, by the path at which Stripe answers 500 after the effect."""
REDUNDANT_EVENTS: Final = (
    *("charge.*", "customer.created", "customer.updated", "payment_method.*"),
    *("payment_intent.created", "payment_intent.canceled"),
    *("invoice.created", "invoice.finalized", "invoice.payment_succeeded"),
)
"""Events that say nothing which another one does not say too."""
MIN_OVERLAP: Final = 0.9
_UNLIMITED: Final = {"STRIPE_MAX_CONCURRENT": "400"}
SETTINGS: Final = UNDER_LOAD | {name: UNDER_LOAD[name] | _UNLIMITED for name in ("gateway", "gateway-2")}
RETRYING_SOON: Final = ("--webhook-backoff", "0.1", "--webhook-backoff-max", "0.4", "--webhook-attempts", "40")

Item = tuple[str, int]
"""Price id and quantity."""


@dataclass(frozen=True)
class Market:
    """Prices for sale, by price id."""

    one_time: Mapping[str, Price]
    recurring: Mapping[str, Price]

    def total(self, cart: Cart) -> int:
        """Return the sum that a cart's intent takes, in minor units."""
        lines = [(self.one_time.get(line.price_id), line.quantity) for line in cart.lines]
        return sum(price.unit_amount * quantity for price, quantity in lines if price)

    def subscriptions(self, cart: Cart) -> dict[BillingInterval, list[Item]]:
        """Return a cart's recurring lines by billing interval, in the order of the cart."""
        found = defaultdict[BillingInterval, list[Item]](list)
        for line in cart.lines:
            price = self.recurring.get(line.price_id)
            if price and price.billing:
                found[price.billing].append((line.price_id, line.quantity))
        return found


@dataclass(frozen=True)
class Bought:
    """All purchases, Stripe's reports of them, and Stripe's failures."""

    market: Market
    purchases: Sequence[Purchase]
    reports: Reports
    failures: Mapping[str, int]
    """Number of requests that were answered 500, by path; replayed answers left out."""
    undelivered: int


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run two gateways without proxies; Stripe delivers every event to both."""
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
async def bought(system: System) -> Bought:
    """Buy all carts, thirty-two at a time, and wait until Stripe has delivered every event."""
    dice = random.Random(SEED)  # noqa: S311 - not for secrets
    user_ids = [*(f"user-{number}" for number in range(USERS)), *([None] * GUESTS)]
    async with (
        ControlApi(system.backend.addresses.stripe_api) as control_api,
        open_shops(system, user_ids) as shops,
    ):
        market = await open_market(dice, system)
        await until_on_sale(shops[0], [*market.one_time.values(), *market.recurring.values()])
        buyers = list(
            buyers_of_distinct_sums(dice, shops, lambda: random_cart(dice, market), market.total, PURCHASES),
        )
        await control_api.until_idle()
        await control_api.add_webhook_rule(types=list(REDUNDANT_EVENTS), drop=True, count=None)
        for path in FAILURES_AMONG:
            await fail_some(dice, control_api, path)
        purchases = await buy_all(buyers, at_once=AT_ONCE, tries=TRIES)
        await control_api.until_idle(seconds=240)
        return Bought(
            market,
            purchases,
            reports=await reports_of(control_api, purchases),
            failures={path: await count_failures(control_api, path) for path in FAILURES_AMONG},
            undelivered=sum(each["state"] not in ("delivered", "dropped") for each in await control_api.deliveries()),
        )


async def test_p5_every_order_has_the_sum_that_stripe_received(system: System, bought: Bought) -> None:
    """Different sums: that of the one-time lines, the one that Stripe received, and the order's."""
    due = {each.checkout.intent_id: bought.market.total(each.buyer.cart) for each in bought.purchases}

    listed = await system.stripe.v1.payment_intents.list_async({"limit": 100})
    received = {
        intent.id: intent.amount_received
        async for intent in listed.auto_paging_iter()
        if intent.status == "succeeded" and "checkoutAttemptId" in intent.metadata
    }
    orders = await system.orders_db.rows("SELECT payment_intent_id, total_minor FROM orders")

    assert len(set(due.values())) == len(bought.purchases) == PURCHASES
    assert received == due
    assert sorted((order["payment_intent_id"], order["total_minor"]) for order in orders) == sorted(due.items())


async def test_p3_every_billing_interval_became_one_subscription(system: System, bought: Bought) -> None:
    """Each billing interval of each cart has one row with its lines, bound to the one Stripe subscription for it."""
    rows = await rows_by_attempt(system)
    at_stripe = await subscriptions_at_stripe(system)

    wanted = {each.checkout.attempt_id: bought.market.subscriptions(each.buyer.cart) for each in bought.purchases}
    assert {attempt_id: [billing_of(row) for row in found] for attempt_id, found in rows.items()} == {
        attempt_id: list(subscriptions) for attempt_id, subscriptions in wanted.items()
    }
    all_rows = [row for found in rows.values() for row in found]
    assert Counter(row["status"] for row in all_rows) == {"active": len(at_stripe)}
    assert {row["id"]: recorded_state(row) for row in all_rows} == {
        each["metadata"]["subscriptionId"]: stripe_state(each) for each in at_stripe
    }
    items = {row["id"]: wanted[attempt_id][billing_of(row)] for attempt_id, found in rows.items() for row in found}
    assert {each["metadata"]["subscriptionId"]: items_of(each) for each in at_stripe} == items


async def test_p3_every_subscription_was_charged_once(system: System, bought: Bought) -> None:
    """Each has one paid invoice over the sum of its lines, and one row for it."""
    at_stripe = await subscriptions_at_stripe(system)
    invoices = await system.orders_db.rows(
        "SELECT stripe_subscription_id AS id, total_minor, amount_paid_minor, i.status FROM subscription_invoices i"
        " JOIN subscriptions s ON s.id = i.subscription_id"
    )

    due = {
        each["id"]: sum(item["price"]["unit_amount"] * item["quantity"] for item in each["items"]["data"])
        for each in at_stripe
    }
    assert sorted(tuple(invoice.values()) for invoice in invoices) == sorted(
        (stripe_id, amount, amount, "paid") for stripe_id, amount in due.items()
    )


async def test_one_customer_for_each_user(system: System, bought: Bought) -> None:
    """All subscriptions of a user belong to one customer, and nobody else's do; a guest has one for each purchase."""
    rows = await rows_by_attempt(system)
    kept = await system.orders_db.rows("SELECT user_id, stripe_customer_id FROM customers")

    used = defaultdict[str, set[str]](set)
    for each in bought.purchases:
        owner = each.buyer.begins_at.user_id or each.checkout.attempt_id
        used[owner] |= {row["stripe_customer_id"] for row in rows[each.checkout.attempt_id]}
    users = {each.buyer.begins_at.user_id for each in bought.purchases} - {None}
    assert {len(customers) for customers in used.values()} == {1}
    assert len(set.union(*used.values())) == len(used)
    assert {row["user_id"]: {row["stripe_customer_id"]} for row in kept} == {
        user_id: used[user_id] for user_id in users if user_id
    }


async def test_p3_nothing_is_left_and_nothing_is_quarantined(system: System, bought: Bought) -> None:
    """No attempt has content, no delivery was given up, and each payment has one decision, a purchase."""
    assert await system.attempt_store.content_keys() == []
    assert bought.undelivered == 0
    assert await system.orders_db.counts() == OrderCounts(orders=PURCHASES, purchases=PURCHASES, quarantined=0)


def test_stripe_failed_and_reported_at_the_same_moment(bought: Bought) -> None:
    """A tenth of the first requests was answered 500 after the effect, and almost every report overlapped."""
    overlapping = bought.reports.overlapping(bought.purchases)
    sys.stdout.write(f"both webhooks at once: {overlapping} of {PURCHASES}; answers: {bought.reports.answers}\n")

    assert bought.failures == {path: FAILURE_RATE * among for path, among in FAILURES_AMONG.items()}
    assert overlapping >= MIN_OVERLAP * PURCHASES


async def open_market(dice: random.Random, system: System) -> Market:
    """Put products and plans of random prices on sale."""
    products = [Product(f"Product {number}", {"usd": dice.randint(101, 9_999)}) for number in range(PRODUCTS)]
    plans = [
        Product(f"Plan {number} by the {billing.interval}", {"usd": dice.randint(101, 4_999)}, billing=billing)
        for billing in INTERVALS
        for number in range(PLANS_PER_INTERVAL)
    ]
    one_time, recurring = await create_prices(system.stripe, products), await create_prices(system.stripe, plans)
    return Market({price.id: price for price in one_time}, {price.id: price for price in recurring})


def random_cart(dice: random.Random, market: Market) -> Cart:
    """Return a cart of a few products and plans in any order."""
    one_time = dice.sample(list(market.one_time), dice.randint(1, 5))
    chosen = one_time + dice.sample(list(market.recurring), dice.randint(1, 3))
    dice.shuffle(chosen)
    return Cart([Line(price_id, dice.randint(1, 9)) for price_id in chosen])


async def fail_some(dice: random.Random, control_api: ControlApi, path: str) -> None:
    """Answer some of the first requests 500 after their effect."""
    among = FAILURES_AMONG[path]
    # A fault does not count the requests that an earlier one has hit.
    for hit_before, index in enumerate(sorted(dice.sample(range(among), round(FAILURE_RATE * among)))):
        await control_api.add_fault(
            kind="error_after", method="POST", path=path, skip=index - hit_before, first_only=True
        )


async def count_failures(control_api: ControlApi, path: str) -> int:
    """Count the requests that were answered 500, without replayed answers."""
    requests = await control_api.requests("POST", path)
    return sum(request["status"] == 500 for request in requests if not request["replayed"])


async def rows_by_attempt(system: System) -> dict[str, list[Row]]:
    """Return the subscriptions' rows by attempt id, in the order of the cart."""
    found = defaultdict[str, list[Row]](list)
    for row in await system.orders_db.rows("SELECT *, id::text AS id FROM subscriptions ORDER BY position"):
        found[row["checkout_attempt_id"]].append(row)
    return found


def billing_of(row: Row) -> BillingInterval:
    """Return a row's billing interval."""
    return BillingInterval(row["interval"], row["interval_count"], row["trial_days"])


def items_of(subscription: Mapping[str, Any]) -> list[Item]:
    """Return the items of a Stripe subscription."""
    return [(item["price"]["id"], item["quantity"]) for item in subscription["items"]["data"]]
