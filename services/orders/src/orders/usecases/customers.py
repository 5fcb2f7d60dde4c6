"""The Stripe customer of a user: one each, so that a user's payment methods and subscriptions are in one place."""

from collections.abc import Callable
from datetime import datetime

from orders.usecases.unit_of_work import BeginUnit, Ledger
from servicekit.violations import FieldViolation, InvalidRequest

_TRIES = 3


class CustomerNotFound(LookupError):
    """The user has no Stripe customer yet."""


class Customers:
    """Keeps which Stripe customer is whose."""

    def __init__(self, begin: BeginUnit, now: Callable[[], datetime]) -> None:
        self._begin = begin
        self._now = now

    async def of_user(self, user_id: str) -> str:
        """Return the id of a user's Stripe customer. Raises CustomerNotFound."""
        async with self._begin() as ledger:
            customer = await ledger.customer_of(user_id)
        if customer is None:
            raise CustomerNotFound
        return customer

    async def put(self, user_id: str, stripe_customer_id: str, replaced: str | None) -> str:
        """Make it the user's unless the user has one, or instead of the replaced one; return the user's from now on.

        Raises InvalidRequest for a customer that is another user's.
        """
        async with self._begin() as ledger:
            at = self._now()
            if replaced is not None and await ledger.replace_customer(user_id, replaced, stripe_customer_id, at):
                customer = stripe_customer_id
            else:
                customer = await _first_writer(ledger, user_id, stripe_customer_id, at)
            if customer == replaced != stripe_customer_id:
                raise _of_another_user()
            await ledger.commit()
        return customer


async def _first_writer(ledger: Ledger, user_id: str, stripe_customer_id: str, at: datetime) -> str:
    for _ in range(_TRIES):  # Who stood in the way may be erased before it can be read.
        if await ledger.add_customer(user_id, stripe_customer_id, at):
            return stripe_customer_id
        standing = await ledger.customer_of(user_id)
        if standing is not None:
            return standing
    raise _of_another_user()


def _of_another_user() -> InvalidRequest:
    return InvalidRequest([FieldViolation("stripe_customer_id", "must not be another user's")])
