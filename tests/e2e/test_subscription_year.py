"""A year of renewals on Stripe's clock."""

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio

from .conftest import Waiter
from .harness.knobs import Knobs
from .harness.operators import Row
from .harness.plans import (
    Plans,
    billed,
    booked,
    invoices_at_stripe,
    made_at_stripe,
    plan_only,
    put_on_sale,
    recorded,
    shown,
)
from .harness.shop import Shop
from .harness.system import System

SOLD: Final = {"kept": "tea", "failing": "cake", "cancelled": "tea"}
"""The plan of each subscription."""
MONTHS: Final = 12
FAILS_IN: Final = 3
CANCELLED_IN: Final = 5
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(moving_system: System) -> System:
    """Take the system whose Stripe's clock may be moved."""
    return moving_system


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plans(system: System) -> Plans:
    """Put plans on sale there."""
    return await put_on_sale(system)


pytestmark = pytest.mark.usefixtures("none_living_afterwards")


@pytest_asyncio.fixture(loop_scope="session")
async def subscriber(system: System, knobs: Knobs) -> AsyncIterator[Shop]:
    """Open a shop for a user who has bought nothing so far."""
    async with system.shop(user_id=f"user-{uuid.uuid4()}") as opened:
        yield opened


@dataclass(frozen=True)
class Almanac:
    """What stands at the end of a month."""

    statuses: Mapping[str, str]
    invoices: Mapping[str, int]


async def test_a_year_of_renewals(
    system: System, knobs: Knobs, plans: Plans, subscriber: Shop, settled: Waiter
) -> None:
    """One is paid each month, one fails once and recovers, one ends with its period; rows follow, and make no order."""
    rows = {name: await bought(system, subscriber, plans, settled, plan) for name, plan in SOLD.items()}
    before = await system.books.tally()
    year: list[Almanac] = []

    for month in range(1, MONTHS + 1):
        if month == FAILS_IN:
            await knobs.behave(rows["failing"]["stripe_payment_method_id"], "pm_card_chargeCustomerFail")
        if month == CANCELLED_IN:
            (await subscriber.cancel_subscription(rows["cancelled"]["id"])).ok()
        await until_renewed(system, knobs, rows["kept"])
        year.append(await the_books(system, rows))
        if month == FAILS_IN:
            await knobs.behave(rows["failing"]["stripe_payment_method_id"], "pm_card_visa")
            await knobs.advance(seconds=3 * DAY + HOUR)
            await knobs.idle()
            year.append(await the_books(system, rows))

    assert [each.statuses["kept"] for each in year] == ["active"] * (MONTHS + 1)
    assert [each.statuses["failing"] for each in year] == ["active"] * 2 + ["past_due"] + ["active"] * (MONTHS - 2)
    assert [each.statuses["cancelled"] for each in year] == ["active"] * 5 + ["canceled"] * (MONTHS - 4)
    assert year[-1].invoices == {"kept": 1 + MONTHS, "failing": 1 + MONTHS, "cancelled": CANCELLED_IN}
    assert await system.books.tally() == before
    listed = (await subscriber.subscriptions()).ok()["subscriptions"]
    assert {one["id"]: one["status"] for one in listed} == {
        rows[name]["id"]: status for name, status in year[-1].statuses.items()
    }


async def test_a_cancellation_can_be_undone_until_it_is_over(
    system: System, knobs: Knobs, plans: Plans, subscriber: Shop, settled: Waiter
) -> None:
    """At period end, undone, now: rows and answers follow Stripe; what has ended stays ended, and says so again."""
    row = await bought(system, subscriber, plans, settled, "tea")

    ending = (await subscriber.cancel_subscription(row["id"])).ok()
    undone = (await subscriber.cancel_subscription(row["id"], "undo")).ok()
    ended = (await subscriber.cancel_subscription(row["id"], "now")).ok()
    again = (await subscriber.cancel_subscription(row["id"], "now")).ok()
    too_late = await subscriber.cancel_subscription(row["id"], "undo")
    await knobs.idle()

    assert [(each["status"], each["cancelAtPeriodEnd"]) for each in (ending, undone)] == [
        ("active", True),
        ("active", False),
    ]
    assert [each["status"] for each in (ended, again)] == ["canceled", "canceled"]
    assert (too_late.status, too_late.problem) == (409, "subscription_ended")
    assert (await the_books(system, {"ended": row})).statuses == {"ended": "canceled"}


async def bought(system: System, shop: Shop, plans: Plans, settled: Waiter, name: str) -> Row:
    """Buy a plan and return its row."""
    checkout = await shop.checkout(plan_only(plans, **{name: 1}))
    (await shop.pay(checkout)).ok()
    await settled(checkout)
    (row,) = await system.books.subscriptions_of(checkout.attempt_id)
    return row


async def until_renewed(system: System, knobs: Knobs, row: Row) -> None:
    """Let Stripe's clock go to an hour past the end of a subscription's period, and all be told."""
    now = await knobs.advance()
    (at_stripe,) = [one for one in await of_customer(system, row) if one["id"] == row["stripe_subscription_id"]]
    await knobs.advance(seconds=at_stripe["items"]["data"][0]["current_period_end"] - now + HOUR)
    await knobs.idle()


async def the_books(system: System, rows: Mapping[str, Row]) -> Almanac:
    """Assert that the rows say what Stripe says; return what that is."""
    statuses, invoices = {}, {}
    for name, known in rows.items():
        row = await system.books.subscription(known["stripe_subscription_id"])
        assert row is not None
        (at_stripe,) = [one for one in await of_customer(system, known) if one["id"] == row["stripe_subscription_id"]]
        charges = await system.books.invoices_of(row["id"])
        assert recorded(row) == shown(at_stripe)
        assert booked(charges) == billed(await invoices_at_stripe(system, at_stripe["id"]))
        statuses[name], invoices[name] = row["status"], len(charges)
    return Almanac(statuses, invoices)


async def of_customer(system: System, row: Row) -> list[dict[str, Any]]:
    """Return all that the subscription's customer subscribed to."""
    return await made_at_stripe(system, row["stripe_customer_id"])
