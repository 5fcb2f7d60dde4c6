"""Whom Stripe charges again and again: one customer for each user, and one for each attempt of a guest (ADR 16)."""

import hashlib
import logging
from dataclasses import dataclass
from typing import Final, Protocol

from payments_gateway.domain.intents import CustomerMissing
from payments_gateway.domain.stripe_errors import IdempotencyKeyExhausted, StripeUnavailable

_log = logging.getLogger(__name__)

_GENERATIONS: Final = 3
"""How many idempotency keys there are at Stripe for a customer of one attempt."""
_SPENT_AT_ONCE: Final = 2
"""So many keys may be spent by one request. Then Stripe is failing, and keys are left for when it is not (ADR 8)."""


@dataclass(frozen=True)
class Payer:
    """Who will be charged again and again."""

    user_id: str | None
    """From a verified token; None for a guest."""
    attempt_id: str
    email: str

    def __repr__(self) -> str:
        """Leave the e-mail address out: a repr may end in a log (P7)."""
        return f"Payer({self.attempt_id[:8]})"


class EmailRefused(Exception):
    """Stripe takes this for no e-mail address."""


class StripeCustomersPort(Protocol):
    """Stripe's customers. Every method may raise StripeUnavailable."""

    async def create(self, key: str) -> str:
        """Make a customer, once per idempotency key however often it is called, and return its id.

        Raises IdempotencyKeyExhausted when the key is of no more use.
        """

    async def update_email(self, customer_id: str, email: str) -> None:
        """Tell Stripe where to write to a customer. Raises CustomerMissing, EmailRefused."""


class CustomerRepository(Protocol):
    """Which customer is a user's. Every method may raise ServiceUnavailable."""

    async def find(self, user_id: str) -> str | None:
        """Return the user's customer; None if there is none yet."""

    async def put(self, user_id: str, customer_id: str, *, replaces: str | None = None) -> str:
        """Make a customer the user's and return whose it is from now on: the first writer wins.

        With replaces, that one is replaced, if it still is the user's.
        """


class Customers:
    """Finds or makes the customer that a cart with subscriptions is charged to."""

    def __init__(self, accounts: StripeCustomersPort, register: CustomerRepository) -> None:
        """Make customers at Stripe, and keep the users' in a register."""
        self._accounts = accounts
        self._register = register

    async def get_or_create(self, payer: Payer) -> str:
        """Return the payer's customer. Raises StripeUnavailable, ServiceUnavailable."""
        if payer.user_id is None:
            return await self._create_with_first_usable_key(payer, "")
        known = await self._register.find(payer.user_id)
        return known or await self._register.put(payer.user_id, await self._create_with_first_usable_key(payer, ""))

    async def replace_deleted(self, gone: str, payer: Payer) -> str:
        """Return whom to charge in place of a customer that Stripe does not know any more.

        Raises StripeUnavailable, ServiceUnavailable.
        """
        _log.warning("a customer was deleted at Stripe and is replaced")
        made = await self._create_with_first_usable_key(payer, f":after:{gone}")
        if payer.user_id is None:
            return made
        return await self._register.put(payer.user_id, made, replaces=gone)

    async def _create_with_first_usable_key(self, payer: Payer, suffix: str) -> str:
        """Make a customer under the first key that is of use, and tell its e-mail before anybody learns of it."""
        spent_now = 0
        for key in _keys(payer, suffix):
            try:
                customer_id = await self._accounts.create(key)
                await self._update_email(customer_id, payer.email)
            except IdempotencyKeyExhausted as spent:
                spent_now += spent.just_now
                if spent_now == _SPENT_AT_ONCE:
                    break
            except CustomerMissing:
                continue  # the key answered one that was deleted since
            else:
                return customer_id
        raise StripeUnavailable

    async def _update_email(self, customer_id: str, email: str) -> None:
        try:
            await self._accounts.update_email(customer_id, email)
        except EmailRefused:
            _log.warning("Stripe refused a customer's e-mail address; it will not write to this one")


def _keys(payer: Payer, suffix: str) -> tuple[str, ...]:
    """Return the idempotency keys to try, in order.

    A user's own key comes first: whoever uses it, for whichever attempt, is answered the same customer. The attempt's
    keys are there so that failures stored under the user's key cannot keep the user out until Stripe forgets them.
    """
    of_attempt = f"customer:attempt:{payer.attempt_id}{suffix}"
    keys = (of_attempt, *(f"{of_attempt}:{generation}" for generation in range(1, _GENERATIONS)))
    if payer.user_id is None:
        return keys
    # Hashed: a user id may be longer than a key can be, and an e-mail address that is not Stripe's to know.
    of_user = hashlib.sha256(payer.user_id.encode()).hexdigest()
    return (f"customer:{of_user}{suffix}", *keys)
