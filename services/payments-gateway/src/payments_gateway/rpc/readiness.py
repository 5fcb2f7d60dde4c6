"""Readiness of the services that the gateway calls, asked over grpc.health.v1."""

from typing import Final

import grpc
from grpc_health.v1 import health_pb2

from servicekit.health import NotReady, ReadinessCheck

_TIMEOUT_SECONDS: Final = 1.0


def serving(name: str, channel: grpc.aio.Channel) -> ReadinessCheck:
    """Return a check that the service behind a channel reports SERVING."""
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


def until_passed(check: ReadinessCheck) -> ReadinessCheck:
    """Return a check that passes for good once it has passed: a wrong address or certificate is found at the start."""
    has_passed = False

    async def check_once() -> None:
        nonlocal has_passed
        if not has_passed:
            await check()
            has_passed = True

    return check_once
