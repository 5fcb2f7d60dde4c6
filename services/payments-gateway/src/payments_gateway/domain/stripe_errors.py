"""Failures of calls to Stripe that more than one port raises."""


class StripeUnavailable(Exception):
    """Stripe timed out, failed or refused the request. The same call may succeed later."""

    def __init__(self, retry_after_seconds: float | None = None) -> None:
        """Carry the delay that Stripe asked for, where it did."""
        super().__init__("Stripe is unavailable")
        self.retry_after_seconds = retry_after_seconds


class StripeKeyRefused(StripeUnavailable):
    """Stripe refuses our secret key: unavailable to a buyer, a configuration fault to an operator."""


class StripePermissionMissing(StripeUnavailable):
    """Our restricted key may not do this: unavailable until an operator grants the permission. Other calls go on."""


class NotFoundAtStripe(Exception):
    """Stripe has no object of this id in our key's mode, or none that can still be changed."""


class UnsupportedStripeObject(Exception):
    """Stripe answered with a value or a form that this version cannot store; a repeat would be answered the same."""


class RefusedByOrders(UnsupportedStripeObject):
    """orders refused to store it: during a rollout an older orders may not know a word that this version sends."""


class IdempotencyKeyExhausted(Exception):
    """The idempotency key replays a failure: only another key helps."""

    def __init__(self, *, just_now: bool = False) -> None:
        """Set just_now where the replayed failure happened in this very call: Stripe may be failing still."""
        super().__init__("the idempotency key replays a failure")
        self.just_now = just_now


class IdempotencyKeyReused(IdempotencyKeyExhausted):
    """The idempotency key was used with other parameters. The secret of what those made may have been released."""
