"""Metrics: what Prometheus reads. Labels are method names and outcomes, never ids or personal data (P7)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import Counter, Histogram, start_http_server

GRPC_HANDLED: Final = Counter("grpc_server_handled", "Calls answered, by method and status code.", ["method", "code"])
GRPC_SECONDS: Final = Histogram("grpc_server_handling_seconds", "Seconds to answer a call, by method.", ["method"])


@contextmanager
def metrics_served(listen: str | None) -> Iterator[int | None]:
    """Serve the process's metrics at /metrics while the context lasts; yields the port, or None if listen is unset."""
    if listen is None:
        yield None
        return
    host, _, port = listen.rpartition(":")
    server, thread = start_http_server(int(port), host.strip("[]"))
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
