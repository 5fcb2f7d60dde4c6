"""Words that a newer version wrote: each is UNKNOWN to this one, and fails no list."""

from typing import Any, Final

import pytest
from sqlalchemy import literal_column, select

from checkout.orders.v1 import operator_pb2 as op
from checkout.orders.v1 import orders_pb2 as pb
from orders.postgres.connection import open_engine
from orders.postgres.table_base import Row, Words

from ..builders import purchase, quarantine
from ..calls import list_quarantined
from ..operator_calls import ORDER, quarantined, settle
from ..service import Client, OperatorClient, connected, error_of, served, settings_for

CLOSED: Final = {"payment_outcome"}
"""Types that never get another word: the outcome decides how a payment is handled."""

OPEN: Final = [
    words for words in Row.type_annotation_map.values() if isinstance(words, Words) and words.impl.name not in CLOSED
]


@pytest.mark.parametrize("words", OPEN, ids=lambda words: words.impl.name)
async def test_a_newer_word_is_read_as_unknown(own_database_url: str, words: Words) -> None:
    """Of every type."""
    async with connected(own_database_url) as sql:
        await sql.execute(f"ALTER TYPE {words.impl.name} ADD VALUE 'of_a_newer_version'")
    engine = open_engine(own_database_url, settings_for(own_database_url).limits)

    async with engine.connect() as connection:
        newer = literal_column(f"'of_a_newer_version'::{words.impl.name}", words)
        read: Any = (await connection.execute(select(newer))).scalar_one()
    await engine.dispose()

    assert read.name == "UNKNOWN"


async def test_one_order_of_a_newer_version_fails_no_list(own_database_url: str) -> None:
    """Its status is the contract's unspecified one, and the others are as they were."""
    async with served(own_database_url) as channel:
        orders = Client(channel)
        for number in ("odd", "usual"):
            await orders.RecordPurchase(purchase(intent_id=f"pi_{number}"))
        await write_newer_word(own_database_url, "order_status", "orders", "status", "payment_intent_id = 'pi_odd'")

        listed = await orders.ListOrders(pb.ListOrdersRequest(user_id="user_1", page_size=10))

    statuses = {order.payment_intent_id: order.status for order in listed.orders}
    assert statuses == {"pi_odd": pb.ORDER_STATUS_UNSPECIFIED, "pi_usual": pb.ORDER_STATUS_PAID}


async def test_one_payment_of_a_newer_version_fails_no_list(own_database_url: str) -> None:
    """Neither the quarantine nor the operator's."""
    async with served(own_database_url) as channel:
        orders, operator = Client(channel), OperatorClient(channel)
        for number in ("odd", "usual"):
            await orders.QuarantinePayment(quarantine(purchase(intent_id=f"pi_{number}")))
        await write_newer_word(
            own_database_url, "quarantine_reason", "payments", "quarantine_reason", "intent_id = 'pi_odd'"
        )

        listed = await list_quarantined(orders)
        shown = await operator.ListQuarantine(op.ListQuarantineRequest(page_size=10))

    for reasons in (
        {each.payment.intent.id: each.reason for each in listed},
        {each.payment.intent.id: each.reason for each in shown.payments},
    ):
        assert reasons["pi_odd"] == pb.QUARANTINE_REASON_UNSPECIFIED
        assert reasons["pi_usual"] != pb.QUARANTINE_REASON_UNSPECIFIED


async def test_a_payment_of_a_newer_kind_becomes_no_order(own_database_url: str) -> None:
    """This version does not know what it pays for."""
    async with served(own_database_url) as channel:
        orders, operator = Client(channel), OperatorClient(channel)
        payment = await quarantined(orders, "amount_mismatch")
        async with connected(own_database_url) as sql:  # as the revision that adds the kind does
            for name in ("amount_unless_quarantined_setup", "setup_amount_is_zero"):
                await sql.execute(f"ALTER TABLE payments DROP CONSTRAINT payments_{name}_check")
        await write_newer_word(own_database_url, "intent_kind", "payments", "kind", "true")

        refused = await error_of(settle(operator, payment, ORDER))

    assert [each.field for each in refused.violations] == ["intent_id"]


async def write_newer_word(database_url: str, name: str, table: str, column: str, condition: str) -> None:
    """Write what a newer version would write into a row."""
    async with connected(database_url) as sql:
        await sql.execute(f"ALTER TYPE {name} ADD VALUE 'of_a_newer_version'")
        changed = await sql.execute(f"UPDATE {table} SET {column} = 'of_a_newer_version' WHERE {condition}")  # noqa: S608 - the test's own words
        assert changed == "UPDATE 1"
