"""Metrics: what Prometheus reads. Labels are method names and outcomes, never ids or personal data (P7)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import Counter, Gauge, Histogram, make_wsgi_app, start_http_server

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

GRPC_HANDLED: Final = Counter("grpc_server_handled", "Calls answered, by method and status code.", ["method", "code"])
GRPC_SECONDS: Final = Histogram("grpc_server_handling_seconds", "Seconds to answer a call, by method.", ["method"])
CERTIFICATE_EXPIRY: Final = Gauge(
    "tls_certificate_expiry_timestamp_seconds", "When the certificate in force ends, by what it is used for.", ["use"]
)

Probe = Callable[[], bool]
"""Whether all is well, asked by whoever restarts processes or sends them work. Called in another thread."""


@contextmanager
def metrics_served(listen: str | None, probes: Mapping[str, Probe] | None = None) -> Iterator[int | None]:
    """Serve the process's metrics at /metrics, and probes by path, while the context lasts.

    A probe is answered 200 or 503, without a word more. Yields the port, or None if listen is unset.
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
