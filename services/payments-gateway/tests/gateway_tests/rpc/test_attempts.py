from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import pytest

from checkout.session.v1 import checkout_session_pb2 as pb
from payments_gateway.domain.attempts import (
    AttemptClosed,
    AttemptTooLarge,
    CheckoutContext,
    CloseReason,
    DeleteReason,
    RequestHashMismatch,
    SavedAttempt,
    Tombstone,
)
from payments_gateway.rpc.attempts import AttemptsClient
from payments_gateway.rpc.messages import context_message, intent_message
from servicekit.grpc_client import ServiceUnavailable, UnexpectedAnswer
from servicekit.json_logging import request_id
from servicekit.violations import FieldViolation, InvalidRequest

from ..samples import ATTEMPT_ID, CONTEXT, attempt, intent_ref
from ..service_stand_ins import Refusal, SessionStandIn

REF = intent_ref("pi_1")
STORED = pb.Attempt(
    attempt_id=ATTEMPT_ID, request_hash=b"h" * 32, context=context_message(CONTEXT), intent=intent_message(REF)
)
BARE = replace(
    CONTEXT,
    user_id="user_ada",
    contact=replace(CONTEXT.contact, phone=None),
    shipping_address=None,
    shipping_option=None,
    supersedes="9e2a5b63-7d2f-4b66-8a1f-1e6a5d1bac22",
)


@pytest.fixture
def session() -> SessionStandIn:
    """Give a checkout-session that answers what it is told to."""
    return SessionStandIn()


@pytest.fixture
async def client(session: SessionStandIn) -> AsyncIterator[AttemptsClient]:
    """Give the gateway's client of it."""
    async with session.served() as channel:
        yield AttemptsClient(channel, timeout_seconds=5)


@pytest.mark.parametrize("context", [CONTEXT, BARE], ids=["everything", "only what is required"])
@pytest.mark.parametrize("replayed", [False, True])
async def test_what_is_saved_comes_back_as_it_was(
    client: AttemptsClient,
    session: SessionStandIn,
    context: CheckoutContext,
    replayed: bool,  # noqa: FBT001 — a case
) -> None:
    """Every field survives the way there and back."""
    session.answer = pb.SaveAttemptResponse(
        attempt=pb.Attempt(
            attempt_id=ATTEMPT_ID, request_hash=b"h" * 32, context=context_message(context), intent=intent_message(REF)
        ),
        replayed=replayed,
    )

    saved = await client.save(ATTEMPT_ID, b"h" * 32, context, REF)

    [request] = session.requests
    assert (request.attempt_id, request.request_hash) == (ATTEMPT_ID, b"h" * 32)
    assert (request.context, request.intent) == (context_message(context), intent_message(REF))
    assert saved == SavedAttempt(replace(attempt(REF), context=context), replayed)


async def test_a_closed_attempt_says_why(client: AttemptsClient, session: SessionStandIn) -> None:
    """Its content is still there."""
    closed = pb.Attempt()
    closed.CopyFrom(STORED)
    closed.close_reason = pb.CLOSE_REASON_SUPERSEDED
    session.answer = pb.GetAttemptResponse(attempt=closed)

    found = await client.find(ATTEMPT_ID)

    assert found == replace(attempt(REF), close_reason=CloseReason.SUPERSEDED)


@pytest.mark.parametrize(
    ("reason", "close_reason", "user_id", "expected"),
    [
        (pb.DELETE_REASON_RECORDED, pb.CLOSE_REASON_UNSPECIFIED, "", (DeleteReason.RECORDED, None, None)),
        (pb.DELETE_REASON_QUARANTINED, pb.CLOSE_REASON_UNSPECIFIED, "u", (DeleteReason.QUARANTINED, None, "u")),
        (
            pb.DELETE_REASON_CANCELLED,
            pb.CLOSE_REASON_PAY_BY_PASSED,
            "u",
            (DeleteReason.CANCELLED, CloseReason.PAY_BY_PASSED, "u"),
        ),
    ],
)
async def test_a_tombstone_is_read(
    client: AttemptsClient,
    session: SessionStandIn,
    reason: pb.DeleteReason.ValueType,
    close_reason: pb.CloseReason.ValueType,
    user_id: str,
    expected: tuple[DeleteReason, CloseReason | None, str | None],
) -> None:
    """Empty fields of the wire are nothing."""
    session.answer = pb.GetAttemptResponse(
        tombstone=pb.Tombstone(attempt_id=ATTEMPT_ID, reason=reason, close_reason=close_reason, user_id=user_id)
    )

    found = await client.find(ATTEMPT_ID)

    assert found == Tombstone(ATTEMPT_ID, *expected)


