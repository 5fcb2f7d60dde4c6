"""A record of calls to fake ports that can fail them, and a clock that tests move."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

Port = TypeVar("Port")


class Crash(Exception):
    """The process is killed here."""


@dataclass(frozen=True)
class _Fault:
    call: str | int
    """Name of a call, or its position among all calls."""
    failure: Exception
    after_effect: bool


class Wire:
    """Every call of a wired port: recorded, interleaved with other tasks, and failed on demand."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._faults: list[_Fault] = []
        self._actions: dict[str, Callable[[], Awaitable[object]]] = {}

    def meanwhile(self, call: str, action: Callable[[], Awaitable[object]]) -> None:
        """Run an action just before the effect of the next call of this name."""
        self._actions[call] = action

    def fail(self, call: str | int, failure: Exception, *, after_effect: bool = False) -> None:
        """Fail a call, by name or by position, before or after its effect, until heal()."""
        self._faults.append(_Fault(call, failure, after_effect))

    def heal(self) -> None:
        """Let every call succeed from now on."""
        self._faults.clear()

    @asynccontextmanager
    async def call(self, name: str) -> AsyncIterator[None]:
        """Surround the effect of one call."""
        position = len(self.calls)
        self.calls.append(name)
        await asyncio.sleep(0)
        if action := self._actions.pop(name, None):
            await action()
        self._fail_if_asked(name, position, after_effect=False)
        yield
        await asyncio.sleep(0)
        self._fail_if_asked(name, position, after_effect=True)

    def _fail_if_asked(self, name: str, position: int, *, after_effect: bool) -> None:
        for fault in self._faults:
            if fault.call in {name, position} and fault.after_effect is after_effect:
                raise fault.failure


class SlowWire(Wire):
    """A wire whose calls take as long as the example says, before their effect and after it."""

    def __init__(self, pauses: Iterator[int]) -> None:
        super().__init__()
        self._pauses = pauses

    @asynccontextmanager
    async def call(self, name: str) -> AsyncIterator[None]:
        """Surround the effect of one call."""
        await pause(next(self._pauses))
        async with super().call(name):
            yield
        await pause(next(self._pauses))


async def pause(steps: int) -> None:
    """Let other tasks run for some steps of the event loop."""
    for _ in range(steps):
        await asyncio.sleep(0)


def wired(wire: Wire, name: str, port: Port) -> Port:
    """Return the port with each of its coroutines as a call of the wire, such as attempts.save."""
    return cast("Port", _Wired(wire, name, port))


class _Wired:
    def __init__(self, wire: Wire, name: str, port: object) -> None:
        self._wire = wire
        self._name = name
        self._port = port

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        async def call(*arguments: Any, **options: Any) -> Any:
            async with self._wire.call(f"{self._name}.{name}"):
                return await attribute(*arguments, **options)

        return call


class FakeClock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self._now = datetime(2030, 1, 1, 12, tzinfo=UTC)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)

    def now(self) -> datetime:
        """Return the time of day."""
        return self._now

    def seconds(self) -> float:
        """Return the seconds since 1970."""
        return self._now.timestamp()


async def until(holds: Callable[[], bool], *, seconds: float = 5) -> None:
    """Return once it holds; fail if it does not in time."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 — nothing here could signal an event
            await asyncio.sleep(0.001)
