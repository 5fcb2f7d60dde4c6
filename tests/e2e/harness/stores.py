"""The orders database read with SQL, and the attempt store read with Redis commands."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import aiohttp
import asyncpg  # type: ignore[import-untyped] # asyncpg ships no types
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .closing import AsyncClosing

Row = dict[str, Any]
_DAY_MILLISECONDS = 86_400_000
_DELETION_SECONDS = 20.0
_METRICS_TIMEOUT = aiohttp.ClientTimeout(total=5)


@dataclass(frozen=True)
class OrderCounts:
    """Numbers of rows."""

    orders: int
    purchases: int
    quarantined: int


class OrdersDb(AsyncClosing):
    """The orders database, read with SQL."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Any = None

    async def __aenter__(self) -> Self:
        """Connect at the first query, so that the database may be away for now."""
        self._pool = await asyncpg.create_pool(self._url, min_size=0, max_size=4)
        return self

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    async def rows(self, statement: str, *values: object) -> list[Row]:
        """Run one query."""
        return [dict(record) for record in await self._pool.fetch(statement, *values)]

    async def dump(self) -> list[Row]:
        """Return every row of every table as text."""
        tables = await self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        queries = [f"SELECT t::text FROM {table['tablename']} t" for table in tables]  # noqa: S608 - its own tables
        return [row for query in queries for row in await self.rows(query)]

    @asynccontextmanager
    async def locked(self, table: str) -> AsyncIterator[None]:
        """Hold an exclusive lock on a table while the context lasts."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield

    async def orders_of(self, attempt_id: str) -> list[Row]:
        """Return the orders of an attempt; P3 allows one."""
        return await self.rows("SELECT * FROM orders WHERE checkout_attempt_id = $1", attempt_id)

    async def payments_of(self, attempt_id: str) -> list[Row]:
        """Return the decisions on an attempt's payments, oldest first."""
        return await self.rows("SELECT * FROM payments WHERE attempt_id = $1 ORDER BY decided_at", attempt_id)

    async def payment(self, intent_id: str) -> Row | None:
        """Return the decision on an intent."""
        found = await self.rows("SELECT * FROM payments WHERE intent_id = $1", intent_id)
        return found[0] if found else None

    async def items_of(self, attempt_id: str) -> list[Row]:
        """Return the items of an attempt's orders, in the order of the cart."""
        return await self.rows(
            "SELECT i.* FROM order_items i JOIN orders o ON o.id = i.order_id"
            " WHERE o.checkout_attempt_id = $1 ORDER BY i.position",
            attempt_id,
        )

    async def subscriptions_of(self, attempt_id: str) -> list[Row]:
        """Return an attempt's subscriptions, in the order of the cart."""
        return await self.rows(
            "SELECT *, id::text AS id FROM subscriptions WHERE checkout_attempt_id = $1 ORDER BY position", attempt_id
        )

    async def subscription(self, stripe_subscription_id: str) -> Row | None:
        """Return the subscription that is bound to a Stripe subscription."""
        found = await self.rows(
            "SELECT *, id::text AS id FROM subscriptions WHERE stripe_subscription_id = $1", stripe_subscription_id
        )
        return found[0] if found else None

    async def subscription_items_of(self, subscription_id: str) -> list[Row]:
        """Return a subscription's items, in the order of the cart."""
        return await self.rows(
            "SELECT * FROM subscription_items WHERE subscription_id = $1 ORDER BY position", UUID(subscription_id)
        )

    async def invoices_of(self, subscription_id: str) -> list[Row]:
        """Return a subscription's invoices, oldest first."""
        return await self.rows(
            "SELECT * FROM subscription_invoices WHERE subscription_id = $1 ORDER BY created_at, stripe_invoice_id",
            UUID(subscription_id),
        )

    async def customer_of(self, user_id: str, currency: str = "usd") -> str | None:
        """Return a user's Stripe customer of a currency."""
        found = await self.rows(
            "SELECT stripe_customer_id FROM customers WHERE user_id = $1 AND currency = $2", user_id, currency
        )
        return found[0]["stripe_customer_id"] if found else None

    async def quarantined(self) -> list[Row]:
        """Return every quarantined payment."""
        return await self.rows("SELECT * FROM payments WHERE outcome = 'quarantined' ORDER BY decided_at")

    async def counts(self) -> OrderCounts:
        """Count orders and decisions."""
        (counts,) = await self.rows(
            "SELECT (SELECT count(*) FROM orders) AS orders,"
            " count(*) FILTER (WHERE outcome = 'purchase') AS purchases,"
            " count(*) FILTER (WHERE outcome = 'quarantined') AS quarantined FROM payments"
        )
        return OrderCounts(**counts)


