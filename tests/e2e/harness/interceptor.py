"""Breakpoints and faults for the calls that pass through a proxy."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NoReturn, TypeVar

Answer = TypeVar("Answer")


class AnswerLost(Exception):
    """The proxy must break the caller's connection instead of answering."""


class CallFailed(Exception):
    """The proxy must answer that the target failed."""


class Moment(Enum):
    """When a breakpoint or a fault takes hold of a call."""

    BEFORE_EFFECT = auto()
    """The request has arrived and is not forwarded yet."""
    AFTER_EFFECT = auto()
    """The target has answered, and the answer is not passed on yet."""


class Ending(Enum):
    """The result of a call that a fault takes hold of."""

    BREAKS = auto()
    """The connection breaks."""
    STAYS_SILENT = auto()
    """No answer arrives until the fault is lifted."""
    FAILS = auto()
    """The answer is an internal error."""


@dataclass(frozen=True)
class ObservedCall:
    """One call that reached the proxy."""

    name: str
    """Method and path with ids replaced, such as `POST /v1/payment_intents` or `/package.Service/Method`."""
    headers: Mapping[str, str] = field(repr=False)
    """HTTP headers or gRPC metadata; names in lower case."""
    body: bytes = field(repr=False)


class Breakpoint:
    """Holds one call until the test releases or drops it."""

    def __init__(self, name: str, moment: Moment, skip: int) -> None:
        self.name = name
        self.moment = moment
        self._skip = skip
        self._claimed = False
        self._hit = asyncio.Event()
        self._released: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    @property
    def is_hit(self) -> bool:
        """True once a call is held or was held."""
        return self._hit.is_set()

    async def hit(self, *, seconds: float = 20.0) -> None:
        """Wait until a call is held. Raises TimeoutError that names the call."""
        try:
            async with asyncio.timeout(seconds):
                await self._hit.wait()
        except TimeoutError:
            raise TimeoutError(f"{self.name} was not called in {seconds:g} s") from None

    def release(self) -> None:
        """Forward the held call, or pass its answer on."""
        self._end(goes_on=True)

    def drop(self) -> None:
        """Break the held call: the target never gets it, or the caller never gets the answer. Also disarms."""
        self._end(goes_on=False)

    def matches(self, name: str) -> bool:
        """Return True for the one call to hold; count down the calls to skip."""
        if name != self.name or self._claimed or self._released.done():
            return False
        self._skip -= 1
        self._claimed = self._skip < 0
        return self._claimed

    async def hold(self) -> None:
        """Hold the call. Raises AnswerLost if the test drops it."""
        self._hit.set()
        if not await asyncio.shield(self._released):
            raise AnswerLost

    def _end(self, *, goes_on: bool) -> None:
        if not self._released.done():
            self._released.set_result(goes_on)


class Fault:
    """Fails calls of one name that match, without a test that watches each of them."""

    def __init__(
        self,
        name: str,
        moment: Moment,
        ending: Ending,
        *,
        concerns: Callable[[ObservedCall], bool],
        skip: int,
        count: int | None,
    ) -> None:
        self.hits = 0
        self._name = name
        self._moment = moment
        self._ending = ending
        self._concerns = concerns
        self._skip = skip
        self._count = count
        self._lifted = asyncio.Event()

    def lift(self) -> None:
        """Fail no more calls; the connections of silent ones break."""
        self._lifted.set()

    def matches(self, call: ObservedCall) -> bool:
        """Return True if this call is to fail; count it, or count down the calls to skip."""
        spent = self._lifted.is_set() or (self._count is not None and self.hits >= self._count)
        if spent or call.name != self._name or not self._concerns(call):
            return False
        self._skip -= 1
        matched = self._skip < 0
        self.hits += matched
        return matched

    async def apply(self, forward: Callable[[], Awaitable[object]]) -> NoReturn:
        """End the call. Raises AnswerLost or CallFailed."""
        if self._moment is Moment.AFTER_EFFECT:
            with suppress(Exception):  # a refusal is an answer too
                await forward()
        if self._ending is Ending.STAYS_SILENT:
            await self._lifted.wait()
        raise CallFailed if self._ending is Ending.FAILS else AnswerLost


class Interceptor:
    """Records every call of a proxy and applies its breakpoints and faults."""

    def __init__(self) -> None:
        self.calls: list[ObservedCall] = []
        self._breakpoints: list[Breakpoint] = []
        self._faults: list[Fault] = []

    def break_at(self, name: str, moment: Moment, *, skip: int = 0) -> Breakpoint:
        """Hold the next call of this name, after `skip` others, before or after its effect."""
        breakpoint_ = Breakpoint(name, moment, skip)
        self._breakpoints.append(breakpoint_)
        return breakpoint_

    def add_fault(
        self,
        name: str,
        moment: Moment,
        ending: Ending,
        *,
        concerns: Callable[[ObservedCall], bool] = lambda _call: True,
        skip: int = 0,
        count: int | None = None,
    ) -> Fault:
        """Fail `count` calls of this name that `concerns` accepts, after `skip` others; None fails all of them."""
        fault = Fault(name, moment, ending, concerns=concerns, skip=skip, count=count)
        self._faults.append(fault)
        return fault

    def reset(self) -> None:
        """Remove every breakpoint and fault; held calls go on."""
        for breakpoint_ in self._breakpoints:
            breakpoint_.release()
        self._breakpoints.clear()
        for fault in self._faults:
            fault.lift()
        self._faults.clear()

    async def intercept(self, call: ObservedCall, forward: Callable[[], Awaitable[Answer]]) -> Answer:
        """Forward a call unless a fault or breakpoint decides otherwise. Raises AnswerLost or CallFailed."""
        self.calls.append(call)
        fault = next((fault for fault in self._faults if fault.matches(call)), None)
        if fault is not None:
            await fault.apply(forward)
        found = next((each for each in self._breakpoints if each.matches(call.name)), None)
        if found is None:
            return await forward()
        if found.moment is Moment.BEFORE_EFFECT:
            await found.hold()
            return await forward()
        try:
            answer = await forward()
        except Exception:
            await found.hold()  # a refusal is an answer too
            raise
        await found.hold()
        return answer
