"""Erasing the personal data of a buyer. The books stay: amounts, lines, numbers, payment ids and dates (ADR 14)."""

from collections.abc import AsyncIterator, Callable
from dataclasses import astuple, dataclass, field
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
    """Numbers of records with personal data, and the Stripe customers that a person has to delete at Stripe."""

    orders: int = 0
    quarantined_payments: int = 0
    subscriptions: int = 0
    customers: int = 0
    stripe_customers: frozenset[str] = field(default=frozenset(), compare=False)
    """Ids of the user's customers and of those of the subscriptions: a guest's is stored nowhere else."""

    def __add__(self, other: "ErasureCounts") -> "ErasureCounts":
        return ErasureCounts(
            self.orders + other.orders,
            self.quarantined_payments + other.quarantined_payments,
            self.subscriptions + other.subscriptions,
            self.customers + other.customers,
            self.stripe_customers | other.stripe_customers,
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

        Enqueues an event for each, and deletes the user's customers of all currencies.
        """


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

    async def preview(self, subject: Subject) -> ErasureCounts:
        """Count the records that would be erased. Raises SubjectNotFound, DatabaseUnavailable."""
        await self._require_recorded(subject)
        return await self._retrier.run(lambda: self._repository.count(subject))

    async def erase(self, subject: Subject) -> AsyncIterator[ErasureCounts]:
        """Yield the counts of each batch once it is committed. Raises SubjectNotFound, DatabaseUnavailable."""
        await self._require_recorded(subject)
        while erased := await self._retrier.run(lambda: self._erase_batch(subject)):
            yield erased

    async def _erase_batch(self, subject: Subject) -> ErasureCounts:
        return await self._repository.erase_batch(subject, limit=self._batch_size, at=self._now())

    async def _require_recorded(self, subject: Subject) -> None:
        # A user without records is no mistake: an erased user looks the same.
        if isinstance(subject, ByUser):
            return
        if not await self._retrier.run(lambda: self._repository.is_recorded(subject)):
            raise SubjectNotFound
