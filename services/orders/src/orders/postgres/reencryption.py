"""Encrypts quarantined content anew with the first key, so that an older key can be dropped (ADR 11)."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orders.domain.checkout import AttemptContent
from orders.postgres import statements
from orders.postgres.connection import named_failures
from orders.postgres.content_encryption import ContentSealer
from orders.usecases.retrying import Patience
from servicekit.encryption import Keyring

_BATCH_ROWS = 10
"""A content has up to 7 MiB, and a batch is in memory as a whole."""

_Place = tuple[object, str]


@dataclass
class Resealed:
    """What a run came to."""

    key_id: str
    """The first key, which everything shall be sealed with."""
    resealed: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    """How many contents could not be read, by the id of the key they are sealed with. They stay as they are."""
    left: int | None = None
    """How many contents are not sealed with the first key at the end: other keys are needed until there are none."""


@dataclass(frozen=True, slots=True)
class _Batch:
    resealed: int
    unreadable: Counter[str]
    last: _Place | None
    """The place of the last row that was looked at; None when there was none."""


class Resealing:
    """Goes through the quarantine once, oldest first. Several at once wait for each other's rows.

    A batch is a transaction: who is interrupted loses one batch of work, and begins anew with what is left.
    """

    def __init__(self, engine: AsyncEngine, keyring: Keyring, patience: Patience) -> None:
        self._engine = engine
        self._sealer = ContentSealer(keyring)
        self._patience = patience
        self.done = Resealed(self._sealer.key_id)

    async def run(self) -> None:
        """Reseal everything that is not sealed with the first key. Raises DatabaseUnavailable; `done` tells how far."""
        batch = await self._next(None)
        while (after := batch.last) is not None:
            self.done.resealed += batch.resealed
            self.done.unreadable += batch.unreadable
            batch = await self._next(after)
        self.done.left = await self._patience.persist(self._count_left, None)

    async def _next(self, after: _Place | None) -> _Batch:
        return await self._patience.persist(lambda: self._reseal_after(after), None)

    async def _reseal_after(self, after: _Place | None) -> _Batch:
        statement = statements.LIST_SEALED_OTHERWISE.limit(_BATCH_ROWS)
        if after is not None:
            place = tuple_(statements.PAYMENTS.c.decided_at, statements.PAYMENTS.c.intent_id)
            statement = statement.where(place > tuple_(*after))
        with named_failures():
            async with self._engine.begin() as connection:
                rows = (await connection.execute(statement, {"head": self._sealer.head})).all()
                refused = Counter([key for row in rows if (key := await self._reseal(connection, row)) is not None])
        last = (rows[-1].decided_at, rows[-1].intent_id) if rows else None
        return _Batch(len(rows) - refused.total(), refused, last)

    async def _reseal(self, connection: AsyncConnection, row: Any) -> str | None:
        """Reseal one row, which is locked; return the id of its key if it cannot be read."""
        content = self._sealer.open(row.intent_id, None, row.attempt_content)
        if not isinstance(content, AttemptContent):
            return content.key_id
        values = {"resealed_intent_id": row.intent_id, "attempt_content": self._sealer.seal(row.intent_id, content)}
        await connection.execute(statements.RESEAL, values)
        return None

    async def _count_left(self) -> int:
        with named_failures():
            async with self._engine.connect() as connection:
                found = await connection.execute(statements.COUNT_SEALED_OTHERWISE, {"head": self._sealer.head})
                return int(found.scalar_one())
