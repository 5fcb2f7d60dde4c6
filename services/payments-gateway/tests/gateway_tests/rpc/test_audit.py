from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import audit_pb2 as pb
from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.audit import RecordedPayment, Window
from payments_gateway.domain.money import Money
from payments_gateway.rpc.audit import RecordedPaymentsClient
from servicekit.grpc_client import open_channel

from ..audit_stand_in import AuditStandIn
from ..samples import ATTEMPT_ID, INTENT_CREATED_AT, intent_ref

NEWER: Final[Any] = 99
WINDOW: Final = Window(IntentKind.PAYMENT, INTENT_CREATED_AT)


def message(number: int) -> pb.RecordedPayment:
    """Return a decision, quarantined and refunded in part."""
    return pb.RecordedPayment(
        intent=common_pb2.Intent(id=f"pi_{number}", kind=common_pb2.Intent.KIND_PAYMENT),
        attempt_id=ATTEMPT_ID,
        received=common_pb2.Money(minor_units=1250, currency="usd"),
        intent_created_at=Timestamp(seconds=int(INTENT_CREATED_AT.timestamp())),
        quarantined=True,
        refunded=[common_pb2.Money(minor_units=250, currency="usd")],
    )


async def test_decisions_are_read_page_by_page() -> None:
    """With everything that is compared."""
    async with (
        AuditStandIn([message(number) for number in range(1001)]).served_at() as target,
        open_channel(target) as channel,
    ):
        payments = RecordedPaymentsClient(channel, timeout_seconds=10)

        first = await payments.page(WINDOW, None)
        second = await payments.page(WINDOW, first.next)

    assert (len(first.found), len(second.found), second.next) == (1000, 1, None)
    assert first.found[0] == RecordedPayment(
        intent=intent_ref("pi_0"),
        attempt_id=ATTEMPT_ID,
        received=Money(1250, "usd"),
        livemode=False,
        intent_created_at=INTENT_CREATED_AT,
        quarantined=True,
        refunded=(Money(250, "usd"),),
    )


async def test_decisions_are_found_by_their_intents() -> None:
    """Setup intents received nothing."""
    setup = pb.RecordedPayment(intent=common_pb2.Intent(id="seti_1", kind=common_pb2.Intent.KIND_SETUP))
    async with AuditStandIn([setup, message(1)]).served_at() as target, open_channel(target) as channel:
        found = await RecordedPaymentsClient(channel, timeout_seconds=10).find(["seti_1", "pi_2"])

    assert list(found) == ["seti_1"]
    assert (found["seti_1"].intent, found["seti_1"].received) == (IntentRef("seti_1", IntentKind.SETUP), None)


async def test_a_decision_of_a_newer_version_fails_no_other() -> None:
    """Its kind of intent is unknown."""
    newer = pb.RecordedPayment(intent=common_pb2.Intent(id="new_1", kind=NEWER))
    async with AuditStandIn([newer, message(1)]).served_at() as target, open_channel(target) as channel:
        found = await RecordedPaymentsClient(channel, timeout_seconds=10).find(["new_1", "pi_1"])

    assert [found[each].intent.kind for each in ("new_1", "pi_1")] == [IntentKind.UNKNOWN, IntentKind.PAYMENT]
