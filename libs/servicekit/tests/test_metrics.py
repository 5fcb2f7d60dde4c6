"""Metrics and probes are served where the settings say, for as long as the service runs."""

import urllib.error
import urllib.request

import pytest

from servicekit.metrics import GRPC_REQUESTS, metrics_served


def _get(port: int | None, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, str(answer.read(), "utf-8")
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, ""


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0"])
def test_counters_are_served_until_the_context_ends(listen: str) -> None:
    """A scrape shows them, and nothing is left listening."""
    GRPC_REQUESTS.labels("/test.Echo/Metrics", "OK").inc()

    with metrics_served(listen) as port:
        _, page = _get(port, "/metrics")

    assert 'holdfast_grpc_requests_total{code="OK",method="/test.Echo/Metrics"}' in page
    with pytest.raises(urllib.error.URLError):
        _get(port, "/metrics")


def test_unset_serves_none() -> None:
    """A service without the setting opens no port."""
    with metrics_served(None) as port:
        assert port is None


def test_a_port_in_use_is_refused() -> None:
    """A service that cannot be scraped does not start."""
    with metrics_served("127.0.0.1:0") as port, pytest.raises(OSError, match="in use"):
        metrics_served(f"127.0.0.1:{port}").__enter__()


def test_probes_are_answered_by_status() -> None:
    """A kubelet has no certificate, so it asks here."""
    with metrics_served("127.0.0.1:0", {"/livez": lambda: True, "/readyz": lambda: False}) as port:
        answers = _get(port, "/livez"), _get(port, "/readyz")

    assert answers == ((200, ""), (503, ""))
