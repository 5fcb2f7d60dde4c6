"""Attempts at rest: what is in Redis, and what happens when it cannot be read."""

import base64
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceStub
from checkout_session.redis_backend.keys import keys_of
from servicekit.encryption import key_id_of
from servicekit.errors import ReportedError, read_error
from tests.containers.choice import RedisServer

if TYPE_CHECKING:
    from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceAsyncStub

RunService = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
MakeRequest = Callable[..., pb.SaveAttemptRequest]

K1: Final = "k1:" + base64.b64encode(bytes(range(32))).decode()
K2: Final = "k2:" + base64.b64encode(bytes(range(1, 33))).decode()
UNREADABLE: Final = ReportedError(grpc.StatusCode.UNAVAILABLE, "attempt_unreadable")
PERSONAL: Final = (
    b"Canaria Finch",
    b"canary@aviary.example",
    b"+15550142",
    b"7 Perch Row",
    b"Loft 9",
    b"Nestville",
    b"CV1 7QT",
)


def personal_request(new_request: MakeRequest) -> pb.SaveAttemptRequest:
    """Return a request in which every personal field can be recognised."""
    name, email, phone, line1, line2, city, postal_code = (value.decode() for value in PERSONAL)
    request = new_request()
    request.context.contact.CopyFrom(common_pb2.Contact(name=name, email=email, phone=phone))
    request.context.shipping_address.CopyFrom(
        common_pb2.Address(line1=line1, line2=line2, city=city, postal_code=postal_code, country="GB")
    )
    return request


async def everything_in(redis: Redis) -> bytes:
    """Return every key and value that a Redis holds."""
    held = []
    async for key in redis.scan_iter():
        kind: Any = await redis.type(key)
        value = {"hash": redis.hgetall, "string": redis.get}.get(kind.decode())
        held.append(repr((key, await value(key) if value else await redis.zrange(key, 0, -1))).encode())
    return b"\n".join(held)


async def refusal(call: Awaitable[object]) -> ReportedError:
    """Return the error that a call failed with."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return read_error(failed.value)


def asked_for(request: pb.SaveAttemptRequest) -> pb.GetAttemptRequest:
    """Return the request that reads what another one saves."""
    return pb.GetAttemptRequest(attempt_id=request.attempt_id)


async def sealed(redis: Redis, attempt_id: str) -> bytes:
    """Return an attempt's content as it is stored."""
    stored = await redis.hget(keys_of(attempt_id).attempt, "sealed")
    assert isinstance(stored, bytes)
    return stored


async def test_p7_redis_holds_nothing_that_the_buyer_typed(
    stub: "CheckoutSessionServiceAsyncStub", redis: Redis, new_request: MakeRequest
) -> None:
    """Nor the intent, nor the hash by which a guess at the buyer's data could be checked; only who owns the attempt."""
    request = personal_request(new_request)

    await stub.SaveAttempt(request)

    held = await everything_in(redis)
    assert [word for word in PERSONAL if word in held] == []
    assert not any(word in held for word in (b"pi_first", b"price_mug", repr(request.request_hash)[2:-1].encode()))
    assert b"user_1" in held
    assert (await stub.GetAttempt(asked_for(request))).attempt.context == request.context


async def test_without_keys_redis_holds_it_all(
    run_service: RunService, valkey: RedisServer, redis: Redis, new_request: MakeRequest
) -> None:
    """The control of the test above: it would see the buyer's data if it were there."""
    async with run_service(valkey.url, encryption_keys="clear") as channel:
        await CheckoutSessionServiceStub(channel).SaveAttempt(personal_request(new_request))

    held = await everything_in(redis)
    assert [word for word in PERSONAL if word not in held] == []


async def test_an_attempt_of_an_unknown_key_is_unavailable_until_the_key_is_back(
    run_service: RunService, valkey: RedisServer, redis: Redis, new_request: MakeRequest
) -> None:
    """Never NOT_FOUND: the payment would be quarantined as one without an attempt. And nothing is lost."""
    request = new_request()
    async with run_service(valkey.url, encryption_keys=K2) as channel:
        saved = await CheckoutSessionServiceStub(channel).SaveAttempt(request)
    before = await everything_in(redis)

    async with run_service(valkey.url, encryption_keys=K1) as channel:
        without = CheckoutSessionServiceStub(channel)
        errors = [
            await refusal(without.GetAttempt(asked_for(request))),
            await refusal(without.SaveAttempt(request)),
        ]

    assert errors == [UNREADABLE, UNREADABLE]
    assert await everything_in(redis) == before
    async with run_service(valkey.url, encryption_keys=f"{K1},{K2}") as channel:
        stub = CheckoutSessionServiceStub(channel)
        assert (await stub.GetAttempt(asked_for(request))).attempt == saved.attempt
        assert (await stub.SaveAttempt(request)).replayed


async def test_an_attempt_of_a_lost_key_can_be_closed_and_deleted(
    run_service: RunService, valkey: RedisServer, redis: Redis, new_request: MakeRequest
) -> None:
    """Neither needs the content, and the tombstone names the owner all the same."""
    request = new_request()
    async with run_service(valkey.url, encryption_keys=K2) as channel:
        await CheckoutSessionServiceStub(channel).SaveAttempt(request)

    async with run_service(valkey.url, encryption_keys=K1) as channel:
        stub = CheckoutSessionServiceStub(channel)
        await stub.CloseAttempt(
            pb.CloseAttemptRequest(attempt_id=request.attempt_id, reason=pb.CLOSE_REASON_PAY_BY_PASSED)
        )
        await stub.DeleteAttempt(
            pb.DeleteAttemptRequest(attempt_id=request.attempt_id, reason=pb.DELETE_REASON_CANCELLED)
        )
        found = await stub.GetAttempt(asked_for(request))

    assert (found.tombstone.user_id, found.tombstone.close_reason) == ("user_1", pb.CLOSE_REASON_PAY_BY_PASSED)
    assert await redis.exists(keys_of(request.attempt_id).attempt) == 0