class AttemptStore(AsyncClosing):
    """The attempts' Redis, read with its own commands once the gateways have deleted what they have recorded."""

    def __init__(self, url: str, gateways: Sequence[str]) -> None:
        self._gateways = gateways
        # One retry: a connection from before a restart of the server fails once.
        self.client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(url, retry=Retry(NoBackoff(), retries=1))

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    async def until_deletions_end(self) -> None:
        """Wait until no gateway has yet to delete an attempt. One that does not run deletes nothing."""
        async with aiohttp.ClientSession(timeout=_METRICS_TIMEOUT) as http:
            deadline = time.monotonic() + _DELETION_SECONDS
            while any([await _has_deletions(http, each) for each in self._gateways]):
                if time.monotonic() > deadline:
                    raise TimeoutError("a gateway does not delete what it has recorded")
                await asyncio.sleep(0.02)

    async def content_keys(self) -> list[str]:
        """Return the keys of all attempts that have content."""
        await self.until_deletions_end()
        return await self._keys("*:attempt:*")

    async def has_content(self, attempt_id: str) -> bool:
        """Return True if an attempt's content is stored."""
        await self.until_deletions_end()
        return bool(await self._keys(f"*:attempt:{attempt_id}"))

    async def stored(self, attempt_id: str) -> dict[bytes | str, bytes | str]:
        """Return an attempt's hash as Redis holds it."""
        (key,) = await self._keys(f"*:attempt:{attempt_id}")
        return await self.client.hgetall(key)

    async def backup(self, attempt_id: str) -> tuple[str, bytes]:
        """Return an attempt's key and a dump of its value."""
        (key,) = await self._keys(f"*:attempt:{attempt_id}")
        content = await self.client.dump(key)
        if not isinstance(content, bytes):
            raise TypeError(f"{key} holds nothing")
        return key, content

    async def restore(self, backup: tuple[str, bytes]) -> None:
        """Put an attempt back from a backup."""
        key, content = backup
        await self.client.restore(key, _DAY_MILLISECONDS, content)

    async def is_closed(self, attempt_id: str) -> bool:
        """Return True if an attempt is closed, or deleted with a tombstone left."""
        return bool(await self._keys(f"*:closed:{attempt_id}"))

    async def due_at(self, attempt_id: str) -> float | None:
        """Return an attempt's next check time in seconds since 1970; None when there is none."""
        for key in await self._keys("*:due"):
            score = await self.client.zscore(key, attempt_id)
            if score is not None:
                return float(score)
        return None

    async def due_ids(self) -> frozenset[str]:
        """Return the attempts that have a next check time."""
        lists = [await self.client.zrange(key, 0, -1) for key in await self._keys("*:due")]
        return frozenset(each.decode() for members in lists for each in members if isinstance(each, bytes))

    async def count_due(self) -> int:
        """Count the attempts that have a next check time."""
        await self.until_deletions_end()
        return sum([int(await self.client.zcard(key)) for key in await self._keys("*:due")])

    async def lose(self, attempt_id: str) -> None:
        """Delete every trace of an attempt, like a Redis that lost its data."""
        for key in await self._keys(f"*:*:{attempt_id}"):
            await self.client.delete(key)
        for key in await self._keys("*:due"):
            await self.client.zrem(key, attempt_id)
        for key in await self._keys("*:intents"):
            await self.client.hdel(key, attempt_id)

    async def lose_everything(self) -> None:
        """Delete all that the server holds, like one that was started without its files."""
        await self.client.flushall()

    async def _keys(self, pattern: str) -> list[str]:
        return sorted([key.decode() async for key in self.client.scan_iter(match=pattern, count=1000)])


async def _has_deletions(http: aiohttp.ClientSession, gateway: str) -> bool:
    try:
        async with http.get(f"{gateway}/metrics") as answer:
            waiting = r"^holdfast_attempt_deletions_waiting (?!0\.0$)"  # an earlier release deletes before it answers
            return re.search(waiting, await answer.text(), re.MULTILINE) is not None
    except (aiohttp.ClientError, TimeoutError):
        return False
