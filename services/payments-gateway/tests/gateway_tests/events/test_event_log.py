"""Log of handled events, over a fake of orders."""

from datetime import UTC, datetime

import aiohttp
import pytest

from payments_gateway.domain.stripe_events import HandledEvent
from payments_gateway.events.event_log import EventLog
from payments_gateway.write_behind import MAX_BATCH
from servicekit.unavailable import ServiceUnavailable

from ..assembly import Gateway
from ..fake_stripe_events import FakeStripeEvents
from ..fakes import until
from ..http_edge import deliver, event_body

AT = datetime(2030, 1, 1, tzinfo=UTC)
LONG = 3600.0


def handled(number: int) -> HandledEvent:
    """Return an event that was handled."""
    return HandledEvent(f"evt_{number}", "refund.updated", AT)


async def test_events_are_written_in_the_background() -> None:
    """Soon, whether one or many."""
    orders = FakeStripeEvents()
    log = EventLog(orders, flush_seconds=0.01)

    async with log.flush_in_background():
        log.add(handled(1))
        await until(lambda: len(orders.logged) == 1)


async def test_a_full_batch_is_written_at_once() -> None:
    """It does not wait for the time."""
    orders = FakeStripeEvents()
    log = EventLog(orders, flush_seconds=LONG)

    async with log.flush_in_background():
        for number in range(100):
            log.add(handled(number))
        await until(lambda: len(orders.logged) == 100)


async def test_the_last_events_are_written_when_the_gateway_stops() -> None:
    """They have not waited long enough yet."""
    orders = FakeStripeEvents()
    log = EventLog(orders, flush_seconds=LONG)

    async with log.flush_in_background():
        log.add(handled(1))

    assert list(orders.logged) == ["evt_1"]


async def test_what_cannot_be_written_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """The buffer is bounded, and a later batch is written: the backfill handles the others once more."""
    orders = FakeStripeEvents()
    log = EventLog(orders)
    orders.fails = ServiceUnavailable("orders")
    for number in range(MAX_BATCH + 1):
        log.add(handled(number))

    await log.flush()
    orders.fails = None
    log.add(handled(-1))
    await log.flush()

    assert list(orders.logged) == ["evt_-1"]
    assert [record.__dict__["count"] for record in caplog.records if "not written" in record.message] == [MAX_BATCH]


async def test_a_webhook_logs_the_event_that_it_handled(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Not one that failed."""
    body = event_body(gateway.paid_attempt())
    gateway.wire.fail("orders.record_purchase", ServiceUnavailable("orders"))
    await deliver(http, gateway, body)
    await gateway.event_log.flush()
    failed = dict(gateway.events.logged)
    gateway.wire.heal()

    await deliver(http, gateway, body)
    await gateway.event_log.flush()

    assert (list(failed), list(gateway.events.logged)) == ([], ["evt_1"])
