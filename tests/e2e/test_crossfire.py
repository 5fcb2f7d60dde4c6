"""Many buyers at once: every road to every order is taken at the same moment, through two gateways.

Five hundred random carts are bought once; each test then looks at another side of what that came to.
"""

import random
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .harness.knobs import Knobs
from .harness.operators import Row, Tally
from .harness.rush import Buyer, Purchase, Reports, Span, overlap, reports_of, rush
from .harness.shop import Cart, Line, Shop
from .harness.system import System, running_system
from .harness.wares import Offer, Ware, make_offers, until_on_sale

SEED: Final = 20_260_101
PURCHASES: Final = 500
AT_ONCE: Final = 32
ONE_BY_ONE: Final = 20
"""Purchases made before, one at a time, for comparison of the times."""
USERS: Final = 8
WARES: Final = 60
MOST_LINES: Final = 12

LEAST_TWOFOLD: Final = 0.9
"""Share of payments whose two webhooks must have been under way at the same moment."""
LEAST_THREEFOLD: Final = 0.5
"""Share of payments where the browser's request must have been under way at that moment too."""

# The catalogue does not change while they buy, and what is refused is delivered again soon, but not for ever.
STILL: Final = {"CATALOGUE_REFRESH_SECONDS": "3600"}
RETRYING_SOON: Final = ("--webhook-backoff", "0.1", "--webhook-backoff-max", "0.4", "--webhook-attempts", "20")

Figures = Callable[[str, object], None]


@dataclass(frozen=True)
class Crossfire:
    """What was bought at once, and what it took."""

    purchases: Sequence[Purchase]
    reports: Reports
    alone: Sequence[Purchase]
    alone_reports: Reports
    before: Tally
    seconds: float

    @property
    def users(self) -> dict[str, set[str]]:
        """The attempt ids of each user."""
        attempts = defaultdict[str, set[str]](set)
        for each in [*self.purchases, *self.alone]:
            attempts[each.buyer.begins_at.user_id or ""].add(each.checkout.attempt_id)
        return attempts


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """Run two gateways, to each of which Stripe reports every event, with nothing in between."""
    options = StackOptions(
        gateways=2,
        webhook_for_each_gateway=True,
        durable=False,
        seed=3,
        simulator_arguments=RETRYING_SOON,
        settings={"gateway": STILL, "gateway-2": STILL},
    )
    async with running_system(tmp_path_factory.mktemp("holdfast"), options=options) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def crossfire(system: System) -> AsyncIterator[Crossfire]:
    """Buy five hundred carts, thirty-two at a time, and wait until Stripe has nothing more to say."""
    offers = await make_offers(system.stripe, random_wares(random.Random(SEED)))
    async with Knobs(system.backend.addresses.stripe_api) as knobs, open_shops(system) as shops:
        await until_on_sale(shops[0], [offer.price_id for offer in offers])
        await knobs.idle()
        carts = random_carts(random.Random(SEED), offers, system.backend.catalogue.shipping_rates["standard"])
        buyers = [Buyer(cart, *some_shops(shops, place)) for place, (_, cart) in enumerate(carts)]

        alone = await rush(buyers[:ONE_BY_ONE], at_once=1)
        await knobs.idle()
        before = await system.books.tally()
        began = time.monotonic()
        purchases = await rush(buyers[ONE_BY_ONE:], at_once=AT_ONCE)
        await knobs.idle()
        seconds = time.monotonic() - began

        yield Crossfire(
            purchases, await reports_of(knobs, purchases), alone, await reports_of(knobs, alone), before, seconds
        )


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Figures:
    """Report a measured figure: in the test's report, and in its output (`pytest -rP`)."""

    def report(name: str, value: object) -> None:
        record_property(name, value)
        sys.stdout.write(f"{name}: {value}\n")

    return report
