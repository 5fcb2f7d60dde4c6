"""Stripe's idempotency layer (https://docs.stripe.com/api/idempotent_requests).

The first response for a key is saved once the endpoint has begun to execute, 500s included, and replayed to later
requests. The same key with other parameters or at another endpoint is an error. Nothing is saved where execution never
began: bad keys, rate limits, invalid parameters, or a conflict with a request in progress. Keys expire after 24 hours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.clock import Clock
from stripe_simulator.forms import Form

KEPT_SECONDS: Final = 24 * 3600
MAX_KEY_LENGTH: Final = 255


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A finished response, which replays repeat."""

    status: int
    body: bytes
    request_id: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SavedRequest:
    """The first request of a key, with its response once there is one."""

    path: str
    form: Form
    used_at: float
    response: ApiResponse | None = None


class IdempotencyKeys:
    """Keys with their first request and response."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._saved: dict[str, SavedRequest] = {}

    def __contains__(self, key: str | None) -> bool:
        return key is not None and self._current(key) is not None

    def find_replay(self, key: str, path: str, form: Form) -> ApiResponse | None:
        """Return the saved response, if any. Raises Stripe's error if the key cannot be used for this request."""
        if len(key) > MAX_KEY_LENGTH:
            raise invalid(f"Idempotency keys must be at most {MAX_KEY_LENGTH} characters.")
        saved = self._current(key)
        if saved is None:
            return None
        if saved.path != path:
            raise _other_endpoint(key, saved.path, path)
        if saved.form != form:
            raise other_parameters(key)
        if saved.response is None:
            raise in_use()
        return saved.response

    def begin(self, key: str, path: str, form: Form) -> None:
        """Mark the key as in progress."""
        self._saved[key] = SavedRequest(path, form, self._clock.now())

    def finish(self, key: str, response: ApiResponse) -> None:
        """Save the response for replays."""
        if key in self._saved:
            self._saved[key] = replace(self._saved[key], response=response)

    def abandon(self, key: str) -> None:
        """Free the key: nothing was executed."""
        self._saved.pop(key, None)

    def _current(self, key: str) -> SavedRequest | None:
        saved = self._saved.get(key)
        if saved and saved.response and self._clock.now() - saved.used_at >= KEPT_SECONDS:
            del self._saved[key]
            return None
        return saved


def other_parameters(key: str) -> ApiError:
    """Build the 400 for a key that was used with other parameters."""
    return ApiError(
        400,
        "Keys for idempotent requests can only be used with the same parameters they were first used with. "
        f"Try using a key other than '{key}' if you meant to execute a different request.",
        kind="idempotency_error",
    )


def _other_endpoint(key: str, first: str, now: str) -> ApiError:
    return ApiError(
        400,
        f"Keys for idempotent requests can only be used for the same endpoint they were first used for "
        f"('{now}' vs '{first}'). Try using a key other than '{key}' if you meant to execute a different request.",
        kind="idempotency_error",
    )


def in_use() -> ApiError:
    """Build the 409 for a key in progress. Its type is `invalid_request_error`, as observed at Stripe."""
    return ApiError(
        409,
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted "
        "twice, and the other request is still going through). Please try again later.",
        code="idempotency_key_in_use",
    )
