"""What an answer of Stripe's means: take it, ask once more with the same key, or give up."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Final

_BAD_REQUEST: Final = 400
_CONFLICT: Final = 409
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_OUR_KEY_REFUSED: Final = frozenset({401, 403})


class Meaning(Enum):
    """What came of one request; the values are labels of a metric."""

    DONE = "done"
    REFUSED = "refused"
    """For good: asking again would be answered the same."""
    KEY_SPENT = "key_spent"
    """A failure that Stripe stored under the idempotency key, and replays for ever."""
    NOT_AUTHORISED = "not_authorised"
    """Our secret key is wrong, revoked or not allowed to do this: a matter for an operator."""
    RATE_LIMITED = "rate_limited"
    IN_USE = "in_use"
    """The idempotency key, or the object, is being worked on by another request."""
    SERVER_ERROR = "server_error"
    UNREADABLE = "unreadable"
    """Something between Stripe and us answered in its place, or cut the answer to pieces."""
    TIMED_OUT = "timed_out"
    BROKEN_OFF = "broken_off"
    """The connection could not be made or did not last."""

    @property
    def may_pass(self) -> bool:
        """Whether the same request with the same idempotency key may fare better."""
        return self in _MAY_PASS

    @property
    def may_hide_a_failure(self) -> bool:
        """Whether Stripe may have failed, and stored that under the idempotency key, told or not."""
        return self in _MAY_PASS - {Meaning.RATE_LIMITED, Meaning.IN_USE}


_MAY_PASS: Final = frozenset(
    {
        Meaning.RATE_LIMITED,
        Meaning.IN_USE,
        Meaning.SERVER_ERROR,
        Meaning.UNREADABLE,
        Meaning.TIMED_OUT,
        Meaning.BROKEN_OFF,
    }
)


@dataclass(frozen=True)
class Answer:
    """What came of one request."""

    meaning: Meaning
    status: int | None = None
    """None where there was no answer."""
    content: bytes = b""
    headers: Mapping[str, str] | None = None
    retry_after_seconds: float | None = None
    """When Stripe wants to be asked again, where it said so."""
    stripe_says_no: bool = False
    """Whether Stripe said that asking again is of no use."""

    def __repr__(self) -> str:
        """Leave content and headers out: a repr may end in a log (P7)."""
        return f"Answer({self.meaning.value}, {self.status})"


def read_answer(status: int, content: bytes, headers: Mapping[str, str]) -> Answer:
    """Say what an answer means. headers are looked up as they are: a mapping that knows no case."""
    advice = headers.get("Stripe-Should-Retry")
    return Answer(
        meaning=_meaning(status, _read_json(content), headers, advised=advice == "true"),
        status=status,
        content=content,
        headers=headers,
        retry_after_seconds=_seconds(headers.get("Retry-After")),
        stripe_says_no=advice == "false",
    )


def _meaning(status: int, body: object, headers: Mapping[str, str], *, advised: bool) -> Meaning:
    if status in _OUR_KEY_REFUSED:
        return Meaning.NOT_AUTHORISED
    if status >= _SERVER_ERROR:
        return Meaning.KEY_SPENT if headers.get("Idempotent-Replayed") == "true" else Meaning.SERVER_ERROR
    if status == _TOO_MANY:
        # One object is locked by another request: no reason to hold all calls back.
        return Meaning.IN_USE if _code(body) == "lock_timeout" else Meaning.RATE_LIMITED
    if not _is_stripes(status, body):
        return Meaning.UNREADABLE
    if status < _BAD_REQUEST:
        return Meaning.DONE
    return Meaning.IN_USE if status == _CONFLICT or advised else Meaning.REFUSED


def _is_stripes(status: int, body: object) -> bool:
    """Whether a body is one of Stripe's: its objects and lists name their kind, its refusals are all of one form."""
    if not isinstance(body, dict):
        return False
    return "object" in body if status < _BAD_REQUEST else isinstance(body.get("error"), dict)


def _read_json(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _code(body: object) -> Any:
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("code") if isinstance(error, dict) else None


def _seconds(header: str | None) -> float | None:
    """Read a Retry-After header: seconds or a date, as RFC 9110 has it; None for what is neither."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = _seconds_until(header)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
