"""Statements read few rows, however many there are: each has its index."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from sqlalchemy import Engine, Select, event
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import audit_pb2, audit_pb2_grpc, operator_pb2, stripe_events_pb2, stripe_events_pb2_grpc
from checkout.orders.v1 import orders_pb2 as pb
from orders.bootstrap import utc_now
from orders.postgres import statements
from orders.postgres.erasure import PostgresErasureRepository
from orders.usecases.erasure import ByAttempt, ByOrder, ByUser, Subject

from ..builders import dispute, invoice, mixed_cart, purchase, quarantine_with_content, refund, stripe_state, timestamp
from ..calls import activate, apply, begin, get_customer, put_customer, read
from ..operator_calls import settle
from ..service import Client, OperatorClient

ROWS: Final = 5_000
MOST: Final = 500
"""Rows that a node of a plan may read; a scan of a filled table reads ten times as many."""

# Every other payment was quarantined, and a person has resolved it; each has a user of its own. Retries are few: they
# are counted whenever some are claimed.
FILL: Final = f"""
    INSERT INTO payments (intent_id, kind, attempt_id, outcome, amount_minor, currency, livemode, intent_created_at,
                          channel, decided_at, user_id, quarantine_reason, attempt_content, resolved_at)
    SELECT 'old_' || n, 'payment', 'attempt_' || n,
           (CASE WHEN n % 2 = 0 THEN 'purchase' ELSE 'quarantined' END)::payment_outcome,
           7990, 'eur', false, at, 'webhook', at, 'user_of_' || n,
           CASE WHEN n % 2 = 1 THEN 'unrecordable'::quarantine_reason END, CASE WHEN n % 2 = 1 THEN '\\x00'::bytea END,
           CASE WHEN n % 2 = 1 THEN at END
      FROM generate_series(1, 2 * {ROWS}) n, LATERAL (SELECT now() - n * interval '1 minute' AS at);
    INSERT INTO orders (id, number, checkout_attempt_id, payment_intent_id, user_id, status, total_minor, items_minor,
                        shipping_minor, currency, contact_name, contact_email, created_at)
    SELECT gen_random_uuid(), intent_id, attempt_id, intent_id, user_id, 'paid', 7990, 7990, 0, 'eur', 'n', 'e',
           decided_at FROM payments WHERE outcome = 'purchase';
    INSERT INTO order_items SELECT id, 0, 'price_1', 'prod_1', 'Mug', 1, 7990 FROM orders;
    INSERT INTO subscriptions (id, checkout_attempt_id, intent_id, currency, position, interval, interval_count,
                               trial_days, user_id, contact_name, contact_email, stripe_customer_id,
                               stripe_payment_method_id, stripe_subscription_id, status, created_at)
    SELECT gen_random_uuid(), attempt_id, intent_id, 'eur', 0, 'month', 1, 0, user_id, 'n', 'e', 'cus_' || intent_id,
           'pm_1', 'sub_' || intent_id, 'active', decided_at FROM payments WHERE outcome = 'purchase';
    INSERT INTO subscription_items SELECT id, 0, 'price_1', 'prod_1', 'Mug', 1, 900 FROM subscriptions;
    INSERT INTO subscription_billed_items (subscription_id, position, stripe_item_id, price_id, product_id, name,
                                           currency)
    SELECT id, 0, 'si_1', 'price_1', 'prod_1', 'Mug', 'eur' FROM subscriptions;
    INSERT INTO subscription_invoices (stripe_invoice_id, subscription_id, status, total_minor, amount_paid_minor,
                                       currency, attempt_count, created_at)
    SELECT 'in_' || stripe_subscription_id, id, 'paid', 900, 900, 'eur', 1, created_at FROM subscriptions;
    INSERT INTO customers (stripe_customer_id, user_id, currency)
    SELECT stripe_customer_id, user_id, 'eur' FROM subscriptions;
    INSERT INTO refunds
    SELECT 're_' || intent_id, intent_id, 'ch_1', 100, 'eur', 'succeeded', 1, decided_at FROM payments;
    INSERT INTO disputes
    SELECT 'du_' || intent_id, intent_id, 'ch_1', 100, 'eur', 'won', NULL, 1, decided_at FROM payments;
    INSERT INTO stripe_events SELECT 'evt_' || intent_id, 'refund.updated', now(), now() FROM payments;
    INSERT INTO event_retries (id, type, kind, stripe_id, created_at, failures, next_try_at, reason)
    SELECT 'evt_late_' || intent_id, 'refund.updated', 'refund_changed', 're_1', now(), 1, now() + interval '1 hour',
           'StripeUnavailable' FROM payments LIMIT 100;
    INSERT INTO operator_actions (id, at, operator, action, subject, reason, before, after)
    SELECT gen_random_uuid(), now(), 'grace', 'settle_payment', intent_id, 'r', '{{}}', '{{}}' FROM payments
