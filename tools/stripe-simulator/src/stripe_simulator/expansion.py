"""`expand[]`: puts whole objects where an answer has only their ids (https://docs.stripe.com/api/expanding_objects)."""

from collections.abc import Iterable, Mapping
from typing import Any

from stripe_simulator.account import Account
from stripe_simulator.collection import StripeObject
from stripe_simulator.endpoints import Resource
from stripe_simulator.problems import StripeProblem, invalid

MAX_DEPTH = 4


class Expander:
    """Knows which fields of which kinds of object can be expanded."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._fields: Mapping[str, Mapping[str, str | None]] = {each.kind: each.expandable for each in resources}

    def expand(self, account: Account, answer: StripeObject, paths: Iterable[str]) -> StripeObject:
        """Answer a copy of the answer with every path expanded; what is stored stays as it is."""
        for path in paths:
            steps = path.split(".")
            if len(steps) > MAX_DEPTH:
                raise invalid(f"You cannot expand more than {MAX_DEPTH} levels of a property: {path}.", param="expand")
            answer = self._along(account, answer, steps, path)
        return answer

    def _along(self, account: Account, place: Any, steps: list[str], path: str) -> Any:
        if not steps or place is None:
            return place
        step, rest = steps[0], steps[1:]
        if place.get("object") == "list":
            if step != "data" or not rest:
                raise _cannot(step)
            return place | {"data": [self._along(account, each, rest, path) for each in place["data"]]}
        return place | {step: self._along(account, self._value(account, place, step), rest, path)}

    def _value(self, account: Account, place: StripeObject, step: str) -> Any:
        expandable = self._fields.get(place.get("object", ""), {})
        if step not in expandable:
            raise _cannot(step)
        collection = expandable[step]
        if collection is None:
            return account.includable.get((place["id"], step))
        value = place.get(step)
        return account[collection].find(value) or value if isinstance(value, str) else value


def _cannot(step: str) -> StripeProblem:
    return invalid(
        f"This property cannot be expanded ({step}). You may want to try expanding 'data.{step}' instead.",
        param="expand",
    )
