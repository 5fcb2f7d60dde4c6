"""Calls at the same moment, through gRPC and on a real Valkey: the script decides, and everybody sees its decision."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

import grpc
from redis.asyncio import Redis

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceStub
from checkout_session.redis_backend.keys import keys_of
from tests.containers.choice import RedisServer

if TYPE_CHECKING:
    from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceAsyncStub

RunService = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
MakeRequest = Callable[..., pb.SaveAttemptRequest]

AT_ONCE: Final = 20
ROUNDS: Final = 60


async def outcome(call: Coroutine[Any, Any, object]) -> object:
    """Return what a call answered, or the status code that it failed with."""
    try:
        return await call
    except grpc.aio.AioRpcError as failure:
        return failure.code()


async def at_once(*calls: Coroutine[Any, Any, object]) -> list[object]:
    """Run calls at the same moment, sent in a random order; return their outcomes in the order given."""
    tasks: dict[int, asyncio.Task[object]] = {}
    for index in random.sample(range(len(calls)), len(calls)):
        tasks[index] = asyncio.create_task(outcome(calls[index]))
    return [await tasks[index] for index in range(len(calls))]


async def save(stub: "CheckoutSessionServiceAsyncStub", request: pb.SaveAttemptRequest) -> object:
    """Call SaveAttempt."""
    return await stub.SaveAttempt(request)


async def find(stub: "CheckoutSessionServiceAsyncStub", attempt_id: str) -> object:
    """Call GetAttempt."""
    return await stub.GetAttempt(pb.GetAttemptRequest(attempt_id=attempt_id))


async def close(stub: "CheckoutSessionServiceAsyncStub", attempt_id: str, reason: pb.CloseReason.ValueType) -> object:
    """Call CloseAttempt."""
    return await stub.CloseAttempt(pb.CloseAttemptRequest(attempt_id=attempt_id, reason=reason))


async def delete(stub: "CheckoutSessionServiceAsyncStub", attempt_id: str, reason: pb.DeleteReason.ValueType) -> object:
    """Call DeleteAttempt."""
    return await stub.DeleteAttempt(pb.DeleteAttemptRequest(attempt_id=attempt_id, reason=reason))


async def test_of_equal_saves_at_once_one_stores(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest
) -> None:
    """Twenty equal saves: one stores, nineteen are replays, all answer the same attempt."""
    request = new_request()

    answers = await at_once(*(save(stub, request) for _ in range(AT_ONCE)))

    saved = [answer for answer in answers if isinstance(answer, pb.SaveAttemptResponse)]
    assert sorted(answer.replayed for answer in saved) == [False] + [True] * (AT_ONCE - 1)
    assert len({answer.attempt.SerializeToString(deterministic=True) for answer in saved}) == 1


async def test_of_saves_with_several_intents_one_wins_for_all(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest
) -> None:
    """Twenty initiates of one request made twenty intents: all are told the same winner, which is the one stored."""
    first = new_request()
    requests = [
        new_request(attempt_id=first.attempt_id, intent=common_pb2.Intent(id=f"pi_{number}"))
        for number in range(AT_ONCE)
    ]

    answers = await at_once(*(save(stub, request) for request in requests))

    found = await stub.GetAttempt(pb.GetAttemptRequest(attempt_id=first.attempt_id))
    saved = [answer for answer in answers if isinstance(answer, pb.SaveAttemptResponse)]
    assert {answer.attempt.intent.id for answer in saved} == {found.attempt.intent.id}
    stored = [request for request, answer in zip(requests, saved, strict=True) if not answer.replayed]
    assert [request.intent.id for request in stored] == [found.attempt.intent.id]


async def test_of_several_requests_under_one_id_one_is_stored(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest
) -> None:
    """Every other hash than the winner's is refused."""
    first = new_request()
    requests = [
        new_request(attempt_id=first.attempt_id, request_hash=bytes([number]) * 32) for number in range(AT_ONCE)
    ]

    answers = await at_once(*(save(stub, request) for request in requests))

    assert answers.count(grpc.StatusCode.ALREADY_EXISTS) == AT_ONCE - 1
    found = await stub.GetAttempt(pb.GetAttemptRequest(attempt_id=first.attempt_id))
    winner = next(number for number, answer in enumerate(answers) if isinstance(answer, pb.SaveAttemptResponse))
    assert found.attempt.request_hash == requests[winner].request_hash


