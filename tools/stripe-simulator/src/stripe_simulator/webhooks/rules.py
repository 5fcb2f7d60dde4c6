"""What tests want to go wrong with webhooks."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stripe_simulator.collection import StripeObject


class DeliveryRule(BaseModel):
    """Which events are treated specially, how, and how often.

    `types` are globs such as `payment_intent.*`. The first rule that matches an event decides. Without a `count` the
    rule holds until it is removed.

    - `silence`: the event is never generated: no delivery, and it is missing from the list of events too.
    - `drop`: the event exists but is never delivered by itself.
    - `hold`: its deliveries wait until they are released.
    - `delay_seconds`: they start that much later.
    - `copies`: each is made so many times, all at the same moment.
    - `reverse`: so many deliveries are collected and then made one after the other, the last first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    types: tuple[str, ...] = ("*",)
    object_id: str | None = None
    count: int | None = Field(default=None, ge=1)
    silence: bool = False
    drop: bool = False
    hold: bool = False
    delay_seconds: float = Field(default=0.0, ge=0)
    copies: int = Field(default=1, ge=1, le=100)
    reverse: int = Field(default=0, ge=0)

    def matches(self, event_type: str, subject: StripeObject) -> bool:
        """Tell whether the rule is about this event."""
        if self.object_id is not None and subject.get("id") != self.object_id:
            return False
        return any(fnmatchcase(event_type, pattern) for pattern in self.types)


DELIVER_ONCE = DeliveryRule()


class ActiveRule:
    """A rule that counts the events it was applied to."""

    def __init__(self, rule_id: str, rule: DeliveryRule) -> None:
        self.id = rule_id
        self.rule = rule
        self.applied = 0

    def takes(self, event_type: str, subject: StripeObject) -> bool:
        """Count the event if the rule is about it and not used up."""
        used_up = self.rule.count is not None and self.applied >= self.rule.count
        if used_up or not self.rule.matches(event_type, subject):
            return False
        self.applied += 1
        return True

    def to_dict(self) -> dict[str, Any]:
        """Answer rule and counter for the knob API."""
        return {"id": self.id, "applied": self.applied} | self.rule.model_dump(mode="json")


class DeliveryRules:
    """The rules that are set, oldest first."""

    def __init__(self) -> None:
        self._rules: dict[str, ActiveRule] = {}
        self._made = 0

    def __iter__(self) -> Iterator[ActiveRule]:
        return iter(self._rules.values())

    def add(self, rule: DeliveryRule) -> ActiveRule:
        """Set a rule."""
        self._made += 1
        active = ActiveRule(f"rule_{self._made}", rule)
        self._rules[active.id] = active
        return active

    def remove(self, rule_id: str) -> None:
        """Take a rule away; KeyError if there is none."""
        del self._rules[rule_id]

    def clear(self) -> None:
        """Take all rules away."""
        self._rules.clear()

    def silences(self, event_type: str, subject: StripeObject) -> bool:
        """Tell whether the event is never to be generated."""
        return any(each.rule.silence and each.takes(event_type, subject) for each in self)

    def for_event(self, event: StripeObject) -> DeliveryRule:
        """Answer the rule for an event that was generated."""
        subject = event["data"]["object"]
        for each in self:
            if not each.rule.silence and each.takes(event["type"], subject):
                return each.rule
        return DELIVER_ONCE
