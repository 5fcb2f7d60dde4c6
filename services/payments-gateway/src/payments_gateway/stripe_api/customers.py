"""Customers, kept by Stripe."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import stripe

from payments_gateway.checkout.customers import EmailRefused
from payments_gateway.domain.intents import CustomerMissing
from payments_gateway.domain.stripe_errors import IdempotencyKeyExhausted, StripeUnavailable
from payments_gateway.stripe_api.fields import read_id

_UPDATES: Final = 2
"""An update whose key replays a failure is sent once more with another key: it does nothing twice."""


class StripeCustomers:
    """`StripeCustomersPort` over Stripe's API."""

    def __init__(self, client: stripe.StripeClient) -> None:
        """Use a client that was built once; its StripeHttp bounds and repeats every call."""
        self._customers = client.v1.customers

    async def create(self, key: str) -> str:
        """Make a customer, once per idempotency key, and return its id."""
        with _failures_named():
            # Nothing is sent along: a key with other parameters is refused, and this one is used for years (ADR 16).
            made = await self._customers.create_async({}, {"idempotency_key": key})
        return read_id(made.id)

    async def update_email(self, customer_id: str, email: str) -> None:
        """Tell Stripe where to write to a customer."""
        for _ in range(_UPDATES):
            try:
                with _failures_named():
                    await self._customers.update_async(customer_id, {"email": email})
            except IdempotencyKeyExhausted:
                continue
            return
        raise StripeUnavailable


@contextmanager
def _failures_named() -> Iterator[None]:
    """Turn the library's errors into ours. Their messages stay behind: they may quote what was sent (P7)."""
    try:
        yield
    except stripe.StripeError as failure:
        raise _named(failure) from None


def _named(failure: stripe.StripeError) -> Exception:
    if isinstance(failure, stripe.IdempotencyError):
        return IdempotencyKeyExhausted()
    if isinstance(failure, stripe.InvalidRequestError):
        return CustomerMissing() if failure.code == "resource_missing" else _refusal(failure)
    return StripeUnavailable()


def _refusal(failure: stripe.InvalidRequestError) -> Exception:
    return EmailRefused() if failure.param == "email" else StripeUnavailable()
