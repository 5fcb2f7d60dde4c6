"""Collection of the objects of one kind, with Stripe's pagination and filters."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from stripe_simulator.api_errors import ApiError, invalid, resource_missing

StripeObject = dict[str, Any]
Matches = Callable[[StripeObject], bool]

ABSENT: Final = object()
"""Value of a field that an object shows only while it is set."""

DEFAULT_LIMIT = 10
MAX_LIMIT = 100


class Collection:
    """Objects by id, in the order of their creation.

    An update stores a new object and never changes the stored one, so that a snapshot in an event stays as it was.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._order: list[str] = []
        self._places: dict[str, int] = {}
        self._objects: dict[str, StripeObject] = {}

    def copy(self) -> "Collection":
        """Return a collection with the same objects."""
        copied = Collection(self.kind)
        copied._order, copied._places, copied._objects = [*self._order], {**self._places}, {**self._objects}
        return copied

    def add(self, stored: StripeObject) -> StripeObject:
        """Store a new object. Raises Stripe's error if its id is taken."""
        object_id = stored["id"]
        if object_id in self._places:
            raise invalid(f"{self.kind.capitalize()} already exists.", param="id", code="resource_already_exists")
        self._places[object_id] = len(self._order)
        self._order.append(object_id)
        self._objects[object_id] = stored
        return stored

    def replace(self, stored: StripeObject) -> StripeObject:
        """Store the new state of an existing object."""
        self._objects[stored["id"]] = stored
        return stored

    def remove(self, object_id: str) -> None:
        """Remove an object. Its id stays taken."""
        del self._objects[object_id]

    def find(self, object_id: str) -> StripeObject | None:
        """Return the object, or None."""
        return self._objects.get(object_id)

    def get(self, object_id: str, *, param: str = "id", status: int = 404) -> StripeObject:
        """Return the object. Raises Stripe's `resource_missing`."""
        found = self._objects.get(object_id)
        if found is None:
            raise resource_missing(self.kind, object_id, param=param, status=status)
        return found

    def __iter__(self) -> Iterator[StripeObject]:
        return iter(self._objects.values())

    def __len__(self) -> int:
        return len(self._objects)

    def page(self, url: str, params: dict[str, Any], matches: Matches = lambda _: True) -> StripeObject:
        """Return one page, newest first (https://docs.stripe.com/api/pagination)."""
        limit = _limit(params)
        after, before = params.get("starting_after"), params.get("ending_before")
        if after is not None and before is not None:
            raise _both_cursors()
        if before is not None:
            found = self._take(range(self._place(before, "ending_before") + 1, len(self._order)), limit, matches)
            data = found[:limit][::-1]
        else:
            newest = len(self._order) if after is None else self._place(after, "starting_after")
            found = self._take(range(newest - 1, -1, -1), limit, matches)
            data = found[:limit]
        return {"object": "list", "data": data, "has_more": len(found) > limit, "url": url}

    def _take(self, places: range, limit: int, matches: Matches) -> list[StripeObject]:
        """Collect one object more than the limit, to learn if there are more."""
        found: list[StripeObject] = []
        for place in places:
            candidate = self._objects.get(self._order[place])
            if candidate is not None and matches(candidate):
                found.append(candidate)
                if len(found) > limit:
                    break
        return found

    def _place(self, cursor: str, param: str) -> int:
        if cursor not in self._objects:
            raise resource_missing(self.kind, cursor, param=param, status=400)
        return self._places[cursor]


def without_absent(shown: StripeObject) -> StripeObject:
    """Return the object without the fields that are ABSENT."""
    return {name: value for name, value in shown.items() if value is not ABSENT}


def created_within(params: dict[str, Any]) -> Matches:
    """Return the filter for `created`: one second, or bounds `gt`, `gte`, `lt`, `lte`."""
    created = params.get("created")
    if created is None:
        return lambda _: True
    if isinstance(created, int):
        return lambda candidate: bool(candidate["created"] == created)
    low = max(created.get("gte", 0), created.get("gt", -1) + 1)
    high = min(created.get("lte", 1 << 62), created.get("lt", 1 << 62) - 1)
    return lambda candidate: low <= candidate["created"] <= high


def equal_to(params: dict[str, Any], *names: str) -> Matches:
    """Return the filter for parameters that must equal the field of the same name."""
    wanted = {name: params[name] for name in names if name in params}
    return lambda candidate: all(candidate.get(name) == value for name, value in wanted.items())


def every(*filters: Matches) -> Matches:
    """Return the conjunction of filters."""
    return lambda candidate: all(matches(candidate) for matches in filters)


def _limit(params: dict[str, Any]) -> int:
    limit: int = params.get("limit", DEFAULT_LIMIT)
    if limit < 1:
        raise _limit_problem(f"greater than or equal to 1 (it currently is '{limit}')")
    if limit > MAX_LIMIT:
        raise _limit_problem(f"less than or equal to {MAX_LIMIT} (it currently is '{limit}')")
    return limit


def _limit_problem(bound: str) -> ApiError:
    return invalid(f"This value must be {bound}.", param="limit", code="parameter_invalid_integer")


def _both_cursors() -> ApiError:
    return invalid("You may only specify one of these parameters: ending_before, starting_after.")
