import asyncio
import math

import pytest

from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.stripe_api.single_flight import SingleFlightIntents
from servicekit.deadline import deadline, seconds_left

from ..fake_stripe import FakeIntents
from ..fakes import Wire, until, wired
from ..samples import ATTEMPT_ID, CONTEXT


class Reads:
    """Single-flight reads of intents whose requests are counted."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.intents = wired(self.wire, "intents", FakeIntents())
        self.ref = self.intents.another(ATTEMPT_ID, CONTEXT.total)
        self.shared = SingleFlightIntents(self.intents)

    def requests(self) -> int:
        """Count the requests that reached Stripe."""
        return self.wire.calls.count("intents.retrieve")


async def test_equal_reads_at_the_same_moment_are_one_request() -> None:
    """Twenty tabs poll one checkout; another intent is read by itself, and the next read asks again."""
    reads = Reads()
    other = reads.intents.another(ATTEMPT_ID, CONTEXT.total)

    found = await asyncio.gather(*(reads.shared.retrieve(ref) for ref in [reads.ref] * 20 + [other]))
    together = reads.requests()
    await reads.shared.retrieve(reads.ref)

    assert [intent.ref for intent in found] == [reads.ref] * 20 + [other]
    assert (together, reads.requests()) == (2, 3)


async def test_a_shared_read_has_no_deadline() -> None:
    """A caller with more time may join."""
    left: list[float] = []

    async def note() -> None:
        left.append(seconds_left())

    reads = Reads()
    reads.wire.meanwhile("intents.retrieve", note)

    with deadline(0.5):
        await reads.shared.retrieve(reads.ref)

    assert left == [math.inf]


async def test_a_failure_reaches_every_caller_and_is_not_cached() -> None:
    """The next read asks again."""
    reads = Reads()
    reads.wire.fail("intents.retrieve", StripeUnavailable())

    failed = await asyncio.gather(*(reads.shared.retrieve(reads.ref) for _ in range(3)), return_exceptions=True)
    reads.wire.heal()

    assert [type(failure) for failure in failed] == [StripeUnavailable] * 3
    assert (await reads.shared.retrieve(reads.ref)).ref == reads.ref


async def test_the_first_caller_may_go() -> None:
    """A browser that closes its connection breaks no other read."""
    reads = Reads()
    first = asyncio.create_task(reads.shared.retrieve(reads.ref))
    second = asyncio.create_task(reads.shared.retrieve(reads.ref))
    await asyncio.sleep(0)
    first.cancel()

    found = await second

    with pytest.raises(asyncio.CancelledError):
        await first
    assert found.ref == reads.ref
    assert reads.requests() == 1


async def test_a_failure_without_callers_makes_no_noise() -> None:
    """All of them are gone when it comes."""
    reads = Reads()
    reads.wire.fail("intents.retrieve", StripeUnavailable())
    reading = asyncio.create_task(reads.shared.retrieve(reads.ref))
    await asyncio.sleep(0)
    reading.cancel()

    await asyncio.gather(reading, return_exceptions=True)
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    assert reading.cancelled()
