"""Decisions, refunds and disputes of one intent at once: the later one sees all of the earlier one (ADR 27)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from checkout.orders.v1 import orders_pb2 as pb
from orders.bootstrap import utc_now
from orders.postgres.erasure import PostgresErasureRepository
from orders.postgres.reencryption import Reencryption
from orders.usecases.erasure import ByUser, ErasureService
from orders.usecases.retrying import Retrier
from servicekit.encryption import Keyring

from ..builders import dispute, money, purchase, quarantine, refund
from ..service import KEYS, OTHER_KEYS, Client, connected, events_held, lock_waiters, outcomes, until

STATE = """
    SELECT coalesce(quarantine_reason::text, orders.status::text) FROM payments
      LEFT JOIN orders ON payment_intent_id = intent_id WHERE intent_id = $1
"""
UNRESOLVED = "SELECT count(*) FROM payments WHERE outcome = 'quarantined' AND resolved_at IS NULL"
EXPECTED = """
    SELECT count(*) FILTER (WHERE outcome = 'quarantined'
               AND (quarantine_reason = 'refunded' AND resolved_at IS NOT NULL) <> (refunded >= amount_minor)),
           count(*) FILTER (WHERE outcome = 'purchase' AND orders.status::text <>
               CASE WHEN disputed THEN 'disputed' WHEN refunded >= amount_minor THEN 'refunded'
                    WHEN refunded > 0 THEN 'partially_refunded' ELSE 'paid' END)
      FROM payments LEFT JOIN orders ON payment_intent_id = intent_id,
           LATERAL (SELECT coalesce(sum(amount_minor), 0) AS refunded FROM refunds
                     WHERE intent_id = payments.intent_id AND status = 'succeeded') AS sums,
           LATERAL (SELECT EXISTS (SELECT FROM disputes WHERE intent_id = payments.intent_id
                                   AND status = 'needs_response') AS disputed) AS disputes
