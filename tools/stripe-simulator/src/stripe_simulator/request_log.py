"""Log of received API requests, by which tests see that only the id travels (P1)."""

from collections import deque
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from stripe_simulator.forms import Form

KEPT_REQUESTS = 100_000


@dataclass(slots=True)
class ReceivedRequest:
    """One API request. `status` is null until the response, and stays null after a connection reset."""

    number: int
    request_id: str
    method: str
    path: str
    params: Form
    idempotency_key: str | None
    stripe_version: str | None
    received_at: float
    received_monotonic: float
    status: int | None = None
    replayed: bool = False


class RequestLog:
    """The newest requests."""

    def __init__(self) -> None:
        self._requests: deque[ReceivedRequest] = deque(maxlen=KEPT_REQUESTS)
        self.total = 0

    def add(self, request: ReceivedRequest) -> None:
        """Add a request. The oldest one is dropped when the log is full."""
        self._requests.append(request)
        self.total += 1

    def matching(self, method: str = "*", path: str = "*", after: int = 0) -> list[dict[str, Any]]:
        """Return requests by method, path glob and number, oldest first."""
        return [
            asdict(request)
            for request in self._requests
            if request.number > after and fnmatchcase(request.method, method) and fnmatchcase(request.path, path)
        ]
