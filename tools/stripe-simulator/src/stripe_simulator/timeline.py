"""Advance of the simulated clock: one scheduled moment after another, with its webhooks in between."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stripe_simulator.state import State


async def advance(state: "State", seconds: float) -> float:
    """Advance the clock and run what is due on the way. Return the new time.

    The events of a moment are delivered before the next moment, as they would be if the time really passed. Raises
    ScheduledActionsFailed.
    """
    clock, scheduler = state.account.clock, state.account.scheduler
    end = clock.now() + seconds
    while (moment := scheduler.next_moment()) is not None and moment <= end:
        clock.advance_to(moment)
        scheduler.run_due()
        await state.webhooks.wait_until_sent()
    clock.advance_to(end)
    scheduler.require_no_failures()
    return clock.now()
