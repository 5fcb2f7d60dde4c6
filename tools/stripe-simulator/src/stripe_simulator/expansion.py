"""Expansion of ids to objects by `expand[]` (https://docs.stripe.com/api/expanding_objects)."""

from collections.abc import Iterable, Mapping
from typing import Any

from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.collection import StripeObject
from stripe_simulator.endpoints import Expandable, ExpandableFields, Resource

MAX_DEPTH = 4


class Expander:
    """Expands the expandable fields of each kind of object."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        resources = tuple(resources)
        self._fields = {each.kind: each.expandable for each in resources}
        self._kinds = {each.collection: each.kind for each in resources}

    def check(self, kind: str, paths: Iterable[str], *, in_list: bool) -> None:
        """Refuse an invalid path, before anything is executed."""
        for path in paths:
            steps = path.split(".")
            if len(steps) > MAX_DEPTH:
                raise invalid(f"You cannot expand more than {MAX_DEPTH} levels of a property: {path}.", param="expand")
            if in_list:
                if steps[0] != "data" or len(steps) == 1:
                    raise _not_expandable(steps[0])
                steps = steps[1:]
            self._check_steps(kind, steps)

    def kinds(self, kind: str, paths: Iterable[str], *, in_list: bool) -> set[str]:
        """Return the kinds of the objects that checked paths expand."""
        found: set[str] = set()
        for path in paths:
            fields = self._fields[kind]
            for step in path.split(".")[1 if in_list else 0 :]:
                expandable = fields[step]
                found |= {self._kinds[expandable]} if isinstance(expandable, str) else set()
                fields = self._fields_of(expandable)
        return found

    def expand(self, account: Account, kind: str, response: StripeObject, paths: Iterable[str]) -> StripeObject:
        """Return a copy of the response, an object of the kind or a list of them, with every checked path expanded."""
        in_list = response.get("object") == "list"
        fields: ExpandableFields = {"data": self._fields[kind]} if in_list else self._fields[kind]
        for path in paths:
            response = self._along(account, fields, response, path.split("."))
        return response

    def _check_steps(self, kind: str, steps: list[str]) -> None:
        fields = self._fields[kind]
        for step in steps:
            if step not in fields:
                raise _not_expandable(step)
            fields = self._fields_of(fields[step])

    def _fields_of(self, expandable: Expandable) -> ExpandableFields:
        if isinstance(expandable, str):
            return self._fields[self._kinds[expandable]]
        return expandable or {}

    def _along(self, account: Account, fields: ExpandableFields, place: Any, steps: list[str]) -> Any:
        if isinstance(place, list):
            return [self._along(account, fields, each, steps) for each in place]
        if not steps or not isinstance(place, dict) or place.get("deleted"):
            return place
        step, rest = steps[0], steps[1:]
        value = _value(account, place, step, fields[step])
        return place | {step: self._along(account, self._fields_of(fields[step]), value, rest)}


def _value(account: Account, place: StripeObject, step: str, expandable: Expandable) -> Any:
    if expandable is None:
        return account.includable.get((place["id"], step))
    value = place.get(step)
    if isinstance(expandable, Mapping):
        return value
    if isinstance(value, list):
        return [_found(account, expandable, each) for each in value]
    return _found(account, expandable, value) if isinstance(value, str) else value


def _found(account: Account, collection: str, object_id: str) -> Any:
    """Return the object, what is left of a deleted one, or the id."""
    return account[collection].find(object_id) or account.tombstones.get(object_id) or object_id


def _not_expandable(step: str) -> ApiError:
    return invalid(
        f"This property cannot be expanded ({step}). You may want to try expanding 'data.{step}' instead.",
        param="expand",
    )
