"""A real Valkey, the service on a real in-process gRPC server, and requests that are valid until a test spoils them.

Where containers are asked for, the fixture `valkey` is redis:8 and the tests that use it run. The others are left out:
clusters, sentinels, killed servers and servers with settings of their own need to control the process, its files and
the ports that it tells its clients, which the embedded server is for; the rest ask no server at all.
"""

import base64
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from redis.asyncio import Redis

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout.session.v1 import checkout_session_pb2_grpc as pb_grpc
from checkout_session.bootstrap import build_server, masters_of
from checkout_session.redis_backend.connection import connect
from checkout_session.settings import CheckoutSessionSettings
from devstack.embedded_cluster import EmbeddedCluster
from devstack.embedded_sentinels import EmbeddedSentinels
from tests.containers.choice import RedisServer, a_redis, keep_on_containers

_CALLER_OPTIONS: Final = [
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
]
SEALING: Final = {"encryption_keys": "k1:" + base64.b64encode(bytes(range(32))).decode()}
MakeRequest = Callable[..., pb.SaveAttemptRequest]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On containers, keep what runs on the one shared server; `single` is that one among the forms of a store."""
    keep_on_containers(config, items, Path(__file__).parent, {"valkey", "single"})


@pytest.fixture(scope="session")
def valkey() -> Iterator[RedisServer]:
    """Run one Valkey, or redis:8, for every test that leaves it as it is."""
    with a_redis() as server:
        yield server


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedCluster]:
    """Run one cluster for every test that leaves it as it is."""
    with EmbeddedCluster.temporary() as running:
        yield running


@pytest.fixture(scope="session")
def sentinels() -> Iterator[EmbeddedSentinels]:
    """Run a master behind sentinels for every test that leaves them as they are."""
    with EmbeddedSentinels.temporary() as running:
        yield running


@pytest.fixture
async def redis(valkey: RedisServer) -> AsyncIterator[Redis]:
    """Give a client of an empty Valkey."""
    client = connect(valkey.url, max_connections=64, timeout_seconds=5)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
def new_request() -> MakeRequest:
    """Give a maker of valid requests to save, each with an id of its own; keywords replace fields."""
    return _new_request


def _new_request(**fields: Any) -> pb.SaveAttemptRequest:
    request = pb.SaveAttemptRequest(
        attempt_id=str(uuid.uuid4()),
        request_hash=hashlib.sha256(b"cart").digest(),
        context=_a_context(),
        intent=common_pb2.Intent(id="pi_first", kind=common_pb2.Intent.KIND_PAYMENT),
    )
    request.MergeFrom(pb.SaveAttemptRequest(**fields))
    return request


def _a_context() -> common_pb2.CheckoutContext:
    context = common_pb2.CheckoutContext(
        user_id="user_1",
        contact=common_pb2.Contact(name="Ada Buyer", email="ada@example.com", phone="+4930123456"),
        shipping_address=common_pb2.Address(line1="1 Long Road", city="Berlin", postal_code="10115", country="DE"),
        shipping_option=common_pb2.ShippingOption(
            shipping_rate_id="shr_1", name="Parcel", amount=common_pb2.Money(minor_units=490, currency="eur")
        ),
        items=[
            common_pb2.LineItem(
                price_id="price_mug",
                product_id="prod_mug",
                name="Mug",
                quantity=3,
                unit_price=common_pb2.Money(minor_units=1250, currency="eur"),
            )
        ],
        total=common_pb2.Money(minor_units=3 * 1250 + 490, currency="eur"),
    )
    context.pay_by.FromDatetime(datetime.now(UTC) + timedelta(days=1))
    return context


RunService = Callable[..., AbstractAsyncContextManager[grpc.aio.Channel]]


@pytest.fixture
def run_service() -> RunService:
    """Give a context that serves a Redis's attempts on a port of its own; keywords replace settings."""
    return _run_service


@asynccontextmanager
async def _run_service(redis_url: str, **changes: Any) -> AsyncIterator[grpc.aio.Channel]:
    told = {"redis_url": redis_url, "listen": "127.0.0.1:0", "drain_seconds": 1, "environment": "development"}
    told |= SEALING | {"durability": "none"}
    settings = CheckoutSessionSettings.model_validate(told | changes)
    masters = masters_of(settings)
    server = build_server(settings, masters)
    port = await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_CALLER_OPTIONS) as channel:
            yield channel
    finally:
        await server.stop()
        await masters.aclose()


@pytest.fixture
async def channel(valkey: RedisServer, redis: Redis) -> AsyncIterator[grpc.aio.Channel]:
    """Serve the empty Valkey's attempts."""
    # On a busy machine it may be slow to answer: that is not what these tests are about.
    async with _run_service(valkey.url, redis_timeout_seconds=10, store_timeout_seconds=30) as running:
        yield running


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> "pb_grpc.CheckoutSessionServiceAsyncStub":
    """Call the service."""
    return pb_grpc.CheckoutSessionServiceStub(channel)
