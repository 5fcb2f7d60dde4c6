"""How long services wait for each other: seldom as long in tests as in earnest."""

from typing import Final

_LEISURELY_GATEWAY: Final = {
    "SERVICE_TIMEOUT_SECONDS": "20",
    "STRIPE_TIMEOUT_SECONDS": "20",
    "STRIPE_BUDGET_SECONDS": "40",
    "REQUEST_DEADLINE_SECONDS": "60",
    "CATALOGUE_REFRESH_SECONDS": "3600",
}
AT_LEISURE: Final = {
    # By process. Where many buy at once, or much, it counts what is decided, and not how soon.
    "gateway": _LEISURELY_GATEWAY,
    "gateway-2": _LEISURELY_GATEWAY,
    "orders": {"CONNECT_TIMEOUT_SECONDS": "10", "LOCK_TIMEOUT_SECONDS": "10", "STATEMENT_TIMEOUT_SECONDS": "10"},
    "checkout-session": {"STORE_TIMEOUT_SECONDS": "10"},
}
UNHURRIED: Final = {
    # Tests hold calls of several requests until all have come so far, on a machine that may be busy.
    "SERVICE_TIMEOUT_SECONDS": "6",
    "STRIPE_QUEUE_SECONDS": "8",
}
HURRIED: Final = {
    # Short enough for a test, long enough for a busy machine.
    "SERVICE_TIMEOUT_SECONDS": "3",
    "STRIPE_TIMEOUT_SECONDS": "1.2",
    "STRIPE_BUDGET_SECONDS": "2.8",
    "STRIPE_MAX_CONCURRENT": "400",
    "STRIPE_REQUESTS_PER_SECOND": "2000",
    "CATALOGUE_REFRESH_SECONDS": "3600",
    "CATALOGUE_PAUSE_SECONDS": "0",
}
PATIENT: Final = {
    # Whoever is held must still be waiting when the gateway dies.
    "SERVICE_TIMEOUT_SECONDS": "60",
    "STRIPE_TIMEOUT_SECONDS": "60",
    "STRIPE_BUDGET_SECONDS": "100",
    "REQUEST_DEADLINE_SECONDS": "120",
    "CATALOGUE_REFRESH_SECONDS": "3600",
}
LONGEST_SECONDS: Final = 25.0
"""The default deadline of a request: whatever happens, whoever asked is told by then."""
