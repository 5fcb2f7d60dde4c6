"""Entries of the shards' `intents` hashes: enough of an attempt to judge it by its intent, without its content."""

import math
from datetime import UTC, datetime

from checkout_session.domain.attempts import Attempt, CloseReason, Intent, IntentKind
from checkout_session.domain.due_attempts import DueAttempt


def encode_entry(attempt: Attempt) -> str:
    """Return the entry of an attempt: `kind:intent id:created at:pay by`, times in seconds since 1970."""
    created_at, pay_by = math.floor(attempt.created_at.timestamp()), math.ceil(attempt.pay_by.timestamp())
    return f"{attempt.intent.kind.value}:{attempt.intent.id}:{created_at}:{pay_by}"


def decode_entry(
    attempt_id: str, entry: bytes, *, close_reason: CloseReason | None, content_exists: bool
) -> DueAttempt:
    """Return the due attempt of an entry. Raises ValueError or OverflowError if it is malformed."""
    kind, rest = entry.decode().split(":", 1)
    intent_id, created_at, pay_by = rest.rsplit(":", 2)
    return DueAttempt(
        attempt_id=attempt_id,
        intent=Intent(intent_id, IntentKind(kind)),
        created_at=datetime.fromtimestamp(int(created_at), UTC),
        pay_by=datetime.fromtimestamp(int(pay_by), UTC),
        close_reason=close_reason,
        content_exists=content_exists,
    )
