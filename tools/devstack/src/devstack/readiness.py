"""Readiness checks, made as a load balancer makes them."""

import http.client
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from devstack import json_http
from devstack.certificates import CertificateFolder
from devstack.ports import LOOPBACK

_ANSWER_SECONDS = 5.0
_HTTP_OK = 200


def grpc_is_serving(port: int, certificates: CertificateFolder | None = None) -> bool:
    """Return true if grpc.health.v1 answers SERVING, over mutual TLS if there are certificates."""
    with _channel(f"{LOOPBACK}:{port}", certificates) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=_ANSWER_SECONDS)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _channel(address: str, certificates: CertificateFolder | None) -> grpc.Channel:
    options = [("grpc.enable_http_proxy", 0)]
    if certificates is None:
        return grpc.insecure_channel(address, options=options)
    # Any certificate of the authority may ask for health.
    key, certificate = certificates.key_of("unauthorized-client"), certificates.certificate_of("unauthorized-client")
    credentials = grpc.ssl_channel_credentials(
        certificates.authorities.read_bytes(), key.read_bytes(), certificate.read_bytes()
    )
    return grpc.secure_channel(address, credentials, options=options)


def gateway_is_ready(port: int) -> bool:
    """Return true if GET /readyz answers 200."""
    return _answers_ok(port, "/readyz")


def simulator_is_ready(port: int) -> bool:
    """Return true if the simulator's health check answers 200."""
    return _answers_ok(port, "/_simulator/health")


def _answers_ok(port: int, path: str) -> bool:
    try:
        return json_http.send("GET", f"http://{LOOPBACK}:{port}{path}", seconds=_ANSWER_SECONDS).status == _HTTP_OK
    except (OSError, http.client.HTTPException):
        return False
