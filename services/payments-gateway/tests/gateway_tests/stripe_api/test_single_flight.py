import asyncio
import math

import pytest

from payments_gateway.domain.intents import IntentStatus
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.stripe_api.single_flight import SingleFlightIntents
from servicekit.deadline import deadline, seconds_left

from ..assembly import until
from ..fakes import FakeIntents, Wire
from ..samples import ATTEMPT_ID, CONTEXT


async def _note(left: list[float]) -> None:
    left.append(seconds_left())


class Scene:
    """Intents whose reads a test can hold."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.intents = FakeIntents(self.wire)
        self.ref = self.intents.another(ATTEMPT_ID, CONTEXT.total)
        self.glances = SingleFlightIntents(self.intents)

    def reads(self) -> int:
        """Count the reads that reached Stripe."""
        return self.wire.calls.count("intents.retrieve")


async def test_equal_looks_at_the_same_moment_are_one() -> None:
    """Twenty tabs poll one checkout: Stripe is asked once, and all are answered."""
    scene = Scene()

    found = await asyncio.gather(*(scene.glances.retrieve(scene.ref) for _ in range(20)))

    assert {intent.ref for intent in found} == {scene.ref}
    assert scene.reads() == 1


async def test_who_joins_late_has_all_their_time() -> None:
    """A shared look does not end with the time of the one who began it."""
    left: list[float] = []
    scene = Scene()
    scene.wire.meanwhile("intents.retrieve", lambda: _note(left))

    with deadline(0.5):
        await scene.glances.retrieve(scene.ref)

    assert left == [math.inf]


async def test_nothing_is_kept() -> None:
    """The next look sees what has changed since."""
    scene = Scene()
    before = await scene.glances.retrieve(scene.ref)
    scene.intents.pay(scene.ref)

    after = await scene.glances.retrieve(scene.ref)

    assert (before.is_payable, after.status) == (True, IntentStatus.SUCCEEDED)
    assert scene.reads() == 2


async def test_looks_at_other_intents_are_their_own() -> None:
    """Nobody sees another's."""
    scene = Scene()
    other = scene.intents.another(ATTEMPT_ID, CONTEXT.total)

    one, two = await asyncio.gather(scene.glances.retrieve(scene.ref), scene.glances.retrieve(other))

    assert (one.ref, two.ref) == (scene.ref, other)


async def test_a_failure_is_everybodys_and_is_not_kept() -> None:
    """All who waited are told; the next look asks again."""
    scene = Scene()
    scene.wire.fail("intents.retrieve", StripeUnavailable())

    failed = await asyncio.gather(*(scene.glances.retrieve(scene.ref) for _ in range(3)), return_exceptions=True)
    scene.wire.heal()

    assert [type(failure) for failure in failed] == [StripeUnavailable] * 3
    assert (await scene.glances.retrieve(scene.ref)).ref == scene.ref


async def test_the_first_may_go_and_the_others_are_answered() -> None:
    """A browser that closes its connection breaks nobody else's look."""
    scene = Scene()
    first = asyncio.create_task(scene.glances.retrieve(scene.ref))
    second = asyncio.create_task(scene.glances.retrieve(scene.ref))
    await asyncio.sleep(0)
    first.cancel()

    found = await second

    with pytest.raises(asyncio.CancelledError):
        await first
    assert found.ref == scene.ref
    assert scene.reads() == 1


async def test_a_failure_that_nobody_waited_for_makes_no_noise() -> None:
    """Everybody who asked is gone when it comes."""
    scene = Scene()
    scene.wire.fail("intents.retrieve", StripeUnavailable())
    asking = asyncio.create_task(scene.glances.retrieve(scene.ref))
    await asyncio.sleep(0)
    asking.cancel()

    await asyncio.gather(asking, return_exceptions=True)
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    assert asking.cancelled()
