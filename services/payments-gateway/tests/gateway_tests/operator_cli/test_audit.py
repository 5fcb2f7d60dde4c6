from collections.abc import AsyncIterator

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import audit_pb2 as pb
from checkout.session.v1 import checkout_session_pb2 as session_pb2
from stripe_simulator.testing import SimulatedStripe, simulated_stripe

from ..audit_stand_in import AuditStandIn
from ..operator_command import Completed, environment, holdfast
from ..samples import ATTEMPT_ID, FOREIGN_ATTEMPT_ID
from ..service_stand_ins import SessionStandIn


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedStripe]:
    """Give a Stripe without intents."""
    async with simulated_stripe() as simulated:
        yield simulated


async def paid(sim: SimulatedStripe, attempt_id: str = ATTEMPT_ID) -> pb.RecordedPayment:
    """Create an intent and pay it; return the decision that agrees."""
    created = await sim.intent(amount=1250, metadata={"checkoutAttemptId": attempt_id})
    await sim.pay(created.id)
    return pb.RecordedPayment(
        intent=common_pb2.Intent(id=created.id, kind=common_pb2.Intent.KIND_PAYMENT),
        attempt_id=attempt_id,
        received=common_pb2.Money(minor_units=1250, currency="usd"),
        intent_created_at=Timestamp(seconds=created.created),
    )


async def audit(
    sim: SimulatedStripe, recorded: AuditStandIn, *arguments: str, session: SessionStandIn | None = None
) -> Completed:
    """Audit without a grace."""
    async with recorded.served_at() as orders, (session or SessionStandIn()).served_at() as checkout_session:
        variables = environment(
            checkout_session=checkout_session,
            orders=orders,
            stripe=sim.simulator.url,
            key=sim.simulator.settings.secret_key,
        )
        return await holdfast(variables, "audit", "--grace", "0s", *arguments)


async def test_agreement_is_exit_code_0(sim: SimulatedStripe) -> None:
    """With the numbers that it was found from."""
    recorded = AuditStandIn([await paid(sim)])

    result = await audit(sim, recorded, "--json")

    assert result.code == 0
    assert {name: result.document[name] for name in ("agrees", "succeededAtStripe", "purchases", "differences")} == {
        "agrees": True,
        "succeededAtStripe": 1,
        "purchases": 1,
        "differences": [],
    }


async def test_a_difference_is_exit_code_1(sim: SimulatedStripe) -> None:
    """In a table for people, and in JSON for programs."""
    lost = await paid(sim)

    shown = await audit(sim, AuditStandIn())
    document = (await audit(sim, AuditStandIn(), "--json")).document

    assert shown.code == 1
    [row] = [line for line in shown.stdout.splitlines() if lost.intent.id in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "not_decided",
        lost.intent.id,
        ATTEMPT_ID,
        "1250 usd",
        "-",
    ]
    assert document["differences"] == [
        {
            "difference": "not_decided",
            "intent": lost.intent.id,
            "attempt": ATTEMPT_ID,
            "atStripe": {"minorUnits": 1250, "currency": "usd"},
            "inOrders": None,
        }
    ]


async def test_checkout_session_is_asked_for_an_id_that_no_secret_of_today_made(sim: SimulatedStripe) -> None:
    """It keeps a tombstone of the attempt, so the payment is ours, and lost."""
    lost = await paid(sim, FOREIGN_ATTEMPT_ID)
    session = SessionStandIn()
    session.answer = session_pb2.GetAttemptResponse(
        tombstone=session_pb2.Tombstone(attempt_id=FOREIGN_ATTEMPT_ID, reason=session_pb2.DELETE_REASON_RECORDED)
    )

    result = await audit(sim, AuditStandIn(), "--json", session=session)

    assert [each["intent"] for each in result.document["differences"]] == [lost.intent.id]
    assert [request.attempt_id for request in session.requests] == [FOREIGN_ATTEMPT_ID]


@pytest.mark.parametrize("since", ["7", "d", "7 d", "1w", "-1d"])
async def test_a_duration_has_a_unit(since: str) -> None:
    """A bare number could be of anything."""
    refused = await holdfast(environment(), "audit", "--since", since)

    assert refused.code == 2
    assert "must be a number and s, m, h or d" in refused.stderr or "No such option" in refused.stderr
