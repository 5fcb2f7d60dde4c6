"""Payment decisions as an audit reads them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import audit_pb2 as pb
from checkout.orders.v1 import audit_pb2_grpc as pb_grpc
from checkout.orders.v1 import orders_pb2

from ..builders import cart, money, purchase, quarantine, recurring_line, refund, timestamp
from ..service import Client, error_of

if TYPE_CHECKING:
    Audit: TypeAlias = pb_grpc.AuditServiceAsyncStub
else:
    Audit = pb_grpc.AuditServiceStub

PAYMENT: Final = common_pb2.Intent.KIND_PAYMENT


@pytest.fixture
def audit(channel: grpc.aio.Channel) -> Audit:
    """Open a client of the service."""
    return Audit(channel)


async def pages(audit: Audit, **fields: object) -> list[Sequence[pb.RecordedPayment]]:
    """List decisions on intents of May, page by page."""
    request = pb.ListPaymentsRequest(kind=PAYMENT, created_from=timestamp(1))
    request.MergeFrom(pb.ListPaymentsRequest(**fields))  # type: ignore[arg-type]  # a test's own fields
    found: list[Sequence[pb.RecordedPayment]] = []
    while True:
        response = await audit.ListPayments(request)
        found.append(response.payments)
        if not response.next_page_token:
            return found
        request.page_token = response.next_page_token


async def recorded(orders: Client, intent_id: str, created_at: Timestamp) -> None:
    """Record a purchase of an intent that was created at a time."""
    request = purchase(intent_id=intent_id)
    request.payment.intent_created_at.CopyFrom(created_at)
    await orders.RecordPurchase(request)


async def test_payments_come_in_the_order_of_stripes_lists(orders: Client, audit: Audit) -> None:
    """The last created first, each once over all pages, though several were created in one second."""
    for intent_id, day in {"pi_a": 3, "pi_b": 2, "pi_c": 3, "pi_d": 3, "pi_e": 5}.items():
        await recorded(orders, intent_id, timestamp(day))

    found = await pages(audit, page_size=2)

    assert [[each.intent.id for each in page] for page in found] == [["pi_e", "pi_d"], ["pi_c", "pi_a"], ["pi_b"]]


async def test_a_list_begins_with_its_time(orders: Client, audit: Audit) -> None:
    """The second itself is in it, as in Stripe's lists."""
    for day in (1, 2, 4, 5):
        await recorded(orders, f"pi_{day}", timestamp(day))

    [found] = await pages(audit, created_from=timestamp(2))

    assert [each.intent.id for each in found] == ["pi_5", "pi_4", "pi_2"]


async def test_a_decision_has_what_stripe_can_be_compared_with(orders: Client, audit: Audit) -> None:
    """Amounts, the outcome, and refunds that are not failed; nothing personal."""
    request = purchase(intent_id="pi_1")
    await orders.RecordPurchase(request)
    await orders.ApplyRefund(refund("pi_1", amount=money(100)))
    await orders.ApplyRefund(refund("pi_1", "re_2", amount=money(20), status=orders_pb2.REFUND_STATUS_PENDING))
    await orders.ApplyRefund(refund("pi_1", "re_3", amount=money(3), status=orders_pb2.REFUND_STATUS_FAILED))
    await orders.QuarantinePayment(quarantine(purchase(intent_id="pi_2")))

    found = (await audit.FindPayments(pb.FindPaymentsRequest(intent_ids=["pi_2", "pi_1", "pi_none"]))).payments

    bought, quarantined = sorted(found, key=lambda each: each.intent.id)
    assert bought.decided_at.seconds > 0
    bought.ClearField("decided_at")
    assert bought == pb.RecordedPayment(
        intent=request.payment.intent,
        attempt_id=request.payment.attempt_id,
        received=request.payment.received,
        intent_created_at=request.payment.intent_created_at,
        refunded=[money(120)],
    )
    assert (quarantined.quarantined, list(quarantined.refunded)) == (True, [])


async def test_every_decision_of_an_attempt_is_found(orders: Client, audit: Audit) -> None:
    """Its purchase, and the payments that came after it."""
    bought = purchase(intent_id="pi_1")
    again = purchase(intent_id="pi_2", attempt_id=bought.payment.attempt_id)
    for request in (bought, again, purchase(intent_id="pi_3")):
        await orders.RecordPurchase(request)

    found = await audit.FindPayments(pb.FindPaymentsRequest(attempt_ids=[bought.payment.attempt_id]))

    assert {each.intent.id: each.quarantined for each in found.payments} == {"pi_1": False, "pi_2": True}


async def test_setup_intents_are_listed_apart(orders: Client, audit: Audit) -> None:
    """As Stripe lists them."""
    request = cart(recurring_line(1))
    await orders.RecordPurchase(request)

    [payments] = await pages(audit)
    [setups] = await pages(audit, kind=common_pb2.Intent.KIND_SETUP)

    assert (list(payments), [each.intent for each in setups]) == ([], [request.payment.intent])


async def test_a_payment_needs_the_time_of_its_intent(orders: Client) -> None:
    """No audit would find it again."""
    request = purchase()
    request.payment.ClearField("intent_created_at")

    error = await error_of(orders.RecordPurchase(request))

    assert [each.field for each in error.violations] == ["payment.intent_created_at"]


async def test_a_page_token_of_another_list_is_refused(orders: Client, audit: Audit) -> None:
    """It would skip rows."""
    request = pb.ListPaymentsRequest(kind=PAYMENT, created_from=timestamp(1))
    request.page_token = "b3JkZXJzOjA6eA"

    error = await error_of(audit.ListPayments(request))

    assert [each.field for each in error.violations] == ["page_token"]