async def test_an_unknown_attempt_is_none(client: AttemptsClient, session: SessionStandIn) -> None:
    """NOT_FOUND is an answer, not a failure."""
    session.answer = Refusal(grpc.StatusCode.NOT_FOUND, "attempt_not_found")

    assert await client.find(ATTEMPT_ID) is None


@pytest.mark.parametrize("reason", list(CloseReason))
async def test_closing_names_its_reason(client: AttemptsClient, session: SessionStandIn, reason: CloseReason) -> None:
    """Each reason has its word on the wire."""
    session.answer = pb.CloseAttemptResponse()

    await client.close(ATTEMPT_ID, reason)

    [request] = session.requests
    assert pb.CloseReason.Name(request.reason) == f"CLOSE_REASON_{reason.name}"


@pytest.mark.parametrize("reason", list(DeleteReason))
async def test_deleting_names_its_reason(client: AttemptsClient, session: SessionStandIn, reason: DeleteReason) -> None:
    """Each reason has its word on the wire."""
    session.answer = pb.DeleteAttemptResponse()

    await client.delete(ATTEMPT_ID, reason)

    [request] = session.requests
    assert pb.DeleteReason.Name(request.reason) == f"DELETE_REASON_{reason.name}"


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, "attempt_closed", AttemptClosed),
        (grpc.StatusCode.ALREADY_EXISTS, "request_hash_mismatch", RequestHashMismatch),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "attempt_too_large", AttemptTooLarge),
        (grpc.StatusCode.ABORTED, "try_again", ServiceUnavailable),
        (grpc.StatusCode.INTERNAL, "internal", UnexpectedAnswer),
    ],
)
async def test_a_refusal_has_the_name_of_its_reason(
    client: AttemptsClient, session: SessionStandIn, code: grpc.StatusCode, reason: str, expected: type[Exception]
) -> None:
    """The reason decides, not the status; what the contract does not name is unexpected."""
    session.answer = Refusal(code, reason)

    with pytest.raises(expected):
        await client.save(ATTEMPT_ID, b"h" * 32, CONTEXT, REF)


async def test_refused_fields_are_named(client: AttemptsClient, session: SessionStandIn) -> None:
    """With their paths."""
    violation = FieldViolation("context.items", "must have 1 to 200 lines")
    session.answer = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "invalid_request", InvalidRequest([violation]))

    with pytest.raises(InvalidRequest) as refusal:
        await client.save(ATTEMPT_ID, b"h" * 32, CONTEXT, REF)

    assert refusal.value.violations == (violation,)


@pytest.mark.parametrize("reason", ["store_unavailable", "attempt_unreadable"])
async def test_a_service_that_is_away_is_unavailable(session: SessionStandIn, reason: str) -> None:
    """Within the deadline, tries included; so is an attempt that cannot be decrypted: it is not missing."""
    async with session.served() as channel:
        client = AttemptsClient(channel, timeout_seconds=2)
        session.answer = Refusal(grpc.StatusCode.UNAVAILABLE, reason)

        with pytest.raises(ServiceUnavailable):
            await client.find(ATTEMPT_ID)

    assert session.requests


async def test_the_request_id_goes_along(client: AttemptsClient, session: SessionStandIn) -> None:
    """So that one request can be followed through every service's log."""
    session.answer = pb.CloseAttemptResponse()
    request_id.set("request-1")

    await client.close(ATTEMPT_ID, CloseReason.SUPERSEDED)

    assert session.request_ids == ["request-1"]