@pytest.mark.parametrize("encryption_keys", [K1, "clear"])
async def test_another_buyers_content_in_its_place_is_noticed(
    run_service: RunService, valkey: RedisServer, redis: Redis, new_request: MakeRequest, encryption_keys: str
) -> None:
    """Whoever can write to Redis cannot make one attempt pass for another; nothing is deleted."""
    request, other = new_request(), new_request()
    async with run_service(valkey.url, encryption_keys=encryption_keys) as channel:
        stub = CheckoutSessionServiceStub(channel)
        await stub.SaveAttempt(request)
        await stub.SaveAttempt(other)
        await redis.hset(keys_of(request.attempt_id).attempt, "sealed", await sealed(redis, other.attempt_id))

        error = await refusal(stub.GetAttempt(asked_for(request)))

        assert error == UNREADABLE
        assert (await stub.GetAttempt(asked_for(other))).attempt.attempt_id == other.attempt_id
    assert await redis.exists(keys_of(request.attempt_id).attempt) == 1


@pytest.mark.parametrize("spoil", [lambda value: value[:-1] + bytes([value[-1] ^ 1]), lambda value: value[:40]])
async def test_changed_content_is_noticed(
    stub: "CheckoutSessionServiceAsyncStub",
    redis: Redis,
    new_request: MakeRequest,
    spoil: Callable[[bytes], bytes],
) -> None:
    """It is unavailable, and stays where it is."""
    request = new_request()
    await stub.SaveAttempt(request)
    spoiled = spoil(await sealed(redis, request.attempt_id))
    await redis.hset(keys_of(request.attempt_id).attempt, "sealed", spoiled)

    error = await refusal(stub.GetAttempt(asked_for(request)))

    assert error == UNREADABLE
    assert await sealed(redis, request.attempt_id) == spoiled


async def test_garbled_content_in_the_clear_is_noticed(
    run_service: RunService, valkey: RedisServer, redis: Redis, new_request: MakeRequest
) -> None:
    """What is no message at all is unavailable as well, not an internal error."""
    request = new_request()
    async with run_service(valkey.url, encryption_keys="clear") as channel:
        stub = CheckoutSessionServiceStub(channel)
        await stub.SaveAttempt(request)
        await redis.hset(keys_of(request.attempt_id).attempt, "sealed", b"\0\xff\xff\xff")

        assert await refusal(stub.GetAttempt(asked_for(request))) == UNREADABLE


async def test_planted_content_in_the_clear_is_refused(
    stub: "CheckoutSessionServiceAsyncStub", redis: Redis, new_request: MakeRequest
) -> None:
    """Where every attempt is sealed, one that nobody sealed is not believed, however well it is made."""
    request = new_request()
    saved = await stub.SaveAttempt(request)
    planted = pb.Attempt()
    planted.CopyFrom(saved.attempt)
    planted.context.shipping_address.line1 = "1 Thief Street"
    await redis.hset(keys_of(request.attempt_id).attempt, "sealed", b"\0" + planted.SerializeToString())

    assert await refusal(stub.GetAttempt(asked_for(request))) == UNREADABLE


async def test_encryption_is_introduced_while_attempts_are_stored(
    run_service: RunService, valkey: RedisServer, redis: Redis, new_request: MakeRequest
) -> None:
    """What was stored in the clear stays readable while `clear` is among the keys; what is saved then is sealed."""
    before, after = new_request(), new_request()
    async with run_service(valkey.url, encryption_keys=f"clear,{K1}") as channel:
        await CheckoutSessionServiceStub(channel).SaveAttempt(before)
    async with run_service(valkey.url, encryption_keys=f"{K1},clear") as channel:
        stub = CheckoutSessionServiceStub(channel)
        await stub.SaveAttempt(after)

        found = [(await stub.GetAttempt(asked_for(request))).attempt.context for request in (before, after)]

    assert found == [before.context, after.context]
    keys = [key_id_of(await sealed(redis, request.attempt_id)) for request in (before, after)]
    assert keys == ["clear", "k1"]


async def test_an_operator_is_told_which_key_is_missing(
    run_service: RunService,
    valkey: RedisServer,
    redis: Redis,
    new_request: MakeRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log names the key and eight characters of the attempt, a metric counts it, the caller learns neither."""
    request = new_request()
    async with run_service(valkey.url, encryption_keys=K2) as channel:
        await CheckoutSessionServiceStub(channel).SaveAttempt(request)
    metric, labels = "checkout_session_attempts_unreadable_total", {"cause": "UnknownKey"}
    before = REGISTRY.get_sample_value(metric, labels) or 0

    async with run_service(valkey.url, encryption_keys=K1) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await CheckoutSessionServiceStub(channel).GetAttempt(asked_for(request))

    (record,) = [record for record in caplog.records if record.getMessage() == "a stored attempt cannot be read"]
    told = record.__dict__
    assert (record.levelname, told["key_id"], told["unreadable_attempt"]) == ("ERROR", "k2", request.attempt_id[:8])
    assert request.attempt_id not in str(told)
    assert REGISTRY.get_sample_value(metric, labels) == before + 1
    assert "k2" not in str(refused.value.details())
