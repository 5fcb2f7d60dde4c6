"""Whether the services that the gateway needs are ready, asked over grpc.health.v1."""

from typing import Final

import grpc
from grpc_health.v1 import health_pb2

from payments_gateway.access.jwks_cache import JwksCache
from payments_gateway.checkout.catalogue_cache import CatalogueCache, CatalogueUnavailable
from servicekit.health import NotReady, ReadinessCheck

_TIMEOUT_SECONDS: Final = 1.0


def serving(name: str, channel: grpc.aio.Channel) -> ReadinessCheck:
    """Return a check that a service behind a channel reports itself as serving."""
    ask = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )

    async def check() -> None:
        try:
            answer = await ask(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as failure:
            raise NotReady(f"{name} does not answer: {failure.code().name}") from None
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise NotReady(f"{name} is not ready")

    return check


def catalogue_known(catalogue: CatalogueCache) -> ReadinessCheck:
    """Return a check that there are prices to sell by."""

    async def check() -> None:
        try:
            catalogue.current()
        except CatalogueUnavailable as missing:
            raise NotReady(str(missing)) from None

    return check


def issuer_keys_loaded(keys: JwksCache) -> ReadinessCheck:
    """Return a check that tokens can be verified since the start.

    Keys that have grown too old do not count against it: guests and webhooks need none, and every gateway would fail at
    the same time.
    """

    async def check() -> None:
        if not keys.ever_loaded:
            raise NotReady("the issuer's keys were never loaded")

    return check
