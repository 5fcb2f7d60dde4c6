"""Constant load: buyers that save, read, close and delete attempts, and check every answer."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import grpc

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.redis_backend.keys import SHARDS, shard_of
from devstack.processes import wait_until
from servicekit.errors import ReportedError

from .harness import DEADLINE_SECONDS, UNAVAILABLE, Stub, close, delete, get, new_request, outcome

BUYERS: Final = 12
OUTAGE_LIMIT_SECONDS: Final = 30.0
"""UNAVAILABLE for longer than this is a problem."""
CLOSED: Final = ReportedError(grpc.StatusCode.FAILED_PRECONDITION, "attempt_closed")
_PAUSE_SECONDS: Final = 0.02
_CALL_SECONDS: Final = 30.0

Answer = TypeVar("Answer")


class _Problem(Exception):
    """A caller got an answer that it must never get."""


@dataclass
class Life:
    """An attempt, and its acknowledged changes."""

    request: pb.SaveAttemptRequest
    saved: pb.Attempt
    closed: bool = False
    deleted: bool = False

    def expected(self, found: pb.GetAttemptResponse) -> pb.GetAttemptResponse:
        """Return the right answer of GetAttempt; the time of a deletion is taken from the given one."""
        close_reason = pb.CLOSE_REASON_SUPERSEDED if self.closed else pb.CLOSE_REASON_UNSPECIFIED
        if not self.deleted:
            attempt = pb.Attempt(close_reason=close_reason)
            attempt.MergeFrom(self.saved)
            return pb.GetAttemptResponse(attempt=attempt)
        tombstone = pb.Tombstone(
            attempt_id=self.saved.attempt_id,
            reason=pb.DELETE_REASON_CANCELLED,
            close_reason=close_reason,
            user_id=self.request.context.user_id,
            deleted_at=found.tombstone.deleted_at,
        )
        return pb.GetAttemptResponse(tombstone=tombstone)


class Traffic:
    """Buyers at work on one service. Wrong answers are in `problems`."""

    def __init__(self, stub: Stub) -> None:
        self.problems: list[str] = []
        self.answers = 0
        """Calls that were answered, by an error perhaps, but not by UNAVAILABLE."""
        self.refusals = 0
        """Calls that were answered UNAVAILABLE; each is repeated until it succeeds."""
        self.longest_outage = 0.0
        """Seconds from the first try of a call to its final answer."""
        self._stub = stub
        self._lives: list[Life] = []
        self._ending = False

    @property
    def shards(self) -> int:
        """Number of shards that the attempts are spread over."""
        return len({shard_of(life.saved.attempt_id) for life in self._lives})

    async def until_answered(self, answers: int) -> None:
        """Wait for a number of further answers."""
        enough = self.answers + answers
        await asyncio.to_thread(
            wait_until, lambda: self.answers >= enough, "calls were answered", seconds=DEADLINE_SECONDS
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Buy while the context lasts; then finish, and check every attempt once more."""
        buyers = [asyncio.create_task(self._buy()) for _ in range(BUYERS)]
        try:
            yield
        finally:
            self._ending = True
            await asyncio.gather(*buyers)
            for start in range(0, len(self._lives), BUYERS):
                await asyncio.gather(*(self._noting(self._check(life)) for life in self._lives[start : start + BUYERS]))

    async def _buy(self) -> None:
        while not self._ending:
            await self._noting(self._live())

    async def _noting(self, work: Awaitable[None]) -> None:
        try:
            await work
        except _Problem as problem:
            self.problems.append(str(problem))

    async def _live(self) -> None:
        """Save an attempt, perhaps close it, perhaps delete it, and check it after each step."""
        request = new_request()
        life = Life(request, (await self._call(self._stub.SaveAttempt, request)).attempt)
        await self._check(life)
        if random.random() < 0.5:  # noqa: S311 - traffic, not a secret
            await self._call(self._stub.CloseAttempt, close(request.attempt_id))
            life.closed = True
            await self._check(life)
        if random.random() < 0.5:  # noqa: S311 - the same
            await self._call(self._stub.DeleteAttempt, delete(request.attempt_id))
            life.deleted = True
            await self._check(life)
        self._lives.append(life)
        await self._check(random.choice(self._lives))  # noqa: S311 - the same

    async def _check(self, life: Life) -> None:
        """Check that an attempt is found as it was acknowledged, and that it takes a save only while it is open."""
        found = await self._call(self._stub.GetAttempt, get(life.saved.attempt_id))
        if found != life.expected(found):
            raise _Problem(f"closed={life.closed} deleted={life.deleted}, found {found}")
        again = await self._outcome(self._stub.SaveAttempt, life.request)
        is_open = not (life.closed or life.deleted)
        if again != (pb.SaveAttemptResponse(attempt=life.saved, replayed=True) if is_open else CLOSED):
            raise _Problem(f"closed={life.closed} deleted={life.deleted}, a repeated save answered {again}")

    async def _call(self, rpc: Callable[..., Awaitable[Answer]], request: object) -> Answer:
        answer = await self._outcome(rpc, request)
        if isinstance(answer, ReportedError):
            raise _Problem(f"{type(request).__name__} answered {answer}")
        return answer

    async def _outcome(self, rpc: Callable[..., Awaitable[Answer]], request: object) -> "Answer | ReportedError":
        """Call until the store is available."""
        started = time.monotonic()
        answer = await outcome(rpc(request, timeout=_CALL_SECONDS))
        while answer == UNAVAILABLE and time.monotonic() - started < OUTAGE_LIMIT_SECONDS:
            self.refusals += 1
            await asyncio.sleep(_PAUSE_SECONDS)
            answer = await outcome(rpc(request, timeout=_CALL_SECONDS))
        self.answers += 1
        self.longest_outage = max(self.longest_outage, time.monotonic() - started)
        return answer


@asynccontextmanager
async def traffic_on(channel: grpc.aio.Channel) -> AsyncIterator[Traffic]:
    """Run traffic while the context lasts, and at least until every shard was used."""
    traffic = Traffic(Stub(channel))
    async with traffic.running():
        yield traffic
        await asyncio.to_thread(
            wait_until, lambda: traffic.shards == SHARDS, "every shard was used", seconds=DEADLINE_SECONDS
        )
