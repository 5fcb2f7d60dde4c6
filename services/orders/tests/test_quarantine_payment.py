"""QuarantinePayment and ListQuarantinedPayments through gRPC on a real PostgreSQL."""

import json
from typing import Any

import pytest

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import orders_pb2 as pb

from .reports import aside, context, purchase
from .service import Client, count

WITH_CONTENT = [
    pb.QUARANTINE_REASON_AMOUNT_MISMATCH,
    pb.QUARANTINE_REASON_INTENT_MISMATCH,
    pb.QUARANTINE_REASON_DUPLICATE_PAYMENT,
    pb.QUARANTINE_REASON_UNRECORDABLE,
]


@pytest.mark.parametrize("reason", WITH_CONTENT)
async def test_p4_a_payment_is_set_aside_together_with_the_content(
    orders: Client, reason: pb.QuarantineReason.ValueType
) -> None:
    """The answer says it all back: payment, reason, content, channel."""
    asked = aside(purchase(), reason, with_content=True)

    answer = await orders.QuarantinePayment(asked)

    quarantined = answer.decision.quarantined_payment
    assert not answer.already_recorded
    assert (quarantined.payment, quarantined.reason) == (asked.payment, reason)
    assert (quarantined.context, quarantined.report) == (asked.context, asked.report)


async def test_a_missing_attempt_is_set_aside_without_content(orders: Client) -> None:
    """There is none."""
    answer = await orders.QuarantinePayment(aside(purchase()))

    assert not answer.decision.quarantined_payment.HasField("context")


async def test_a_setup_is_set_aside_without_a_sum(orders: Client, sql: Any) -> None:
    """A SetupIntent takes no money."""
    asked = aside(purchase())
    asked.payment.intent.kind = common_pb2.Intent.KIND_SETUP
    asked.payment.ClearField("received")

    answer = await orders.QuarantinePayment(asked)

    row = await sql.fetchrow("SELECT * FROM payments")
    assert answer.decision.quarantined_payment.payment == asked.payment
    assert (row["kind"], row["amount_minor"], row["currency"]) == ("setup", None, None)


async def test_p3_whatever_stripe_may_report_is_set_aside(orders: Client) -> None:
    """Nothing received, ids and metadata as long as they may be, the widest characters: else neither outcome came."""
    asked = aside(purchase(), pb.QUARANTINE_REASON_INTENT_MISMATCH, with_content=True)
    asked.payment.intent.id = "pi_".ljust(255, "x")
    asked.payment.attempt_id = "\U0001f600" * 500
    asked.payment.received.minor_units = 0
    asked.payment.livemode = True
    asked.report.stripe_event_id = "evt_".ljust(255, "x")
    asked.context.user_id = "u" * 1000

    answer = await orders.QuarantinePayment(asked)

    quarantined = answer.decision.quarantined_payment
    assert (quarantined.payment, quarantined.context) == (asked.payment, asked.context)


async def test_p3_the_largest_sum_is_set_aside(orders: Client) -> None:
    """The contract's largest amount fits into its column."""
    asked = aside(purchase())
    asked.payment.received.minor_units = 2**63 - 1

    answer = await orders.QuarantinePayment(asked)

    assert answer.decision.quarantined_payment.payment == asked.payment


async def test_p3_the_same_payment_again_answers_the_same_quarantine(orders: Client, sql: Any) -> None:
    """It is set aside once, and told once."""
    asked = aside(purchase())
    first = await orders.QuarantinePayment(asked)

    again = await orders.QuarantinePayment(asked)

    assert again.already_recorded
    assert again.decision == first.decision
    assert [await count(sql, table) for table in ("payments", "outbox")] == [1, 1]


async def test_p3_a_purchase_cannot_be_set_aside(orders: Client, sql: Any) -> None:
    """The decision that stands is the purchase, and the attempt that is missing by now is no news."""
    report = purchase()
    recorded = await orders.RecordPurchase(report)

    answer = await orders.QuarantinePayment(aside(report))

    assert answer.already_recorded
    assert answer.decision == recorded.decision
    assert await count(sql, "outbox") == 1


