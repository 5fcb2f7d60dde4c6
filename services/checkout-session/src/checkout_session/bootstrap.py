"""Builds the service, once, from its settings."""

from datetime import UTC, datetime
from typing import Final

from redis.asyncio import Redis

from checkout.session.v1 import checkout_session_pb2_grpc as pb_grpc
from checkout_session.redis_readiness import RedisReadiness
from checkout_session.redis_store import RedisAttempts, Retention, connect
from checkout_session.saving import AttemptSaver
from checkout_session.servicer import DOMAIN, ERRORS, SERVICE_NAME, CheckoutSessionServicer
from checkout_session.settings import CheckoutSessionSettings
from servicekit.grpc_server import GrpcServer
from servicekit.metrics import metrics_served

_ROOM_TO_REFUSE_BYTES: Final = 1024 * 1024
"""How far over the attempt's limit a message may be and still be refused by name instead of by gRPC itself."""


async def run(settings: CheckoutSessionSettings) -> None:
    """Serve until told to stop."""
    redis = open_redis(settings)
    try:
        with metrics_served(settings.metrics_listen):
            await build_server(settings, redis).serve()
    finally:
        await redis.aclose()


def open_redis(settings: CheckoutSessionSettings) -> Redis:
    """Return the process's one Redis client; the caller closes it."""
    return connect(
        settings.redis_url.get_secret_value(),
        max_connections=settings.redis_max_connections,
        timeout_seconds=settings.redis_timeout_seconds,
    )


def build_server(settings: CheckoutSessionSettings, redis: Redis) -> GrpcServer:
    """Return the gRPC server, ready to start."""
    store = RedisAttempts(
        redis,
        Retention(attempt_ttl=settings.attempt_ttl, first_check=settings.first_check),
        timeout_seconds=settings.store_timeout_seconds,
    )
    saver = AttemptSaver(store, clock=_now, max_attempt_bytes=settings.max_attempt_bytes)
    server = GrpcServer(
        service_name=SERVICE_NAME,
        listen=settings.listen,
        errors=ERRORS,
        domain=DOMAIN,
        readiness=[RedisReadiness(redis, timeout_seconds=settings.store_timeout_seconds).check],
        with_reflection=settings.in_development,
        drain_seconds=settings.drain_seconds,
        max_message_bytes=settings.max_attempt_bytes + _ROOM_TO_REFUSE_BYTES,
    )
    pb_grpc.add_CheckoutSessionServiceServicer_to_server(CheckoutSessionServicer(saver, store), server.grpc)
    return server


def _now() -> datetime:
    return datetime.now(UTC)
