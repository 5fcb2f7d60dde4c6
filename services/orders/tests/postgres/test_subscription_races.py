"""Concurrent activations and state changes: versions and constraints decide."""

import asyncio
from typing import Any

import grpc

from checkout.orders.v1 import orders_pb2 as pb

from ..builders import billed_item, cart, invoice, recurring_line, stripe_state
from ..calls import activate, apply, begin, begun, cancel, fail, read, retry
from ..service import MISMATCH, VERSION_CONFLICT, Client, count, error_of, lock_waiters, outcomes, until
from .test_outages import locked

AT_ONCE = 10
CHANGES = 200
ROUNDS = 10


async def test_concurrent_begins_are_one_begin(orders: Client) -> None:
    """Every caller gets the same time, generation and version, and may continue."""
    for _ in range(ROUNDS):
        (recorded,) = (await orders.RecordPurchase(cart(recurring_line(1)))).decision.purchase.subscriptions

        answers = await asyncio.gather(*(begin(orders, recorded) for _ in range(AT_ONCE)))

        assert answers[0].version == 2
        assert answers == [answers[0]] * AT_ONCE


async def test_a_generation_is_abandoned_once_by_concurrent_callers(orders: Client) -> None:
    """It advances by one, however many callers find its key unusable."""
    for _ in range(ROUNDS):
        subscription = await begun(orders)

        answers = await asyncio.gather(*(begin(orders, subscription, 1) for _ in range(AT_ONCE)))

        assert {answer.activation_generation for answer in answers} == {2}
        assert {answer.version for answer in answers} == {3}


async def test_concurrent_activations_with_the_same_stripe_subscription_agree(orders: Client) -> None:
    """Stripe's idempotency key gave them all the same one: one call binds it, and every caller gets the row."""
    for number in range(ROUNDS):
        subscription = await begun(orders)
        state, first = stripe_state(f"sub_{number}"), invoice(f"in_{number}")

        answers = await asyncio.gather(*(activate(orders, subscription, state, first) for _ in range(AT_ONCE)))

        assert answers[0].version == subscription.version + 1
        assert answers == [answers[0]] * AT_ONCE


async def test_concurrent_activations_with_different_stripe_subscriptions_have_one_winner(orders: Client) -> None:
    """The others get an error that must never happen, and the row is the winner's."""
    for number in range(ROUNDS):
        subscription = await begun(orders)

        answers, errors = await outcomes(
            [activate(orders, subscription, stripe_state(f"sub_{number}_{rival}")) for rival in range(AT_ONCE)]
        )

        assert errors == [MISMATCH] * (AT_ONCE - 1)
        assert answers == [await read(orders, subscription)]


async def test_a_stripe_subscription_is_bound_to_one_of_two_rows(orders: Client) -> None:
    """The other row stays as it was."""
    for number in range(ROUNDS):
        rivals = [await begun(orders) for _ in range(2)]

        answers, errors = await outcomes([activate(orders, each, stripe_state(f"sub_{number}")) for each in rivals])

        assert (len(answers), errors) == (1, [MISMATCH])
        bound = [each.id for each in rivals if (await read(orders, each)).stripe_subscription_id]
        assert bound == [answers[0].id]


async def test_an_activation_and_a_refusal_at_once_are_one_of_the_two(orders: Client) -> None:
    """The later one gets the row or a conflict."""
    for _ in range(ROUNDS):
        subscription = await begun(orders)

        answers, errors = await outcomes([activate(orders, subscription), fail(orders, subscription)])

        current = await read(orders, subscription)
        assert current.version == subscription.version + 1
        assert all(answer == current for answer in answers)
        assert errors in ([], [VERSION_CONFLICT])


async def test_a_cancel_and_an_activation_at_once_are_one_of_the_two(orders: Client) -> None:
    """The later one gets a conflict, reads the row again and goes the other way: to Stripe, or to no activation."""
    for number in range(ROUNDS):
        subscription = await begun(orders)

        answers, errors = await outcomes(
            [activate(orders, subscription, stripe_state(f"sub_{number}")), cancel(orders, subscription)]
        )

        current = await read(orders, subscription)
        assert answers == [current]
        assert current.version == subscription.version + 1
        assert [error.reason for error in errors] == [
            "version_conflict" if current.HasField("cancel_requested_at") else "subscription_activated"
        ]


async def test_of_concurrent_states_one_is_written_with_its_items(orders: Client) -> None:
    """The others get a conflict, and leave none of theirs."""
    for number in range(ROUNDS):
        bound = await activate(orders, await begun(orders), stripe_state(f"sub_{number}"))
        rivals = [stripe_state(f"sub_{number}", period_end=1 + rival) for rival in range(AT_ONCE)]
        for rival, state in enumerate(rivals):
            del state.items[:]
            state.items.extend(billed_item(f"si_{rival}_{item}") for item in range(rival))

        answers, errors = await outcomes([apply(orders, bound, state) for state in rivals])

        assert errors == [VERSION_CONFLICT] * (AT_ONCE - 1)
        assert answers == [await read(orders, bound)]
        assert answers[0].state in rivals


