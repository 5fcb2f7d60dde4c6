"""Erasing who bought. What the books need stays: sums, lines, numbers, payment ids and dates."""

from collections.abc import AsyncIterator, Callable
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Protocol

from orders.usecases.retrying import Patience


@dataclass(frozen=True, slots=True)
class OfUser:
    """All that is recorded of a signed-in user."""

    user_id: str


@dataclass(frozen=True, slots=True)
class OfOrder:
    """One order, and what else came of the same attempt. This is how a guest's wish is met: a guest has no id."""

    number: str


@dataclass(frozen=True, slots=True)
class OfAttempt:
    """The same, for somebody who knows the attempt and no order: the payment may have been set aside."""

    attempt_id: str


Subject = OfUser | OfOrder | OfAttempt
"""Whose data."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many records name somebody, or did until just now."""

    orders: int = 0
    quarantined_payments: int = 0
    subscriptions: int = 0
    customers: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def __bool__(self) -> bool:
        return any(astuple(self))


class SubjectUnknown(LookupError):
    """No order has this number, or nothing was ever recorded of this attempt."""


class ErasableRecords(Protocol):
    """Where who bought is recorded. Every method may raise DatabaseUnavailable."""

    async def knows(self, subject: Subject) -> bool:
        """Whether anything is recorded under this order number or attempt, erased or not."""

    async def count(self, subject: Subject) -> Tally:
        """Count what an erasure would erase now."""

    async def erase_some(self, subject: Subject, *, limit: int, at: datetime) -> Tally:
        """Erase at most so many orders, quarantined payments and subscriptions each, in one transaction.

        Each is announced. With them goes which Stripe customer is the user's.
        """


class Eraser:
    """Erases who bought, a batch at a time, so that no transaction is long and a repeat goes on where one stopped.

    Everything that was recorded before its last look is erased. What is recorded later stays: it is a purchase that
    somebody still waits for. A repeat erases it too.
    """

    def __init__(
        self, records: ErasableRecords, patience: Patience, now: Callable[[], datetime], *, batch_size: int
    ) -> None:
        self._records = records
        self._patience = patience
        self._now = now
        self._batch_size = batch_size

    async def foresee(self, subject: Subject) -> Tally:
        """Count what would be erased. Raises SubjectUnknown, DatabaseUnavailable."""
        await self._refuse_unknown(subject)
        return await self._patience.persist(lambda: self._records.count(subject), None)

    async def erase(self, subject: Subject) -> AsyncIterator[Tally]:
        """Yield what each batch erased, once it is committed. Raises SubjectUnknown, DatabaseUnavailable."""
        await self._refuse_unknown(subject)
        while erased := await self._patience.persist(lambda: self._erase_some(subject), None):
            yield erased

    async def _erase_some(self, subject: Subject) -> Tally:
        return await self._records.erase_some(subject, limit=self._batch_size, at=self._now())

    async def _refuse_unknown(self, subject: Subject) -> None:
        # A user of whom nothing is recorded is no mistake: after an erasure nobody knows any more that there was one.
        if isinstance(subject, OfUser):
            return
        if not await self._patience.persist(lambda: self._records.knows(subject), None):
            raise SubjectUnknown
