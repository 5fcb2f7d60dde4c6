"""Buyers who never rest: each saves, reads, closes and deletes attempts, and checks what it was told all the time."""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import grpc

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceStub
from checkout_session.redis_backend.keys import SHARDS, shard_of
from devstack.processes import wait_until
from servicekit.errors import ReportedError, read_error

if TYPE_CHECKING:
    from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceAsyncStub

BUYERS: Final = 12
PATIENCE_SECONDS: Final = 30.0
"""Who is told UNAVAILABLE for longer takes it for an answer, and that is a problem."""
UNAVAILABLE: Final = ReportedError(grpc.StatusCode.UNAVAILABLE, "store_unavailable")
CLOSED: Final = ReportedError(grpc.StatusCode.FAILED_PRECONDITION, "attempt_closed")
_PAUSE_SECONDS: Final = 0.02
_CALL_SECONDS: Final = 30.0

Answer = TypeVar("Answer")
MakeRequest = Callable[..., pb.SaveAttemptRequest]


class _Problem(Exception):
    """A caller was told what it must never be told."""


@dataclass
class Life:
    """An attempt, and what was acknowledged of it."""

    request: pb.SaveAttemptRequest
    saved: pb.Attempt
    closed: bool = False
    deleted: bool = False


class Traffic:
    """Buyers at work on one service. What they were told and should not have been is in `problems`."""

    def __init__(self, stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest) -> None:
        self.problems: list[str] = []
        self.answers = 0
        """Calls that were answered, by an error perhaps, but not by UNAVAILABLE."""
        self.refusals = 0
        """Calls that were answered UNAVAILABLE; each is repeated until it succeeds."""
        self.longest_outage = 0.0
        """Seconds from the first try of a call to the answer that it got in the end."""
        self._stub = stub
        self._new_request = new_request
        self._lives: list[Life] = []
        self._ends = False
        self._buyers: list[asyncio.Task[None]] = []

    @property
    def lives(self) -> int:
        """How many attempts have come to their end."""
        return len(self._lives)

    @property
    def shards(self) -> int:
        """Over how many shards they are spread."""
        return len({shard_of(life.saved.attempt_id) for life in self._lives})

    def begin(self) -> None:
        """Let the buyers come."""
        self._buyers = [asyncio.create_task(self._buy()) for _ in range(BUYERS)]

    async def go_on(self, answers: int) -> None:
        """Wait for so many answers more; no problem keeps them from coming."""
        enough = self.answers + answers
        await asyncio.to_thread(
            wait_until, lambda: self.answers >= enough, "calls were answered", seconds=2 * PATIENCE_SECONDS
        )

    async def end(self) -> None:
        """Let every buyer finish what it has begun, then look at every attempt once more."""
        self._ends = True
        await asyncio.gather(*self._buyers)
        everything = iter(self._lives)
        await asyncio.gather(*(self._check_all(everything) for _ in range(BUYERS)))

    def tell_figures(self) -> None:
        """Write what was measured, for `pytest -rP`."""
        outage = f"longest outage {self.longest_outage:.2f} s"
        sys.stdout.write(f"{self.lives} attempts, {self.answers} answers, {self.refusals} refusals, {outage}\n")

    async def _check_all(self, lives: Iterator[Life]) -> None:
        for life in lives:
            await self._noting(self._check(life))

    async def _buy(self) -> None:
        while not self._ends:
            await self._noting(self._live())

    async def _noting(self, story: Awaitable[None]) -> None:
        try:
            await story
        except _Problem as problem:
            self.problems.append(str(problem))

    async def _live(self) -> None:
        """Live an attempt's life: it is saved, perhaps closed, perhaps deleted, and looked at after each step."""
        life = await self._saved()
        await self._check(life)
        if random.random() < 0.5:  # noqa: S311 - traffic, not a secret
            await self._call(self._stub.CloseAttempt, _closing(life))
            life.closed = True
            await self._check(life)
        if random.random() < 0.5:  # noqa: S311 - the same
            await self._call(self._stub.DeleteAttempt, _deletion(life))
            life.deleted = True
            await self._check(life)
        self._lives.append(life)
        await self._check(random.choice(self._lives))  # noqa: S311 - the same

    async def _saved(self) -> Life:
        request = self._new_request()
        answer = await self._call(self._stub.SaveAttempt, request)
        return Life(request, answer.attempt)

    async def _check(self, life: Life) -> None:
        """Require that an attempt is told as it was acknowledged, and that it takes a save only while it is open."""
        asked = pb.GetAttemptRequest(attempt_id=life.saved.attempt_id)
        found = await self._call(self._stub.GetAttempt, asked)
        if found != _told_of(life, found):
            raise _Problem(f"closed={life.closed} deleted={life.deleted}, told {found}")
        again = await self._outcome(self._stub.SaveAttempt, life.request)
        barred = life.closed or life.deleted
        if again != (CLOSED if barred else pb.SaveAttemptResponse(attempt=life.saved, replayed=True)):
            raise _Problem(f"closed={life.closed} deleted={life.deleted}, a repeated save answered {again}")

    async def _call(self, rpc: Callable[..., Awaitable[Answer]], request: object) -> Answer:
        """Call until the store is available; any other error is a problem."""
        answer = await self._outcome(rpc, request)
        if isinstance(answer, ReportedError):
            raise _Problem(f"{type(request).__name__} answered {answer}")
        return answer

    async def _outcome(self, rpc: Callable[..., Awaitable[Answer]], request: object) -> "Answer | ReportedError":
        began = time.monotonic()
        outcome = await _told(rpc, request)
        while outcome == UNAVAILABLE and time.monotonic() - began < PATIENCE_SECONDS:
            self.refusals += 1
            await asyncio.sleep(_PAUSE_SECONDS)
            outcome = await _told(rpc, request)
        self.answers += 1
        self.longest_outage = max(self.longest_outage, time.monotonic() - began)
        return outcome


