"""Concurrent calls for one attempt, through gRPC and on a real Valkey: the script decides, and all see its decision."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
from redis.asyncio import Redis

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.redis_backend.keys import keys_of
from servicekit.errors import ReportedError
from tests.containers.choice import RedisServer

from ..harness import Stub, close, delete, get, new_request, outcome, run_service

CALLS: Final = 20
ROUNDS: Final = 60


Call = tuple[Callable[[Any], Awaitable[Any]], Any]
"""Method of a stub and its request. grpc.aio sends as soon as the method is called, so `at_once` calls it."""


async def at_once(*calls: Call) -> list[Any]:
    """Run calls concurrently, sent in a random order; return their outcomes in the order given."""
    tasks: dict[int, asyncio.Task[Any]] = {}
    for index in random.sample(range(len(calls)), len(calls)):
        method, request = calls[index]
        tasks[index] = asyncio.create_task(outcome(method(request)))
    return [await tasks[index] for index in range(len(calls))]


async def test_of_saves_with_several_intents_one_wins_for_all(valkey: RedisServer, redis: Redis) -> None:
    """Twenty initiates of one request, through two services, made twenty intents: all get the stored one (P2)."""
    first = new_request()
    requests = [
        new_request(attempt_id=first.attempt_id, intent=common_pb2.Intent(id=f"pi_{number}")) for number in range(CALLS)
    ]
    async with run_service(valkey.url) as one, run_service(valkey.url) as other:
        stubs = [Stub(one), Stub(other)]

        answers = await at_once(*((stubs[at % 2].SaveAttempt, request) for at, request in enumerate(requests)))

        found = await stubs[0].GetAttempt(get(first.attempt_id))
    saved = [answer for answer in answers if isinstance(answer, pb.SaveAttemptResponse)]
    assert {answer.attempt.intent.id for answer in saved} == {found.attempt.intent.id}
    stored = [request for request, answer in zip(requests, saved, strict=True) if not answer.replayed]
    assert [request.intent.id for request in stored] == [found.attempt.intent.id]


async def test_of_several_requests_under_one_id_one_is_stored(stub: Stub) -> None:
    """Every other hash than the winner's is refused."""
    first = new_request()
    requests = [new_request(attempt_id=first.attempt_id, request_hash=bytes([at]) * 32) for at in range(CALLS)]

    answers = await at_once(*((stub.SaveAttempt, request) for request in requests))

    mismatch = ReportedError(grpc.StatusCode.ALREADY_EXISTS, "request_hash_mismatch")
    assert answers.count(mismatch) == CALLS - 1
    found = await stub.GetAttempt(get(first.attempt_id))
    winner = next(at for at, answer in enumerate(answers) if answer != mismatch)
    assert found.attempt.request_hash == requests[winner].request_hash


async def test_a_close_never_leaves_an_open_attempt(stub: Stub) -> None:
    """Save against close: either the save came first and is closed now, or it was refused and nothing is stored."""
    seen = set()
    for _ in range(ROUNDS):
        request = new_request()

        saved, _ = await at_once((stub.SaveAttempt, request), (stub.CloseAttempt, close(request.attempt_id)))

        found = await outcome(stub.GetAttempt(get(request.attempt_id)))
        if isinstance(saved, pb.SaveAttemptResponse):
            assert isinstance(found, pb.GetAttemptResponse)
            assert found.attempt.close_reason == pb.CLOSE_REASON_SUPERSEDED
        else:
            assert isinstance(found, ReportedError)
            assert (saved.reason, found.reason) == ("attempt_closed", "attempt_not_found")
        seen.add(type(saved))
    assert len(seen) == 2, "the race always went the same way: it proves nothing"


async def test_of_several_successors_one_stands_for_all(valkey: RedisServer, redis: Redis) -> None:
    """Twenty tabs supersede one attempt at once, through two services, while it is saved and deleted: one wins."""
    winners = set()
    async with run_service(valkey.url) as one, run_service(valkey.url) as other:
        stubs = [Stub(one), Stub(other)]
        for _ in range(ROUNDS // 6):
            request, successors = new_request(), [new_request().attempt_id for _ in range(CALLS)]

            *answers, _, _ = await at_once(
                *(
                    (stubs[at % 2].CloseAttempt, close(request.attempt_id, successor=successor))
                    for at, successor in enumerate(successors)
                ),
                (stubs[0].SaveAttempt, request),
                (stubs[1].DeleteAttempt, delete(request.attempt_id)),
            )

            found = await stubs[0].GetAttempt(get(request.attempt_id))
            assert {answer.successor for answer in answers} == {found.tombstone.successor}
            winners.add(successors.index(found.tombstone.successor))
    assert len(winners) > 1, "the race always went the same way: it proves nothing"


async def test_a_delete_never_leaves_content(stub: Stub, redis: Redis) -> None:
    """Save against delete: a tombstone remains, and nothing is due."""
    seen = set()
    for _ in range(ROUNDS):
        request = new_request()

        saved, _ = await at_once((stub.SaveAttempt, request), (stub.DeleteAttempt, delete(request.attempt_id)))

        found = await stub.GetAttempt(get(request.attempt_id))
        keys = keys_of(request.attempt_id)
        assert found.tombstone.reason == pb.DELETE_REASON_CANCELLED
        assert found.tombstone.user_id == ("user_1" if isinstance(saved, pb.SaveAttemptResponse) else "")
        assert await redis.exists(keys.attempt) == 0
        assert await redis.zscore(keys.due, request.attempt_id) is None
        seen.add(type(saved))
    assert len(seen) == 2, "the race always went the same way: it proves nothing"


async def test_of_several_deletions_the_first_reason_stays(stub: Stub, redis: Redis) -> None:
    """Webhook, browser return and reconciler delete at once, while another closes: one reason wins, the owner stays."""
    reasons = [pb.DELETE_REASON_RECORDED, pb.DELETE_REASON_QUARANTINED, pb.DELETE_REASON_CANCELLED]
    for _ in range(ROUNDS // 3):
        request = new_request()
        await stub.SaveAttempt(request)
        deletions = [delete(request.attempt_id, reason) for reason in reasons]

        await at_once(
            (stub.CloseAttempt, close(request.attempt_id)), *((stub.DeleteAttempt, each) for each in deletions * 3)
        )

        first = await stub.GetAttempt(get(request.attempt_id))
        assert first.tombstone.reason in reasons
        assert first.tombstone.user_id == "user_1"
        assert await redis.zscore(keys_of(request.attempt_id).due, request.attempt_id) is None
        await at_once(*((stub.DeleteAttempt, each) for each in deletions))
        assert await stub.GetAttempt(get(request.attempt_id)) == first
