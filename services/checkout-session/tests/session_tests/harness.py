"""The service and the store under test, valid requests, and calls with their outcomes."""

import asyncio
import base64
import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout.session.v1 import checkout_session_pb2_grpc as pb_grpc
from checkout_session.bootstrap import build_primaries, build_server
from checkout_session.domain.attempts import Attempt, Intent, IntentKind
from checkout_session.domain.durability import IN_MEMORY, DurabilityPolicy
from checkout_session.redis_backend.attempt_store import RedisAttemptStore, Retention
from checkout_session.redis_backend.connection import Limits
from checkout_session.redis_backend.primaries import Primaries
from checkout_session.redis_backend.topology import open_primaries
from checkout_session.settings import CheckoutSessionSettings
from servicekit.encryption import Keyring
from servicekit.errors import ReportedError, read_error

if TYPE_CHECKING:
    Stub: TypeAlias = pb_grpc.CheckoutSessionServiceAsyncStub
else:
    Stub = pb_grpc.CheckoutSessionServiceStub

T = TypeVar("T")

PAY_BY: Final = datetime(2026, 5, 5, 3, 2, 1, 500000, UTC)
KEYS: Final = "k1:" + base64.b64encode(bytes(range(32))).decode()
GENEROUS: Final = Limits(max_connections=8, redis_timeout_seconds=10, store_timeout_seconds=20)
LONG_TIMEOUTS: Final[dict[str, Any]] = {"redis_timeout_seconds": 10, "store_timeout_seconds": 30}
DEFAULT_TIMEOUTS: Final = {name: CheckoutSessionSettings.model_fields[name].default for name in LONG_TIMEOUTS}
UNAVAILABLE: Final = ReportedError(grpc.StatusCode.UNAVAILABLE, "store_unavailable")
DEADLINE_SECONDS: Final = 60
_CHANNEL_OPTIONS: Final = [
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
]


@asynccontextmanager
async def run_service(redis_url: str, **changes: Any) -> AsyncIterator[grpc.aio.Channel]:
    """Serve a Redis's attempts on a free port, with limits for a busy machine; keywords replace settings."""
    values = LONG_TIMEOUTS | {
        "redis_url": redis_url,
        "listen": "127.0.0.1:0",
        "drain_seconds": 1,
        "environment": "development",
    }
    values |= {"encryption_keys": KEYS, "durability": "none"}
    settings = CheckoutSessionSettings.model_validate(values | changes)
    primaries = build_primaries(settings)
    server = build_server(settings, primaries)
    port = await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_CHANNEL_OPTIONS) as channel:
            yield channel
    finally:
        await server.stop()
        await primaries.aclose()


@asynccontextmanager
async def opened(url: str, policy: DurabilityPolicy = IN_MEMORY, limits: Limits = GENEROUS) -> AsyncIterator[Primaries]:
    """Open the primaries at a URL."""
    primaries = open_primaries(url, policy, limits)
    try:
        yield primaries
    finally:
        await primaries.aclose()


def store_on(
    primaries: Primaries, retention: Retention | None = None, *, timeout_seconds: float = 20
) -> RedisAttemptStore:
    """Return a store of unencrypted attempts."""
    return RedisAttemptStore(
        primaries, retention or Retention(), keyring=Keyring.unencrypted(), timeout_seconds=timeout_seconds
    )


def new_attempt(**changes: Any) -> Attempt:
    """Return an attempt that was never stored; keywords replace fields."""
    fields: dict[str, Any] = {
        "attempt_id": str(uuid.uuid4()),
        "request_hash": b"h" * 32,
        "intent": Intent("pi_first", IntentKind.PAYMENT),
        "user_id": "user_1",
        "content": content_to_pay_by(PAY_BY),
        "created_at": datetime(2026, 5, 4, 3, 2, 1, 123456, UTC),
    } | changes
    pay_by = common_pb2.CheckoutContext.FromString(fields["content"]).pay_by.ToDatetime(UTC)
    return Attempt(**fields, pay_by=pay_by)


def content_to_pay_by(moment: datetime) -> bytes:
    """Return the content of an attempt that may be paid until a moment."""
    context = common_pb2.CheckoutContext(user_id="user_1")
    context.pay_by.FromDatetime(moment)
    return context.SerializeToString()


def new_request(**fields: Any) -> pb.SaveAttemptRequest:
    """Return a valid request to save, with an id of its own; keywords replace fields."""
    request = pb.SaveAttemptRequest(
        attempt_id=str(uuid.uuid4()),
        request_hash=hashlib.sha256(b"cart").digest(),
        context=common_pb2.CheckoutContext(
            user_id="user_1",
            contact=common_pb2.Contact(name="Ada Buyer", email="ada@example.com", phone="+4930123456"),
            shipping_address=common_pb2.Address(
                line1="1 Long Street", city="Berlin", postal_code="10115", country="DE"
            ),
            shipping_option=common_pb2.ShippingOption(shipping_rate_id="shr_1", name="Parcel", amount=_euros(490)),
            items=[
                common_pb2.LineItem(
                    price_id="price_mug", product_id="prod_mug", name="Mug", quantity=3, unit_price=_euros(1250)
                )
            ],
            total=_euros(3 * 1250 + 490),
        ),
        intent=common_pb2.Intent(id="pi_first", kind=common_pb2.Intent.KIND_PAYMENT),
    )
    request.context.pay_by.FromDatetime(datetime.now(UTC) + timedelta(days=1))
    request.MergeFrom(pb.SaveAttemptRequest(**fields))
    return request


def _euros(minor_units: int) -> common_pb2.Money:
    return common_pb2.Money(minor_units=minor_units, currency="eur")


def get(attempt_id: str) -> pb.GetAttemptRequest:
    """Return a request to read."""
    return pb.GetAttemptRequest(attempt_id=attempt_id)


def close(
    attempt_id: str, reason: pb.CloseReason.ValueType = pb.CLOSE_REASON_SUPERSEDED, successor: str = ""
) -> pb.CloseAttemptRequest:
    """Return a request to close."""
    return pb.CloseAttemptRequest(attempt_id=attempt_id, reason=reason, successor=successor)


def delete(attempt_id: str, reason: pb.DeleteReason.ValueType = pb.DELETE_REASON_CANCELLED) -> pb.DeleteAttemptRequest:
    """Return a request to delete."""
    return pb.DeleteAttemptRequest(attempt_id=attempt_id, reason=reason)


async def outcome(call: Awaitable[T]) -> T | ReportedError:
    """Return the answer of a call, or the error that it failed with."""
    try:
        return await call
    except grpc.aio.AioRpcError as failure:
        return read_error(failure)


async def refusal(call: Awaitable[object]) -> ReportedError:
    """Return the error that a call failed with."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return read_error(failed.value)


async def until_ready(channel: grpc.aio.Channel, *, ready: bool) -> None:
    """Wait until the service reports that it is ready, or that it is not."""
    health: Any = health_pb2_grpc.HealthStub(channel)  # its types lack its methods
    expected = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for report in health.Watch(health_pb2.HealthCheckRequest()):
            if report.status == expected:
                return
