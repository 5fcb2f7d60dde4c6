"""Retries of webhooks, and the end of an endpoint that fails for days.

Stripe retries for up to three days with growing pauses, and in a sandbox three times over a few hours
(https://docs.stripe.com/webhooks#retries). It does not publish the pauses: those here are the reported ones
(https://sentryforge.royalruby.io/webhook/blog/retry-behavior/). It disables an endpoint that has failed for nine days
in a row (its e-mail in https://github.com/woocommerce/woocommerce-gateway-stripe/issues/1289).
"""

from typing import Final

_MINUTE: Final = 60.0
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
DISABLED_AFTER_SECONDS: Final = 9 * _DAY
SANDBOX_RETRIES: Final = (10 * _MINUTE, 1 * _HOUR, 4 * _HOUR)
"""Seconds from the first attempt to each retry, on the simulated clock."""
LIVE_RETRIES: Final = (
    *(5 * _MINUTE, 30 * _MINUTE),
    *(2 * _HOUR, 4 * _HOUR, 8 * _HOUR, 16 * _HOUR),
    *(1 * _DAY, 2 * _DAY, 3 * _DAY),
)


class FailingEndpoints:
    """Endpoints without a success since a first failure."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def succeeded(self, endpoint_id: str) -> None:
        """Forget the failures of an endpoint."""
        self._since.pop(endpoint_id, None)

    def failed(self, endpoint_id: str, now: float) -> bool:
        """Count a failure. Return true if the endpoint has failed for nine days, and begin again."""
        if now - self._since.setdefault(endpoint_id, now) < DISABLED_AFTER_SECONDS:
            return False
        del self._since[endpoint_id]
        return True
