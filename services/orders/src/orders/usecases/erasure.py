"""Erasing the personal data of a buyer. The books stay: amounts, lines, numbers, payment ids and dates (ADR 14)."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Protocol

from orders.usecases.retrying import Retrier


@dataclass(frozen=True, slots=True)
class ByUser:
    """All records of a signed-in user."""

    user_id: str


@dataclass(frozen=True, slots=True)
class ByOrder:
    """One order, and the other records of its attempt. For guests, who have no id."""

    number: str


@dataclass(frozen=True, slots=True)
class ByAttempt:
    """The records of one attempt. For guests without an order: their payment may be quarantined."""

    attempt_id: str


Subject = ByUser | ByOrder | ByAttempt
"""Selects the records to erase."""


@dataclass(frozen=True, slots=True)
class ErasureCounts:
    """Numbers of records with personal data."""

    orders: int = 0
    quarantined_payments: int = 0
    subscriptions: int = 0
    customers: int = 0

    def __add__(self, other: "ErasureCounts") -> "ErasureCounts":
        return ErasureCounts(
            self.orders + other.orders,
            self.quarantined_payments + other.quarantined_payments,
            self.subscriptions + other.subscriptions,
            self.customers + other.customers,
        )

    def __bool__(self) -> bool:
        return any(astuple(self))


class SubjectNotFound(LookupError):
    """No order has this number, or nothing was ever recorded of this attempt."""


class ErasureRepository(Protocol):
    """Port to the records with personal data. Every method may raise DatabaseUnavailable."""

    async def is_recorded(self, subject: Subject) -> bool:
        """Return True if anything is recorded under this order number or attempt, erased or not."""

    async def count(self, subject: Subject) -> ErasureCounts:
        """Count the records that an erasure would erase now."""

    async def erase_batch(self, subject: Subject, *, limit: int, at: datetime) -> ErasureCounts:
        """Erase up to `limit` orders, quarantined payments and subscriptions each, in one transaction.

        Enqueues an event for each. The Stripe customers of all of them, and those of the user in every currency, belong
        to nobody afterwards, and stay until `forget_customers`: neither a killed run nor a lost answer loses one.
        """

    async def stripe_customers(self, subject: Subject | None = None) -> frozenset[str]:
        """Return the Stripe customers of all erasures, and of what an erasure of the subject would erase now."""

    async def forget_customers(self, stripe_customer_ids: Sequence[str]) -> None:
        """Forget erased customers, which a person has deleted at Stripe."""


class ErasureService:
    """Erases in batches, so that no transaction is long and a second run continues where the first one stopped.

    Everything that was recorded before the last batch is erased. A purchase that is recorded later stays until the
    next run.
    """

    def __init__(
        self, repository: ErasureRepository, retrier: Retrier, now: Callable[[], datetime], *, batch_size: int
    ) -> None:
        self._repository = repository
        self._retrier = retrier
        self._now = now
        self._batch_size = batch_size

    async def preview(self, subject: Subject) -> tuple[ErasureCounts, frozenset[str]]:
        """Count the records that would be erased, and name the customers that would have to be deleted at Stripe.

        Raises SubjectNotFound, DatabaseUnavailable.
        """
        await self._require_recorded(subject)
        counts = await self._retrier.run(lambda: self._repository.count(subject))
        return counts, await self._retrier.run(lambda: self._repository.stripe_customers(subject))

    async def erase(self, subject: Subject) -> AsyncIterator[ErasureCounts]:
        """Yield the counts of each batch once it is committed. Raises SubjectNotFound, DatabaseUnavailable."""
        await self._require_recorded(subject)
        while erased := await self._retrier.run(lambda: self._erase_batch(subject)):
            yield erased

    async def stripe_customers(self) -> frozenset[str]:
        """Return the customers of this and all earlier erasures that a person has to delete at Stripe.

        An erased customer cannot be traced to its user, so a run names all. Raises DatabaseUnavailable.
        """
        return await self._retrier.run(self._repository.stripe_customers)

    async def forget_customers(self, stripe_customer_ids: Sequence[str]) -> None:
        """Forget erased customers that a person has deleted at Stripe; ignore others. Raises DatabaseUnavailable."""
        await self._retrier.run(lambda: self._repository.forget_customers(stripe_customer_ids))

    async def _erase_batch(self, subject: Subject) -> ErasureCounts:
        return await self._repository.erase_batch(subject, limit=self._batch_size, at=self._now())

    async def _require_recorded(self, subject: Subject) -> None:
        # A user without records is no mistake: an erased user looks the same.
        if isinstance(subject, ByUser):
            return
        if not await self._retrier.run(lambda: self._repository.is_recorded(subject)):
            raise SubjectNotFound
