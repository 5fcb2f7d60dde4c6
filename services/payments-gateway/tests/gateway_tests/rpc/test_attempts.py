from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

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
from payments_gateway.rpc.messages import context_to_proto, intent_to_proto
from servicekit.grpc_client import UnexpectedAnswer
from servicekit.unavailable import ServiceUnavailable

from ..billing_samples import CLUB_CONTEXT
from ..samples import ATTEMPT_ID, CONTEXT, OTHER_ATTEMPT_ID, attempt, intent_ref
from ..service_stand_ins import Refusal, SessionStandIn

REF = intent_ref("pi_1")
HASH = b"h" * 32
NEWER: Any = 99
"""A number that a later version of the contract may give a meaning."""


def attempt_message(context: CheckoutContext = CONTEXT, **changes: Any) -> pb.Attempt:
    """Return a stored attempt as checkout-session shows it."""
    return pb.Attempt(
        attempt_id=ATTEMPT_ID,
        request_hash=HASH,
        context=context_to_proto(context),
        intent=intent_to_proto(REF),
        **changes,
    )


@pytest.fixture
def session() -> SessionStandIn:
    """Give a checkout-session that responds as told."""
    return SessionStandIn()


@pytest.fixture
async def client(session: SessionStandIn) -> AsyncIterator[AttemptsClient]:
    """Give the gateway's client of it."""
    async with session.served() as channel:
        yield AttemptsClient(channel, timeout_seconds=5)


@pytest.mark.parametrize(
    "context",
    [
        CONTEXT,
        CLUB_CONTEXT,
        replace(
            CONTEXT,
            user_id="user_ada",
            contact=replace(CONTEXT.contact, phone=None),
            shipping_address=None,
            shipping_option=None,
            supersedes="9e2a5b63-7d2f-4b66-8a1f-1e6a5d1bac22",
        ),
    ],
    ids=["shipped", "subscription", "only what is required"],
)
@pytest.mark.parametrize("replayed", [False, True])
async def test_an_attempt_survives_the_way_there_and_back(
    client: AttemptsClient, session: SessionStandIn, context: CheckoutContext, *, replayed: bool
) -> None:
    """Every field of it."""
    session.answer = pb.SaveAttemptResponse(attempt=attempt_message(context), replayed=replayed)

    saved = await client.save(ATTEMPT_ID, HASH, context, REF)

    assert session.requests == [
        pb.SaveAttemptRequest(
            attempt_id=ATTEMPT_ID, request_hash=HASH, context=context_to_proto(context), intent=intent_to_proto(REF)
        )
    ]
    assert saved == SavedAttempt(replace(attempt(REF), context=context), replayed)


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (pb.CLOSE_REASON_UNSPECIFIED, None),
        (pb.CLOSE_REASON_SUPERSEDED, CloseReason.SUPERSEDED),
        (NEWER, CloseReason.UNKNOWN),
    ],
)
async def test_a_closed_attempt_is_read(
    client: AttemptsClient, session: SessionStandIn, wire: pb.CloseReason.ValueType, reason: CloseReason | None
) -> None:
    """With its content; a reason of a newer version closes it as well."""
    session.answer = pb.GetAttemptResponse(attempt=attempt_message(close_reason=wire))

    assert await client.find(ATTEMPT_ID) == replace(attempt(REF), close_reason=reason)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (pb.Tombstone(reason=pb.DELETE_REASON_RECORDED), (DeleteReason.RECORDED, None, None)),
        (pb.Tombstone(reason=pb.DELETE_REASON_QUARANTINED, user_id="u"), (DeleteReason.QUARANTINED, None, "u")),
        (
            pb.Tombstone(reason=pb.DELETE_REASON_CANCELLED, close_reason=pb.CLOSE_REASON_PAY_BY_PASSED),
            (DeleteReason.CANCELLED, CloseReason.PAY_BY_PASSED, None),
        ),
    ],
)
async def test_a_tombstone_is_read(
    client: AttemptsClient, session: SessionStandIn, message: pb.Tombstone, expected: tuple[Any, Any, Any]
) -> None:
    """With the reasons of its deletion and of an earlier close."""
    message.attempt_id = ATTEMPT_ID
    session.answer = pb.GetAttemptResponse(tombstone=message)

    assert await client.find(ATTEMPT_ID) == Tombstone(ATTEMPT_ID, *expected)


async def test_a_tombstone_of_a_newer_version_is_not_guessed_at(
    client: AttemptsClient, session: SessionStandIn
) -> None:
    """Its reason decides if the attempt is paid."""
    session.answer = pb.GetAttemptResponse(tombstone=pb.Tombstone(attempt_id=ATTEMPT_ID, reason=NEWER))

    with pytest.raises(ServiceUnavailable):
        await client.find(ATTEMPT_ID)