@asynccontextmanager
async def traffic_on(channel: grpc.aio.Channel, new_request: MakeRequest) -> AsyncIterator[Traffic]:
    """Let buyers come, and in the end look at everything they did. Every shard has had its part by then."""
    traffic = Traffic(CheckoutSessionServiceStub(channel), new_request)
    traffic.begin()
    try:
        yield traffic
        await asyncio.to_thread(
            wait_until, lambda: traffic.shards == SHARDS, "every shard was used", seconds=2 * PATIENCE_SECONDS
        )
    finally:
        await traffic.end()


async def _told(rpc: Callable[..., Awaitable[Answer]], request: object) -> "Answer | ReportedError":
    try:
        return await rpc(request, timeout=_CALL_SECONDS)
    except grpc.aio.AioRpcError as failure:
        return read_error(failure)


def _told_of(life: Life, found: pb.GetAttemptResponse) -> pb.GetAttemptResponse:
    """Return what GetAttempt must answer; only the moment of a deletion is not ours to know."""
    close_reason = pb.CLOSE_REASON_SUPERSEDED if life.closed else pb.CLOSE_REASON_UNSPECIFIED
    if not life.deleted:
        attempt = pb.Attempt()
        attempt.CopyFrom(life.saved)
        attempt.close_reason = close_reason
        return pb.GetAttemptResponse(attempt=attempt)
    return pb.GetAttemptResponse(
        tombstone=pb.Tombstone(
            attempt_id=life.saved.attempt_id,
            reason=pb.DELETE_REASON_RECORDED,
            close_reason=close_reason,
            user_id=life.request.context.user_id,
            deleted_at=found.tombstone.deleted_at,
        )
    )


def _closing(life: Life) -> pb.CloseAttemptRequest:
    return pb.CloseAttemptRequest(attempt_id=life.saved.attempt_id, reason=pb.CLOSE_REASON_SUPERSEDED)


def _deletion(life: Life) -> pb.DeleteAttemptRequest:
    return pb.DeleteAttemptRequest(attempt_id=life.saved.attempt_id, reason=pb.DELETE_REASON_RECORDED)
