"""Where a call can be held or its answer lost, at a moment that a test chooses."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NoReturn, TypeVar

Answer = TypeVar("Answer")


class AnswerLost(Exception):
    """The caller must not get an answer; the connection breaks instead."""


class CallFailed(Exception):
    """The caller must be told that the other side failed by its own fault."""


class Moment(Enum):
    """When a trap springs."""

    BEFORE_EFFECT = auto()
    """The request has arrived and is not forwarded yet."""
    AFTER_EFFECT = auto()
    """The other side has answered, and the answer is not passed on."""


@dataclass(frozen=True)
class Call:
    """One call that came by."""

    road: str
    """Method and path with ids replaced, such as `POST /v1/payment_intents` or `/package.Service/Method`."""
    headers: Mapping[str, str] = field(repr=False)
    """HTTP headers or gRPC metadata, names in lower case."""
    body: bytes = field(repr=False)


class Trap:
    """Holds one call. It springs once; then the test decides how the call ends."""

    def __init__(self, road: str, moment: Moment, skip: int) -> None:
        self.road = road
        self.moment = moment
        self._skip = skip
        self._sprung = asyncio.Event()
        self._settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    @property
    def has_sprung(self) -> bool:
        """Whether a call was caught."""
        return self._sprung.is_set()

    async def sprung(self, *, seconds: float = 20.0) -> None:
        """Wait until a call is caught. Raises TimeoutError naming the road if none comes."""
        try:
            async with asyncio.timeout(seconds):
                await self._sprung.wait()
        except TimeoutError:
            raise TimeoutError(f"no call came by {self.road} in {seconds:g} s") from None

    def release(self) -> None:
        """Let the held call go on: forward it, or pass its answer on."""
        self._settle(goes_on=True)

    def drop(self) -> None:
        """Break the held call: it is never forwarded, or its answer never arrives. Also disarms the trap."""
        self._settle(goes_on=False)

    def wants(self, road: str) -> bool:
        """Whether this call is the one to catch; counts down the ones to skip."""
        if road != self.road or self.has_sprung or self._settled.done():
            return False
        self._skip -= 1
        return self._skip < 0

    async def hold(self) -> None:
        """Hold the call until the test decides. Raises AnswerLost if it is dropped."""
        self._sprung.set()
        if not await asyncio.shield(self._settled):
            raise AnswerLost

    def _settle(self, *, goes_on: bool) -> None:
        if not self._settled.done():
            self._settled.set_result(goes_on)


class Ending(Enum):
    """How a call ends that meets with a mishap."""

    BREAKS = auto()
    """Its connection breaks."""
    STAYS_SILENT = auto()
    """There is no answer for as long as anybody waits."""
    FAILS = auto()
    """The other side says that it failed by its own fault."""


class Mishap:
    """Spoils some calls, without a test watching each: those by one road that it concerns, so many of them."""

    def __init__(
        self,
        road: str,
        moment: Moment,
        ending: Ending,
        *,
        concerns: Callable[[Call], bool],
        skip: int,
        count: int | None,
    ) -> None:
        self.hits = 0
        self._road = road
        self._moment = moment
        self._ending = ending
        self._concerns = concerns
        self._skip = skip
        self._count = count
        self._lifted = asyncio.Event()

    def lift(self) -> None:
        """Spoil no more; whoever waits in silence learns that the connection broke."""
        self._lifted.set()

    def strikes(self, call: Call) -> bool:
        """Whether this call is spoiled; counts it, or counts down the ones to skip."""
        spent = self._lifted.is_set() or (self._count is not None and self.hits >= self._count)
        if spent or call.road != self._road or not self._concerns(call):
            return False
        self._skip -= 1
        struck = self._skip < 0
        self.hits += struck
        return struck

    async def befall(self, forward: Callable[[], Awaitable[object]]) -> NoReturn:
        """End the call. Raises AnswerLost or CallFailed."""
        if self._moment is Moment.AFTER_EFFECT:
            with suppress(Exception):  # a refusal is an answer too, and is lost as one
                await forward()
        if self._ending is Ending.STAYS_SILENT:
            await self._lifted.wait()
        raise CallFailed if self._ending is Ending.FAILS else AnswerLost


class Checkpoint:
    """Every call of a proxy passes here, is written down, and may run into a trap or meet with a mishap."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._traps: list[Trap] = []
        self._mishaps: list[Mishap] = []

    @property
    def roads(self) -> Counter[str]:
        """How often each road was used."""
        return Counter(call.road for call in self.calls)

    def forget_calls(self) -> None:
        """Begin a new record."""
        self.calls.clear()

    def hold_next(self, road: str, *, skip: int = 0) -> Trap:
        """Catch the next call by this road before it is forwarded, after letting some pass."""
        return self._arm(Trap(road, Moment.BEFORE_EFFECT, skip))

    def swallow_next(self, road: str, *, skip: int = 0) -> Trap:
        """Catch the answer to the next call by this road: its effect is done, its caller does not know."""
        return self._arm(Trap(road, Moment.AFTER_EFFECT, skip))

    def spoil(
        self,
        road: str,
        moment: Moment,
        ending: Ending,
        *,
        concerns: Callable[[Call], bool],
        skip: int = 0,
        count: int | None = None,
    ) -> Mishap:
        """Spoil calls by this road that a test says it concerns: so many after the ones to skip, or all of them."""
        mishap = Mishap(road, moment, ending, concerns=concerns, skip=skip, count=count)
        self._mishaps.append(mishap)
        return mishap

    def disarm(self) -> None:
        """Remove every trap and mishap; calls that are held go on."""
        for trap in self._traps:
            trap.release()
        self._traps.clear()
        for mishap in self._mishaps:
            mishap.lift()
        self._mishaps.clear()

    async def pass_by(self, call: Call, forward: Callable[[], Awaitable[Answer]]) -> Answer:
        """Forward a call, unless a trap decides otherwise. Raises AnswerLost when the caller must get no answer."""
        self.calls.append(call)
        mishap = next((mishap for mishap in self._mishaps if mishap.strikes(call)), None)
        if mishap is not None:
            await mishap.befall(forward)
        trap = next((trap for trap in self._traps if trap.wants(call.road)), None)
        if trap is None:
            return await forward()
        if trap.moment is Moment.BEFORE_EFFECT:
            await trap.hold()
            return await forward()
        try:
            answer = await forward()
        except Exception:
            await trap.hold()  # a refusal is an answer too
            raise
        await trap.hold()
        return answer

    def _arm(self, trap: Trap) -> Trap:
        self._traps.append(trap)
        return trap
