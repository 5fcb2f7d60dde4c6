"""Random clicks, reloads, steps back and tabs: nothing is paid twice, and every way leads to a purchase.

`BROWSER_SEQUENCES=300` runs that many sequences; sequence n has the seed n.
"""

import os
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from devstack.stack_options import StackOptions
from tests.e2e.harness.control_api import ControlApi
from tests.e2e.harness.stores import Row
from tests.e2e.harness.system import System, running_system
from tests.e2e.timeouts import USUAL

from .harness import built_shop
from .harness.purchases import Purchases, until
from .harness.random_buyer import RandomBuyer
from .harness.storefront import Storefront

SEQUENCES: Final = int(os.environ.get("BROWSER_SEQUENCES", "5"))
STEPS: Final = 12
_REFUSALS: Final = (400, 402, 404, 409)
"""Statuses of declined cards, closed checkouts, confirmations of others and checkouts that were paid already."""
_BOUGHT: Final = """
    SELECT price_id, sum(quantity)::int AS quantity FROM (
        SELECT payment_intent_id AS intent_id, price_id, quantity
        FROM orders JOIN order_items ON order_id = orders.id
        UNION ALL
        SELECT intent_id, price_id, quantity
        FROM subscriptions JOIN subscription_items ON subscription_id = subscriptions.id
    ) AS lines WHERE intent_id = ANY($1) GROUP BY price_id"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run a gateway that does not take a restless buyer for a thief who tests cards."""
    assert browser.is_connected()
    built_shop.build()
    options = StackOptions(
        durable=False, seed=1, rate_limits=False, shop=built_shop.FOLDER, settings={"gateway": USUAL}
    )
    folder = tmp_path_factory.mktemp("holdfast")
    async with running_system(folder, options=options, with_proxies=True, embedded=True) as running:
        yield running


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(SEQUENCES))
async def test_a_random_buyer(
    shop: Storefront, purchases: Purchases, control_api: ControlApi, system: System, seed: int
) -> None:
    """After whatever was done, the buyer can buy, and each payment is one purchase that was asked for."""
    shop.recorder.expect_status(*_REFUSALS)
    buyer = await RandomBuyer.enter(shop, seed)

    async def settle() -> None:
        for debit in await _processing(system):
            await control_api.settle_debit(debit, succeed=buyer.random.random() < 0.7)

    try:
        await buyer.wander(STEPS)
        await buyer.finish(settle)
        await control_api.until_idle()
        await _is_consistent(buyer, purchases, system)
    finally:
        print(f"seed {seed}:", *buyer.did, sep="\n  ")  # noqa: T201 - shown with the failure


async def _is_consistent(buyer: RandomBuyer, purchases: Purchases, system: System) -> None:
    """Assert that each succeeded intent is one purchase, of what was put into the cart, by a click on Pay."""
    taken = await purchases.taken()

    async def all_decided() -> bool:
        return {row["intent_id"] for row in await purchases.rows("payments")} >= taken.keys()

    await until(all_decided, "a decision on each payment")
    decided = await purchases.rows("payments")
    assert [row["quarantine_reason"] for row in decided if row["outcome"] != "purchase"] == []
    assert len(decided) <= buyer.pays, "more purchases than clicks on Pay"
    assert {row["intent_id"] for row in decided if row["kind"] == "payment"} == taken.keys()
    bought = await _bought(system, decided)
    for price, quantity in bought.items():
        assert quantity <= buyer.put_into_cart.get(price, 0), f"{price} was bought more often than put into the cart"


async def _bought(system: System, decided: list[Row]) -> dict[str, int]:
    """Return how many of each price were bought by these payments."""
    bought = await system.orders_db.rows(_BOUGHT, [row["intent_id"] for row in decided])
    return {row["price_id"]: row["quantity"] for row in bought}


async def _processing(system: System) -> list[str]:
    listed = await system.stripe.v1.payment_intents.list_async({"limit": 20})
    return [each.id for each in listed.data if each.status == "processing"]
