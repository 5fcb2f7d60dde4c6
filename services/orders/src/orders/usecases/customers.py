"""One Stripe customer for each user and currency: on one, Stripe refuses subscriptions in two currencies (ADR 35).

Source: https://docs.stripe.com/invoicing/multi-currency-customers
"""

from typing import Final

from orders.domain.customers import CustomerOwner
from orders.usecases.unit_of_work import CustomerRepository, UnitOfWorkFactory
from servicekit.violations import FieldViolation, InvalidRequest

_TRIES: Final = 3


class CustomerNotFound(LookupError):
    """The user has no Stripe customer of the currency yet."""


class CustomerErased(Exception):
    """The customer was erased, and a person deletes it at Stripe: nobody may be billed by it again (ADR 14)."""


class CustomerService:
    """Assigns Stripe customers to users: the first writer wins."""

    def __init__(self, begin: UnitOfWorkFactory) -> None:
        self._begin = begin

    async def get(self, owner: CustomerOwner) -> str:
        """Return the id of the owner's Stripe customer. Raises CustomerNotFound."""
        async with self._begin() as unit:
            customer_id = await unit.customers.find(owner)
        if customer_id is None:
            raise CustomerNotFound
        return customer_id

    async def put(self, owner: CustomerOwner, stripe_customer_id: str, replaced: str | None) -> str:
        """Assign a customer if the owner has none, or has `replaced`; return the owner's customer afterwards.

        Raises CustomerErased, and InvalidRequest if the customer is another user's, or the user's own in another
        currency.
        """
        async with self._begin() as unit:
            customers = unit.customers
            if replaced is not None and await customers.replace(owner, replaced, stripe_customer_id):
                assigned = stripe_customer_id
            else:
                assigned = await _add_or_find(customers, owner, stripe_customer_id)
            if assigned == replaced != stripe_customer_id:
                raise await _refusal(customers, stripe_customer_id)
            await unit.commit()
        return assigned


async def _add_or_find(customers: CustomerRepository, owner: CustomerOwner, stripe_customer_id: str) -> str:
    for _ in range(_TRIES):  # An erasure may delete the user's customer before it is read here.
        if await customers.add(owner, stripe_customer_id):
            return stripe_customer_id
        existing = await customers.find(owner)
        if existing is not None:
            return existing
    raise await _refusal(customers, stripe_customer_id)


async def _refusal(customers: CustomerRepository, stripe_customer_id: str) -> Exception:
    if await customers.is_erased(stripe_customer_id):
        return CustomerErased()
    return InvalidRequest([FieldViolation("stripe_customer_id", "must not be another user's or currency's")])
