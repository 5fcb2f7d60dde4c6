"""The first charge of a subscription fails or waits for the buyer: the purchase stands, and the buyer can finish it."""

from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio

from .conftest import Waiter, until
from .harness.knobs import Knobs
from .harness.plans import Plans, billed, booked, invoices_at_stripe, made_at_stripe, plan_only, put_on_sale
from .harness.shop import Checkout, Shop
from .harness.system import System

DECLINED_LATER: Final = "pm_card_chargeCustomerFail"
"""Can be saved, and declines every charge."""
ASKS_EVERY_TIME: Final = "pm_card_authenticationRequired"
"""Wants 3-D Secure for every charge, however it was set up: it cannot be used off-session."""
HOUR: Final = 3600.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(moving_system: System) -> System:
    """Take the system whose Stripe's clock may be moved."""
    return moving_system


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plans(system: System) -> Plans:
    """Put plans on sale there."""
    return await put_on_sale(system)


@dataclass(frozen=True)
class Incomplete:
    """A subscription whose first charge did not go through."""

    checkout: Checkout
    row: dict[str, Any]
    secret: str

    @property
    def charge_id(self) -> str:
        """The intent of its first charge."""
        return self.secret.partition("_secret_")[0]


pytestmark = pytest.mark.usefixtures("none_living_afterwards")


async def begun_with(
    system: System, shop: Shop, knobs: Knobs, plans: Plans, settled: Waiter, *, card: str
) -> Incomplete:
    """Buy a plan with a card whose first charge will not go through."""
    checkout = await shop.checkout(plan_only(plans, tea=1))
    (await shop.pay(checkout, payment_method=card)).ok()
    if card == ASKS_EVERY_TIME:
        await knobs.challenge(checkout.intent_id)
    await settled(checkout)
    await knobs.idle()
    (row,) = await system.books.subscriptions_of(checkout.attempt_id)
    (shown,) = (await shop.status(checkout.attempt_id)).ok()["purchase"]["subscriptions"]
    return Incomplete(checkout, row, (shown.get("payment") or {}).get("clientSecret", ""))


@pytest.mark.parametrize("card", [DECLINED_LATER, ASKS_EVERY_TIME])
async def test_the_purchase_stands_and_a_guest_finishes_it(
    system: System, shop: Shop, knobs: Knobs, plans: Plans, settled: Waiter, card: str
) -> None:
    """Recorded and incomplete; by the attempt id the guest gets the secret, pays, and it is active and told no more."""
    begun = await begun_with(system, shop, knobs, plans, settled, card=card)
    (made,) = await made_at_stripe(system, begun.row["stripe_customer_id"])
    returned = (await shop.come_back(begun.checkout)).ok()

    if card == ASKS_EVERY_TIME:
        await knobs.challenge(begun.charge_id)
    else:
        (await shop.confirm(begun.secret)).ok()
    await knobs.idle()

    (row,) = await system.books.subscriptions_of(begun.checkout.attempt_id)
    (shown,) = (await shop.status(begun.checkout.attempt_id)).ok()["purchase"]["subscriptions"]
    assert (made["status"], begun.row["status"]) == ("incomplete", "incomplete")
    assert made["latest_invoice"]["status"] == "open"
    assert (returned["status"], returned["subscriptions"][0]["status"]) == ("completed", "incomplete")
    assert (row["status"], shown["status"]) == ("active", "active")
    assert not shown.get("payment")
    assert booked(await system.books.invoices_of(row["id"])) == billed(await invoices_at_stripe(system, made["id"]))
    assert len(await made_at_stripe(system, row["stripe_customer_id"])) == 1


async def test_p7_the_first_charges_secret_is_told_to_the_buyer_alone(
    system: System, knobs: Knobs, plans: Plans, settled: Waiter
) -> None:
    """A user reads it with the subscription; nobody else does, and no log and no table holds it."""
    async with system.shop(user_id="user-with-a-weak-card") as owner, system.shop(user_id="a-stranger") as stranger:
        begun = await begun_with(system, owner, knobs, plans, settled, card=DECLINED_LATER)

        read = (await owner.subscription(begun.row["id"])).ok()
        refused = [await stranger.subscription(begun.row["id"]), await stranger.status(begun.checkout.attempt_id)]

    tables = await system.books.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    stored = [await system.books.rows(f"SELECT t::text FROM {each['tablename']} t") for each in tables]  # noqa: S608 - its own tables
    assert read["payment"] == {"clientSecret": begun.secret}
    assert "_secret_" in begun.secret
    assert [reply.status for reply in refused] == [404, 404]
    assert begun.secret not in str(refused[0].body) + str(refused[1].body) + str(stored)
    services = {name: log for name, log in system.backend.logs().items() if name != "stripe-simulator"}
    assert [name for name, log in services.items() if begun.secret in log] == []


async def test_a_first_charge_that_nobody_finishes_expires(
    system: System, shop: Shop, knobs: Knobs, plans: Plans, settled: Waiter
) -> None:
    """After 23 hours it is incomplete_expired, for the buyer too, and there is no secret any more."""
    begun = await begun_with(system, shop, knobs, plans, settled, card=DECLINED_LATER)

    await knobs.advance(seconds=23.5 * HOUR)
    await knobs.idle()

    (row,) = await system.books.subscriptions_of(begun.checkout.attempt_id)
    (shown,) = (await shop.status(begun.checkout.attempt_id)).ok()["purchase"]["subscriptions"]
    (invoice,) = await system.books.invoices_of(row["id"])
    assert begun.secret
    assert (row["status"], shown["status"], invoice["status"]) == ("incomplete_expired", "incomplete_expired", "void")
    assert row["ended_at"] is not None
    assert not shown.get("payment")


async def test_the_news_of_a_finished_charge_may_be_late(
    system: System, shop: Shop, knobs: Knobs, plans: Plans, settled: Waiter
) -> None:
    """Once it is paid, the secret is gone although no webhook has said so yet."""
    begun = await begun_with(system, shop, knobs, plans, settled, card=DECLINED_LATER)
    await knobs.deliver(types=["customer.subscription.*", "invoice.*"], hold=True, count=None)

    (await shop.confirm(begun.secret)).ok()
    (shown,) = (await shop.status(begun.checkout.attempt_id)).ok()["purchase"]["subscriptions"]
    await knobs.release_deliveries()

    async def active() -> bool:
        (row,) = await system.books.subscriptions_of(begun.checkout.attempt_id)
        return bool(row["status"] == "active")

    await until(active, "the late news")
    assert not shown.get("payment")
