"""The mapping between messages and the domain loses nothing."""

from datetime import UTC, datetime

import pytest

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.domain.attempts import CloseReason, DeleteReason, Intent, IntentKind, Tombstone
from checkout_session.proto_mapping import (
    CLOSE_REASONS,
    DELETE_REASONS,
    attempt_from_proto,
    attempt_to_proto,
    draft_from_proto,
    found_to_proto,
)

from .harness import new_attempt, new_request

AT = datetime(2026, 5, 4, 3, 2, 1, 123456, UTC)


def test_a_draft_has_the_whole_context() -> None:
    """The context arrives as it was sent, and the domain's fields beside it."""
    request = new_request()

    draft = draft_from_proto(request)

    assert common_pb2.CheckoutContext.FromString(draft.content) == request.context
    assert (draft.user_id, draft.intent) == ("user_1", Intent("pi_first", IntentKind.PAYMENT))
    assert draft.pay_by == request.context.pay_by.ToDatetime(UTC)


@pytest.mark.parametrize("kind", IntentKind)
@pytest.mark.parametrize("reason", [None, *CloseReason])
def test_an_attempt_is_mapped_both_ways(kind: IntentKind, reason: CloseReason | None) -> None:
    """Every intent kind and close reason, and the fields of a context from a newer caller."""
    content = draft_from_proto(new_request()).content + b"\xfa\x3e\x03new"  # field 1007, a string
    attempt = new_attempt(intent=Intent("i_1", kind), close_reason=reason, content=content)

    stored = attempt_to_proto(attempt).SerializeToString()

    assert attempt_from_proto(pb.Attempt.FromString(stored)) == attempt


@pytest.mark.parametrize("reason", DeleteReason)
@pytest.mark.parametrize("close_reason", [None, *CloseReason])
def test_a_tombstone_is_mapped_whole(reason: DeleteReason, close_reason: CloseReason | None) -> None:
    """Every field of a tombstone has its field in the answer."""
    answer = found_to_proto(Tombstone("id", reason, close_reason, "user_1", AT)).tombstone

    assert (answer.attempt_id, answer.user_id, answer.deleted_at.ToDatetime(UTC)) == ("id", "user_1", AT)
    assert DELETE_REASONS.from_proto(answer.reason) is reason
    assert CLOSE_REASONS.from_proto(answer.close_reason) is close_reason
