"""One Stripe customer for each user, so that payment methods and subscriptions of a user are in one place."""

from typing import Final

from orders.usecases.unit_of_work import CustomerRepository, UnitOfWorkFactory
from servicekit.violations import FieldViolation, InvalidRequest

_TRIES: Final = 3


class CustomerNotFound(LookupError):
    """The user has no Stripe customer yet."""


class CustomerService:
    """Assigns Stripe customers to users: the first writer wins."""

    def __init__(self, begin: UnitOfWorkFactory) -> None:
        self._begin = begin

    async def get(self, user_id: str) -> str:
        """Return the id of a user's Stripe customer. Raises CustomerNotFound."""
        async with self._begin() as unit:
            customer_id = await unit.customers.find(user_id)
        if customer_id is None:
            raise CustomerNotFound
        return customer_id

    async def put(self, user_id: str, stripe_customer_id: str, replaced: str | None) -> str:
        """Assign a customer if the user has none, or has `replaced`; return the user's customer afterwards.

        Raises InvalidRequest if the customer is another user's.
        """
        async with self._begin() as unit:
            customers = unit.customers
            if replaced is not None and await customers.replace(user_id, replaced, stripe_customer_id):
                assigned = stripe_customer_id
            else:
                assigned = await _add_or_find(customers, user_id, stripe_customer_id)
            if assigned == replaced != stripe_customer_id:
                raise _of_another_user()
            await unit.commit()
        return assigned


async def _add_or_find(customers: CustomerRepository, user_id: str, stripe_customer_id: str) -> str:
    for _ in range(_TRIES):  # An erasure may delete the user's customer before it is read here.
        if await customers.add(user_id, stripe_customer_id):
            return stripe_customer_id
        existing = await customers.find(user_id)
        if existing is not None:
            return existing
    raise _of_another_user()


def _of_another_user() -> InvalidRequest:
    return InvalidRequest([FieldViolation("stripe_customer_id", "must not be another user's")])
