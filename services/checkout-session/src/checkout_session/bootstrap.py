"""Builds the service, once, from its settings."""

from datetime import UTC, datetime
from typing import Final

from checkout.session.v1 import checkout_session_pb2_grpc as pb_grpc
from checkout_session.api.servicer import DOMAIN, ERRORS, SERVICE_NAME, CheckoutSessionServicer
from checkout_session.domain.save_attempt import AttemptSaver
from checkout_session.redis_backend.attempt_store import RedisAttempts, Retention
from checkout_session.redis_backend.primaries import Masters
from checkout_session.redis_backend.readiness import RedisReadiness
from checkout_session.redis_backend.topology import Limits, open_masters
from checkout_session.settings import CheckoutSessionSettings
from servicekit.certificates import Certificates
from servicekit.encryption import warn_if_unencrypted
from servicekit.grpc_server import GrpcServer, MutualTls
from servicekit.metrics import metrics_served
from servicekit.settings import warn_of_plaintext

_ROOM_TO_REFUSE_BYTES: Final = 1024 * 1024
"""How far over the attempt's limit a message may be and still be refused by name instead of by gRPC itself."""


async def run(settings: CheckoutSessionSettings) -> None:
    """Serve until told to stop."""
    warn_if_unencrypted(settings.keyring)
    warn_of_plaintext(settings)
    masters = masters_of(settings)
    try:
        server = build_server(settings, masters)
        with metrics_served(settings.metrics_listen, server.probes):
            await server.serve()
    finally:
        await masters.aclose()


def masters_of(settings: CheckoutSessionSettings) -> Masters:
    """Return the process's one way to the servers that keep the attempts; the caller closes it."""
    return open_masters(
        settings.redis_url.get_secret_value(),
        settings.kept,
        Limits(settings.redis_max_connections, settings.redis_timeout_seconds, settings.store_timeout_seconds),
        Certificates("redis", settings.redis_tls) if settings.redis_tls else None,
    )


def build_server(settings: CheckoutSessionSettings, masters: Masters) -> GrpcServer:
    """Return the gRPC server, ready to start."""
    store = RedisAttempts(
        masters,
        Retention(attempt_ttl=settings.attempt_ttl, first_check=settings.first_check),
        keyring=settings.keyring,
        timeout_seconds=settings.store_timeout_seconds,
    )
    saver = AttemptSaver(store, clock=_now, max_attempt_bytes=settings.max_attempt_bytes)
    server = GrpcServer(
        service_name=SERVICE_NAME,
        listen=settings.listen,
        errors=ERRORS,
        domain=DOMAIN,
        readiness=[RedisReadiness(masters, settings.kept, timeout_seconds=settings.store_timeout_seconds).check],
        with_reflection=settings.in_development,
        drain_seconds=settings.drain_seconds,
        tls=MutualTls.with_files(settings.tls, settings.tls_client_names),
        max_message_bytes=settings.max_attempt_bytes + _ROOM_TO_REFUSE_BYTES,
    )
    pb_grpc.add_CheckoutSessionServiceServicer_to_server(CheckoutSessionServicer(saver, store), server.grpc)
    return server


def _now() -> datetime:
    return datetime.now(UTC)
