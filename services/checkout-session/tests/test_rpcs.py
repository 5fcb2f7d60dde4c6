"""Every rpc with each of its answers, through a real gRPC server and on a real Valkey."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.asyncio import Redis

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceStub
from checkout_rules.limits import MAX_ID_BYTES, MAX_NAME_CHARACTERS, MAX_TEXT_CHARACTERS
from checkout_session.redis_backend.keys import keys_of
from servicekit.errors import ReportedError, read_error
from tests.containers.choice import RedisServer

if TYPE_CHECKING:
    from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceAsyncStub

RunService = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]
MakeRequest = Callable[..., pb.SaveAttemptRequest]

UNKNOWN_ID = "0b8e3a52-5c8f-4f7e-9a53-6c0f3c1f2a10"


async def refusal(call: Awaitable[object]) -> ReportedError:
    """Return the error that a call failed with."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return read_error(failed.value)


async def test_save_answers_the_stored_attempt(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest
) -> None:
    """The answer has everything that was sent, a time of creation, and no close reason."""
    request = new_request()

    answer = await stub.SaveAttempt(request)

    attempt = answer.attempt
    assert not answer.replayed
    assert (attempt.attempt_id, attempt.request_hash) == (request.attempt_id, request.request_hash)
    assert (attempt.context, attempt.intent) == (request.context, request.intent)
    assert abs(attempt.created_at.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(seconds=5)
    assert attempt.close_reason == pb.CLOSE_REASON_UNSPECIFIED


async def test_save_again_answers_what_is_stored(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest
) -> None:
    """A repeat after a lost answer, priced anew and with an intent of its own, gets the stored prices and intent."""
    request = new_request()
    first = await stub.SaveAttempt(request)
    request.intent.id = "pi_second"
    request.context.items[0].unit_price.minor_units += 100
    request.context.total.minor_units += 300

    again = await stub.SaveAttempt(request)

    assert again.replayed
    assert again.attempt == first.attempt


async def test_save_refuses_another_request_under_the_same_id(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest
) -> None:
    """ALREADY_EXISTS, reason request_hash_mismatch."""
    request = new_request()
    await stub.SaveAttempt(request)
    request.request_hash = b"o" * 32

    error = await refusal(stub.SaveAttempt(request))

    assert error == ReportedError(grpc.StatusCode.ALREADY_EXISTS, "request_hash_mismatch")


@pytest.mark.parametrize("saved_before", [True, False])
async def test_save_refuses_a_closed_attempt(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest, *, saved_before: bool
) -> None:
    """FAILED_PRECONDITION, reason attempt_closed, stored before or not."""
    request = new_request()
    if saved_before:
        await stub.SaveAttempt(request)
    await stub.CloseAttempt(pb.CloseAttemptRequest(attempt_id=request.attempt_id, reason=pb.CLOSE_REASON_SUPERSEDED))

    error = await refusal(stub.SaveAttempt(request))

    assert error == ReportedError(grpc.StatusCode.FAILED_PRECONDITION, "attempt_closed")


@pytest.mark.parametrize("saved_before", [True, False])
async def test_save_refuses_a_deleted_attempt(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest, *, saved_before: bool
) -> None:
    """FAILED_PRECONDITION, reason attempt_closed, stored before or not."""
    request = new_request()
    if saved_before:
        await stub.SaveAttempt(request)
    await stub.DeleteAttempt(pb.DeleteAttemptRequest(attempt_id=request.attempt_id, reason=pb.DELETE_REASON_RECORDED))

    error = await refusal(stub.SaveAttempt(request))

    assert error == ReportedError(grpc.StatusCode.FAILED_PRECONDITION, "attempt_closed")


async def test_save_names_every_fault(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest, redis: Redis
) -> None:
    """INVALID_ARGUMENT, reason invalid_request, a violation per field, and nothing stored."""
    request = new_request(request_hash=b"short")
    request.context.contact.ClearField("email")
    request.context.items[0].quantity = 0
    request.context.total.minor_units = 490

    error = await refusal(stub.SaveAttempt(request))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    assert [violation.field for violation in error.violations] == [
        "request_hash",
        "context.contact.email",
        "context.items[0].quantity",
    ]
    assert await redis.exists(keys_of(request.attempt_id).attempt) == 0


async def test_save_refuses_a_pay_by_that_has_passed(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest
) -> None:
    """INVALID_ARGUMENT naming pay_by."""
    request = new_request()
    request.context.pay_by.FromDatetime(datetime.now(UTC) - timedelta(seconds=1))

    error = await refusal(stub.SaveAttempt(request))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    assert [violation.field for violation in error.violations] == ["context.pay_by"]


async def test_the_largest_cart_passes_through(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest
) -> None:
    """200 lines with the longest ids and names are saved and found whole."""
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

    await stub.SaveAttempt(request)

    found = await stub.GetAttempt(pb.GetAttemptRequest(attempt_id=request.attempt_id))
    assert found.attempt.context == request.context


async def test_save_refuses_an_attempt_over_the_limit(
    run_service: RunService, valkey: RedisServer, redis: Redis, new_request: MakeRequest
) -> None:
    """RESOURCE_EXHAUSTED, reason attempt_too_large, and nothing stored."""
    request = new_request()
    request.context.shipping_address.line1 = request.context.shipping_address.line2 = "n" * MAX_TEXT_CHARACTERS
    async with run_service(valkey.url, max_attempt_bytes=1024) as channel:
        error = await refusal(CheckoutSessionServiceStub(channel).SaveAttempt(request))

    assert error == ReportedError(grpc.StatusCode.RESOURCE_EXHAUSTED, "attempt_too_large")
    assert await redis.exists(keys_of(request.attempt_id).attempt) == 0


async def test_get_answers_the_attempt_with_its_close_reason(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest
) -> None:
    """A closed attempt is the saved one and the reason."""
    saved = (await stub.SaveAttempt(new_request())).attempt
    await stub.CloseAttempt(pb.CloseAttemptRequest(attempt_id=saved.attempt_id, reason=pb.CLOSE_REASON_PAY_BY_PASSED))

    found = await stub.GetAttempt(pb.GetAttemptRequest(attempt_id=saved.attempt_id))

    assert found.WhichOneof("result") == "attempt"
    assert found.attempt.close_reason == pb.CLOSE_REASON_PAY_BY_PASSED
    found.attempt.ClearField("close_reason")
    assert found.attempt == saved


async def test_get_answers_the_tombstone_without_content(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest
) -> None:
    """P7: a deleted attempt tells its reason and owner, and nothing that the buyer typed."""
    request = new_request()
    await stub.SaveAttempt(request)
    await stub.DeleteAttempt(
        pb.DeleteAttemptRequest(attempt_id=request.attempt_id, reason=pb.DELETE_REASON_QUARANTINED)
    )

    found = await stub.GetAttempt(pb.GetAttemptRequest(attempt_id=request.attempt_id))

    assert found.WhichOneof("result") == "tombstone"
    assert found.tombstone.reason == pb.DELETE_REASON_QUARANTINED
    assert (found.tombstone.attempt_id, found.tombstone.user_id) == (request.attempt_id, "user_1")
    told = json_format.MessageToJson(found)
    assert not any(word in told for word in ("Ada", "example.com", "Long Road", "+4930", "price_mug"))


@pytest.mark.parametrize("closed", [True, False])
async def test_get_does_not_find_what_was_never_saved(stub: "CheckoutSessionServiceAsyncStub", *, closed: bool) -> None:
    """NOT_FOUND, reason attempt_not_found, for an unknown id and for one that was only closed."""
    if closed:
        await stub.CloseAttempt(pb.CloseAttemptRequest(attempt_id=UNKNOWN_ID, reason=pb.CLOSE_REASON_SUPERSEDED))

    error = await refusal(stub.GetAttempt(pb.GetAttemptRequest(attempt_id=UNKNOWN_ID)))

    assert error == ReportedError(grpc.StatusCode.NOT_FOUND, "attempt_not_found")


async def test_get_refuses_what_is_no_id(stub: "CheckoutSessionServiceAsyncStub") -> None:
    """INVALID_ARGUMENT naming attempt_id."""
    error = await refusal(stub.GetAttempt(pb.GetAttemptRequest(attempt_id=UNKNOWN_ID.upper())))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    assert [violation.field for violation in error.violations] == ["attempt_id"]


@pytest.mark.parametrize("reason", [pb.CLOSE_REASON_UNSPECIFIED, 99])
async def test_close_refuses_what_is_no_id_or_no_reason(stub: "CheckoutSessionServiceAsyncStub", reason: int) -> None:
    """INVALID_ARGUMENT naming both."""
    request = pb.CloseAttemptRequest(attempt_id="x")
    request.reason = reason  # type: ignore[assignment]  # what a newer or broken caller could send

    error = await refusal(stub.CloseAttempt(request))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    assert [violation.field for violation in error.violations] == ["attempt_id", "reason"]


@pytest.mark.parametrize("reason", [pb.DELETE_REASON_UNSPECIFIED, 99])
async def test_delete_refuses_what_is_no_id_or_no_reason(stub: "CheckoutSessionServiceAsyncStub", reason: int) -> None:
    """INVALID_ARGUMENT naming both."""
    request = pb.DeleteAttemptRequest(attempt_id="x")
    request.reason = reason  # type: ignore[assignment]  # what a newer or broken caller could send

    error = await refusal(stub.DeleteAttempt(request))

    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
    assert [violation.field for violation in error.violations] == ["attempt_id", "reason"]


async def test_every_rpc_may_be_repeated(stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest) -> None:
    """Each call, sent twice in the order of a checkout, has the same effect as once."""
    request = new_request()
    for _ in range(2):
        await stub.SaveAttempt(request)
    for _ in range(2):
        await stub.CloseAttempt(
            pb.CloseAttemptRequest(attempt_id=request.attempt_id, reason=pb.CLOSE_REASON_SUPERSEDED)
        )
    for _ in range(2):
        await stub.DeleteAttempt(
            pb.DeleteAttemptRequest(attempt_id=request.attempt_id, reason=pb.DELETE_REASON_CANCELLED)
        )

    found = await stub.GetAttempt(pb.GetAttemptRequest(attempt_id=request.attempt_id))

    assert found.tombstone.reason == pb.DELETE_REASON_CANCELLED
    assert found.tombstone.close_reason == pb.CLOSE_REASON_SUPERSEDED


async def test_logs_and_errors_tell_nothing_personal(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """P7: neither a saved attempt nor a refused one leaves its content or its whole id in the log."""
    caplog.set_level("DEBUG", "checkout_session")
    caplog.set_level("INFO", "access")
    request = new_request()
    await stub.SaveAttempt(request)
    request.context.contact.ClearField("name")

    await refusal(stub.SaveAttempt(request))

    told = "\n".join(str(record.__dict__) for record in caplog.records)
    assert "SaveAttempt" in told
    assert not any(word in told for word in ("Ada", "example.com", "Long Road", "+4930", request.attempt_id))


@pytest.mark.parametrize("name", ["", "checkout.session.v1.CheckoutSessionService"])
async def test_a_service_with_a_sound_redis_is_ready(channel: grpc.aio.Channel, name: str) -> None:
    """Health is told for the server and for the service by name."""
    health: Any = health_pb2_grpc.HealthStub(channel)  # its types lack its methods

    answer = await health.Check(health_pb2.HealthCheckRequest(service=name))

    assert answer.status == health_pb2.HealthCheckResponse.SERVING
