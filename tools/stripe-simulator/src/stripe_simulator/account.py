"""One Stripe account: its collections of objects, and the events it publishes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from stripe_simulator.clock import Clock
from stripe_simulator.collection import Collection, StripeObject, without_absent
from stripe_simulator.identifiers import Identifiers
from stripe_simulator.scheduler import Scheduler
from stripe_simulator.settings import SimulatorSettings
from stripe_simulator.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Cause:
    """The API request in progress, which events name."""

    request_id: str | None = None
    idempotency_key: str | None = None


_NO_REQUEST = Cause()
_WITH_PREVIOUS: Final = frozenset({"charge.refunded", "payment_method.detached"})
"""Other than `*.updated`. Stripe does not list them; of the second one see
https://github.com/davidmerfield/blot/pull/1869, whose event would not tell otherwise whose card it was."""
Subscriber = Callable[[StripeObject], None]
Watcher = Callable[[StripeObject, StripeObject], None]


class Account:
    """The collections. Publishes an event for each change that Stripe publishes one for."""

    def __init__(self, settings: SimulatorSettings, clock: Clock, kinds: dict[str, str]) -> None:
        self.settings = settings
        self.clock = clock
        self.ids = Identifiers(settings.seed)
        self.scheduler = Scheduler(clock)
        self.collections = {name: Collection(kind) for name, kind in kinds.items()}
        # Fields that only expansion shows, and data that no response shows.
        self.includable: dict[tuple[str, str], Any] = {}
        self.secrets: dict[str, Any] = {}
        self.tombstones: dict[str, StripeObject] = {}
        self._cause = _NO_REQUEST
        # Simulated time since when every endpoint has acknowledged an event, or None. Webhooks set it.
        self.acknowledged_at: Callable[[StripeObject], float | None] = lambda event: event["created"]
        self._subscribers: list[Subscriber] = []
        self._unsent: list[StripeObject] | None = None
        self._watchers: dict[str, Watcher] = {}

    def __getitem__(self, name: str) -> Collection:
        return self.collections[name]

    @property
    def livemode(self) -> bool:
        """True in live mode, which the secret key is of."""
        return self.settings.livemode

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call the subscriber with every event once it is stored."""
        self._subscribers.append(subscriber)

    def watch(self, name: str, watcher: Watcher) -> None:
        """Call the watcher with the old and new state after every change in a collection."""
        self._watchers[name] = watcher

    @contextmanager
    def caused_by(self, cause: Cause) -> Iterator[None]:
        """Name the request in the events published inside the block."""
        self._cause = cause
        try:
            yield
        finally:
            self._cause = _NO_REQUEST

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Undo what the block did if it raises. Its events are sent at the end."""
        before, self._unsent = Snapshot(self), []
        try:
            yield
        except BaseException:
            before.restore()
            self._unsent = None
            raise
        events, self._unsent = self._unsent, None
        for event in events:
            self._send(event)

    def change(self, name: str, stored: StripeObject, event_type: str | None = None, /, **changes: Any) -> StripeObject:
        """Store an object with changed fields and publish the event, if any.

        A `*.updated` event has `previous_attributes` and is not published when nothing changed, as at Stripe. A few
        others have them too.
        """
        changed = self[name].replace(without_absent({**stored, **changes}))
        if event_type is not None:
            self._publish_change(event_type, stored, changed)
        if name in self._watchers:
            self._watchers[name](stored, changed)
        return changed

    def _publish_change(self, event_type: str, stored: StripeObject, changed: StripeObject) -> None:
        if event_type.endswith(".updated"):
            self.publish_update(event_type, stored, changed)
        else:
            previous = _previous_attributes(stored, changed) if event_type in _WITH_PREVIOUS else None
            self.publish(event_type, changed, previous)

    def publish_update(self, event_type: str, before: StripeObject, after: StripeObject) -> None:
        """Publish an event with `previous_attributes`, unless nothing changed."""
        previous = _previous_attributes(before, after)
        if previous:
            self.publish(event_type, after, previous)

    def publish(self, event_type: str, subject: StripeObject, previous: StripeObject | None = None) -> StripeObject:
        """Store an event with a snapshot of the object and call the subscribers. Return the event."""
        data: StripeObject = {"object": subject}
        if previous:
            data["previous_attributes"] = previous
        event = self["events"].add(self._event(event_type, data))
        if self._unsent is None:
            self._send(event)
        else:
            self._unsent.append(event)
        return event

    def _send(self, event: StripeObject) -> None:
        for subscriber in self._subscribers:
            subscriber(event)

    def _event(self, event_type: str, data: StripeObject) -> StripeObject:
        return {
            "id": self.ids.new("evt"),
            "object": "event",
            "api_version": self.settings.api_version,
            "created": self.clock.timestamp(),
            "data": data,
            "livemode": self.livemode,
            "pending_webhooks": 0,
            "request": {"id": self._cause.request_id, "idempotency_key": self._cause.idempotency_key},
            "type": event_type,
        }


def _previous_attributes(before: StripeObject, after: StripeObject) -> StripeObject:
    """Return the old values of what changed. Of a nested object only its changed fields, of a list all of it.

    See https://docs.stripe.com/api/events/object#event_object-data-previous_attributes.
    """
    previous: StripeObject = {}
    for field in {**after, **before}:
        old, new = before.get(field), after.get(field)
        if old != new:
            nested = isinstance(old, dict) and isinstance(new, dict)
            previous[field] = _previous_attributes(old, new) if nested else old  # type: ignore[arg-type]  # both are
    return previous
