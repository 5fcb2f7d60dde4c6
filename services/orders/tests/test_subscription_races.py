"""Subscriptions on a real PostgreSQL when calls meet, and when a connection dies: constraints and versions decide."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import grpc
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from checkout.orders.v1 import orders_pb2 as pb
from orders.domain.pagination import PageRequest
from orders.postgres.connection import open_engine
from orders.postgres.purchases import PostgresUnits
from orders.usecases.subscriptions import SubscriptionReader
from servicekit.encryption import Keyring
from servicekit.errors import ReportedError, read_error

from .reports import aside, line
from .service import Client, count, refusal, served, settings_for, until
from .subscription_reports import YEAR, cart, invoice, recurring_line, shown
from .test_activation import activate, apply, begun, fail, read
from .test_outages import UNAVAILABLE, WAITING, held, waiting

AT_ONCE = 10
ROUNDS = 10
TABLES = ("payments", "orders", "order_items", "subscriptions", "subscription_items", "outbox")
MISMATCH = ReportedError(grpc.StatusCode.FAILED_PRECONDITION, "stripe_subscription_mismatch")
OVERTAKEN = ReportedError(grpc.StatusCode.ABORTED, "version_conflict")

T = TypeVar("T")


async def written(sql: Any) -> list[int]:
    """Return how much stands in the tables."""
    return [await count(sql, table) for table in TABLES]


def mixed(**whose: str) -> pb.RecordPurchaseRequest:
    """Return a paid cart of a mug, two monthly lines and a yearly one."""
    return cart(line(1), recurring_line(2), recurring_line(3), recurring_line(4, interval=YEAR), **whose)


async def settled(calls: Sequence[Awaitable[T]]) -> tuple[list[T], list[ReportedError]]:
    """Run calls at once; return what they answered and what they were refused with."""
    answers: list[T] = []
    refused: list[ReportedError] = []
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, grpc.aio.AioRpcError):
            refused.append(read_error(outcome))
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            answers.append(outcome)
    return answers, refused


async def test_p3_reports_of_a_mixed_cart_at_once_begin_each_subscription_once(orders: Client, sql: Any) -> None:
    """One records, the others are answered the same order and the same subscriptions."""
    for _ in range(ROUNDS):
        report = mixed()

        answers = await asyncio.gather(*(orders.RecordPurchase(report) for _ in range(AT_ONCE)))

        assert Counter(answer.already_recorded for answer in answers) == {False: 1, True: AT_ONCE - 1}
        assert len({answer.decision.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert await written(sql) == [ROUNDS * each for each in (1, 1, 1, 2, 3, 1)]


async def test_p3_two_setups_of_one_attempt_at_once_begin_one_subscription(orders: Client, sql: Any) -> None:
    """The other is set aside as a duplicate with its content, whichever was faster."""
    for _ in range(ROUNDS):
        first = cart(recurring_line(1))
        second = cart(recurring_line(1), attempt_id=first.payment.attempt_id)

        answers = await asyncio.gather(orders.RecordPurchase(first), orders.RecordPurchase(second))

        assert {answer.decision.WhichOneof("outcome") for answer in answers} == {"purchase", "quarantined_payment"}
    assert await count(sql, "subscriptions") == ROUNDS


async def test_p3_recording_and_missing_a_setup_at_once_is_one_decision(orders: Client, sql: Any) -> None:
    """Whichever channel is faster, the attempt that was found begins its subscription."""
    for _ in range(ROUNDS):
        report = cart(recurring_line(1))

        recorded, _ = await asyncio.gather(orders.RecordPurchase(report), orders.QuarantinePayment(aside(report)))

        assert len(recorded.decision.purchase.subscriptions) == 1
    outcomes = await sql.fetch("SELECT outcome::text, amount_minor, count(*) FROM payments GROUP BY 1, 2")
    assert [tuple(row) for row in outcomes] == [("purchase", 0, ROUNDS)]


@pytest.mark.parametrize("table", TABLES)
async def test_p3_a_connection_that_dies_halfway_leaves_no_subscription(
    database_url: str, sql: Any, table: str
) -> None:
    """Killed before each statement in turn: not a row stays, and the same report is recorded afterwards."""
    report = mixed()
    async with served(settings_for(database_url, database_tries=1)) as channel:
        async with held(database_url, table):
            call = asyncio.ensure_future(refusal(Client(channel).RecordPurchase(report)))
            await until(lambda: waiting(sql))
            await sql.execute("SELECT pg_terminate_backend(p) FROM unnest($1::int[]) p", await sql.fetchval(WAITING))
            error = await call

        left = await written(sql)
        again = await Client(channel).RecordPurchase(report)

    assert error == UNAVAILABLE
    assert left == [0] * len(TABLES)
    assert not again.already_recorded
    assert await written(sql) == [1, 1, 1, 2, 3, 1]


async def test_p3_what_stands_in_a_subscriptions_place_keeps_the_purchase_out(orders: Client, sql: Any) -> None:
    """An attempt's interval has one row: with another one there already, nothing of the purchase is written."""
    other = cart(recurring_line(1))
    await orders.RecordPurchase(other)
    report = mixed()
    await sql.execute("UPDATE subscriptions SET checkout_attempt_id = $1", report.payment.attempt_id)
    before = await written(sql)

    error = await refusal(orders.RecordPurchase(report))

    assert error.code is grpc.StatusCode.INTERNAL
    assert await written(sql) == before


async def test_begins_at_once_are_one_begin(orders: Client) -> None:
    """Everybody is answered the same moment, generation and version, and may go on with it."""
    for _ in range(ROUNDS):
        bought = (await orders.RecordPurchase(cart(recurring_line(1)))).decision.purchase.subscriptions[0]
        request = pb.BeginActivationRequest(subscription_id=bought.id)

        answers = await asyncio.gather(*(orders.BeginActivation(request) for _ in range(AT_ONCE)))

        assert {answer.subscription.version for answer in answers} == {2}
        assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1


