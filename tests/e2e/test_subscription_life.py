"""Whatever happens to a subscription, and however Stripe tells of it, the rows end as Stripe's objects end.

Stripe itself delivers nothing here: each example says which changes are made, which events are delivered when and how
often, and which of the gateway's fetches are so slow that what they show is old when it arrives.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from .conftest import until
from .harness.knobs import Knobs
from .harness.operators import Row
from .harness.plans import (
    Plans,
    billed,
    booked,
    end_all_subscriptions,
    invoices_at_stripe,
    made_at_stripe,
    plan_only,
    put_on_sale,
    recorded,
    shown,
)
from .harness.shop import Shop
from .harness.system import System

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]
"""Every example is a life on real servers. The same property in one process, and on PostgreSQL alone, is quick."""

DAY: Final = 86_400.0
FAILING: Final = "pm_card_chargeCustomerFail"
GOOD: Final = "pm_card_visa"
EVENTS: Final = (
    "customer.subscription.",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.voided",
)
"""Beginnings of the types that say something: each change is told by one of them."""
_ENDED: Final = ("canceled", "incomplete_expired")


@dataclass(frozen=True)
class Change:
    """Something happens to the subscription at Stripe."""

    what: str


@dataclass(frozen=True)
class Deliver:
    """One of the events so far is delivered to both gateways, in so many copies."""

    which: int
    copies: int = 1


@dataclass(frozen=True)
class DeliverWithSlowFetch:
    """One of the events so far is delivered, and what the gateway then fetches first arrives only in the end."""

    which: int


Step = Change | Deliver | DeliverWithSlowFetch

CHANGES: Final = ("end with the period", "go on", "renewal", "declined renewal", "pause", "end now")
STEPS: Final = st.one_of(
    st.sampled_from(CHANGES).map(Change),
    st.builds(Deliver, st.integers(0, 40), st.integers(1, 2)),
    st.builds(DeliverWithSlowFetch, st.integers(0, 40)),
)


@dataclass
class Life:
    """A subscription, what happened to it, and what is held of the news."""

    system: System
    knobs: Knobs
    row: Row
    held: list[str] = field(default_factory=list)
    """Faults that hold an old state."""
    seen: dict[str, None] = field(default_factory=dict)
    """The ids of the events so far, oldest first: Stripe itself lists them for thirty days only."""

    @property
    def stripe_id(self) -> str:
        """Stripe's id of it."""
        return str(self.row["stripe_subscription_id"])

    async def take(self, step: Step) -> None:
        """Let one thing happen."""
        if isinstance(step, Change):
            await self.change(step.what)
            return
        events = await self.events()
        event = events[step.which % len(events)]
        if isinstance(step, Deliver):
            await self.knobs.redeliver(event, copies=step.copies)
            return
        path = f"/v1/subscriptions/{self.stripe_id}"
        fault = await self.knobs.fault(kind="hold_after", method="GET", path=path, count=1)
        self.held.append(fault)
        await self.knobs.redeliver(event)
        await self.knobs.held_by(fault)

    async def change(self, what: str) -> None:
        """Let something happen at Stripe, where it still can."""
        subscriptions, at_stripe = self.system.stripe.v1.subscriptions, await self.at_stripe()
        if at_stripe["status"] in _ENDED:
            return
        if what in ("end with the period", "go on"):
            ends = what == "end with the period"
            await subscriptions.update_async(self.stripe_id, {"cancel_at_period_end": ends})
        elif what == "pause":
            await self.knobs.pause(self.stripe_id)
        elif what == "end now":
            await subscriptions.cancel_async(self.stripe_id)
        else:
            like = FAILING if what == "declined renewal" else GOOD
            await self.knobs.behave(str(self.row["stripe_payment_method_id"]), like)
            await self.events()
            await self.knobs.advance(seconds=31 * DAY)

    async def events(self) -> list[str]:
        """Return the ids of the events about the subscription and its invoices, oldest first."""
        listed = await self.system.stripe.v1.events.list_async({"limit": 100})
        found = [event.to_dict() async for event in listed.auto_paging_iter() if event.type.startswith(EVENTS)]
        for event in reversed(found):
            if self.stripe_id == subscription_of(event["data"]["object"]):
                self.seen[event["id"]] = None
        return list(self.seen)

    async def at_stripe(self) -> dict[str, Any]:
        """Return the subscription as Stripe has it."""
        (made,) = await made_at_stripe(self.system, self.row["stripe_customer_id"])
        return made

    async def agrees(self) -> bool:
        """Whether subscription and invoices are recorded as Stripe has them."""
        row = await self.system.books.subscription(self.stripe_id)
        charges = await self.system.books.invoices_of(self.row["id"])
        at_stripe, invoices = await self.at_stripe(), await invoices_at_stripe(self.system, self.stripe_id)
        return row is not None and recorded(row) == shown(at_stripe) and booked(charges) == billed(invoices)


@dataclass(frozen=True)
class Ground:
    """What all examples are played on."""

    system: System
    knobs: Knobs
    shop: Shop
    plans: Plans

    async def subscription(self) -> Life:
        """Buy a plan, and let nothing of it be reported by itself."""
        checkout = await self.shop.checkout(plan_only(self.plans, tea=1))
        (await self.shop.pay(checkout)).ok()
        (await self.shop.come_back(checkout)).ok()
        (row,) = await self.system.books.subscriptions_of(checkout.attempt_id)
        return Life(self.system, self.knobs, row)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ground(moving_system: System) -> AsyncIterator[Ground]:
    """Take the system whose clock may be moved; Stripe delivers nothing by itself."""
    async with Knobs(moving_system.backend.addresses.stripe_api) as knobs, moving_system.shop() as shop:
        await knobs.deliver(types=["*"], drop=True, count=None)
        yield Ground(moving_system, knobs, shop, await put_on_sale(moving_system))
        await end_all_subscriptions(moving_system)
        await knobs.deliver_as_usual()


# Shrinking would take longer than a test may: what fails first is shown.
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, max_size=8), order=st.randoms(use_true_random=False))
@example(steps=[DeliverWithSlowFetch(0), Change("end with the period"), Change("renewal")], order=None)
@example(steps=[Change("declined renewal"), DeliverWithSlowFetch(5), Change("end now"), Deliver(0, 2)], order=None)
async def test_the_rows_end_as_stripes_objects_end(ground: Ground, steps: Sequence[Step], order: Any) -> None:
    """After any changes, deliveries in any order and old states that arrive last, rows and Stripe agree."""
    life = await ground.subscription()
    for step in steps:
        await life.take(step)
    events = await life.events()
    if order is not None:
        order.shuffle(events)

    await asyncio.gather(*(ground.knobs.redeliver(event) for event in events))
    await until(life.agrees, "the news of everything")
    for fault in life.held:
        await ground.knobs.remove_fault(fault)
    await ground.knobs.idle()

    row, at_stripe = await ground.system.books.subscription(life.stripe_id), await life.at_stripe()
    assert row is not None
    assert recorded(row) == shown(at_stripe)
    assert booked(await ground.system.books.invoices_of(row["id"])) == billed(
        await invoices_at_stripe(ground.system, life.stripe_id)
    )


def subscription_of(shown_object: dict[str, Any]) -> str:
    """Return which subscription an event's object is, or belongs to."""
    if shown_object["object"] == "subscription":
        return str(shown_object["id"])
    return str(shown_object["parent"]["subscription_details"]["subscription"])