async def test_p4_content_that_comes_later_is_kept(orders: Client) -> None:
    """A payment that waited for its attempt takes reason and content; it will not become a purchase any more."""
    report = purchase()
    await orders.QuarantinePayment(aside(report))
    await orders.QuarantinePayment(aside(report, pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True))

    answer = await orders.RecordPurchase(report)

    assert answer.already_recorded
    assert answer.decision.quarantined_payment.reason == pb.QUARANTINE_REASON_AMOUNT_MISMATCH
    assert answer.decision.quarantined_payment.context == report.context


async def test_p4_content_that_cannot_be_recorded_is_kept_whole(orders: Client) -> None:
    """Whatever is in it, fields of a later version too: it comes back as it was."""
    content = context()
    content.items[0].recurring.interval = common_pb2.Recurring.INTERVAL_MONTH
    content.contact.name = "NUL \0 and \U0001f600"
    content.user_id = "user\0"
    content.MergeFromString(b"\xca\x3e\x05later")
    asked = aside(purchase(), pb.QUARANTINE_REASON_UNRECORDABLE)
    asked.context.CopyFrom(content)

    answer = await orders.QuarantinePayment(asked)

    assert answer.decision.quarantined_payment.context.SerializeToString() == content.SerializeToString()


async def test_p7_the_outbox_tells_ids_and_sums_only(orders: Client, sql: Any) -> None:
    """One row for the quarantine, without anything about the buyer."""
    asked = aside(purchase(), pb.QUARANTINE_REASON_AMOUNT_MISMATCH, with_content=True)

    await orders.QuarantinePayment(asked)

    row = await sql.fetchrow("SELECT * FROM outbox")
    assert (row["topic"], row["aggregate_id"]) == ("payment.quarantined", asked.payment.intent.id)
    assert json.loads(row["payload"]) == {
        "intent_id": asked.payment.intent.id,
        "attempt_id": asked.payment.attempt_id,
        "reason": "amount_mismatch",
        "amount_minor": 7990,
        "currency": "eur",
    }


async def test_quarantined_payments_are_listed_newest_first(orders: Client) -> None:
    """Page by page, each once, with its content; purchases are not among them."""
    asked = [aside(purchase(), pb.QUARANTINE_REASON_UNRECORDABLE, with_content=True) for _ in range(5)]
    for one in asked:
        await orders.QuarantinePayment(one)
    await orders.RecordPurchase(purchase())

    listed: list[pb.QuarantinedPayment] = []
    token = None
    while token != "":
        page = await orders.ListQuarantinedPayments(
            pb.ListQuarantinedPaymentsRequest(page_size=2, page_token=token or "")
        )
        assert len(page.quarantined_payments) <= 2
        listed += page.quarantined_payments
        token = page.next_page_token

    assert [one.payment for one in listed] == [one.payment for one in reversed(asked)]
    assert [one.context for one in listed] == [one.context for one in reversed(asked)]


async def test_a_page_of_large_contents_fits_into_a_message(orders: Client) -> None:
    """The page ends early instead of failing; the rest is on the next one."""
    for _ in range(4):
        asked = aside(purchase(lines=200), pb.QUARANTINE_REASON_UNRECORDABLE, with_content=True)
        for item in asked.context.items:
            item.name = "x" * 5000
        await orders.QuarantinePayment(asked)

    first = await orders.ListQuarantinedPayments(pb.ListQuarantinedPaymentsRequest())
    second = await orders.ListQuarantinedPayments(pb.ListQuarantinedPaymentsRequest(page_token=first.next_page_token))

    assert len(first.quarantined_payments) + len(second.quarantined_payments) == 4
    assert first.ByteSize() < 4 * 1024 * 1024
