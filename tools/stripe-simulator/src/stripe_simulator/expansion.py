"""Expansion of ids to objects by `expand[]` (https://docs.stripe.com/api/expanding_objects)."""

from collections.abc import Iterable, Mapping
from typing import Any

from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.collection import StripeObject
from stripe_simulator.endpoints import Resource
from stripe_simulator.parameters import Params

MAX_DEPTH = 4


class Expander:
    """Expands the expandable fields of each kind of object."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        resources = tuple(resources)
        self._fields: Mapping[str, Mapping[str, str | None]] = {each.kind: each.expandable for each in resources}
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

    def check_filters(self, account: Account, kind: str, params: Params) -> None:
        """Refuse a list for an object that does not exist, such as a customer. A deleted one has a history."""
        for name, collection in self._fields[kind].items():
            wanted = params.get(name)
            if collection and wanted is not None and wanted not in account.secrets:
                account[collection].get(wanted, param=name, status=400)

    def kinds(self, kind: str, paths: Iterable[str], *, in_list: bool) -> set[str]:
        """Return the kinds of the objects that checked paths expand."""
        found: set[str] = set()
        for path in paths:
            here: str | None = kind
            for step in path.split(".")[1 if in_list else 0 :]:
                collection = self._fields[here][step] if here else None
                here = self._kinds[collection] if collection else None
                found |= {here} if here else set()
        return found

    def expand(self, account: Account, response: StripeObject, paths: Iterable[str]) -> StripeObject:
        """Return a copy of the response with every checked path expanded."""
        for path in paths:
            response = self._along(account, response, path.split("."))
        return response

    def _check_steps(self, kind: str, steps: list[str]) -> None:
        here: str | None = kind
        for step in steps:
            fields = self._fields[here] if here else {}
            if step not in fields:
                raise _not_expandable(step)
            collection = fields[step]
            here = self._kinds[collection] if collection else None

    def _along(self, account: Account, place: Any, steps: list[str]) -> Any:
        if not steps or not isinstance(place, dict):
            return place
        step, rest = steps[0], steps[1:]
        if place.get("object") == "list":
            return place | {"data": [self._along(account, each, rest) for each in place["data"]]}
        if place.get("deleted"):
            return place
        return place | {step: self._along(account, self._value(account, place, step), rest)}

    def _value(self, account: Account, place: StripeObject, step: str) -> Any:
        collection = self._fields[place["object"]][step]
        if collection is None:
            return account.includable.get((place["id"], step))
        value = place.get(step)
        return account[collection].find(value) or value if isinstance(value, str) else value


def _not_expandable(step: str) -> ApiError:
    return invalid(
        f"This property cannot be expanded ({step}). You may want to try expanding 'data.{step}' instead.",
        param="expand",
    )
