"""Metrics are served where the settings say, for as long as the service runs."""

import urllib.error
import urllib.request
from functools import partial

import pytest

from servicekit.metrics import GRPC_HANDLED, metrics_served


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0"])
def test_counters_are_served_as_prometheus_reads_them(listen: str) -> None:
    """A scrape shows what was counted."""
    GRPC_HANDLED.labels("/test.Echo/Metrics", "OK").inc()

    with metrics_served(listen) as port:
        page = _scrape(port)

    assert 'grpc_server_handled_total{code="OK",method="/test.Echo/Metrics"}' in page


def test_the_endpoint_ends_with_the_context() -> None:
    """Nothing is left listening."""
    with metrics_served("127.0.0.1:0") as port:
        _scrape(port)

    with pytest.raises(urllib.error.URLError):
        _scrape(port)


def test_unset_serves_none() -> None:
    """Who does not ask for metrics opens no port."""
    with metrics_served(None) as port:
        assert port is None


def test_a_port_in_use_is_refused() -> None:
    """A service that nobody could scrape does not start."""
    with metrics_served("127.0.0.1:0") as port, pytest.raises(OSError, match="in use"):
        metrics_served(f"127.0.0.1:{port}").__enter__()


def _scrape(port: int | None) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read(), "utf-8")


def test_probes_are_answered_beside_the_metrics() -> None:
    """By status alone, so that a kubelet, which has no certificate, can ask."""
    well = {"/livez": True, "/readyz": False}

    with metrics_served("127.0.0.1:0", {path: partial(well.__getitem__, path) for path in well}) as port:
        before = _status(port, "/livez"), _status(port, "/readyz")
        well["/readyz"] = True
        after = _status(port, "/readyz")

    assert (before, after) == ((200, 503), 200)


def _status(port: int | None, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code
