"""Stored attempts are encrypted, and one that cannot be decrypted is unreadable, never missing."""

import base64
from collections.abc import Callable
from typing import Any, Final

import grpc
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.redis_backend.keys import keys_of
from servicekit.errors import ReportedError
from tests.containers.choice import RedisServer

from ..harness import Stub, close, delete, get, new_request, outcome, refusal, run_service

K1: Final = "k1:" + base64.b64encode(bytes(range(32))).decode()
K2: Final = "k2:" + base64.b64encode(bytes(range(1, 33))).decode()
UNREADABLE: Final = ReportedError(grpc.StatusCode.UNAVAILABLE, "attempt_unreadable")
PERSONAL: Final = ("Canaria Finch", "canary@aviary.example", "+15550142", "7 Perch Row", "Loft 9", "CV1 7QT")


def personal_request() -> pb.SaveAttemptRequest:
    """Return a request in which every personal field can be recognised."""
    name, email, phone, line1, line2, postal_code = PERSONAL
    request = new_request()
    request.context.contact.CopyFrom(common_pb2.Contact(name=name, email=email, phone=phone))
    address = common_pb2.Address(line1=line1, line2=line2, postal_code=postal_code, country="GB")
    request.context.shipping_address.CopyFrom(address)
    return request


async def dump(redis: Redis) -> str:
    """Return every key and value of a Redis."""
    entries = []
    async for key in redis.scan_iter():
        kind: Any = await redis.type(key)
        read = {"hash": redis.hgetall, "string": redis.get}.get(kind.decode())
        entries.append(repr((key, await read(key) if read else await redis.zrange(key, 0, -1))))
    return "\n".join(entries)


async def content_of(redis: Redis, attempt_id: str) -> bytes:
    """Return an attempt's content as it is stored."""
    stored = await redis.hget(keys_of(attempt_id).attempt, "content")
    assert isinstance(stored, bytes)
    return stored


async def test_p7_redis_holds_nothing_that_the_buyer_typed(valkey: RedisServer, redis: Redis) -> None:
    """Nor the cart, nor the hash by which a guess at the data could be checked; without keys all of it shows."""
    request = personal_request()
    async with run_service(valkey.url, encryption_keys="clear") as channel:
        await Stub(channel).SaveAttempt(request)
        unencrypted = await dump(redis)
    await redis.flushall()

    async with run_service(valkey.url, encryption_keys=K1) as channel:
        await Stub(channel).SaveAttempt(request)
        found = await Stub(channel).GetAttempt(get(request.attempt_id))

    encrypted = await dump(redis)
    secrets = (*PERSONAL, "price_mug", repr(request.request_hash)[2:-1])
    assert [word for word in secrets if word not in unencrypted] == []
    assert [word for word in secrets if word in encrypted] == []
    assert "user_1" in encrypted
    assert found.attempt.context == request.context