"""  # noqa: S608 - constants


async def test_no_statement_reads_more_rows_in_large_tables(
    orders: Client, operator: OperatorClient, channel: grpc.aio.Channel, engine: AsyncEngine, sql: Any
) -> None:
    """Each rpc and an erasure, on tables whose rows are of other buyers."""
    await sql.execute(FILL)
    await sql.execute("ANALYZE")

    with recorded_statements() as recorded:
        await use_orders(orders)
        await use_audit_and_events(channel)
        await use_operator(orders, operator)
        await erase(orders, engine)

    read = {statement: await rows_read(engine, statement, values) for statement, values in recorded.items()}
    assert {statement: rows for statement, rows in read.items() if rows > MOST} == {}


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (statements.SELECT_PURCHASE, "payments_one_purchase_per_attempt"),
        (statements.HAS_OTHER_PURCHASE, "payments_one_purchase_per_attempt"),
        (statements.SELECT_QUARANTINED.limit(1), "payments_quarantined"),
    ],
)
async def test_plans_for_any_parameters_use_the_partial_indexes(sql: Any, statement: Select[Any], index: str) -> None:
    """PostgreSQL keeps them. A parameter in place of the outcome would leave a scan, or a plan for each execution."""
    await sql.execute(FILL)
    await sql.execute("ANALYZE")
    await sql.execute("SET plan_cache_mode = force_generic_plan")
    compiled = statement.compile(dialect=asyncpg.dialect())  # type: ignore[no-untyped-call] # SQLAlchemy left it untyped
    await sql.execute(f"PREPARE prepared AS {compiled}")

    plan = await sql.fetch(f"EXPLAIN EXECUTE prepared ({', '.join('NULL' for _ in compiled.positiontup or ())})")

    assert f"using {index} on payments" in "\n".join(row[0] for row in plan)


async def use_orders(orders: Client) -> None:
    """Record, quarantine, refund, subscribe, and read what is there."""
    bought, mixed = purchase(), mixed_cart()
    for request in (bought, bought, mixed):
        decided = (await orders.RecordPurchase(request)).decision
    await orders.QuarantinePayment(quarantine_with_content())
    await orders.ApplyRefund(refund(bought.payment.intent.id))
    await orders.ApplyDispute(dispute(bought.payment.intent.id))
    await put_customer(orders, "cus_user_1")
    await get_customer(orders)
    for subscription in decided.purchase.subscriptions:
        bound = await activate(orders, await begin(orders, subscription), invoice=invoice(f"in_{subscription.id}"))
        await apply(orders, await read(orders, bound), stripe_state(bound.stripe_subscription_id))
    await orders.GetPurchase(pb.GetPurchaseRequest(attempt_id=mixed.payment.attempt_id))
    await orders.GetOrder(pb.GetOrderRequest(order_id=decided.purchase.order.id))
    first = await orders.ListOrders(pb.ListOrdersRequest(user_id="user_1", page_size=1))
    await orders.ListOrders(pb.ListOrdersRequest(user_id="user_1", page_size=1, page_token=first.next_page_token))
    await orders.ListSubscriptions(pb.ListSubscriptionsRequest(user_id="user_1"))
    await orders.ListUnfinishedSubscriptions(pb.ListUnfinishedSubscriptionsRequest(created_before=timestamp(1)))
    listed = await orders.ListQuarantinedPayments(pb.ListQuarantinedPaymentsRequest(page_size=1))
    await orders.ListQuarantinedPayments(pb.ListQuarantinedPaymentsRequest(page_token=listed.next_page_token))


async def use_audit_and_events(channel: grpc.aio.Channel) -> None:
    """Page through payments, and log, look for, retry and prune events."""
    audit: Any = audit_pb2_grpc.AuditServiceStub(channel)
    asked = audit_pb2.ListPaymentsRequest(kind=common_pb2.Intent.KIND_PAYMENT, created_from=timestamp(1), page_size=10)
    asked.page_token = (await audit.ListPayments(asked)).next_page_token
    await audit.ListPayments(asked)
    await audit.FindPayments(audit_pb2.FindPaymentsRequest(intent_ids=["old_1"], attempt_ids=["attempt_2"]))
    events: Any = stripe_events_pb2_grpc.StripeEventsServiceStub(channel)
    handled = stripe_events_pb2.HandledEvent(event_id="evt_1", type="refund.updated", created_at=timestamp(1))
    await events.LogEvents(stripe_events_pb2.LogEventsRequest(events=[handled]))
    await events.FindUnloggedEvents(stripe_events_pb2.FindUnloggedEventsRequest(event_ids=["evt_1", "evt_2"]))
    await events.ClaimDueEventRetries(
        stripe_events_pb2.ClaimDueEventRetriesRequest(limit=10, lease=Duration(seconds=60), gateway_version="1.0")
    )
    await events.PruneEvents(stripe_events_pb2.PruneEventsRequest(created_before=timestamp(2)))


async def use_operator(orders: Client, operator: OperatorClient) -> None:
    """List what waits for a person, behind all that was resolved, and settle one."""
    waiting = quarantine_with_content()
    await orders.QuarantinePayment(waiting)
    await operator.ListQuarantine(operator_pb2.ListQuarantineRequest(page_size=20))
    await settle(operator, pb.RecordPurchaseRequest(payment=waiting.payment), operator_pb2.SETTLEMENT_WRITTEN_OFF)
    await operator.ShowPayment(operator_pb2.ShowPaymentRequest(intent_id=waiting.payment.intent.id))


async def erase(orders: Client, engine: AsyncEngine) -> None:
    """Erase a user, an order and an attempt."""
    number = (await orders.RecordPurchase(purchase(user_id=""))).decision.purchase.order.number
    erasure = PostgresErasureRepository(engine)
    of_guests: tuple[Subject, ...] = (ByOrder(number), ByAttempt(str(uuid.uuid4())))
    for guest in of_guests:
        await erasure.is_recorded(guest)
    for subject in (ByUser("user_1"), *of_guests):
        await erasure.count(subject)
        await erasure.stripe_customers(subject)
        await erasure.erase_batch(subject, limit=100, at=utc_now())
    await erasure.forget_customers(["cus_user_1"])


@contextmanager
def recorded_statements() -> Iterator[dict[str, Any]]:
    """Yield the statements of all engines, with the values of the last run of each."""
    found: dict[str, Any] = {}

    def record(_c: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:  # noqa: FBT001 - SQLAlchemy's signature
        if statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            found[statement] = values[0] if many else values

    event.listen(Engine, "before_cursor_execute", record)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", record)


async def rows_read(engine: AsyncEngine, statement: str, values: Any) -> float:
    """Run a statement again, undo it, and return the most rows that a node of its plan read."""
    async with engine.connect() as connection:
        explained = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
        answer = explained.scalar_one()
    return max(map(_read_by, _nodes(answer[0]["Plan"])))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _read_by(node: dict[str, Any]) -> float:
    return float((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
