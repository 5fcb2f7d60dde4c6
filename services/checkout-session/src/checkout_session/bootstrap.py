"""Builds the service from its settings."""

from datetime import UTC, datetime
from typing import Final

from checkout.session.v1 import checkout_session_pb2_grpc as pb_grpc
from checkout_session.api.servicer import CRITICALITY, DOMAIN, ERRORS, SERVICE_NAME, CheckoutSessionServicer
from checkout_session.domain.save_attempt import AttemptSaver
from checkout_session.redis_backend.attempt_store import RedisAttemptStore, Retention
from checkout_session.redis_backend.connection import Limits
from checkout_session.redis_backend.due_attempts import RedisDueAttempts
from checkout_session.redis_backend.primaries import Primaries
from checkout_session.redis_backend.readiness import RedisReadiness
from checkout_session.redis_backend.topology import open_primaries
from checkout_session.settings import CheckoutSessionSettings
from servicekit.certificates import Certificates
from servicekit.encryption import warn_if_unencrypted
from servicekit.grpc_server import GrpcServer, MutualTls
from servicekit.metrics import metrics_served
from servicekit.settings import warn_of_plaintext

_OVERSIZE_MARGIN_BYTES: Final = 1024 * 1024
"""Size by which a message may exceed the attempt's limit and still be answered by name instead of by gRPC itself."""


async def run(settings: CheckoutSessionSettings) -> None:
    """Serve until a signal."""
    warn_if_unencrypted(settings.keyring)
    warn_of_plaintext(settings)
    primaries = build_primaries(settings)
    try:
        server = build_server(settings, primaries)
        with metrics_served(settings.metrics_listen, server.probes):
            await server.serve()
    finally:
        await primaries.aclose()


def build_primaries(settings: CheckoutSessionSettings) -> Primaries:
    """Return the connections to Redis; the caller closes them."""
    return open_primaries(
        settings.redis_url.get_secret_value(),
        settings.durability_policy,
        Limits(settings.redis_max_connections, settings.redis_timeout_seconds, settings.store_timeout_seconds),
        Certificates("redis", settings.redis_tls) if settings.redis_tls else None,
    )


def build_server(settings: CheckoutSessionSettings, primaries: Primaries) -> GrpcServer:
    """Return the gRPC server, ready to start."""
    retention = Retention(attempt_ttl=settings.attempt_ttl, first_check=settings.first_check)
    timeout_seconds = settings.store_timeout_seconds
    store = RedisAttemptStore(primaries, retention, keyring=settings.keyring, timeout_seconds=timeout_seconds)
    due = RedisDueAttempts(primaries, retention, timeout_seconds=timeout_seconds)
    saver = AttemptSaver(store, now=_now, max_attempt_bytes=settings.max_attempt_bytes)
    readiness = RedisReadiness(primaries, settings.durability_policy, timeout_seconds=timeout_seconds)
    server = GrpcServer(
        service_name=SERVICE_NAME,
        listen=settings.listen,
        errors=ERRORS,
        domain=DOMAIN,
        max_in_flight=settings.max_in_flight,
        criticality=CRITICALITY,
        readiness=[readiness.check],
        with_reflection=settings.in_development,
        lame_duck_seconds=settings.lame_duck_seconds,
        drain_seconds=settings.drain_seconds,
        tls=MutualTls.with_files(settings.tls, settings.tls_client_names),
        max_message_bytes=settings.max_attempt_bytes + _OVERSIZE_MARGIN_BYTES,
    )
    pb_grpc.add_CheckoutSessionServiceServicer_to_server(CheckoutSessionServicer(saver, store, due), server.grpc)
    return server


def _now() -> datetime:
    return datetime.now(UTC)
