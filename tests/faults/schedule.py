"""The seeded schedule: each lane deals its faults in a random order, again and again."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from .faults import Fault

_PAUSE_SECONDS: Final = (0.2, 1.5)


class Schedule:
    """Strikes until it is told to stop. The order of each lane depends on the seed alone."""

    def __init__(
        self, faults: Sequence[Fault], seed: int, report: Callable[[str], None], *, once: bool = False
    ) -> None:
        """End a lane, if `once`, when each of its faults has struck."""
        self._lanes = {name: [fault for fault in faults if fault.lane == name] for name in {f.lane for f in faults}}
        self._seed = seed
        self._report = report
        self._once = once
        self._stopping = asyncio.Event()
        self._began = time.monotonic()
        self.struck = Counter[str]({fault.name: 0 for fault in faults})
        """Processes, connections, calls and events hit, by fault."""

    @property
    def missing(self) -> list[str]:
        """Faults that have not struck yet."""
        return [name for name, hits in self.struck.items() if not hits]

    def stop(self) -> None:
        """Let each lane end after the fault that it is at."""
        self._stopping.set()

    async def run(self) -> None:
        """Strike until stopped."""
        async with asyncio.TaskGroup() as lanes:
            for name, faults in sorted(self._lanes.items()):
                lanes.create_task(self._run_lane(name, faults))

    async def _run_lane(self, lane: str, faults: Sequence[Fault]) -> None:
        rng = random.Random(f"{self._seed}:lane:{lane}")  # noqa: S311 - repeatable choices
        while True:
            for fault in rng.sample(faults, len(faults)):
                pause, its_rng = rng.uniform(*_PAUSE_SECONDS), random.Random(rng.random())  # noqa: S311
                if await self._stopped_within(pause):
                    return
                began = time.monotonic() - self._began
                hits = await fault.strike(its_rng)
                self.struck[fault.name] += hits
                self._report(
                    f"{began:7.1f} s  {fault.name}: {hits}, for {time.monotonic() - self._began - began:.1f} s"
                )
                if self._once and all(self.struck[each.name] for each in faults):
                    return

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True
