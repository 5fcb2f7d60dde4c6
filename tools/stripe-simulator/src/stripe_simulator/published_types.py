"""Check of objects against the types that Stripe publishes.

The types are those of npm's `stripe`, which Stripe generates from its OpenAPI document, as JSON schemas:
`frontend/conformance/stripe_types.ts` prints them. The lists of enums are open in the library, because Stripe adds
values later; here they are closed, because the version is fixed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import NoneType
from typing import Any, Final

Schema = Mapping[str, Any]

UPCOMING_INVOICE: Final = "invoice (upcoming)"
"""Kind of the invoice in an invoice.upcoming, of which less is known than of others."""
_PYTHON_TYPES: Final[Mapping[str, tuple[type[Any], ...]]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (NoneType,),
}


class Problem(StrEnum):
    """The way in which a value differs from its published type."""

    MISSING = "required key missing"
    WRONG_TYPE = "wrong type"
    OUTSIDE_ENUM = "outside the enum"
    NOT_PUBLISHED = "key not published"


@dataclass(frozen=True, slots=True)
class Deviation:
    """A difference of a kind of object, at a path inside it. `[]` stands for any element of an array."""

    kind: str
    path: str
    problem: Problem
    found: str = ""

    def __str__(self) -> str:
        shown = f" ({self.found})" if self.found else ""
        return f"{self.kind}.{self.path}: {self.problem}{shown}"


@dataclass(frozen=True, slots=True)
class Place:
    """The kind of the innermost object around a value, and the value's path inside that object."""

    kind: str = ""
    path: str = ""

    def below(self, name: str) -> "Place":
        """Return the place of a field, or of the elements of an array."""
        if name == "[]" or not self.path:
            return Place(self.kind, self.path + name)
        return Place(self.kind, f"{self.path}.{name}")

    def deviation(self, problem: Problem, found: str = "") -> Deviation:
        """Return a deviation of the value here."""
        return Deviation(self.kind, self.path, problem, found)


