"""One Stripe account: everything that the simulated API knows, and the events it publishes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stripe_simulator.clock import Clock
from stripe_simulator.collection import Collection, StripeObject
from stripe_simulator.identifiers import Identifiers
from stripe_simulator.scheduler import Scheduler
from stripe_simulator.settings import SimulatorSettings


@dataclass(frozen=True, slots=True)
class Cause:
    """The API request that is being executed; an event names it."""

    request_id: str | None = None
    idempotency_key: str | None = None


_NO_REQUEST = Cause()
Subscriber = Callable[[StripeObject], None]
Watcher = Callable[[StripeObject, StripeObject], None]


class Account:
    """Holds the collections and publishes an event for each change that Stripe would tell about."""

    def __init__(self, settings: SimulatorSettings, clock: Clock, kinds: dict[str, str]) -> None:
        self.settings = settings
        self.clock = clock
        self.ids = Identifiers(settings.seed)
        self.scheduler = Scheduler(clock)
        self.collections = {name: Collection(kind) for name, kind in kinds.items()}
        # What an object has but only shows when it is expanded, and what no answer ever shows.
        self.includable: dict[tuple[str, str], Any] = {}
        self.secrets: dict[str, Any] = {}
        self._cause = _NO_REQUEST
        self._subscribers: list[Subscriber] = []
        self._watchers: dict[str, Watcher] = {}
        self._silenced: Callable[[str, StripeObject], bool] = lambda _type, _object: False

    def __getitem__(self, name: str) -> Collection:
        return self.collections[name]

    def subscribe(self, subscriber: Subscriber) -> None:
        """Have every event, once it is stored, handed to the subscriber."""
        self._subscribers.append(subscriber)

    def watch(self, name: str, watcher: Watcher) -> None:
        """Have every change in a collection, once it is stored and published, handed over as it was and as it is."""
        self._watchers[name] = watcher

    def silence(self, silenced: Callable[[str, StripeObject], bool]) -> None:
        """Set the judge of which events are never generated."""
        self._silenced = silenced

    @contextmanager
    def caused_by(self, cause: Cause) -> Iterator[None]:
        """Name the request in the events that are published inside."""
        self._cause = cause
        try:
            yield
        finally:
            self._cause = _NO_REQUEST

    def change(self, name: str, stored: StripeObject, event_type: str | None = None, /, **changes: Any) -> StripeObject:
        """Store an object with changed fields, and publish the event if one is named.

        A `*.updated` event carries `previous_attributes`, as at Stripe, and is left out when nothing changed.
        """
        changed = self[name].replace({**stored, **changes})
        if event_type is not None:
            self._tell(event_type, stored, changed, changes)
        if name in self._watchers:
            self._watchers[name](stored, changed)
        return changed

    def _tell(self, event_type: str, stored: StripeObject, changed: StripeObject, changes: Mapping[str, Any]) -> None:
        previous = {field: stored.get(field) for field in changes if stored.get(field) != changed[field]}
        if not event_type.endswith(".updated"):
            self.publish(event_type, changed)
        elif previous:
            self.publish(event_type, changed, previous)

    def publish(self, event_type: str, subject: StripeObject, previous: StripeObject | None = None) -> None:
        """Store an event with the object as it is now and hand it to the subscribers."""
        if self._silenced(event_type, subject):
            return
        data: StripeObject = {"object": subject}
        if previous:
            data["previous_attributes"] = previous
        event = self["events"].add(self._event(event_type, data))
        for subscriber in self._subscribers:
            subscriber(event)

    def _event(self, event_type: str, data: StripeObject) -> StripeObject:
        return {
            "id": self.ids.new("evt"),
            "object": "event",
            "api_version": self.settings.api_version,
            "created": self.clock.timestamp(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": self._cause.request_id, "idempotency_key": self._cause.idempotency_key},
            "type": event_type,
        }