async def test_a_generation_is_abandoned_once_by_many_at_once(orders: Client) -> None:
    """It advances by one, however many find its key of no more use."""
    for _ in range(ROUNDS):
        subscription = await begun(orders)
        request = pb.BeginActivationRequest(subscription_id=subscription.id, abandon_generation=1)

        answers = await asyncio.gather(*(orders.BeginActivation(request) for _ in range(AT_ONCE)))

        assert {answer.subscription.activation_generation for answer in answers} == {2}
        assert {answer.subscription.version for answer in answers} == {3}


async def test_activations_with_the_same_stripe_subscription_agree(orders: Client) -> None:
    """Stripe's key gave them all the same one: one binds, and everybody is answered the row."""
    for number in range(ROUNDS):
        subscription = await begun(orders)

        answers, refused = await settled(
            [activate(orders, subscription, shown(f"sub_{number}"), invoice(f"in_{number}")) for _ in range(AT_ONCE)]
        )

        assert refused == []
        assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
        assert answers[0].version == subscription.version + 1


async def test_activations_with_different_stripe_subscriptions_have_one_winner(orders: Client) -> None:
    """The others are told that it must never happen, and the row is the winner's."""
    for number in range(ROUNDS):
        subscription = await begun(orders)

        answers, refused = await settled(
            [activate(orders, subscription, shown(f"sub_{number}_{rival}")) for rival in range(AT_ONCE)]
        )

        assert len(answers) == 1
        assert refused == [MISMATCH] * (AT_ONCE - 1)
        assert await read(orders, subscription) == answers[0]


async def test_a_stripe_subscription_goes_to_one_of_two_rows(orders: Client) -> None:
    """The other stays as it was."""
    for number in range(ROUNDS):
        rivals = [await begun(orders) for _ in range(2)]

        answers, refused = await settled([activate(orders, rival, shown(f"sub_{number}")) for rival in rivals])

        assert (len(answers), refused) == (1, [MISMATCH])
        bound = [rival.id for rival in rivals if (await read(orders, rival)).stripe_subscription_id]
        assert bound == [answers[0].id]


async def test_an_activation_and_a_refusal_at_once_are_one_of_the_two(orders: Client) -> None:
    """Whoever is slower is told: bound it stays bound, failed it can still be bound."""
    for _ in range(ROUNDS):
        subscription = await begun(orders)

        answers, refused = await settled([activate(orders, subscription), fail(orders, subscription)])

        standing = await read(orders, subscription)
        assert standing.version == subscription.version + 1
        assert all(answer == standing for answer in answers)
        assert refused in ([], [OVERTAKEN])


async def test_of_states_written_at_once_one_is_written(orders: Client, sql: Any) -> None:
    """All read the same version: the others are overtaken and ask Stripe again. Nor do their invoices stay."""
    for number in range(ROUNDS):
        bound = await activate(orders, await begun(orders), shown(f"sub_{number}"))
        calls = [
            apply(orders, bound, shown(f"sub_{number}", period_end=writer + 1), invoice(f"in_{number}_{writer}"))
            for writer in range(AT_ONCE)
        ]

        answers, refused = await settled(calls)

        assert len(answers) == 1
        assert refused == [OVERTAKEN] * (AT_ONCE - 1)
        assert await read(orders, bound) == answers[0]
    assert await count(sql, "subscription_invoices") == ROUNDS


async def test_a_state_that_waited_for_a_newer_one_is_overtaken(orders: Client, sql: Any, database_url: str) -> None:
    """It stood ready when the other was not committed yet: it waits, and then it is old."""
    bound = await activate(orders, await begun(orders), shown("sub_1"))
    async with held(database_url, "subscription_invoices"):
        newer = asyncio.ensure_future(apply(orders, bound, shown("sub_1", period_end=2), invoice()))
        await until(lambda: waiting(sql))
        older = asyncio.ensure_future(refusal(apply(orders, bound, shown("sub_1", period_end=1))))
        await until(lambda: _two_wait(sql))

    assert await older == OVERTAKEN
    assert await read(orders, bound) == await newer


async def _two_wait(sql: Any) -> bool:
    return len(await sql.fetchval(WAITING) or []) == 2


async def test_reading_takes_the_same_statements_however_much_there_is(orders: Client, database_url: str) -> None:
    """Two for a page of subscriptions, three for one with its invoices; a purchase without any is spared them."""
    for _ in range(4):
        report = mixed()
        await orders.RecordPurchase(report)
    plain = cart(line(1))
    await orders.RecordPurchase(plain)
    engine = open_engine(database_url, settings_for(database_url).limits)
    units = PostgresUnits(engine, Keyring.unencrypted())
    asked = _asked_of(engine)
    reader = SubscriptionReader(units.begin)

    page = await reader.of_user("user_1", PageRequest(5, None))
    for_a_page = len(asked)
    await reader.by_id(page.rows[0].id)
    for_one = len(asked) - for_a_page
    async with units.begin() as ledger:
        await ledger.purchase_of(report.payment.attempt_id)
        for_a_mixed_purchase = len(asked) - for_a_page - for_one
        await ledger.purchase_of(plain.payment.attempt_id)
        for_a_plain_one = len(asked) - for_a_page - for_one - for_a_mixed_purchase
    await engine.dispose()

    assert len(page.rows) == 5
    assert (for_a_page, for_one, for_a_mixed_purchase, for_a_plain_one) == (2, 3, 5, 2)


def _asked_of(engine: AsyncEngine) -> list[str]:
    statements: list[str] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def _note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    return statements
