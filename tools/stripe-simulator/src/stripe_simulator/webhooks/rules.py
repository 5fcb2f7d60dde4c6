"""Webhook rules, by which tests drop, hold, delay or duplicate deliveries."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stripe_simulator.collection import StripeObject


class DeliveryRule(BaseModel):
    """Selection of events and the way they are delivered.

    `types` are globs such as `payment_intent.*`. The first rule that matches an event decides. A rule without a `count`
    applies until it is removed.

    - `drop`: the event is stored and never delivered by itself.
    - `hold`: deliveries wait for their release.
    - `delay_seconds`: deliveries start later.
    - `copies`: each delivery is made this many times concurrently.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    types: tuple[str, ...] = ("*",)
    object_id: str | None = None
    count: int | None = Field(default=None, ge=1)
    drop: bool = False
    hold: bool = False
    delay_seconds: float = Field(default=0.0, ge=0)
    copies: int = Field(default=1, ge=1, le=100)

    def matches(self, event: StripeObject) -> bool:
        """Return true if the rule covers the event."""
        if self.object_id not in (None, event["data"]["object"].get("id")):
            return False
        return any(fnmatchcase(event["type"], pattern) for pattern in self.types)


DELIVER_ONCE = DeliveryRule()


class ActiveRule:
    """A rule with the number of events it was applied to."""

    def __init__(self, rule_id: str, rule: DeliveryRule) -> None:
        self.id = rule_id
        self.rule = rule
        self.applied = 0

    def apply_to(self, event: StripeObject) -> bool:
        """Count the event and return true, if the rule covers it and is not used up."""
        used_up = self.rule.count is not None and self.applied >= self.rule.count
        if used_up or not self.rule.matches(event):
            return False
        self.applied += 1
        return True

    def to_dict(self) -> dict[str, Any]:
        """Return the rule and its counter for the control API."""
        return {"id": self.id, "applied": self.applied} | self.rule.model_dump(mode="json")


class DeliveryRules:
    """The active rules, oldest first."""

    def __init__(self) -> None:
        self._rules: list[ActiveRule] = []
        self._created = 0

    def __iter__(self) -> Iterator[ActiveRule]:
        return iter(self._rules)

    def add(self, rule: DeliveryRule) -> ActiveRule:
        """Add a rule."""
        self._created += 1
        active = ActiveRule(f"rule_{self._created}", rule)
        self._rules.append(active)
        return active

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()

    def for_event(self, event: StripeObject) -> DeliveryRule:
        """Return the rule for an event, or the default."""
        return next((each.rule for each in self if each.apply_to(event)), DELIVER_ONCE)
