"""Purchases and payments since a test began, read from PostgreSQL and Stripe."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from tests.e2e.harness.stores import Row
from tests.e2e.harness.system import System

_KEYS: Final = {"orders": "id::text", "payments": "intent_id", "subscriptions": "id::text"}


@dataclass(frozen=True)
class Purchases:
    """Compares tables and intents with those from before."""

    system: System
    before: Mapping[str, frozenset[str]]

    @classmethod
    async def since_now(cls, system: System) -> Self:
        """Remember what exists."""
        before = {table: frozenset(await _keys(system, table)) for table in _KEYS}
        return cls(system, {**before, "intents": frozenset(await _succeeded(system))})

    async def rows(self, table: str) -> list[Row]:
        """Return the rows that a table has gained, oldest first."""
        key, order = _KEYS[table], "decided_at" if table == "payments" else "created_at"
        statement = f"SELECT *, {key} AS key FROM {table} WHERE {key} <> ALL($1) ORDER BY {order}"  # noqa: S608 - ours
        return await self.system.orders_db.rows(statement, list(self.before[table]))

    async def taken(self) -> dict[str, int]:
        """Return the payments that have succeeded at Stripe: amounts in minor units, by intent."""
        now = await _succeeded(self.system)
        return {intent: amount for intent, amount in now.items() if intent not in self.before["intents"]}

    async def are_one_order(self, total: int, *, subscriptions: Mapping[str, int] | None = None) -> Row:
        """Wait for exactly one paid order over this total, and exactly these subscriptions (number by status)."""
        await until(lambda: self._has("orders", 1), "one order")
        (order,) = await self.rows("orders")
        assert (order["total_minor"], order["status"]) == (total, "paid")
        (payment,) = await self.rows("payments")
        assert (payment["intent_id"], payment["outcome"]) == (order["payment_intent_id"], "purchase")
        assert payment["attempt_id"] == order["checkout_attempt_id"]
        assert await self.taken() == {payment["intent_id"]: total}
        await self._are_subscriptions(subscriptions or {})
        return order

    async def are_only_subscriptions(self, subscriptions: Mapping[str, int]) -> list[Row]:
        """Wait for exactly these subscriptions (number by status), bought without an order."""
        await until(lambda: self._has("payments", 1), "one decision")
        (payment,) = await self.rows("payments")
        assert (payment["kind"], payment["outcome"], payment["amount_minor"]) == ("setup", "purchase", 0)
        await self._are_subscriptions(subscriptions)
        assert not await self.rows("orders")
        assert not await self.taken()
        return await self.rows("subscriptions")

    async def are_none(self) -> None:
        """Assert that nothing was bought and no money was taken."""
        assert not await self.taken()
        for table in _KEYS:
            assert not await self.rows(table), f"{table} has rows"

    async def _are_subscriptions(self, wanted: Mapping[str, int]) -> None:
        async def as_wanted() -> bool:
            return await self._statuses() == wanted

        await until(as_wanted, f"subscriptions {wanted}")

    async def _statuses(self) -> dict[str, int]:
        statuses = [row["status"] for row in await self.rows("subscriptions")]
        return {status: statuses.count(status) for status in statuses}

    async def _has(self, table: str, count: int) -> bool:
        return len(await self.rows(table)) >= count


async def until(holds: Callable[[], Awaitable[bool]], what: str, *, seconds: float = 15.0) -> None:
    """Wait until a condition holds; fail naming it if it does not in time."""
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        await asyncio.sleep(0.05)


async def _keys(system: System, table: str) -> list[str]:
    rows = await system.orders_db.rows(f"SELECT {_KEYS[table]} AS key FROM {table}")  # noqa: S608 - its own tables
    return [row["key"] for row in rows]


async def _succeeded(system: System) -> dict[str, int]:
    """Return the newest hundred payments of checkouts that succeeded at Stripe. Invoices' have no attempt."""
    listed = await system.stripe.v1.payment_intents.list_async({"limit": 100})
    paid = [each.to_dict() for each in listed.data if each.status == "succeeded"]
    return {each["id"]: each["amount_received"] for each in paid if "checkoutAttemptId" in each["metadata"]}