async def test_a_close_never_leaves_an_open_attempt(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest
) -> None:
    """Save against close: either the save came first and is closed now, or it was refused and nothing is stored."""
    seen = set()
    for _ in range(ROUNDS):
        request = new_request()

        saved, _ = await at_once(save(stub, request), close(stub, request.attempt_id, pb.CLOSE_REASON_SUPERSEDED))

        found = await outcome(find(stub, request.attempt_id))
        if isinstance(saved, pb.SaveAttemptResponse):
            assert isinstance(found, pb.GetAttemptResponse)
            assert found.attempt.close_reason == pb.CLOSE_REASON_SUPERSEDED
        else:
            assert (saved, found) == (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND)
        seen.add(type(saved))
    assert len(seen) == 2, "the race always went the same way: it proves nothing"


async def test_a_delete_never_leaves_content(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest, redis: Redis
) -> None:
    """Save against delete: whoever comes first, a tombstone is what remains, and nothing is due."""
    seen = set()
    for _ in range(ROUNDS):
        request = new_request()

        saved, _ = await at_once(save(stub, request), delete(stub, request.attempt_id, pb.DELETE_REASON_CANCELLED))

        found = await stub.GetAttempt(pb.GetAttemptRequest(attempt_id=request.attempt_id))
        keys = keys_of(request.attempt_id)
        assert found.tombstone.reason == pb.DELETE_REASON_CANCELLED
        assert found.tombstone.user_id == ("user_1" if isinstance(saved, pb.SaveAttemptResponse) else "")
        assert await redis.exists(keys.attempt) == 0
        assert await redis.zscore(keys.due, request.attempt_id) is None
        seen.add(type(saved))
    assert len(seen) == 2, "the race always went the same way: it proves nothing"


async def test_of_several_deletions_the_first_reason_stays(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest
) -> None:
    """Webhook, browser return and reconciler delete at once: one reason wins, and the owner is kept."""
    for _ in range(ROUNDS // 3):
        request = new_request()
        await stub.SaveAttempt(request)
        reasons = [pb.DELETE_REASON_RECORDED, pb.DELETE_REASON_QUARANTINED, pb.DELETE_REASON_CANCELLED]

        await at_once(*(delete(stub, request.attempt_id, reason) for reason in reasons * 3))

        first = await stub.GetAttempt(pb.GetAttemptRequest(attempt_id=request.attempt_id))
        assert first.tombstone.reason in reasons
        assert first.tombstone.user_id == "user_1"
        await at_once(*(delete(stub, request.attempt_id, reason) for reason in reasons))
        assert await stub.GetAttempt(pb.GetAttemptRequest(attempt_id=request.attempt_id)) == first


async def test_of_close_and_delete_both_are_told(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest, redis: Redis
) -> None:
    """Close against delete: the tombstone tells of the close exactly if it came first, and nothing is due."""
    for _ in range(ROUNDS // 3):
        request = new_request()
        await stub.SaveAttempt(request)

        await at_once(
            close(stub, request.attempt_id, pb.CLOSE_REASON_SUPERSEDED),
            close(stub, request.attempt_id, pb.CLOSE_REASON_PAY_BY_PASSED),
            delete(stub, request.attempt_id, pb.DELETE_REASON_RECORDED),
        )

        found = await stub.GetAttempt(pb.GetAttemptRequest(attempt_id=request.attempt_id))
        assert found.tombstone.reason == pb.DELETE_REASON_RECORDED
        assert found.tombstone.user_id == "user_1"
        assert await redis.zscore(keys_of(request.attempt_id).due, request.attempt_id) is None


async def test_two_services_share_one_truth(
    run_service: RunService, valkey: RedisServer, redis: Redis, new_request: MakeRequest
) -> None:
    """Saves with several intents through two services on one Redis have one winner."""
    first = new_request()
    requests = [
        new_request(attempt_id=first.attempt_id, intent=common_pb2.Intent(id=f"pi_{number}"))
        for number in range(AT_ONCE)
    ]
    async with run_service(valkey.url) as one, run_service(valkey.url) as other:
        stubs = [CheckoutSessionServiceStub(one), CheckoutSessionServiceStub(other)]

        answers = await at_once(*(save(stubs[number % 2], request) for number, request in enumerate(requests)))

    saved = [answer for answer in answers if isinstance(answer, pb.SaveAttemptResponse)]
    assert sorted(answer.replayed for answer in saved) == [False] + [True] * (AT_ONCE - 1)
    assert len({answer.attempt.intent.id for answer in saved}) == 1