async def test_a_read_shows_one_state_of_stripe(orders: Client) -> None:
    """Row and items are of one version, while events change the plan."""
    states = [stripe_state("sub_1") for _ in range(CHANGES)]
    for number, state in enumerate(states):
        state.items[0].stripe_item_id = state.default_payment_method_id = f"n{number}"
    written = await activate(orders, await begun(orders), states[0])
    writing, shown = True, list[tuple[str, str]]()

    async def read_on() -> None:
        while writing:
            state = (await read(orders, written)).state
            shown.extend((item.stripe_item_id, state.default_payment_method_id) for item in state.items)

    readers = [asyncio.create_task(read_on()) for _ in range(4)]
    for state in states[1:]:
        written = await apply(orders, written, state)
    writing = False
    await asyncio.gather(*readers)

    assert len(set(shown)) > 1
    assert [each for each in shown if each[0] != each[1]] == []


async def test_of_concurrent_retries_of_an_activation_with_different_cards_one_wins(orders: Client) -> None:
    """The others get a conflict, and a repeat of the winner's call changes nothing."""
    for _ in range(ROUNDS):
        failed = await fail(orders, await begun(orders))

        answers, errors = await outcomes(
            [retry(orders, failed, payment_method_id=f"pm_{rival}") for rival in range(AT_ONCE)]
        )

        assert errors == [VERSION_CONFLICT] * (AT_ONCE - 1)
        assert answers == [await retry(orders, failed, payment_method_id=answers[0].payment_method_id)]
        assert answers[0].version == failed.version + 1


async def test_a_retry_and_a_late_binding_at_once_are_one_subscription(orders: Client) -> None:
    """A request of the failed generation may still have created it at Stripe: it is bound, whoever comes first."""
    for number in range(ROUNDS):
        failed = await fail(orders, await begun(orders))

        async def bind_late(failed: pb.Subscription = failed, number: int = number) -> pb.Subscription:
            """Bind it, and once more at the version of the retry."""
            state = stripe_state(f"sub_{number}")
            try:
                return await activate(orders, failed, state)
            except grpc.aio.AioRpcError:
                return await activate(orders, await read(orders, failed), state)

        answers, errors = await outcomes([retry(orders, failed), bind_late()])

        assert [error.reason for error in errors] in ([], ["subscription_activated"])
        assert answers[-1] == await read(orders, failed)
        assert answers[-1].stripe_subscription_id == f"sub_{number}"


async def test_a_retry_and_a_cancel_at_once_end_cancelled_or_conflict(orders: Client) -> None:
    """A cancelled subscription never begins again; a cancel that comes second reads the row again."""
    for _ in range(ROUNDS):
        failed = await fail(orders, await begun(orders))

        answers, errors = await outcomes([retry(orders, failed), cancel(orders, failed)])

        current = await read(orders, failed)
        assert answers == [current]
        assert current.version == failed.version + 1
        assert [error.reason for error in errors] == [
            "subscription_canceled" if current.HasField("cancel_requested_at") else "version_conflict"
        ]


async def test_concurrent_cancels_are_one_cancel(orders: Client) -> None:
    """Every caller gets the same row."""
    for _ in range(ROUNDS):
        subscription = await begun(orders)

        answers = await asyncio.gather(*(cancel(orders, subscription) for _ in range(AT_ONCE)))

        assert answers == [answers[0]] * AT_ONCE
        assert answers[0].version == subscription.version + 1


async def test_of_states_written_at_once_one_is_written(orders: Client, sql: Any) -> None:
    """All callers read the same version: the others ask Stripe again, and their invoices are not written."""
    for number in range(ROUNDS):
        bound = await activate(orders, await begun(orders), stripe_state(f"sub_{number}"))

        answers, errors = await outcomes(
            [
                apply(orders, bound, stripe_state(f"sub_{number}", period_end=n + 1), invoice(f"in_{number}_{n}"))
                for n in range(AT_ONCE)
            ]
        )

        assert errors == [VERSION_CONFLICT] * (AT_ONCE - 1)
        assert answers == [await read(orders, bound)]
    assert await count(sql, "subscription_invoices") == [ROUNDS]


async def test_a_state_that_waited_for_a_newer_one_conflicts(orders: Client, sql: Any, database_url: str) -> None:
    """It waits for a transaction that is not committed yet, and then it is outdated."""
    bound = await activate(orders, await begun(orders), stripe_state())
    async with locked(database_url, "subscription_invoices"):
        newer = asyncio.ensure_future(apply(orders, bound, stripe_state(period_end=2), invoice()))
        await until(lambda: lock_waiters(sql))
        older = asyncio.ensure_future(error_of(apply(orders, bound, stripe_state(period_end=1))))

        async def both_wait() -> bool:
            return len(await lock_waiters(sql)) == 2

        await until(both_wait)

    assert await older == VERSION_CONFLICT
    assert await read(orders, bound) == await newer
