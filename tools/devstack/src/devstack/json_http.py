"""JSON over HTTP to loopback addresses, ignoring the machine's proxy settings."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class JsonResponse:
    """Status and body of a response."""

    status: int
    body: Any
    """Decoded JSON. None for another body."""


def send(
    method: str, url: str, *, data: bytes | None = None, headers: Mapping[str, str] | None = None, seconds: float = 30.0
) -> JsonResponse:
    """Send a request and return the response, whatever its status. Raises OSError without a response."""
    request = urllib.request.Request(url, data=data, headers=dict(headers or {}), method=method)  # noqa: S310 - our URL
    try:
        with _direct.open(request, timeout=seconds) as response:
            return JsonResponse(response.status, _decoded(response.read()))
    except urllib.error.HTTPError as error:
        with error:
            return JsonResponse(error.code, _decoded(error.read()))


def send_json(method: str, url: str, body: object, *, headers: Mapping[str, str] | None = None) -> JsonResponse:
    """Send a JSON body."""
    return send(
        method, url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json", **(headers or {})}
    )


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
