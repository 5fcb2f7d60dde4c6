"""Two operators at once, an operator beside a machine, and a kill between the steps (ADR 42)."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from ..operator_calls import (
    ORDER,
    REFUNDED,
    WRITTEN_OFF,
    actions_of,
    begin_refund,
    quarantined,
    refund_in_full,
    settle,
)
from ..service import UNAVAILABLE, Client, OperatorClient, count, error_of, outcomes, served
from .test_outages import kill_lock_waiters, locked

ROUNDS = 10


async def test_p3_of_two_operators_one_settles_and_the_other_sees_what_stands(
    orders: Client, operator: OperatorClient, sql: Any
) -> None:
    """As an order and written off at once: one effect, one record, and the same answer for both."""
    for _ in range(ROUNDS):
        request = await quarantined(orders, "amount_mismatch", received_minor=7500)

        answers = await asyncio.gather(
            settle(operator, request, ORDER, by="ada"),
            settle(operator, request, WRITTEN_OFF, by="grace"),
            settle(operator, request, ORDER, by="joan"),
        )

        assert Counter(answer.already_settled for answer in answers) == {False: 1, True: 2}
        assert len({answer.payment.SerializeToString(deterministic=True) for answer in answers}) == 1
        (recorded,) = await actions_of(sql, request.payment.intent.id)
        by_operator = dict(zip(("ada", "grace", "joan"), answers, strict=True))
        assert not by_operator[recorded["operator"]].already_settled
    off = await sql.fetchval("SELECT count(*) FROM payments WHERE settlement = 'written_off'")
    assert await count(sql, "orders", "payments") == [ROUNDS - off, ROUNDS]


async def test_p3_a_settlement_beside_the_attempt_that_turns_up_is_one_order(
    orders: Client, operator: OperatorClient, sql: Any
) -> None:
    """Whichever is first makes it, and the other one is answered with it."""
    for _ in range(ROUNDS):
        request = await quarantined(orders, "attempt_missing")

        recorded, settled = await asyncio.gather(
            orders.RecordPurchase(request), settle(operator, request, ORDER, cart=request.context)
        )

        assert recorded.decision.purchase.order.id == settled.payment.purchase.order.id
        assert recorded.already_recorded != settled.already_settled
    assert await count(sql, "orders") == [ROUNDS]


async def test_a_refund_that_begins_beside_a_settlement_as_order_is_one_of_them(
    orders: Client, operator: OperatorClient, sql: Any
) -> None:
    """No operator asks Stripe to refund what another one makes an order of."""
    for _ in range(ROUNDS):
        request = await quarantined(orders, "amount_mismatch")

        (begun, *settled), refused = await outcomes([begin_refund(operator, request), settle(operator, request, ORDER)])

        assert [error.reason for error in refused] == ([] if settled else ["refund_under_way"])
        refunding = await sql.fetchval(
            "SELECT refund_begun_at IS NOT NULL FROM payments WHERE intent_id = $1", request.payment.intent.id
        )
        assert refunding == bool(refused)
        assert begun.HasField("refund_begun_at") == refunding


@pytest.mark.parametrize("table", ["payments", "orders", "order_items", "outbox", "operator_actions"])
async def test_p3_a_settlement_whose_connection_dies_leaves_nothing(database_url: str, sql: Any, table: str) -> None:
    """Killed before each statement in turn; the repeat finishes it."""
    async with served(database_url, database_tries=1) as channel:
        orders, operator = Client(channel), OperatorClient(channel)
        request = await quarantined(orders, "amount_mismatch", received_minor=7500)
        before = await count(sql, "orders", "order_items", "outbox", "operator_actions")
        async with locked(database_url, table):
            call = asyncio.ensure_future(error_of(settle(operator, request, ORDER)))
            await kill_lock_waiters(sql)
            error = await call

        left = await count(sql, "orders", "order_items", "outbox", "operator_actions")
        again = await settle(operator, request, ORDER)

    assert (error, left) == (UNAVAILABLE, before)
    assert not again.already_settled
    assert len(await actions_of(sql, request.payment.intent.id)) == 1


async def test_a_settlement_that_was_killed_after_its_refund_is_finished_by_a_repeat(
    orders: Client, operator: OperatorClient, sql: Any
) -> None:
    """The mark stays while nobody asks again, and the refund's webhook resolves the payment."""
    request = await quarantined(orders, "amount_mismatch")
    await begin_refund(operator, request)
    await refund_in_full(orders, request)

    marked = await begin_refund(operator, request)
    answer = await settle(operator, request, REFUNDED)
    again = await settle(operator, request, REFUNDED)

    assert marked.HasField("resolved_at")
    assert (answer.already_settled, again.already_settled) == (False, True)
    recorded = await actions_of(sql, request.payment.intent.id)
    assert [each["action"] for each in recorded] == ["begin_refund", "settle_payment"]
