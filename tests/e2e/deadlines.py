"""How long a gateway waits for others in tests that spoil its calls."""

from typing import Final

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
