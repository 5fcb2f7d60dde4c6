"""Calls at the same moment on a real PostgreSQL: its constraints decide, and everybody obeys (P3)."""

import asyncio
from collections import Counter
from typing import Any

from checkout.orders.v1 import orders_pb2 as pb

from .reports import aside, purchase
from .service import Client, count

AT_ONCE = 20
ROUNDS = 25

OUTCOMES = """
    SELECT outcome::text || coalesce(':' || quarantine_reason::text, '') FROM payments WHERE attempt_id = $1 ORDER BY 1
"""


async def outcomes(sql: Any, attempt_id: str) -> list[str]:
    """Return what the intents of an attempt became."""
    return [row[0] for row in await sql.fetch(OUTCOMES, attempt_id)]


async def test_p3_twenty_reports_of_one_intent_make_one_order(orders: Client, sql: Any) -> None:
    """One records, nineteen are answered the same purchase."""
    report = purchase()

    answers = await asyncio.gather(*(orders.RecordPurchase(report) for _ in range(AT_ONCE)))

    assert Counter(answer.already_recorded for answer in answers) == {False: 1, True: AT_ONCE - 1}
    assert len({answer.decision.purchase.order.id for answer in answers}) == 1
    assert [await count(sql, table) for table in ("payments", "orders", "order_items", "outbox")] == [1, 1, 3, 1]


async def test_p3_twenty_reports_of_a_missing_attempt_make_one_quarantine(orders: Client, sql: Any) -> None:
    """Whichever unique index the slower ones run into first, they are answered the quarantine that stands."""
    for _ in range(ROUNDS):
        asked = aside(purchase())

        answers = await asyncio.gather(*(orders.QuarantinePayment(asked) for _ in range(AT_ONCE)))

        assert Counter(answer.already_recorded for answer in answers) == {False: 1, True: AT_ONCE - 1}
        assert len({answer.decision.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert [await count(sql, table) for table in ("payments", "outbox")] == [ROUNDS, ROUNDS]


async def test_p3_two_intents_of_one_attempt_make_one_purchase(orders: Client, sql: Any) -> None:
    """The other is set aside as a duplicate with its content, whichever was faster."""
    for _ in range(ROUNDS):
        first = purchase()
        second = purchase(attempt_id=first.payment.attempt_id)

        answers = await asyncio.gather(orders.RecordPurchase(first), orders.RecordPurchase(second))

        became = {answer.decision.WhichOneof("outcome"): answer.decision for answer in answers}
        assert set(became) == {"purchase", "quarantined_payment"}
        assert became["quarantined_payment"].quarantined_payment.reason == pb.QUARANTINE_REASON_DUPLICATE_PAYMENT
        assert became["quarantined_payment"].quarantined_payment.HasField("context")
        assert await outcomes(sql, first.payment.attempt_id) == ["purchase", "quarantined:duplicate_payment"]
    assert await count(sql, "orders") == ROUNDS


async def test_p3_many_reports_of_many_intents_of_one_attempt(orders: Client, sql: Any) -> None:
    """However they interleave, one intent becomes the purchase and every other one is a duplicate."""
    first = purchase()
    reports = [first, *(purchase(attempt_id=first.payment.attempt_id) for _ in range(4))]

    answers = await asyncio.gather(*(orders.RecordPurchase(report) for report in reports * 4))

    assert sum(not answer.already_recorded for answer in answers) == len(reports)
    assert await outcomes(sql, first.payment.attempt_id) == ["purchase"] + ["quarantined:duplicate_payment"] * 4
    assert await count(sql, "orders") == 1


async def test_p3_recording_and_missing_the_attempt_at_once_is_one_decision(orders: Client, sql: Any) -> None:
    """Whichever channel is faster, the attempt that was found makes the purchase, and both channels can be told so."""
    for _ in range(ROUNDS):
        report = purchase()

        recorded, missed = await asyncio.gather(orders.RecordPurchase(report), orders.QuarantinePayment(aside(report)))

        missed_again = await orders.QuarantinePayment(aside(report))
        assert recorded.decision.HasField("purchase")
        assert missed.decision.HasField("purchase") == missed.already_recorded
        assert missed_again.decision == recorded.decision
        assert await outcomes(sql, report.payment.attempt_id) == ["purchase"]
    assert await count(sql, "orders") == ROUNDS


async def test_p3_recording_and_setting_aside_for_good_at_once_is_one_decision(orders: Client, sql: Any) -> None:
    """The faster one decides and the other obeys: the payment is an order or it is quarantined, never both."""
    for _ in range(ROUNDS):
        report = purchase()
        mismatch = aside(report, pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True)

        recorded, quarantined = await asyncio.gather(orders.RecordPurchase(report), orders.QuarantinePayment(mismatch))

        assert recorded.decision == quarantined.decision
        assert recorded.already_recorded != quarantined.already_recorded
    quarantined_rows = await sql.fetchval("SELECT count(*) FROM payments WHERE outcome = 'quarantined'")
    assert await count(sql, "orders") + quarantined_rows == await count(sql, "payments") == ROUNDS


async def test_p3_two_missing_intents_of_one_attempt_recorded_at_once(orders: Client, sql: Any) -> None:
    """One is promoted; the other stays quarantined, as a duplicate, with the content (P4)."""
    for _ in range(ROUNDS):
        first = purchase()
        second = purchase(attempt_id=first.payment.attempt_id)
        await asyncio.gather(orders.QuarantinePayment(aside(first)), orders.QuarantinePayment(aside(second)))

        answers = await asyncio.gather(*(orders.RecordPurchase(report) for report in (first, second, first, second)))

        assert sum(answer.decision.HasField("purchase") and not answer.already_recorded for answer in answers) == 1
        assert await outcomes(sql, first.payment.attempt_id) == ["purchase", "quarantined:duplicate_payment"]
    lost = await sql.fetchval("SELECT count(*) FROM payments WHERE outcome = 'quarantined' AND attempt_content IS NULL")
    assert lost == 0
    assert await count(sql, "orders") == ROUNDS


async def test_p3_a_missing_attempt_recorded_by_many_at_once(orders: Client, sql: Any) -> None:
    """One is promoted; the others, who waited for it, are answered the whole of it: order, items and all."""
    for _ in range(ROUNDS):
        report = purchase()
        await orders.QuarantinePayment(aside(report))

        answers = await asyncio.gather(*(orders.RecordPurchase(report) for _ in range(8)))

        assert len({answer.decision.SerializeToString(deterministic=True) for answer in answers}) == 1
        assert len(answers[0].decision.purchase.order.items) == 3
    assert await count(sql, "orders") == ROUNDS


async def test_p3_everything_at_once(orders: Client, sql: Any) -> None:
    """Records, misses and mismatches of several intents of one attempt: every intent is decided, once."""
    for _ in range(ROUNDS):
        first = purchase()
        reports = [first, purchase(attempt_id=first.payment.attempt_id), purchase(attempt_id=first.payment.attempt_id)]

        await asyncio.gather(
            *(orders.RecordPurchase(report) for report in reports),
            *(orders.QuarantinePayment(aside(report)) for report in reports),
            orders.QuarantinePayment(aside(reports[2], pb.QUARANTINE_REASON_INTENT_MISMATCH, with_content=True)),
        )

        became = Counter(word.split(":")[0] for word in await outcomes(sql, first.payment.attempt_id))
        assert became == {"purchase": 1, "quarantined": 2}
    assert await count(sql, "orders") == ROUNDS
