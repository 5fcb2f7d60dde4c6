"""How a gateway is killed in the middle of a call that it makes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .harness.checkpoint import Moment, Trap
from .harness.system import System
from .situations import Situation

RETRYING_SOON: Final = ("--webhook-backoff", "0.1", "--webhook-backoff-max", "0.4", "--webhook-attempts", "200")


@dataclass(frozen=True)
class Caught:
    """A call that is held, and whoever waits for what it is a part of."""

    trap: Trap
    acting: "asyncio.Task[int | None]"


async def run_into(situation: Situation, index: int, moment: Moment) -> Caught:
    """Set a situation off, and wait until one of its calls is held."""
    road = situation.calls[index]
    checkpoint = situation.system.faults.on(road).checkpoint
    hold = checkpoint.hold_next if moment is Moment.BEFORE_EFFECT else checkpoint.swallow_next
    trap = hold(road, skip=situation.calls[:index].count(road))
    acting = asyncio.create_task(situation.act())
    springing = asyncio.create_task(trap.sprung())
    await asyncio.wait({acting, springing}, return_when=asyncio.FIRST_COMPLETED)
    springing.cancel()
    assert trap.has_sprung, f"{road.name} was not called: {acting}"
    return Caught(trap, acting)


async def kill_gateway(system: System, caught: Sequence[Caught]) -> list[int | None]:
    """Kill the gateway while calls are held, let none of them arrive any more, and start it again.

    Return what those who waited were answered.
    """
    assert not any(each.acting.done() for each in caught)
    await system.backend.kill("gateway")
    for each in caught:
        each.trap.drop()
    answers = await asyncio.gather(*(each.acting for each in caught))
    await system.backend.start("gateway")
    return list(answers)
