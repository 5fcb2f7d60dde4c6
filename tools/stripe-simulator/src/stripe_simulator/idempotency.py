"""Stripe's idempotency layer.

After https://docs.stripe.com/api/idempotent_requests: the answer of the first request with a key is saved once the
endpoint began to execute, whatever it is, 500s included, and replayed to later ones. Other parameters or another
endpoint under the same key are an error. Nothing is saved where execution never began: bad keys, rate limits,
parameters that fail validation, or a conflict with a request that is still executing. Keys may be pruned after 24
hours.
"""

from dataclasses import dataclass, replace

from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.clock import Clock
from stripe_simulator.forms import Form

KEPT_SECONDS = 24 * 3600
MAX_KEY_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer: what is sent, and what a replay sends again."""

    status: int
    body: bytes
    request_id: str


@dataclass(frozen=True, slots=True)
class Saved:
    """What a key was first used for, and its answer once there is one."""

    path: str
    form: Form
    used_at: float
    answer: Answer | None = None


class IdempotencyKeys:
    """Remembers keys and their answers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._saved: dict[str, Saved] = {}

    def __len__(self) -> int:
        return len(self._saved)

    def __contains__(self, key: str | None) -> bool:
        return key is not None and self._current(key) is not None

    def replay(self, key: str, path: str, form: Form) -> Answer | None:
        """Answer what was saved under the key, if anything; raise if the key cannot be used for this request."""
        if len(key) > MAX_KEY_LENGTH:
            raise invalid(f"Idempotency keys must be at most {MAX_KEY_LENGTH} characters.")
        saved = self._current(key)
        if saved is None:
            return None
        if saved.path != path:
            raise _other_endpoint(key, saved.path, path)
        if saved.form != form:
            raise other_parameters(key)
        if saved.answer is None:
            raise in_use()
        return saved.answer

    def begin(self, key: str, path: str, form: Form) -> None:
        """Take the key: the endpoint begins to execute."""
        self._saved[key] = Saved(path, form, self._clock.now())

    def finish(self, key: str, answer: Answer) -> None:
        """Save the answer for replays."""
        if key in self._saved:
            self._saved[key] = replace(self._saved[key], answer=answer)

    def abandon(self, key: str) -> None:
        """Give the key back: nothing was executed after all."""
        self._saved.pop(key, None)

    def _current(self, key: str) -> Saved | None:
        saved = self._saved.get(key)
        if saved and saved.answer and self._clock.now() - saved.used_at >= KEPT_SECONDS:
            del self._saved[key]
            return None
        return saved


def other_parameters(key: str) -> ApiError:
    """Make the 400 for a key that was used for another request."""
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
    """Make the 409; its type differs from that of the two above, as observed at Stripe."""
    return ApiError(
        409,
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted "
        "twice, and the other request is still going through). Please try again later.",
        code="idempotency_key_in_use",
    )
