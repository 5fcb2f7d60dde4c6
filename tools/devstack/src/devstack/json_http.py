"""JSON over HTTP to a loopback address, never through a proxy of the machine."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: Any
    """Decoded JSON; None when the body is something else."""


def send(
    method: str, url: str, *, data: bytes | None = None, headers: Mapping[str, str] | None = None, seconds: float = 30.0
) -> Answer:
    """Send a request and return the answer, whatever its status. Raises OSError when none comes."""
    request = urllib.request.Request(url, data=data, headers=dict(headers or {}), method=method)  # noqa: S310 - our URL
    try:
        with _direct.open(request, timeout=seconds) as response:
            return Answer(response.status, _decoded(response.read()))
    except urllib.error.HTTPError as refusal:
        with refusal:
            return Answer(refusal.code, _decoded(refusal.read()))


def send_json(method: str, url: str, body: object, *, headers: Mapping[str, str] | None = None) -> Answer:
    """Send a JSON body."""
    return send(
        method, url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json", **(headers or {})}
    )


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