async def test_an_unknown_attempt_is_none(client: AttemptsClient, session: SessionStandIn) -> None:
    """NOT_FOUND is no failure."""
    session.answer = Refusal(grpc.StatusCode.NOT_FOUND, "attempt_not_found")

    assert await client.find(ATTEMPT_ID) is None


async def test_an_attempt_of_a_newer_version_is_left_to_an_updated_gateway(
    client: AttemptsClient, session: SessionStandIn
) -> None:
    """With a kind of intent or a billing interval that could be neither paid nor recorded."""
    other_kind, other_interval = attempt_message(), attempt_message(CLUB_CONTEXT)
    other_kind.intent.kind = NEWER
    other_interval.context.items[0].recurring.interval = NEWER
    unreadable = pb.UnreadableAttempt(attempt_id=ATTEMPT_ID, intent=other_kind.intent)
    for found in (
        pb.GetAttemptResponse(attempt=other_kind),
        pb.GetAttemptResponse(attempt=other_interval),
        pb.GetAttemptResponse(unreadable_attempt=unreadable),
    ):
        session.answer = found

        with pytest.raises(ServiceUnavailable):
            await client.find(ATTEMPT_ID)


async def test_closing_and_deleting_name_their_reasons(client: AttemptsClient, session: SessionStandIn) -> None:
    """In the words of the contract."""
    session.answer = pb.CloseAttemptResponse()
    await client.close(ATTEMPT_ID, CloseReason.SUPERSEDED)
    session.answer = pb.DeleteAttemptResponse()
    await client.delete(ATTEMPT_ID, DeleteReason.QUARANTINED)

    assert session.requests == [
        pb.CloseAttemptRequest(attempt_id=ATTEMPT_ID, reason=pb.CLOSE_REASON_SUPERSEDED),
        pb.DeleteAttemptRequest(attempt_id=ATTEMPT_ID, reason=pb.DELETE_REASON_QUARANTINED),
    ]


async def test_attempts_are_deleted_in_one_call(client: AttemptsClient, session: SessionStandIn) -> None:
    """A batch has one reason."""
    session.answer = pb.DeleteAttemptsResponse()

    await client.delete_all([ATTEMPT_ID, OTHER_ATTEMPT_ID], DeleteReason.RECORDED)

    assert session.requests == [
        pb.DeleteAttemptsRequest(attempt_ids=[ATTEMPT_ID, OTHER_ATTEMPT_ID], reason=pb.DELETE_REASON_RECORDED)
    ]


async def test_a_checkout_session_of_an_earlier_version_deletes_one_by_one(
    client: AttemptsClient, session: SessionStandIn
) -> None:
    """It answers UNIMPLEMENTED to the call that it does not know."""
    session.answer = pb.DeleteAttemptResponse()
    session.is_earlier_version = True

    await client.delete_all([ATTEMPT_ID, OTHER_ATTEMPT_ID], DeleteReason.RECORDED)

    assert session.requests == [
        pb.DeleteAttemptRequest(attempt_id=attempt_id, reason=pb.DELETE_REASON_RECORDED)
        for attempt_id in (ATTEMPT_ID, OTHER_ATTEMPT_ID)
    ]


async def test_an_unexpected_answer_to_a_batch_ends_no_later_one(
    client: AttemptsClient, session: SessionStandIn
) -> None:
    """It counts as unavailable, which the writer of batches expects."""
    session.answer = Refusal(grpc.StatusCode.DATA_LOSS, "unnamed")

    with pytest.raises(ServiceUnavailable):
        await client.delete_all([ATTEMPT_ID], DeleteReason.RECORDED)


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, "attempt_closed", AttemptClosed),
        (grpc.StatusCode.ALREADY_EXISTS, "request_hash_mismatch", RequestHashMismatch),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "attempt_too_large", AttemptTooLarge),
        (grpc.StatusCode.UNAVAILABLE, "store_unavailable", ServiceUnavailable),
        (grpc.StatusCode.UNAVAILABLE, "attempt_unreadable", ServiceUnavailable),
        (grpc.StatusCode.INTERNAL, "internal", UnexpectedAnswer),
    ],
)
async def test_an_error_is_told_by_its_reason(
    client: AttemptsClient, session: SessionStandIn, code: grpc.StatusCode, reason: str, expected: type[Exception]
) -> None:
    """An attempt that cannot be decrypted is unavailable, not missing."""
    session.answer = Refusal(code, reason)

    with pytest.raises(expected):
        await client.save(ATTEMPT_ID, HASH, CONTEXT, REF)
