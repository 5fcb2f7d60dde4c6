"""The gateway's client of the due attempts: nothing is lost on the way, in either direction."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from payments_gateway.domain.attempts import CloseReason, IntentKind, IntentRef
from payments_gateway.domain.due_attempts import DueAttempt
from payments_gateway.rpc.due_attempts import DueAttemptsClient
from servicekit.unavailable import ServiceUnavailable

from ..samples import ATTEMPT_ID
from ..service_stand_ins import Refusal, SessionStandIn

CREATED = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PAY_BY = CREATED + timedelta(days=1)
NEWER: Any = 99
"""A number that a later version of the contract may give a meaning."""


@pytest.fixture
def session() -> SessionStandIn:
    """Give a checkout-session that responds as told."""
    return SessionStandIn()


@pytest.fixture
async def client(session: SessionStandIn) -> AsyncIterator[DueAttemptsClient]:
    """Give the gateway's client of it."""
    async with session.served() as channel:
        yield DueAttemptsClient(channel, timeout_seconds=5)


def due_message(kind: common_pb2.Intent.Kind.ValueType = common_pb2.Intent.KIND_SETUP, **changes: Any) -> pb.DueAttempt:
    """Return a due attempt as checkout-session shows it."""
    message = pb.DueAttempt(attempt_id=ATTEMPT_ID, intent=common_pb2.Intent(id="seti_1", kind=kind), **changes)
    message.created_at.FromDatetime(CREATED)
    message.pay_by.FromDatetime(PAY_BY)
    return message


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (pb.CLOSE_REASON_UNSPECIFIED, None),
        (pb.CLOSE_REASON_PAY_BY_PASSED, CloseReason.PAY_BY_PASSED),
        (NEWER, CloseReason.UNKNOWN),
    ],
)
@pytest.mark.parametrize("content_exists", [False, True])
async def test_a_due_attempt_arrives_whole(
    client: DueAttemptsClient, session: SessionStandIn, number: Any, reason: CloseReason | None, *, content_exists: bool
) -> None:
    """Every field of it, and the claim as it was asked for."""
    session.answer = pb.ClaimDueAttemptsResponse(
        attempts=[due_message(close_reason=number, content_exists=content_exists)]
    )

    claimed = await client.claim(100, timedelta(minutes=5))

    intent = IntentRef("seti_1", IntentKind.SETUP)
    assert claimed == [DueAttempt(ATTEMPT_ID, intent, CREATED, PAY_BY, reason, content_exists)]
    [request] = session.requests
    assert (request.limit, request.lease.ToTimedelta()) == (100, timedelta(minutes=5))


async def test_an_attempt_of_a_newer_version_fails_no_other(client: DueAttemptsClient, session: SessionStandIn) -> None:
    """Its kind of intent is unknown."""
    session.answer = pb.ClaimDueAttemptsResponse(attempts=[due_message(NEWER), due_message()])

    claimed = await client.claim(100, timedelta(minutes=5))

    assert [each.intent.kind for each in claimed] == [IntentKind.UNKNOWN, IntentKind.SETUP]


async def test_next_checks_arrive_in_calls_of_a_thousand(client: DueAttemptsClient, session: SessionStandIn) -> None:
    """checkout-session takes no more at once."""
    session.answer = pb.RescheduleAttemptsResponse()
    delays = {str(number): timedelta(milliseconds=number) for number in range(2500)}

    await client.reschedule(delays)

    assert [len(request.checks) for request in session.requests] == [1000, 1000, 500]
    sent = {check.attempt_id: check.delay.ToTimedelta() for request in session.requests for check in request.checks}
    assert sent == delays


async def test_an_absent_checkout_session_is_unavailable(client: DueAttemptsClient, session: SessionStandIn) -> None:
    """The reconciler asks again later."""
    session.answer = Refusal(grpc.StatusCode.UNAVAILABLE, "store_unavailable")

    with pytest.raises(ServiceUnavailable):
        await client.claim(100, timedelta(minutes=5))
