"""Prometheus metrics. Labels are method names and outcomes, never ids or personal data (P7)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import Counter, Gauge, Histogram, make_wsgi_app, start_http_server

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

GRPC_REQUESTS: Final = Counter(
    "holdfast_grpc_requests", "gRPC requests answered, by method and status code.", ["method", "code"]
)
GRPC_REQUEST_SECONDS: Final = Histogram(
    "holdfast_grpc_request_seconds", "Seconds to answer a gRPC request, by method.", ["method"]
)
GRPC_IN_FLIGHT: Final = Gauge("holdfast_grpc_requests_in_flight", "gRPC requests that are not answered yet.")
CERTIFICATE_EXPIRY: Final = Gauge(
    "holdfast_certificate_expiry_timestamp_seconds", "Expiry of the TLS certificate in force, by its use.", ["use"]
)

Probe = Callable[[], bool]
"""Health probe; True for healthy. Called in another thread."""


@contextmanager
def metrics_served(listen: str | None, probes: Mapping[str, Probe] | None = None) -> Iterator[int | None]:
    """Serve the process's metrics at /metrics, and probes by path, while the context lasts.

    A probe is answered with 200 or 503 and an empty body. Yields the port, or None if listen is unset.
    """
    if listen is None:
        yield None
        return
    host, _, port = listen.rpartition(":")
    server, thread = start_http_server(int(port), host.strip("[]"))
    server.set_app(_with_probes(make_wsgi_app(), probes or {}))
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _with_probes(metrics: Any, probes: Mapping[str, Probe]) -> "WSGIApplication":
    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        probe = probes.get(environ["PATH_INFO"])
        if probe is None:
            page: Iterable[bytes] = metrics(environ, start_response)
            return page
        start_response("200 OK" if probe() else "503 Service Unavailable", [("Content-Length", "0")])
        return ()

    return answer