"""

Call = Callable[[Client, pb.RecordPurchaseRequest], Awaitable[Any]]


async def record(orders: Client, request: pb.RecordPurchaseRequest) -> object:
    """Record the purchase."""
    return await orders.RecordPurchase(request)


async def report_missing(orders: Client, request: pb.RecordPurchaseRequest) -> object:
    """Quarantine the payment without its attempt."""
    return await orders.QuarantinePayment(quarantine(request))


async def refund_all(orders: Client, request: pb.RecordPurchaseRequest) -> object:
    """Refund the whole payment."""
    intent_id = request.payment.intent.id
    return await orders.ApplyRefund(refund(intent_id, f"re_all_{intent_id}", amount=request.payment.received))


async def refund_most(orders: Client, request: pb.RecordPurchaseRequest) -> object:
    """Refund all but 500."""
    intent_id = request.payment.intent.id
    return await orders.ApplyRefund(refund(intent_id, f"re_most_{intent_id}", amount=money(7490)))


async def refund_rest(orders: Client, request: pb.RecordPurchaseRequest) -> object:
    """Refund 500."""
    return await orders.ApplyRefund(refund(request.payment.intent.id, f"re_rest_{request.payment.intent.id}"))


async def fail_refund(orders: Client, request: pb.RecordPurchaseRequest) -> object:
    """Report that the refund of the whole payment failed."""
    intent_id, received = request.payment.intent.id, request.payment.received
    failed = refund(intent_id, f"re_all_{intent_id}", amount=received, status=pb.REFUND_STATUS_FAILED, version=1)
    return await orders.ApplyRefund(failed)


async def open_dispute(orders: Client, request: pb.RecordPurchaseRequest) -> object:
    """Dispute the payment."""
    return await orders.ApplyDispute(dispute(request.payment.intent.id, f"du_{request.payment.intent.id}"))


@pytest.mark.parametrize(
    ("before", "first", "second", "state"),
    [
        ([], refund_all, record, "refunded"),
        ([], record, refund_all, "refunded"),
        ([], refund_all, report_missing, "refunded"),
        ([], report_missing, refund_all, "refunded"),
        ([report_missing], record, refund_all, "refunded"),
        ([report_missing], refund_all, record, "refunded"),
        ([record], refund_most, refund_rest, "refunded"),
        ([], refund_most, refund_rest, None),
        ([], record, open_dispute, "disputed"),
        ([], open_dispute, record, "disputed"),
        ([refund_all, record], fail_refund, record, "paid"),
        ([refund_all, report_missing], fail_refund, record, "paid"),
    ],
)
async def test_the_later_of_two_calls_sees_the_earlier_one(
    database_url: str, orders: Client, sql: Any, before: list[Call], first: Call, second: Call, state: str | None
) -> None:
    """The second one begins while the first has written everything and is not committed yet."""
    request = purchase()
    for each in before:
        await each(orders, request)

    async with events_held(database_url):
        earlier = asyncio.ensure_future(first(orders, request))
        await until(lambda: _waiters(sql, 1))
        later = asyncio.ensure_future(second(orders, request))
        await until(lambda: _waiters(sql, 2))
    await asyncio.gather(earlier, later)

    assert await sql.fetchval(STATE, request.payment.intent.id) == state
    assert await sql.fetchval(UNRESOLVED) == 0


@pytest.mark.parametrize("report", [report_missing, record])
async def test_p3_a_second_payment_waits_for_the_purchase_of_its_attempt(
    database_url: str, orders: Client, sql: Any, report: Call
) -> None:
    """The attempt is deleted next: its webhook is acknowledged, and no later report would correct the reason."""
    bought = purchase()
    second = purchase(attempt_id=bought.payment.attempt_id)

    async with events_held(database_url):
        recording = asyncio.ensure_future(record(orders, bought))
        await until(lambda: _waiters(sql, 1))
        reporting = asyncio.ensure_future(report(orders, second))
        await until(lambda: _waiters(sql, 2))
    await asyncio.gather(recording, reporting)

    assert await sql.fetchval(STATE, second.payment.intent.id) == "duplicate_payment"


async def test_a_refund_waits_for_an_erasure_without_blocking_it(
    database_url: str, orders: Client, sql: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An erasure locks the order and then its payment, so a refund of the order may not hold the payment."""
    request = purchase()
    await record(orders, request)

    async with connected(database_url) as erasure, erasure.transaction():
        await erasure.execute("SELECT FROM orders FOR UPDATE")
        refunding = asyncio.ensure_future(refund_all(orders, request))
        await until(lambda: _waiters(sql, 1))
        await erasure.execute("SELECT FROM payments FOR UPDATE")
    await refunding

    assert _causes(caplog) == []


async def test_everything_at_once_ends_in_order_and_without_deadlocks(
    orders: Client, engine: AsyncEngine, sql: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Reports, refunds, disputes, an erasure and a re-encryption: each state is what the sums say."""
    calls: list[Awaitable[object]] = []
    for number in range(24):
        request = purchase()
        refunds = (refund_most, refund_rest) if number % 2 else (refund_most,)
        disputes = () if number % 3 else (open_dispute,)
        calls += [call(orders, request) for call in (record, *refunds, report_missing, *disputes, record)]
    retrier = Retrier(budget_seconds=20, tries=1, jitter=lambda: 0.5)
    erasure = ErasureService(PostgresErasureRepository(engine), retrier, utc_now, batch_size=7)

    working = asyncio.gather(outcomes(calls))
    while not working.done():
        async for _ in erasure.erase(ByUser("user_1")):
            pass
        await Reencryption(engine, Keyring.parse(f"{OTHER_KEYS},{KEYS}"), retrier).run()
        await asyncio.sleep(0)
    ((_, errors),) = await working

    assert errors == []
    assert _causes(caplog) == []
    assert tuple(await sql.fetchrow(EXPECTED)) == (0, 0)


async def _waiters(sql: Any, number: int) -> bool:
    return len(await lock_waiters(sql)) == number


def _causes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.__dict__["cause"] for record in caplog.records if record.message == "database unavailable"]
