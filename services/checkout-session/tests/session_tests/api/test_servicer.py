"""Every rpc with each of its answers, through a real gRPC server and on a real Valkey."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from redis.asyncio import Redis

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_rules.limits import MAX_ADDRESS_CHARACTERS, MAX_CONTEXT_BYTES, MAX_ID_BYTES, MAX_NAME_CHARACTERS
from checkout_session.redis_backend.keys import keys_of
from servicekit.errors import ReportedError
from tests.containers.choice import RedisServer

from ..harness import Stub, close, delete, get, new_request, refusal, run_service

UNKNOWN_ID = "0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10"
PERSONAL = ("Ada", "example.com", "Long Street", "+4930", "price_mug")


async def test_save_answers_the_stored_attempt(stub: Stub) -> None:
    """The answer has every field of the request, a time of creation, and no close reason."""
    request = new_request()

    answer = await stub.SaveAttempt(request)

    attempt = answer.attempt
    assert not answer.replayed
    assert (attempt.attempt_id, attempt.request_hash) == (request.attempt_id, request.request_hash)
    assert (attempt.context, attempt.intent) == (request.context, request.intent)
    assert abs(attempt.created_at.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(seconds=5)
    assert attempt.close_reason == pb.CLOSE_REASON_UNSPECIFIED


async def test_a_repeated_save_answers_the_stored_attempt(stub: Stub) -> None:
    """A repeat with other prices and another intent gets the stored prices and intent."""
    request = new_request()
    first = await stub.SaveAttempt(request)
    request.intent.id = "pi_second"
    request.context.items[0].unit_price.minor_units += 100
    request.context.total.minor_units += 300

    again = await stub.SaveAttempt(request)

    assert again.replayed
    assert again.attempt == first.attempt


async def test_save_refuses_another_request_under_the_same_id(stub: Stub) -> None:
    """ALREADY_EXISTS, reason request_hash_mismatch."""
    request = new_request()
    await stub.SaveAttempt(request)
    request.request_hash = b"o" * 32

    error = await refusal(stub.SaveAttempt(request))

    assert error == ReportedError(grpc.StatusCode.ALREADY_EXISTS, "request_hash_mismatch")


@pytest.mark.parametrize("saved_before", [True, False])
@pytest.mark.parametrize("deleted", [True, False])
async def test_save_refuses_a_closed_attempt(stub: Stub, *, saved_before: bool, deleted: bool) -> None:
    """FAILED_PRECONDITION, reason attempt_closed, closed or deleted, stored before or not."""
    request = new_request()
    if saved_before:
        await stub.SaveAttempt(request)
    if deleted:
        await stub.DeleteAttempt(delete(request.attempt_id))
    else:
        await stub.CloseAttempt(close(request.attempt_id))

    error = await refusal(stub.SaveAttempt(request))

    assert error == ReportedError(grpc.StatusCode.FAILED_PRECONDITION, "attempt_closed")


async def test_save_names_every_fault(stub: Stub, redis: Redis) -> None:
    """INVALID_ARGUMENT, reason invalid_request, a violation per field, and nothing stored."""
    request = new_request(request_hash=b"short")
    request.context.contact.ClearField("email")
    request.context.items[0].name = "x" * (MAX_NAME_CHARACTERS + 1)

    error = await refusal(stub.SaveAttempt(request))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    fields = [violation.field for violation in error.violations]
    assert fields == ["request_hash", "context.contact.email", "context.items[0].name"]
    assert await redis.exists(keys_of(request.attempt_id).attempt) == 0


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        ("GetAttempt", get(UNKNOWN_ID.upper()), ["attempt_id"]),
        ("CloseAttempt", close("x", pb.CLOSE_REASON_UNSPECIFIED), ["attempt_id", "reason"]),
        ("CloseAttempt", close(UNKNOWN_ID, successor=UNKNOWN_ID), ["successor"]),
        ("CloseAttempt", close(UNKNOWN_ID, successor=UNKNOWN_ID.upper()), ["successor"]),
        ("DeleteAttempt", delete("x", pb.DELETE_REASON_UNSPECIFIED), ["attempt_id", "reason"]),
        ("DeleteAttempts", pb.DeleteAttemptsRequest(attempt_ids=[UNKNOWN_ID, "x"]), ["reason", "attempt_ids[1]"]),
        ("ClaimDueAttempts", pb.ClaimDueAttemptsRequest(), ["limit", "lease"]),
        (
            "RescheduleAttempts",
            pb.RescheduleAttemptsRequest(checks=[pb.NextCheck()]),
            ["checks[0].attempt_id", "checks[0].delay"],
        ),
    ],
)
async def test_other_rpcs_name_their_faults(stub: Stub, method: str, request_: Any, fields: list[str]) -> None:
    """INVALID_ARGUMENT with a violation per field."""
    error = await refusal(getattr(stub, method)(request_))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    assert [violation.field for violation in error.violations] == fields


async def test_the_largest_cart_is_saved(valkey: RedisServer, redis: Redis) -> None:
    """200 lines with the longest ids and names are saved and found whole, where the setting allows it."""
    request = new_request()
    del request.context.items[:]
    price = common_pb2.Money(minor_units=100, currency="eur")
    for number in range(200):
        request.context.items.add(
            price_id=str(number).rjust(MAX_ID_BYTES, "p"),
            product_id="p" * MAX_ID_BYTES,
            name="\U0001f6d2" * MAX_NAME_CHARACTERS,
            quantity=1,
            unit_price=price,
        )
    request.context.total.minor_units = 200 * 100 + 490

    async with run_service(valkey.url, max_attempt_bytes=MAX_CONTEXT_BYTES) as channel:
        await Stub(channel).SaveAttempt(request)
    async with run_service(valkey.url) as channel:
        found = await Stub(channel).GetAttempt(get(request.attempt_id))
        request.attempt_id = UNKNOWN_ID
        error = await refusal(Stub(channel).SaveAttempt(request))

    assert found.attempt.context == request.context
    assert error.reason == "attempt_too_large"


async def test_save_refuses_an_attempt_over_the_limit(valkey: RedisServer, redis: Redis) -> None:
    """RESOURCE_EXHAUSTED, reason attempt_too_large, and nothing stored."""
    request = new_request()
    request.context.shipping_address.line1 = request.context.shipping_address.line2 = (
        "\U0001f6d2" * MAX_ADDRESS_CHARACTERS
    )
    async with run_service(valkey.url, max_attempt_bytes=1024) as channel:
        error = await refusal(Stub(channel).SaveAttempt(request))

    assert error == ReportedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "attempt_too_large")
    assert await redis.exists(keys_of(request.attempt_id).attempt) == 0


async def test_attempts_are_deleted_in_one_call(stub: Stub) -> None:
    """Each leaves a tombstone, and one that has a tombstone keeps its reason."""
    requests = [new_request(), new_request()]
    for request in requests:
        await stub.SaveAttempt(request)
    await stub.DeleteAttempt(delete(requests[0].attempt_id, pb.DELETE_REASON_QUARANTINED))

    await stub.DeleteAttempts(
        pb.DeleteAttemptsRequest(attempt_ids=[each.attempt_id for each in requests], reason=pb.DELETE_REASON_RECORDED)
    )

    found = [await stub.GetAttempt(get(each.attempt_id)) for each in requests]
    assert [each.tombstone.reason for each in found] == [pb.DELETE_REASON_QUARANTINED, pb.DELETE_REASON_RECORDED]


async def test_p7_get_answers_the_tombstone_without_content(stub: Stub) -> None:
    """Every rpc of a checkout, sent twice, leaves reasons and owner, and nothing that the buyer typed."""
    request = new_request()
    for _ in range(2):
        await stub.SaveAttempt(request)
    for _ in range(2):
        await stub.CloseAttempt(close(request.attempt_id))
    for _ in range(2):
        await stub.DeleteAttempt(delete(request.attempt_id, pb.DELETE_REASON_QUARANTINED))

    found = await stub.GetAttempt(get(request.attempt_id))

    tombstone, text = found.tombstone, json_format.MessageToJson(found)
    assert (tombstone.attempt_id, tombstone.user_id) == (request.attempt_id, "user_1")
    assert (tombstone.reason, tombstone.close_reason) == (pb.DELETE_REASON_QUARANTINED, pb.CLOSE_REASON_SUPERSEDED)
    assert not any(word in text for word in PERSONAL)


@pytest.mark.parametrize("closed", [True, False])
async def test_get_does_not_find_an_id_that_was_never_saved(stub: Stub, *, closed: bool) -> None:
    """NOT_FOUND, reason attempt_not_found, for an unknown id and for one that was only closed."""
    if closed:
        await stub.CloseAttempt(close(UNKNOWN_ID))

    error = await refusal(stub.GetAttempt(get(UNKNOWN_ID)))

    assert error == ReportedError(grpc.StatusCode.NOT_FOUND, "attempt_not_found")


async def test_close_answers_what_stands(stub: Stub) -> None:
    """The attempt with reason and successor; for an id that was never saved the successor alone."""
    request, successor = new_request(), str(uuid.uuid4())
    saved = await stub.SaveAttempt(request)

    closed = await stub.CloseAttempt(close(request.attempt_id, successor=successor))
    unknown = await stub.CloseAttempt(close(UNKNOWN_ID, successor=successor))

    expected = pb.Attempt(close_reason=pb.CLOSE_REASON_SUPERSEDED, successor=successor)
    expected.MergeFrom(saved.attempt)
    assert closed == pb.CloseAttemptResponse(attempt=expected, successor=successor)
    assert unknown == pb.CloseAttemptResponse(successor=successor)


async def test_p7_logs_contain_nothing_personal(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a saved attempt nor a refused one leaves its content or its whole id in the log."""
    caplog.set_level("DEBUG", "checkout_session")
    caplog.set_level("INFO", "access")
    request = new_request()
    await stub.SaveAttempt(request)
    request.context.contact.ClearField("name")

    await refusal(stub.SaveAttempt(request))

    logged = "\n".join(str(record.__dict__) for record in caplog.records)
    assert "SaveAttempt" in logged
    assert not any(word in logged for word in (*PERSONAL, request.attempt_id))
