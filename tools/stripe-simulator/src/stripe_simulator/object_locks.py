"""Locks of customers while one of their subscriptions is written.

Stripe locks objects during a write, and answers `lock_timeout` to others that wait too long
(https://docs.stripe.com/rate-limits#object-lock-timeouts). Here a write takes time only while a fault holds or delays
it, and nobody waits for it: the second write on the same customer is refused at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from stripe_simulator.api_errors import locked
from stripe_simulator.endpoints import Call, Endpoint


class ObjectLocks:
    """The locked customers."""

    def __init__(self) -> None:
        self._held: set[str] = set()

    @contextmanager
    def hold(self, endpoint: Endpoint, call: Call) -> Iterator[None]:
        """Lock the customer that a request writes to, if any. Raises Stripe's 429."""
        customer = _written_customer(endpoint, call)
        if customer is None:
            yield
            return
        if customer in self._held:
            raise locked()
        self._held.add(customer)
        try:
            yield
        finally:
            self._held.discard(customer)


def _written_customer(endpoint: Endpoint, call: Call) -> str | None:
    if endpoint.method == "GET":
        return None
    if endpoint.template == "/v1/customers/{id}":
        return call.id
    if endpoint.template == "/v1/subscriptions":
        created_for: str | None = call.params.get("customer")
        return created_for
    if endpoint.template == "/v1/subscriptions/{id}":
        stored = call.account["subscriptions"].find(call.id)
        return stored["customer"] if stored else None
    return None