async def test_an_attempt_of_an_unknown_key_is_unreadable_until_the_key_is_back(
    valkey: RedisServer, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Never NOT_FOUND: the payment would be quarantined as one without an attempt. Log and metric name the cause.

    A repeated save is refused: no client secret is released for an attempt that nobody can read.
    """
    request = new_request()
    metric, labels = "holdfast_attempts_unreadable_total", {"cause": "UnknownKey"}
    counted = REGISTRY.get_sample_value(metric, labels) or 0
    async with run_service(valkey.url, encryption_keys=K2) as channel:
        saved = await Stub(channel).SaveAttempt(request)
    before = await dump(redis)

    async with run_service(valkey.url, encryption_keys=K1) as channel:
        stub = Stub(channel)
        found = await outcome(stub.GetAttempt(get(request.attempt_id)))
        error = await refusal(stub.SaveAttempt(request))

    unreadable = pb.UnreadableAttempt(
        attempt_id=request.attempt_id,
        user_id="user_1",
        intent=request.intent,
        encrypted_content=await content_of(redis, request.attempt_id),
        key_id="k2",
    )
    assert found == pb.GetAttemptResponse(unreadable_attempt=unreadable)
    assert error == UNREADABLE
    assert await dump(redis) == before
    assert REGISTRY.get_sample_value(metric, labels) == counted + 2
    record, _ = (each.__dict__ for each in caplog.records if each.message == "stored attempt cannot be decrypted")
    assert (record["levelname"], record["key_id"]) == ("ERROR", "k2")
    assert record["unreadable_attempt"] == request.attempt_id[:8]
    assert request.attempt_id not in str(record)
    async with run_service(valkey.url, encryption_keys=f"{K1},{K2}") as channel:
        assert (await Stub(channel).GetAttempt(get(request.attempt_id))).attempt == saved.attempt
        assert (await Stub(channel).SaveAttempt(request)).replayed


async def test_an_attempt_of_a_lost_key_can_be_closed_and_deleted(valkey: RedisServer, redis: Redis) -> None:
    """Neither needs the content: the answer names owner, intent and successor, and the tombstone the owner."""
    request = new_request()
    async with run_service(valkey.url, encryption_keys=K2) as channel:
        await Stub(channel).SaveAttempt(request)

    async with run_service(valkey.url, encryption_keys=K1) as channel:
        stub = Stub(channel)
        closed = await stub.CloseAttempt(close(request.attempt_id, successor=new_request().attempt_id))
        unreadable = await stub.GetAttempt(get(request.attempt_id))
        await stub.DeleteAttempt(delete(request.attempt_id))
        found = await stub.GetAttempt(get(request.attempt_id))

    assert closed.unreadable_attempt == unreadable.unreadable_attempt
    assert (closed.unreadable_attempt.user_id, closed.unreadable_attempt.intent) == ("user_1", request.intent)
    assert closed.unreadable_attempt.close_reason == pb.CLOSE_REASON_SUPERSEDED
    assert closed.unreadable_attempt.successor == closed.successor == found.tombstone.successor != ""
    assert (found.tombstone.user_id, found.tombstone.close_reason) == ("user_1", pb.CLOSE_REASON_SUPERSEDED)
    assert await redis.exists(keys_of(request.attempt_id).attempt) == 0


async def test_the_fields_in_clear_are_ignored_while_the_content_can_be_read(stub: Stub, redis: Redis) -> None:
    """Write access to Redis is not enough to give an attempt another owner or another intent (P5)."""
    request = new_request()
    saved = await stub.SaveAttempt(request)
    planted: dict[Any, Any] = {"user_id": "thief", "intent_id": "pi_thief", "intent_kind": "setup"}
    await redis.hset(keys_of(request.attempt_id).attempt, mapping=planted)

    found = await stub.GetAttempt(get(request.attempt_id))

    assert found.attempt == saved.attempt


@pytest.mark.parametrize(("encryption_keys", "key_id"), [(K1, "k1"), ("clear", "clear")])
async def test_the_content_of_another_attempt_is_refused(
    valkey: RedisServer, redis: Redis, encryption_keys: str, key_id: str
) -> None:
    """Write access to Redis is not enough to swap attempts; nothing is deleted."""
    request, other = new_request(), new_request()
    async with run_service(valkey.url, encryption_keys=encryption_keys) as channel:
        stub = Stub(channel)
        await stub.SaveAttempt(request)
        await stub.SaveAttempt(other)
        await redis.hset(keys_of(request.attempt_id).attempt, "content", await content_of(redis, other.attempt_id))

        found = await stub.GetAttempt(get(request.attempt_id))

        assert found.unreadable_attempt.key_id == key_id
        assert (await stub.GetAttempt(get(other.attempt_id))).attempt.attempt_id == other.attempt_id
    assert await redis.exists(keys_of(request.attempt_id).attempt) == 1


@pytest.mark.parametrize(
    ("encryption_keys", "change", "key_id"),
    [
        (K1, lambda value: value[:-1] + bytes([value[-1] ^ 1]), "k1"),
        (K1, lambda value: value[:40], "k1"),
        (K1, lambda _: b"", ""),
        ("clear", lambda _: b"\0\xff\xff\xff", "clear"),
    ],
    ids=["changed", "cut", "empty", "malformed"],
)
async def test_changed_content_is_refused(
    valkey: RedisServer, redis: Redis, encryption_keys: str, change: Callable[[bytes], bytes], key_id: str
) -> None:
    """It is unreadable, not an internal error, and stays where it is."""
    request = new_request()
    async with run_service(valkey.url, encryption_keys=encryption_keys) as channel:
        await Stub(channel).SaveAttempt(request)
        changed = change(await content_of(redis, request.attempt_id))
        await redis.hset(keys_of(request.attempt_id).attempt, "content", changed)

        found = await Stub(channel).GetAttempt(get(request.attempt_id))

    assert (found.unreadable_attempt.key_id, found.unreadable_attempt.encrypted_content) == (key_id, changed)
    assert await content_of(redis, request.attempt_id) == changed


async def test_planted_unencrypted_content_is_refused(stub: Stub, redis: Redis) -> None:
    """Where every attempt is encrypted, an unencrypted one is refused, however well it is made."""
    request = new_request()
    saved = await stub.SaveAttempt(request)
    planted = pb.Attempt()
    planted.CopyFrom(saved.attempt)
    planted.context.shipping_address.line1 = "1 Thief Street"
    await redis.hset(keys_of(request.attempt_id).attempt, "content", b"\0" + planted.SerializeToString())

    found = await stub.GetAttempt(get(request.attempt_id))

    assert (found.WhichOneof("result"), found.unreadable_attempt.key_id) == ("unreadable_attempt", "clear")
