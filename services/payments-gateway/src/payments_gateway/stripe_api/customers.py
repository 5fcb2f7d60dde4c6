"""Customers at Stripe."""

import stripe

from payments_gateway.checkout.customers import EmailRefused
from payments_gateway.domain.intents import CustomerMissing
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.stripe_api.calls import Rejection, is_missing, translate_errors, with_fresh_key
from payments_gateway.stripe_api.fields import read_id


class StripeCustomers:
    """`StripeCustomersPort` over Stripe's API."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._customers = client.v1.customers

    async def create(self, key: str) -> str:
        """Create a customer, once per idempotency key, and return its id."""
        with translate_errors(_rejected):
            # No parameters: Stripe refuses a key with other parameters, and this key is used for years (ADR 16).
            created = await self._customers.create_async({}, {"idempotency_key": key})
            return read_id(created.id)

    async def update_email(self, customer_id: str, email: str) -> None:
        """Set the address that Stripe writes to."""
        await with_fresh_key(lambda: self._update_email(customer_id, email))

    async def _update_email(self, customer_id: str, email: str) -> None:
        with translate_errors(_rejected):
            await self._customers.update_async(customer_id, {"email": email})


def _rejected(error: Rejection) -> Exception:
    if is_missing(error):
        return CustomerMissing()
    return EmailRefused() if error.param == "email" else StripeUnavailable()
