"""Reads take a fixed number of statements, however many rows there are, and the usual purchase takes two."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from orders.api.purchases import paid_attempt_from_proto
from orders.bootstrap import utc_now
from orders.domain.pagination import PageRequest
from orders.postgres.unit_of_work import PostgresUnitOfWorkFactory
from orders.usecases.purchase_writer import PurchaseWriter
from orders.usecases.purchases import PurchaseReader, PurchaseRecorder
from orders.usecases.subscriptions import SubscriptionReader
from servicekit.encryption import Keyring

from ..builders import mixed_cart, purchase
from ..service import Client

PAGE = PageRequest(5, None)


@pytest.mark.parametrize(
    ("read", "statements"),
    [
        (lambda begin: PurchaseReader(begin).list_orders("user_1", PAGE), 2),
        (lambda begin: SubscriptionReader(begin).list_of_user("user_1", PAGE), 2),
        (lambda begin: PurchaseReader(begin).get_purchase("mixed"), 5),
        (lambda begin: PurchaseReader(begin).get_purchase("plain"), 2),
    ],
)
async def test_reads_take_a_fixed_number_of_statements(
    orders: Client,
    engine: AsyncEngine,
    read: Callable[[PostgresUnitOfWorkFactory], Awaitable[object]],
    statements: int,
) -> None:
    """A purchase without subscriptions is spared their statements."""
    requests = [mixed_cart() for _ in range(4)]
    requests[0].payment.attempt_id = "mixed"
    for request in [*requests, purchase(attempt_id="plain")]:
        await orders.RecordPurchase(request)
    executed = _recorded(engine)

    await read(PostgresUnitOfWorkFactory(engine, Keyring.unencrypted()))

    assert len(executed) == statements


async def test_the_first_report_of_an_order_takes_two_statements(engine: AsyncEngine) -> None:
    """One takes the locks, so that the other one sees what was committed before (ADR 27)."""
    begin = PostgresUnitOfWorkFactory(engine, Keyring.unencrypted())
    recorder = PurchaseRecorder(begin, utc_now, PurchaseWriter(uuid4, secrets.randbelow))
    executed = _recorded(engine)

    result = await recorder.record(paid_attempt_from_proto(purchase()))

    assert not result.already_recorded
    assert len(executed) == 2


def _recorded(engine: AsyncEngine) -> list[str]:
    """Return the list of the statements that an engine executes from now on."""
    executed: list[str] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def _record(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        executed.append(statement)

    return executed
