"""The mapping between messages and the domain loses nothing."""

from datetime import UTC, datetime

import pytest

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.domain.attempts import (
    ClosedAttempt,
    CloseReason,
    DeleteReason,
    Intent,
    IntentKind,
    Tombstone,
    UnreadableAttempt,
)
from checkout_session.proto_mapping import (
    CLOSE_REASONS,
    DELETE_REASONS,
    attempt_from_proto,
    attempt_to_proto,
    closed_to_proto,
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
    attempt = new_attempt(intent=Intent("i_1", kind), close_reason=reason, content=content, successor="s")

    stored = attempt_to_proto(attempt).SerializeToString()

    assert attempt_from_proto(pb.Attempt.FromString(stored)) == attempt


@pytest.mark.parametrize("reason", DeleteReason)
@pytest.mark.parametrize("close_reason", [None, *CloseReason])
def test_a_tombstone_is_mapped_whole(reason: DeleteReason, close_reason: CloseReason | None) -> None:
    """Every field of a tombstone has its field in the answer."""
    answer = found_to_proto(Tombstone("id", reason, close_reason, "user_1", AT, "s")).tombstone

    assert (answer.attempt_id, answer.user_id, answer.deleted_at.ToDatetime(UTC)) == ("id", "user_1", AT)
    assert answer.successor == "s"
    assert DELETE_REASONS.from_proto(answer.reason) is reason
    assert CLOSE_REASONS.from_proto(answer.close_reason) is close_reason


@pytest.mark.parametrize("close_reason", [None, *CloseReason])
def test_an_unreadable_attempt_is_mapped_whole(close_reason: CloseReason | None) -> None:
    """In the answers of GetAttempt and CloseAttempt; the stored bytes are not shown where it is printed (P7)."""
    found = UnreadableAttempt("id", "user_1", Intent("i_1", IntentKind.SETUP), b"Ada", "k1", close_reason, "s")

    answers = found_to_proto(found), closed_to_proto(ClosedAttempt(found, "s"))

    expected = pb.UnreadableAttempt(
        attempt_id="id",
        user_id="user_1",
        intent=common_pb2.Intent(id="i_1", kind=common_pb2.Intent.KIND_SETUP),
        encrypted_content=b"Ada",
        key_id="k1",
        close_reason=CLOSE_REASONS.to_proto(close_reason),
        successor="s",
    )
    assert [answer.unreadable_attempt for answer in answers] == [expected, expected]
    assert "Ada" not in repr(found)
