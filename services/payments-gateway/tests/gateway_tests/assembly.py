"""The gateway's real parts over fake ports, put together as its bootstrap does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from payments_gateway.attempt_ids import AttemptIds
from payments_gateway.attempts import Attempt, IntentRef
from payments_gateway.browser_return import BrowserReturn
from payments_gateway.checkout_status import CheckoutStatusReader
from payments_gateway.fulfilment import Fulfilment
from payments_gateway.initiate import Initiate
from payments_gateway.price_book import PriceBook
from payments_gateway.settlement import Settlement
from payments_gateway.supersede import Supersede

from .fakes import FakeAttempts, FakeCatalogueSource, FakeClock, FakeIntents, FakeOrderBook, Wire
from .samples import ATTEMPT_ID, CONTEXT, SHOP, attempt

PAY_BY = timedelta(hours=24)


class Gateway:
    """Everything behind the HTTP edge."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.wire = Wire()
        self.attempts = FakeAttempts(self.wire)
        self.intents = FakeIntents(self.wire)
        self.orders = FakeOrderBook(self.wire, self.clock)
        self.source = FakeCatalogueSource(SHOP)
        self.ids = AttemptIds(b"attempt-id-secret-of-the-tests..")
        self.book = PriceBook(
            self.source, refresh_seconds=3600, max_age_seconds=7200, pause_seconds=2, monotonic=self.clock.seconds
        )
        self.fulfilment = Fulfilment(self.attempts, self.orders, livemode=False)
        settlement = Settlement(self.fulfilment, self.orders)
        self.supersede = Supersede(self.attempts, self.intents, settlement)
        self.initiate = Initiate(
            ids=self.ids,
            book=self.book,
            intents=self.intents,
            attempts=self.attempts,
            supersede=self.supersede,
            settlement=settlement,
            pay_by=PAY_BY,
            now=self.clock.now,
        )
        self.browser_return = BrowserReturn(self.attempts, self.orders, self.intents, self.fulfilment)
        self.statuses = CheckoutStatusReader(self.attempts, self.orders, self.intents)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Gateway"]:
        """Give the gateway with its catalogue read."""
        async with self.book.kept_fresh():
            await until(lambda: self.source.reads == 1)
            yield self

    def stored_attempt(self, *, user_id: str | None = None, attempt_id: str = ATTEMPT_ID) -> Attempt:
        """Store an attempt with an intent of its own, and return it."""
        stored = attempt(self.intents.another(attempt_id, CONTEXT.total), user_id=user_id, attempt_id=attempt_id)
        self.attempts.put(stored)
        return stored

    def status_of(self, ref: IntentRef) -> str:
        """Show an intent's status at Stripe."""
        return next(intent.status.value for intent in self.intents.all() if intent.ref == ref)


async def until(holds: Callable[[], bool], *, seconds: float = 5) -> None:
    """Return once it holds; fail when it does not in time."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 — nothing here could signal an event
            await asyncio.sleep(0.001)
