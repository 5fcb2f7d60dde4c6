"""Timeouts of the services in tests. A try has the whole deadline: a call that a test holds is not sent again."""

from typing import Final

_UNDER_LOAD: Final = {
    "SERVICE_TIMEOUT_SECONDS": "20",
    "SERVICE_TRY_SECONDS": "20",
    "STRIPE_TIMEOUT_SECONDS": "20",
    "STRIPE_BUDGET_SECONDS": "40",
    "REQUEST_DEADLINE_SECONDS": "60",
    "CATALOGUE_REFRESH_SECONDS": "3600",
    "MAX_IN_FLIGHT": "1000",
}
UNDER_LOAD: Final = {
    # By process: no request of a load test times out, or is refused.
    "gateway": _UNDER_LOAD,
    "gateway-2": _UNDER_LOAD,
    "orders": {"CONNECT_TIMEOUT_SECONDS": "10", "LOCK_TIMEOUT_SECONDS": "10", "STATEMENT_TIMEOUT_SECONDS": "10"},
    "checkout-session": {"STORE_TIMEOUT_SECONDS": "10"},
}
USUAL: Final = {
    # Calls of several requests stay held until all have arrived, on a busy machine too.
    "SERVICE_TIMEOUT_SECONDS": "4",
    "SERVICE_TRY_SECONDS": "4",
    "STRIPE_QUEUE_SECONDS": "8",
}
SHORT: Final = {
    # Short enough for a test that waits for them, long enough for a busy machine.
    "SERVICE_TIMEOUT_SECONDS": "3",
    "SERVICE_TRY_SECONDS": "3",
    "STRIPE_TIMEOUT_SECONDS": "1.2",
    "STRIPE_BUDGET_SECONDS": "2.8",
    "STRIPE_MAX_CONCURRENT": "400",
    "CATALOGUE_REFRESH_SECONDS": "3600",
}
LONG: Final = {
    # A held call must not time out before the gateway is killed.
    "SERVICE_TIMEOUT_SECONDS": "60",
    "SERVICE_TRY_SECONDS": "60",
    "STRIPE_TIMEOUT_SECONDS": "60",
    "STRIPE_BUDGET_SECONDS": "100",
    "REQUEST_DEADLINE_SECONDS": "120",
    "CATALOGUE_REFRESH_SECONDS": "3600",
}
REQUEST_DEADLINE_SECONDS: Final = 25.0
"""The gateway's default: every request is answered by then."""
