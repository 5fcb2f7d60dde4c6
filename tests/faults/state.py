"""The states of Stripe, Redis and PostgreSQL as the checker compares them."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.e2e.harness.stores import AttemptStore, OrdersDb
from tests.e2e.harness.system import System

ATTEMPT_ID_KEY: Final = "checkoutAttemptId"
_ATTEMPT_KEY: Final = re.compile(r"\{s\d+\}:attempt:(.+)")


@dataclass(frozen=True)
class StripeIntent:
    """A PaymentIntent or SetupIntent."""

    id: str
    status: str
    metadata: Mapping[str, str]
    amount_received: int
    """0 for a SetupIntent."""
    currency: str | None
    paid_at: float | None
    """Seconds since 1970; None for a SetupIntent and while nothing is paid."""

    @property
    def attempt_id(self) -> str | None:
        """The attempt that it names."""
        return self.metadata.get(ATTEMPT_ID_KEY)


@dataclass(frozen=True)
class StripeSubscription:
    """A subscription at Stripe."""

    id: str
    row_id: str | None
    """The subscription of ours that it names."""
    status: str
    quantities: Mapping[str, int]


@dataclass(frozen=True)
class StripeRefund:
    """A refund at Stripe."""

    id: str
    intent_id: str
    amount: int
    status: str


@dataclass(frozen=True)
class Decision:
    """A row of `payments`."""

    intent_id: str
    attempt_id: str
    outcome: str
    reason: str | None
    amount: int | None
    currency: str | None
    decided_at: float


@dataclass(frozen=True)
class Order:
    """A row of `orders` with its items."""

    attempt_id: str | None
    intent_id: str
    total: int
    currency: str
    status: str
    items_sum: int
    shipping: int
    quantities: Mapping[str, int]


@dataclass(frozen=True)
class Subscription:
    """A row of `subscriptions` with its items."""

    id: str
    attempt_id: str | None
    intent_id: str
    stripe_id: str | None
    status: str
    quantities: Mapping[str, int]


@dataclass(frozen=True)
class State:
    """Everything at one moment, as far as the stores can be read one after another."""

    intents: Mapping[str, StripeIntent] = field(default_factory=dict)
    invoice_intents: frozenset[str] = frozenset()
    """PaymentIntents that Stripe made for invoices."""
    stripe_subscriptions: Sequence[StripeSubscription] = ()
    stripe_refunds: Sequence[StripeRefund] = ()
    decisions: Sequence[Decision] = ()
    orders: Sequence[Order] = ()
    subscriptions: Sequence[Subscription] = ()
    refunds: Sequence[StripeRefund] = ()
    """Rows of `refunds`."""
    contents: frozenset[str] = frozenset()
    """Attempts with content in Redis."""
    due: frozenset[str] = frozenset()
    """Attempts with a next check in Redis."""


async def read_state(system: System) -> State:
    """Read all states: the decisions last, so that what follows from an older state of Stripe is there."""
    contents, due = await _attempts(system.attempt_store)
    database = await _database(system.orders_db)
    v1 = system.stripe.v1
    payments = [each async for each in _pages(v1.payment_intents, {"expand": ["data.latest_charge"]})]
    setups = [each async for each in _pages(v1.setup_intents, {})]
    invoice_payments = [each async for each in _pages(v1.invoice_payments, {})]  # of all those intents
    return State(
        intents={each["id"]: _intent(each) for each in (*payments, *setups)},
        invoice_intents=frozenset(each["payment"].get("payment_intent") for each in invoice_payments),
        stripe_subscriptions=[_subscription(each) async for each in _pages(v1.subscriptions, {"status": "all"})],
        stripe_refunds=[
            StripeRefund(each["id"], each["payment_intent"], each["amount"], each["status"])
            async for each in _pages(v1.refunds, {})
        ],
        contents=contents,
        due=due,
        **database,
    )


async def _pages(resource: Any, query: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    async for each in (await resource.list_async({"limit": 100, **query})).auto_paging_iter():
        yield each.to_dict()


def _intent(intent: Mapping[str, Any]) -> StripeIntent:
    charge = intent.get("latest_charge") or {}
    return StripeIntent(
        id=intent["id"],
        status=intent["status"],
        metadata=intent["metadata"],
        amount_received=intent.get("amount_received", 0),
        currency=intent.get("currency"),
        paid_at=charge.get("created") if intent["status"] == "succeeded" else None,
    )


def _subscription(subscription: Mapping[str, Any]) -> StripeSubscription:
    return StripeSubscription(
        id=subscription["id"],
        row_id=subscription["metadata"].get("subscriptionId"),
        status=subscription["status"],
        quantities={item["price"]["id"]: item["quantity"] for item in subscription["items"]["data"]},
    )


async def _attempts(store: AttemptStore) -> tuple[frozenset[str], frozenset[str]]:
    named = [_ATTEMPT_KEY.fullmatch(key) for key in await store.content_keys()]
    return frozenset(match[1] for match in named if match), await store.due_ids()


async def _database(database: OrdersDb) -> dict[str, Any]:
    items = await _quantities(database, "order_items", "order_id")
    subscribed = await _quantities(database, "subscription_items", "subscription_id")
    return {
        "decisions": [_decision(row) for row in await database.rows("SELECT * FROM payments")],
        "orders": [_order(row, items) for row in await database.rows("SELECT * FROM orders")],
        "subscriptions": [
            Subscription(
                id=str(row["id"]),
                attempt_id=row["checkout_attempt_id"],
                intent_id=row["intent_id"],
                stripe_id=row["stripe_subscription_id"],
                status=row["status"],
                quantities=subscribed.get(row["id"], {}),
            )
            for row in await database.rows("SELECT * FROM subscriptions")
        ],
        "refunds": [
            StripeRefund(row["stripe_refund_id"], row["intent_id"], row["amount_minor"], row["status"])
            for row in await database.rows("SELECT * FROM refunds")
        ],
    }


async def _quantities(database: OrdersDb, table: str, owner: str) -> dict[Any, dict[str, int]]:
    found: dict[Any, dict[str, int]] = {}
    for row in await database.rows(f"SELECT {owner} AS owner, price_id, quantity FROM {table}"):  # noqa: S608 - ours
        found.setdefault(row["owner"], {})[row["price_id"]] = row["quantity"]
    return found


def _decision(row: Mapping[str, Any]) -> Decision:
    return Decision(
        intent_id=row["intent_id"],
        attempt_id=row["attempt_id"],
        outcome=row["outcome"],
        reason=row["quarantine_reason"],
        amount=row["amount_minor"],
        currency=row["currency"],
        decided_at=row["decided_at"].timestamp(),
    )


def _order(row: Mapping[str, Any], items: Mapping[Any, Mapping[str, int]]) -> Order:
    return Order(
        attempt_id=row["checkout_attempt_id"],
        intent_id=row["payment_intent_id"],
        total=row["total_minor"],
        currency=row["currency"],
        status=row["status"],
        items_sum=row["items_minor"],
        shipping=row["shipping_minor"],
        quantities=items.get(row["id"], {}),
    )