class PublishedTypes:
    """The types, read from what the extractor printed. `required` collects the required keys of each checked kind."""

    def __init__(self, printed: Mapping[str, Any]) -> None:
        self.version: str = printed["version"]
        self.required: dict[str, set[str]] = {}
        self._objects: Mapping[str, list[Schema]] = printed["objects"]
        self._events: Mapping[str, Schema] = printed["events"]
        self._error: Schema = printed["error"]
        self._definitions: Mapping[str, Schema] = printed["definitions"]
        self._noted: set[tuple[str, str, int]] = set()
        self._scalars: dict[int, frozenset[Any]] = {}
        self._error_codes: Schema = printed["error_codes"]

    @property
    def events(self) -> frozenset[str]:
        """Types of events."""
        return frozenset(self._events)

    def values(self, kind: str, path: str) -> frozenset[str]:
        """Return the values of the enum in a field of a kind of object. Dots lead into nested objects."""
        places = [self._resolve(self._objects[kind][0])]
        for name in path.split("."):
            found = [place["properties"][name] for place in places if name in place.get("properties", {})]
            places = [self._resolve(each) for field in found for each in field.get("anyOf", [field])]
        return frozenset(value for place in places for value in place.get("enum", ()))

    def check(self, body: Any) -> list[Deviation]:
        """Check the body of a response or of a webhook: an object, a list, an event or an error."""
        if "error" in body:
            return list(self._check_error(body["error"]))
        kind = body.get("object")
        if kind == "list":
            return list(self._check_list(body))
        if kind == "event":
            return list(self._check_event(body))
        if kind not in self._objects:
            return [Deviation(str(kind), "object", Problem.OUTSIDE_ENUM, str(kind))]
        return list(self._check({"anyOf": self._objects[kind]}, body, Place()))

    def _check_error(self, error: Any) -> Iterator[Deviation]:
        place = Place("error")
        yield from self._check_object(self._resolve(self._error), error, place)
        if "code" in error:
            yield from self._check(self._error_codes, error["code"], place.below("code"))

    def _check_list(self, page: Any) -> Iterator[Deviation]:
        for element in page["data"]:
            yield from self.check(element)
        yield from self._check({"anyOf": self._objects["list"]}, page | {"data": []}, Place())

    def _check_event(self, event: Any) -> Iterator[Deviation]:
        schema = self._events.get(event["type"])
        if schema is None:
            yield Place("event", "type").deviation(Problem.OUTSIDE_ENUM, event["type"])
            return
        for deviation in self._check(schema, event, Place()):
            if not _is_of_partial_object(deviation):
                preview = event["type"] == "invoice.upcoming" and deviation.kind == "invoice"
                yield replace(deviation, kind=UPCOMING_INVOICE) if preview else deviation

    def _check(self, schema: Schema, value: Any, place: Place) -> Iterator[Deviation]:
        schema = self._resolve(schema)
        if "anyOf" in schema:
            yield from self._check_any(schema["anyOf"], value, place)
        elif "enum" in schema:
            if value not in schema["enum"]:
                problem = Problem.OUTSIDE_ENUM if isinstance(value, str) else Problem.WRONG_TYPE
                yield place.deviation(problem, _described(value))
        elif schema.get("type") == "object":
            yield from self._check_object(schema, value, place)
        elif schema.get("type") == "array":
            yield from self._check_array(schema, value, place)
        elif schema.get("type") is not None and type(value) not in _PYTHON_TYPES[schema["type"]]:
            yield place.deviation(Problem.WRONG_TYPE, _described(value))

    def _check_any(self, choices: list[Schema], value: Any, place: Place) -> Iterator[Deviation]:
        """Report the deviations from the nearest choice."""
        nearest = min((list(self._check(each, value, place)) for each in self._fitting(choices, value)), key=len)
        yield from nearest

    def _fitting(self, choices: list[Schema], value: Any) -> list[Schema]:
        """Return the choices of the value's own shape, or else all."""
        resolved = [self._resolve(each) for each in choices]
        if isinstance(value, dict):
            objects = [each for each in resolved if each.get("type") == "object"]
            same = [each for each in objects if self._is_same_kind(each, value)]
            return same or objects or resolved
        if isinstance(value, str):
            enums = [each for each in resolved if "enum" in each]
            plain = [each for each in resolved if each.get("type") == "string"]
            return plain or enums or resolved
        return resolved

    def _is_same_kind(self, schema: Schema, value: Mapping[str, Any]) -> bool:
        """Return true if `object` and `deleted` of the value are those of the type."""
        properties = schema["properties"]
        kinds = self._resolve(properties.get("object", {})).get("enum")
        return (kinds is None or value.get("object") in kinds) and ("deleted" in value) == (
            "deleted" in schema["required"]
        )

    def _check_object(self, schema: Schema, value: Any, place: Place) -> Iterator[Deviation]:
        if not isinstance(value, dict):
            yield place.deviation(Problem.WRONG_TYPE, _described(value))
            return
        if isinstance(value.get("object"), str):
            place = Place(f"{value['object']} (deleted)" if value.get("deleted") else value["object"])
        self._note_required(schema, place)
        for name in schema["required"]:
            if name not in value:
                yield place.below(name).deviation(Problem.MISSING)
        others = schema["additionalProperties"]
        for name, field in value.items():
            published = schema["properties"].get(name, others)
            if published is False:
                yield place.below(name).deviation(Problem.NOT_PUBLISHED)
            elif not self._accepts_scalar(published, field):
                yield from self._check(published, field, place.below(name if published is not others else "*"))

    def _check_array(self, schema: Schema, value: Any, place: Place) -> Iterator[Deviation]:
        if not isinstance(value, list):
            yield place.deviation(Problem.WRONG_TYPE, _described(value))
            return
        for element in value:
            yield from self._check(schema["items"], element, place.below("[]"))

    def _note_required(self, schema: Schema, place: Place) -> None:
        noted = place.kind, place.path, id(schema)
        if noted not in self._noted:
            self._noted.add(noted)
            self.required.setdefault(place.kind, set()).update(place.below(name).path for name in schema["required"])

    def _accepts_scalar(self, schema: Schema, value: Any) -> bool:
        """Return true for most valid values that are no object or array, without looking for the reason otherwise."""
        accepted = self._scalars.get(id(schema))
        if accepted is None:
            accepted = self._scalars[id(schema)] = frozenset(self._scalars_of(schema))
        return type(value) in accepted or (isinstance(value, str) and value in accepted)

    def _scalars_of(self, schema: Schema) -> Iterator[Any]:
        """Yield the Python types and the values of enums that a schema accepts."""
        schema = self._resolve(schema)
        for choice in schema.get("anyOf", ()):
            yield from self._scalars_of(choice)
        yield from schema.get("enum", ())
        yield from _PYTHON_TYPES.get(schema.get("type", ""), ())

    def _resolve(self, schema: Schema) -> Schema:
        reference = schema.get("$ref")
        return self._definitions[reference] if reference else schema


def _is_of_partial_object(deviation: Deviation) -> bool:
    """Return true for what `previous_attributes` may do: leave out what is as before, and show as null what was absent.

    See https://docs.stripe.com/api/events/object. The types say `Partial`, which reaches the first level only.
    """
    inside = deviation.kind == "event" and deviation.path.startswith("data.previous_attributes.")
    return inside and (deviation.problem is Problem.MISSING or deviation.found == "null")


def _described(value: Any) -> str:
    """Return what a failed test shows of a value. Strings may be personal data, but enums are not."""
    if value is None:
        return "null"
    return value if isinstance(value, str) else type(value).__name__
