"""Deliveries of events to webhook endpoints, and the log of every attempt."""

from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

KEPT_ATTEMPTS = 200_000


class DeliveryState(StrEnum):
    """State of a delivery."""

    PENDING = "pending"
    HELD = "held"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


_FINAL = (DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.DROPPED)


@dataclass(slots=True, eq=False)
class Delivery:
    """One copy of one event for one endpoint."""

    id: str
    event_id: str
    event_type: str
    object_id: str | None
    endpoint_id: str
    copy: int
    body: bytes = field(repr=False)
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    first_failed_at: float | None = None
    """Simulated time of the first attempt, if it failed."""
    acknowledged_at: float | None = None
    """Simulated time of the 2xx response."""

    def to_dict(self) -> dict[str, Any]:
        """Return the delivery for the control API, without the event's content."""
        return {
            "id": self.id,
            "event_id": self.event_id,
            "event_type": self.event_type,
            "object_id": self.object_id,
            "endpoint_id": self.endpoint_id,
            "copy": self.copy,
            "state": self.state,
            "attempts": self.attempts,
        }


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a delivery. `status` is null where no response came; `error` then names the failure.

    The monotonic times show which attempts overlapped.
    """

    delivery_id: str
    event_id: str
    event_type: str
    object_id: str | None
    endpoint_id: str
    copy: int
    number: int
    started_at: float
    finished_at: float
    started_monotonic: float
    finished_monotonic: float
    status: int | None
    error: str | None = None


class DeliveryLog:
    """Every delivery and every attempt."""

    def __init__(self) -> None:
        self._deliveries: dict[str, Delivery] = {}
        self._by_event: dict[str, list[Delivery]] = {}
        self._attempts: deque[Attempt] = deque(maxlen=KEPT_ATTEMPTS)
        self._states: Counter[DeliveryState] = Counter()

    def add(self, delivery: Delivery) -> None:
        """Add a delivery."""
        self._deliveries[delivery.id] = delivery
        self._by_event.setdefault(delivery.event_id, []).append(delivery)
        self._states[delivery.state] += 1

    def move(self, delivery: Delivery, state: DeliveryState) -> None:
        """Record the new state of a delivery."""
        self._states[delivery.state] -= 1
        delivery.state = state
        self._states[state] += 1
        if state in _FINAL:
            delivery.body = b""  # under load the bodies would fill the memory

    def add_attempt(self, attempt: Attempt) -> None:
        """Add a finished attempt."""
        self._attempts.append(attempt)

    def counts(self) -> dict[str, int]:
        """Return the number of deliveries in each state."""
        return {state: self._states[state] for state in DeliveryState}

    def of_event(self, event_id: str) -> list[Delivery]:
        """Return the deliveries of an event, redeliveries included."""
        return self._by_event.get(event_id, [])

    def deliveries(self, **wanted: str | None) -> list[Delivery]:
        """Return the deliveries with these field values, oldest first."""
        filters = {name: value for name, value in wanted.items() if value is not None}
        return [each for each in self._deliveries.values() if _matches(each.to_dict(), filters)]

    def attempts(self, **wanted: str | None) -> list[dict[str, Any]]:
        """Return the finished attempts with these field values, oldest first."""
        filters = {name: value for name, value in wanted.items() if value is not None}
        return [shown for shown in map(asdict, self._attempts) if _matches(shown, filters)]


def _matches(shown: dict[str, Any], filters: dict[str, str]) -> bool:
    return all(shown[name] == value for name, value in filters.items())
