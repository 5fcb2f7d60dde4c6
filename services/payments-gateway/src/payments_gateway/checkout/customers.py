"""Finds or creates the Customer that subscriptions bill: one per user and currency, or per attempt of a guest (ADR 16).

Stripe refuses active subscriptions in two currencies on one customer (ADR 35):
https://docs.stripe.com/invoicing/multi-currency-customers
"""

import hashlib
import hmac
import logging
from dataclasses import dataclass
from typing import Final, Protocol

from payments_gateway.domain.intents import CustomerMissing
from payments_gateway.domain.stripe_errors import IdempotencyKeyExhausted, StripeUnavailable

_log = logging.getLogger(__name__)

_KEY_DOMAIN: Final = b"holdfast customer key\0"
_KEYS_PER_ATTEMPT: Final = 3
"""Idempotency keys at Stripe for the customer of one attempt."""
_MAX_ERASED: Final = 5
"""Erasures of one user within the day for which Stripe replays a customer, before the next checkout is refused."""
_MAX_DELETED: Final = 5
"""The same for customers that were deleted at Stripe."""
_MAX_FRESH_FAILURES: Final = 2
"""Keys that one request may exhaust. Stripe is failing then, and the other keys are kept for later (ADR 8)."""


@dataclass(frozen=True, slots=True)
class Payer:
    """Buyer whose subscriptions are billed."""

    user_id: str | None
    """From a verified token; None for a guest."""
    attempt_id: str
    currency: str
    """Currency of the cart: an attempt has one."""
    email: str

    def __repr__(self) -> str:
        """Omit the e-mail address: a repr may end in a log (P7)."""
        return f"Payer({self.attempt_id[:8]})"


class EmailRefused(Exception):
    """Stripe does not accept the e-mail address."""


class CustomerErased(Exception):
    """The customer was erased, and a person deletes it at Stripe."""


class StripeCustomersPort(Protocol):
    """Stripe's customers. Every method may raise StripeUnavailable."""

    async def create(self, key: str) -> str:
        """Create a customer, once per idempotency key however often it is called, and return its id.

        Raises IdempotencyKeyExhausted where the key replays a failure.
        """

    async def update_email(self, customer_id: str, email: str) -> None:
        """Set a customer's e-mail address. Raises CustomerMissing, EmailRefused."""


class CustomerRepository(Protocol):
    """orders, which stores the customer of each user and currency. Every method may raise ServiceUnavailable."""

    async def find(self, user_id: str, currency: str) -> str | None:
        """Return the user's customer of the currency; None if there is none yet."""

    async def put(self, user_id: str, currency: str, customer_id: str, *, replaces: str | None = None) -> str:
        """Store the user's customer of the currency and return the stored one: the first writer wins.

        With replaces, replace that customer, if it is still the user's. Raises CustomerErased.
        """


class Customers:
    """Finds or creates customers."""

    def __init__(self, stripe: StripeCustomersPort, repository: CustomerRepository, key_secret: bytes) -> None:
        """Derive the keys of users with a secret that no other shop of the Stripe account has."""
        self._stripe = stripe
        self._repository = repository
        self._key_secret = key_secret

    async def get_or_create(self, payer: Payer) -> str:
        """Return the payer's customer. Raises StripeUnavailable, ServiceUnavailable."""
        if payer.user_id is None:
            return await self._create(payer, "")
        known = await self._repository.find(payer.user_id, payer.currency)
        return known or await self._create_and_store(payer, payer.user_id)

    async def replace_deleted(self, deleted: str, payer: Payer) -> str:
        """Return the customer that replaces one deleted at Stripe. Raises StripeUnavailable, ServiceUnavailable."""
        _log.warning("customer deleted at Stripe, creating another")
        if payer.user_id is None:
            return await self._create(payer, _after(deleted))
        return await self._create_and_store(payer, payer.user_id, replaces=deleted)

    async def _create_and_store(self, payer: Payer, user_id: str, *, replaces: str | None = None) -> str:
        """Create a customer and make it the user's, unless another checkout was faster.

        For a day Stripe replays a customer that was erased since. The next key names it, so that the checkouts of a
        user who returned agree on one again.
        """
        suffix = _after(replaces) if replaces else ""
        for _ in range(_MAX_ERASED):
            created = await self._create(payer, suffix)
            try:
                return await self._repository.put(user_id, payer.currency, created, replaces=replaces)
            except CustomerErased:
                suffix = _after(created)
        raise StripeUnavailable

    async def _create(self, payer: Payer, suffix: str) -> str:
        """Create a customer, and set its e-mail address before its id is stored.

        A key may replay a customer that was deleted since. The next one names it, as after an erasure: a customer for
        each checkout would leave e-mail addresses at Stripe of which no erasure knows.
        """
        for _ in range(_MAX_DELETED):
            customer_id = await self._create_by_usable_key(payer, suffix)
            try:
                await self._update_email(customer_id, payer.email)
            except CustomerMissing:
                suffix = _after(customer_id)
            else:
                return customer_id
        raise StripeUnavailable

    async def _create_by_usable_key(self, payer: Payer, suffix: str) -> str:
        fresh_failures = 0
        for key in self._keys(payer, suffix):
            try:
                return await self._stripe.create(key)
            except IdempotencyKeyExhausted as exhausted:
                fresh_failures += exhausted.just_now
                if fresh_failures == _MAX_FRESH_FAILURES:
                    break
        raise StripeUnavailable

    def _keys(self, payer: Payer, suffix: str) -> tuple[str, ...]:
        """Return the idempotency keys to try, in order.

        The key of the user and the currency comes first: all such attempts get the same customer under it. The
        attempt's keys follow, so that a failure stored under the first one does not lock the user out until Stripe
        forgets it.
        """
        attempt_key = f"customer:attempt:{payer.attempt_id}:{payer.currency}{suffix}"
        keys = (attempt_key, *(f"{attempt_key}:{generation}" for generation in range(1, _KEYS_PER_ATTEMPT)))
        if payer.user_id is None:
            return keys
        # A MAC: shops on one Stripe account share its keys, and may have users with the same id, who are two people. A
        # user id may also be too long for a key, or be an e-mail address, which must not reach Stripe as a key (P7).
        user_mac = hmac.digest(self._key_secret, _KEY_DOMAIN + payer.user_id.encode(), hashlib.sha256).hex()
        return (f"customer:{user_mac}:{payer.currency}{suffix}", *keys)

    async def _update_email(self, customer_id: str, email: str) -> None:
        try:
            await self._stripe.update_email(customer_id, email)
        except EmailRefused:
            _log.warning("Stripe refused a customer's e-mail address, the customer has none")


def _after(customer_id: str) -> str:
    """Return the end of the keys of the customer that replaces another."""
    return f":after:{customer_id}"
