"""The reads through gRPC on a real PostgreSQL."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from checkout.orders.v1 import orders_pb2 as pb
from orders.domain.pagination import PageRequest
from orders.postgres.connection import open_engine
from orders.postgres.purchases import PostgresUnits
from orders.usecases.purchases import PurchaseReader
from servicekit.encryption import Keyring

from .reports import purchase
from .service import Client, refusal, settings_for


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """Give an engine on the test's database."""
    engine = open_engine(database_url, settings_for(database_url).limits)
    yield engine
    await engine.dispose()


async def test_a_purchase_is_found_by_its_attempt(orders: Client) -> None:
    """As it was answered when it was recorded."""
    report = purchase()
    recorded = await orders.RecordPurchase(report)

    found = await orders.GetPurchase(pb.GetPurchaseRequest(attempt_id=report.payment.attempt_id))

    assert found.purchase == recorded.decision.purchase


async def test_an_order_is_found_by_its_id(orders: Client) -> None:
    """As it was answered when it was recorded."""
    recorded = (await orders.RecordPurchase(purchase())).decision.purchase.order

    found = await orders.GetOrder(pb.GetOrderRequest(order_id=recorded.id))

    assert found.order == recorded


async def test_an_attempt_without_purchase_is_not_found(orders: Client) -> None:
    """The reason says so."""
    error = await refusal(orders.GetPurchase(pb.GetPurchaseRequest(attempt_id=str(uuid.uuid4()))))

    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "purchase_not_found")


async def test_an_unknown_order_is_not_found(orders: Client) -> None:
    """The reason says so."""
    error = await refusal(orders.GetOrder(pb.GetOrderRequest(order_id=str(uuid.uuid4()))))

    assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "order_not_found")


async def test_a_bad_request_is_refused_with_its_fields(orders: Client) -> None:
    """Violations come over the wire, as many as fit."""
    report = purchase(lines=200)
    for item in report.context.items:
        item.quantity = 0

    error = await refusal(orders.RecordPurchase(report))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    assert error.violations[3].field == "context.items[3].quantity"


async def test_a_bad_page_token_is_refused(orders: Client) -> None:
    """In both lists."""
    for call in (
        orders.ListOrders(pb.ListOrdersRequest(user_id="user_1", page_token="x")),
        orders.ListQuarantinedPayments(pb.ListQuarantinedPaymentsRequest(page_token="x")),
    ):
        error = await refusal(call)

        assert [violation.field for violation in error.violations] == ["page_token"]


async def test_a_user_lists_its_own_orders_newest_first(orders: Client) -> None:
    """Page by page, each once; nobody else's, and no guest's."""
    mine = [(await orders.RecordPurchase(purchase(lines=2))).decision.purchase.order for _ in range(5)]
    await orders.RecordPurchase(purchase(user_id="user_2"))
    await orders.RecordPurchase(purchase(user_id=""))

    first = await orders.ListOrders(pb.ListOrdersRequest(user_id="user_1", page_size=3))
    second = await orders.ListOrders(
        pb.ListOrdersRequest(user_id="user_1", page_size=3, page_token=first.next_page_token)
    )

    assert [*first.orders, *second.orders] == mine[::-1]
    assert (len(first.orders), second.next_page_token) == (3, "")


async def test_a_page_of_orders_takes_two_statements(orders: Client, engine: AsyncEngine) -> None:
    """However many orders are on it."""
    for _ in range(6):
        await orders.RecordPurchase(purchase())
    units = PostgresUnits(engine, Keyring.unencrypted())
    statements: list[str] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def _note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    page = await PurchaseReader(units.begin).orders_of("user_1", PageRequest(5, None))

    assert len(page.rows) == 5
    assert len(statements) == 2
