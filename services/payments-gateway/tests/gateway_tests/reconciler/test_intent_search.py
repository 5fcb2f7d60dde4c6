"""Many due attempts take few requests, against lists in memory that count them."""

import random
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.due_attempts import DueAttempt
from payments_gateway.domain.intents import IntentStatus, StripeIntent
from payments_gateway.domain.money import Money
from payments_gateway.reconciler.intent_search import IntentSearch

from ..assembly import Gateway
from ..fakes import FakeClock
from ..reconciling import FakeIntentLists, Reconciler
from ..samples import ATTEMPT_ID

START = FakeClock().now()
DAY_SECONDS = 86_400


def due_attempt(number: int, created_at: datetime) -> DueAttempt:
    """Return an attempt without content, which the search does not need."""
    intent = IntentRef(f"pi_{number}", IntentKind.PAYMENT)
    pay_by = created_at + timedelta(days=30)
    return DueAttempt(f"attempt {number}", intent, created_at, pay_by, close_reason=None, content_exists=True)


def open_intent(ref: IntentRef) -> StripeIntent:
    """Return an intent that waits for its buyer."""
    status = IntentStatus.REQUIRES_PAYMENT_METHOD
    return StripeIntent(ref, status, ATTEMPT_ID, Money(0, "usd"), livemode=False, client_secret=None, created_at=START)


def created_together(lists: FakeIntentLists, seconds: Sequence[float], *, ours_every: int = 1) -> list[DueAttempt]:
    """Create an intent at each of these ascending times; every so many is of a due attempt."""
    attempts = []
    for number, offset in enumerate(seconds):
        created_at = START + timedelta(seconds=offset)
        lists.put(open_intent(IntentRef(f"pi_{number}", IntentKind.PAYMENT)), created_at)
        if number % ours_every == 0:
            attempts.append(due_attempt(number, created_at))
    return attempts


async def found(lists: FakeIntentLists, attempts: Sequence[DueAttempt]) -> set[str]:
    """Return the ids of the attempts that a search finds."""
    pages = [page async for page in IntentSearch(lists).find(IntentKind.PAYMENT, attempts)]
    return {due.attempt_id for page in pages for due, intent in page if intent.ref == due.intent}


@pytest.mark.parametrize(
    ("seconds", "ours_every", "most_requests"),
    [
        pytest.param(range(2000), 1, 21, id="all ours"),
        pytest.param(range(20_000), 10, 201, id="one in ten is ours"),
        pytest.param([second // 500 for second in range(2000)], 1, 21, id="five hundred in the same second"),
        pytest.param([day * DAY_SECONDS for day in range(30)], 1, 1, id="one a day"),
        pytest.param([], 1, 0, id="nothing due"),
    ],
)
async def test_lists_find_every_attempt(seconds: Sequence[float], ours_every: int, most_requests: int) -> None:
    """With a request for each hundred intents that lie close together."""
    lists = FakeIntentLists()
    attempts = created_together(lists, seconds, ours_every=ours_every)

    assert await found(lists, attempts) == {each.attempt_id for each in attempts}
    assert lists.requests <= most_requests


async def test_other_softwares_intents_do_not_cost_more_than_retrieving() -> None:
    """Three of ours lie far apart among thousands: no more requests than attempts."""
    lists = FakeIntentLists()
    attempts = created_together(lists, range(30_000), ours_every=10_000)

    await found(lists, attempts)

    assert lists.requests <= len(attempts)


async def test_an_intent_that_is_older_than_its_attempt_is_left_to_a_retrieval() -> None:
    """A retry stored the attempt hours after its intent was created; the others are found all the same."""
    lists = FakeIntentLists()
    attempts = created_together(lists, [0, *range(3600, 4100)])
    stored_late = due_attempt(0, START + timedelta(seconds=4000))

    assert await found(lists, [stored_late, *attempts[1:]]) == {each.attempt_id for each in attempts[1:]}


async def test_ten_thousand_due_attempts_take_a_hundred_and_twenty_requests(gateway: Gateway) -> None:
    """Of the whole sweep: claims, lists and next checks."""
    assert await requests_of_sweep(gateway, 10_000) <= 120


@pytest.mark.long
async def test_a_hundred_thousand_due_attempts_take_twelve_hundred_requests(gateway: Gateway) -> None:
    """A crowd comes due at once, amid intents of other software; Stripe's lists are in memory."""
    began = time.monotonic()

    requests = await requests_of_sweep(gateway, 100_000)

    print(f"{requests} requests, {time.monotonic() - began:.1f} s")  # noqa: T201 — the measurement
    assert requests <= 1200


async def requests_of_sweep(gateway: Gateway, count: int) -> int:
    """Judge so many open attempts of a day, besides a tenth of foreign intents; return the requests to Stripe."""
    reconciler = Reconciler(gateway)
    generator = random.Random(1)  # noqa: S311 — the same times in every run
    times = sorted(generator.uniform(0, DAY_SECONDS) for _ in range(count * 11 // 10))
    for number, offset in enumerate(times):
        ref, created_at = IntentRef(f"pi_{number}", IntentKind.PAYMENT), START + timedelta(seconds=offset)
        reconciler.lists.put(open_intent(ref), created_at)
        if number % 11:
            reconciler.due.put(due_attempt(number, created_at))
    reconciler.clock.advance(DAY_SECONDS)

    while await reconciler.sweep.run():
        pass

    assert all(check > reconciler.clock.now() for check in reconciler.due.checks.values())
    return gateway.wire.calls.count("lists.page") + gateway.wire.calls.count("intents.retrieve")
