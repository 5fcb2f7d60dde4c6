"""Re-encryption of quarantined content with the first key, so that an older key can be removed (ADR 11)."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import bindparam, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orders.domain.checkout import AttemptContent
from orders.postgres.connection import durable_transaction, translate_errors
from orders.postgres.content_encryption import ContentCipher
from orders.postgres.statements import IS_QUARANTINED, PAYMENTS
from orders.usecases.retrying import Retrier
from servicekit.encryption import Keyring

_BATCH_ROWS: Final = 10
"""A batch is in memory as a whole, and a content has up to half a MiB."""

_prefix = bindparam("prefix", type_=PAYMENTS.c.attempt_content.type)
_needs_reencryption = (
    IS_QUARANTINED
    & PAYMENTS.c.attempt_content.is_not(None)
    & (func.substring(PAYMENTS.c.attempt_content, 1, func.octet_length(_prefix)) != _prefix)
)
# Locked: a concurrent writer of the row waits, and then sees what this transaction wrote.
_SELECT_BATCH = (
    select(PAYMENTS.c.decided_at, PAYMENTS.c.intent_id, PAYMENTS.c.attempt_content)
    .where(_needs_reencryption)
    .order_by(PAYMENTS.c.decided_at, PAYMENTS.c.intent_id)
    .limit(_BATCH_ROWS)
    .with_for_update()
)
_COUNT = select(func.count()).select_from(PAYMENTS).where(_needs_reencryption)
_UPDATE_CONTENT = update(PAYMENTS).where(PAYMENTS.c.intent_id == bindparam("key_intent_id"))

_Position = tuple[object, str]


@dataclass(slots=True)
class ReencryptionCounts:
    """Progress of a run."""

    key_id: str
    """Id of the first key."""
    reencrypted: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    """Contents that could not be decrypted, by the id of their key. They stay as they are."""
    left: int | None = None
    """Contents that the first key did not encrypt, counted at the end. Other keys are needed until there are none."""


@dataclass(frozen=True, slots=True)
class _Batch:
    reencrypted: int
    unreadable: Counter[str]
    last: _Position | None
    """Position of the last row; None if there was none."""


class Reencryption:
    """Goes through the quarantined payments once, oldest first. Concurrent runs wait for each other's rows.

    A batch is a transaction: an interrupted run loses one batch of work, and the next run does the rest.
    """

    def __init__(self, engine: AsyncEngine, keyring: Keyring, retrier: Retrier) -> None:
        self._engine = engine
        self._cipher = ContentCipher(keyring)
        self._retrier = retrier
        self.counts = ReencryptionCounts(self._cipher.key_id)

    async def run(self) -> None:
        """Re-encrypt content of other keys than the first, and update `counts`. Raises DatabaseUnavailable."""
        batch = await self._next_batch(None)
        while (position := batch.last) is not None:
            self.counts.reencrypted += batch.reencrypted
            self.counts.unreadable += batch.unreadable
            batch = await self._next_batch(position)
        self.counts.left = await self._retrier.run(self._count_left)

    async def _next_batch(self, after: _Position | None) -> _Batch:
        return await self._retrier.run(lambda: self._reencrypt_batch(after))

    async def _reencrypt_batch(self, after: _Position | None) -> _Batch:
        statement = _SELECT_BATCH
        if after is not None:
            statement = statement.where(tuple_(PAYMENTS.c.decided_at, PAYMENTS.c.intent_id) > tuple_(*after))
        async with durable_transaction(self._engine) as connection:
            rows = (await connection.execute(statement, {"prefix": self._cipher.prefix})).all()
            unreadable = Counter([key for row in rows if (key := await self._reencrypt(connection, row)) is not None])
        last = (rows[-1].decided_at, rows[-1].intent_id) if rows else None
        return _Batch(len(rows) - unreadable.total(), unreadable, last)

    async def _reencrypt(self, connection: AsyncConnection, row: Any) -> str | None:
        """Re-encrypt one locked row; return the id of its key if it cannot be decrypted."""
        content = self._cipher.decrypt(row.intent_id, None, row.attempt_content)
        if not isinstance(content, AttemptContent):
            return content.key_id
        values = {"key_intent_id": row.intent_id, "attempt_content": self._cipher.encrypt(row.intent_id, content)}
        await connection.execute(_UPDATE_CONTENT, values)
        return None

    async def _count_left(self) -> int:
        with translate_errors():
            async with self._engine.connect() as connection:
                return int((await connection.execute(_COUNT, {"prefix": self._cipher.prefix})).scalar_one())
