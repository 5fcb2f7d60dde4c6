"""The mapping between messages and the domain loses nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.domain.attempts import Attempt, CloseReason, DeleteReason, Intent, IntentKind, Tombstone
from checkout_session.messages import (
    CLOSE_REASONS,
    DELETE_REASONS,
    attempt_from_message,
    attempt_to_message,
    draft_from_message,
    found_to_message,
)

MakeRequest = Callable[..., pb.SaveAttemptRequest]
AT = datetime(2026, 5, 4, 3, 2, 1, 123456, UTC)


@pytest.fixture
def attempt(new_request: MakeRequest) -> Attempt:
    """Give an open attempt with a full context."""
    draft = draft_from_message(new_request())
    return Attempt(draft.attempt_id, draft.request_hash, draft.intent, draft.user_id, draft.content, AT)


def test_a_draft_carries_the_whole_context(new_request: MakeRequest) -> None:
    """The context arrives as it was sent, with the fields that the domain acts on beside it."""
    request = new_request()

    draft = draft_from_message(request)

    assert common_pb2.CheckoutContext.FromString(draft.content) == request.context
    assert (draft.user_id, draft.intent) == ("user_1", Intent("pi_first", IntentKind.PAYMENT))
    assert draft.pay_by == request.context.pay_by.ToDatetime(UTC)


@pytest.mark.parametrize("kind", [IntentKind.PAYMENT, IntentKind.SETUP])
@pytest.mark.parametrize("reason", [None, *CloseReason])
def test_an_attempt_survives_the_way_there_and_back(
    attempt: Attempt, kind: IntentKind, reason: CloseReason | None
) -> None:
    """Every intent kind and close reason has a message of its own."""
    sent = replace(attempt, intent=Intent("i_1", kind), close_reason=reason)

    stored = attempt_to_message(sent).SerializeToString()

    assert attempt_from_message(pb.Attempt.FromString(stored)) == sent


def test_fields_that_this_version_does_not_know_are_kept(attempt: Attempt) -> None:
    """A context from a newer caller passes through an older service whole."""
    newer = replace(attempt, content=attempt.content + b"\xfa\x3e\x03new")  # field 1007, a string

    stored = attempt_to_message(newer).SerializeToString()

    assert b"\xfa\x3e\x03new" in attempt_from_message(pb.Attempt.FromString(stored)).content


@pytest.mark.parametrize("reason", DeleteReason)
@pytest.mark.parametrize("close_reason", [None, *CloseReason])
def test_a_tombstone_is_told_whole(reason: DeleteReason, close_reason: CloseReason | None) -> None:
    """Every field of a tombstone has its field in the answer."""
    answer = found_to_message(Tombstone("id", reason, close_reason, "user_1", AT)).tombstone

    assert (answer.attempt_id, answer.user_id, answer.deleted_at.ToDatetime(UTC)) == ("id", "user_1", AT)
    assert DELETE_REASONS.from_proto(answer.reason) is reason
    assert CLOSE_REASONS.from_proto(answer.close_reason) is close_reason
