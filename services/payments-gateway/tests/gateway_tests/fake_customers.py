"""Stripe's customers and whose they are, in memory."""

from payments_gateway.checkout.customers import EmailRefused
from payments_gateway.domain.intents import CustomerMissing
from payments_gateway.domain.stripe_errors import IdempotencyKeyExhausted

from .fakes import Wire


class FakeStripeCustomers:
    """Stripe's customers: one for each idempotency key, until somebody deletes it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._by_key: dict[str, str] = {}
        self._spent: dict[str, bool] = {}
        self._refused: set[str] = set()
        self.emails: dict[str, str | None] = {}
        """By customer id; of every customer there is."""
        self.keys: list[str] = []
        """Every idempotency key that was used, in order."""

    async def create(self, key: str) -> str:
        """Make a customer once per key; a key that was used answers its customer, deleted or not."""
        async with self._wire.call("customers.create"):
            self.keys.append(key)
            if key in self._spent:
                raise IdempotencyKeyExhausted(just_now=self._spent[key])
            if key not in self._by_key:
                self._by_key[key] = f"cus_{len(self._by_key) + 1}"
                self.emails[self._by_key[key]] = None
            return self._by_key[key]

    async def update_email(self, customer_id: str, email: str) -> None:
        """Keep a customer's e-mail address."""
        async with self._wire.call("customers.update_email"):
            if customer_id not in self.emails:
                raise CustomerMissing
            if email in self._refused:
                raise EmailRefused
            self.emails[customer_id] = email

    def delete(self, customer_id: str) -> None:
        """Delete a customer, as somebody in Stripe's dashboard does."""
        del self.emails[customer_id]

    def forget_keys(self) -> None:
        """Forget every idempotency key, as Stripe does after a day."""
        self._by_key = {f"forgotten:{key}": customer_id for key, customer_id in self._by_key.items()}

    def spend(self, key: str, *, just_now: bool = False) -> None:
        """Make a key replay a failure for ever; it may happen only when the key is used."""
        self._spent[key] = just_now

    def refuse(self, email: str) -> None:
        """Take this for no e-mail address."""
        self._refused.add(email)


class FakeCustomerRepository:
    """orders' customers in memory: the first writer wins, as the contract has it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.customers: dict[str, str] = {}
        """By user id."""

    async def find(self, user_id: str) -> str | None:
        """Return the user's customer."""
        async with self._wire.call("register.find"):
            return self.customers.get(user_id)

    async def put(self, user_id: str, customer_id: str, *, replaces: str | None = None) -> str:
        """Make a customer the user's, unless the user has another than the one to be replaced."""
        async with self._wire.call("register.put"):
            if self.customers.get(user_id) in {None, replaces}:
                self.customers[user_id] = customer_id
            return self.customers[user_id]
