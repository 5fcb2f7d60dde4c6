"""Rules of the requests: a request that breaks one rule has one violation. checkout_rules tests those of carts."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.api.validation import (
    claim_violations,
    reason_violations,
    reschedule_violations,
    save_violations,
)
from checkout_session.proto_mapping import CLOSE_REASONS, DELETE_REASONS
from servicekit.enum_codec import EnumCodec

from ..harness import new_request

Break = Callable[[pb.SaveAttemptRequest], object]

BROKEN: list[tuple[str, Break, str]] = [
    ("no id", lambda r: r.ClearField("attempt_id"), "attempt_id"),
    ("id without dashes", lambda r: setattr(r, "attempt_id", uuid.uuid4().hex), "attempt_id"),
    ("no hash", lambda r: r.ClearField("request_hash"), "request_hash"),
    ("short hash", lambda r: setattr(r, "request_hash", b"h" * 31), "request_hash"),
    ("long hash", lambda r: setattr(r, "request_hash", b"h" * 33), "request_hash"),
    ("no intent id", lambda r: r.intent.ClearField("id"), "intent.id"),
    ("long intent id", lambda r: setattr(r.intent, "id", "p" * 256), "intent.id"),
    ("no intent kind", lambda r: r.intent.ClearField("kind"), "intent.kind"),
    ("unknown intent kind", lambda r: setattr(r.intent, "kind", 9), "intent.kind"),
    ("no context", lambda r: r.ClearField("context"), "context"),
    ("no pay-by", lambda r: r.context.ClearField("pay_by"), "context.pay_by"),
    ("pay-by at the end of time", lambda r: setattr(r.context.pay_by, "seconds", 2**63 - 1), "context.pay_by"),
    ("pay-by before all time", lambda r: setattr(r.context.pay_by, "seconds", -(2**63)), "context.pay_by"),
    ("pay-by with a negative fraction", lambda r: setattr(r.context.pay_by, "nanos", -1), "context.pay_by"),
    ("supersedes no id", lambda r: setattr(r.context, "supersedes", "earlier"), "context.supersedes"),
    ("supersedes itself", lambda r: setattr(r.context, "supersedes", r.attempt_id), "context.supersedes"),
    ("cart that cannot be recorded", lambda r: r.context.items.add(), "context.items[1].price_id"),
]


@pytest.mark.parametrize(
    ("break_rule", "field"), [pytest.param(break_rule, field, id=name) for name, break_rule, field in BROKEN]
)
def test_a_broken_rule_is_named(break_rule: Break, field: str) -> None:
    """The violation names the field by its path."""
    request = new_request()
    assert list(save_violations(request)) == []

    break_rule(request)

    violations = [violation.field for violation in save_violations(request)]
    assert violations[:1] == [field]
    assert len(violations) == 1 or field.startswith("context.items")


@pytest.mark.parametrize("codec", [CLOSE_REASONS, DELETE_REASONS])
def test_a_reason_is_required_and_must_be_known(codec: EnumCodec[Any, Any]) -> None:
    """Unspecified is no reason, nor is a number that the contract does not name."""
    fields = [[violation.field for violation in reason_violations(reason, codec)] for reason in (0, 1, 99)]

    assert fields == [["reason"], [], ["reason"]]


@pytest.mark.parametrize("limit", [0, 1001])
@pytest.mark.parametrize("seconds", [0, 24 * 60 * 60 + 1, 2**62])
def test_a_claim_is_bounded(limit: int, seconds: int) -> None:
    """At most 1,000 attempts, for a second to a day."""
    allowed = [claim_of(1, 1), claim_of(1000, 24 * 60 * 60)]

    violations = [violation.field for violation in claim_violations(claim_of(limit, seconds))]

    assert violations == ["limit", "lease"]
    assert [list(claim_violations(request)) for request in allowed] == [[], []]


def claim_of(limit: int, seconds: int) -> pb.ClaimDueAttemptsRequest:
    """Return a request to claim."""
    return pb.ClaimDueAttemptsRequest(limit=limit, lease=Duration(seconds=seconds))


@pytest.mark.parametrize(("seconds", "allowed"), [(-1, False), (0, True), (35 * 86400, True), (35 * 86400 + 1, False)])
def test_a_next_check_is_bounded(seconds: int, *, allowed: bool) -> None:
    """From now to 35 days ahead, and at most 1,000 in one call."""
    check = pb.NextCheck(attempt_id=str(uuid.uuid4()), delay=Duration(seconds=seconds))

    violations = list(reschedule_violations(pb.RescheduleAttemptsRequest(checks=[check])))

    assert [violation.field for violation in violations] == ([] if allowed else ["checks[0].delay"])
    too_many = list(reschedule_violations(pb.RescheduleAttemptsRequest(checks=[check] * 1001)))
    assert [violation.field for violation in too_many] == ["checks"]
