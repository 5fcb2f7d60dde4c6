"""The types that the `stripe` library for Python publishes, in the form of `frontend/conformance/stripe_types.ts`."""

import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from importlib import import_module
from types import NoneType
from typing import Any, ClassVar, Final, Literal, Union, get_args, get_origin, get_type_hints

import stripe
from stripe._error_object import ErrorObject
from stripe._list_object import ListObject
from stripe._object_classes import OBJECT_CLASSES
from stripe._stripe_object import StripeObject, UntypedStripeObject

Schema = Mapping[str, Any]

_SCALARS: Final[Mapping[Any, Schema]] = {
    str: {"type": "string"},
    Decimal: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
}
_PAGE: Final = {"object": {"enum": ["list"]}, "has_more": {"type": "boolean"}, "url": {"type": "string"}}


class _Definitions(dict[str, Schema]):
    """The classes that were referred to, described once they are needed: all of them would take seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._classes: dict[str, Any] = {}
        self._generics: Mapping[Any, Callable[..., Schema]] = {
            Union: self._union,
            Literal: self._enum,
            list: self._array,
            ListObject: self._page,
            dict: self._map,
            UntypedStripeObject: self._map,
        }

    def refer_to(self, kind: Any) -> Schema:
        """Return a reference to a class."""
        name = f"{kind.__module__}.{kind.__qualname__}"
        self._classes[name] = kind
        return {"$ref": name}

    def __missing__(self, name: str) -> Schema:
        """Describe a class. A field that is not optional is required and never null."""
        hints = _hints(self._classes[name])
        fields = {field: self.describe(hint) for field, hint in hints.items()}
        self[name] = _object(fields, [field for field, hint in hints.items() if NoneType not in get_args(hint)])
        return self[name]

    def describe(self, hint: Any) -> Schema:
        """Return the schema of an annotation."""
        if hint in _SCALARS:
            return _SCALARS[hint]
        if inspect.isclass(hint) and issubclass(hint, StripeObject):
            return self.refer_to(hint)
        describe = self._generics.get(get_origin(hint))
        return describe(*get_args(hint)) if describe else {}

    def _array(self, element: Any) -> Schema:
        return {"type": "array", "items": self.describe(element)}

    def _page(self, element: Any) -> Schema:
        fields = _PAGE | {"data": self._array(element)}
        return _object(fields, list(fields))

    def _map(self, *types: Any) -> Schema:
        return _object({}, [], self.describe(types[-1]))

    def _enum(self, *values: Any) -> Schema:
        return {"enum": list(values)}

    def _union(self, *choices: Any) -> Schema:
        """Leave out the `str` beside literals: it only says that Stripe may add some later."""
        literal = any(get_origin(each) is Literal for each in choices)
        return {"anyOf": [self.describe(each) for each in choices if not (literal and each is str)]}


def annotated_types() -> dict[str, Any]:
    """Return the annotations of all kinds of objects."""
    definitions = _Definitions()
    event = definitions.refer_to(stripe.Event)
    return {
        "version": stripe.VERSION,
        "objects": _Objects(definitions),
        "events": dict.fromkeys(get_args(_hints(stripe.Event)["type"]), event),
        "error": definitions.refer_to(ErrorObject),
        "error_codes": definitions.describe(_hints(stripe.PaymentIntent.LastPaymentError)["code"]),
        "definitions": definitions,
    }


class _Objects(dict[str, list[Schema]]):
    """The classes of a kind of object, and what is left of one that was deleted."""

    def __init__(self, definitions: _Definitions) -> None:
        super().__init__({"list": [_object(_PAGE | {"data": {"type": "array", "items": {}}}, [*_PAGE, "data"])]})
        self._definitions = definitions

    def __contains__(self, kind: object) -> bool:
        return kind in OBJECT_CLASSES

    def __missing__(self, kind: str) -> list[Schema]:
        module, name = OBJECT_CLASSES[kind]
        found = getattr(import_module(module), name)
        tombstone = {"id": {"type": "string"}, "object": {"enum": [kind]}, "deleted": {"enum": [True]}}
        deleted = [_object(tombstone, list(tombstone))] if "deleted" in _hints(found) else []
        self[kind] = [self._definitions.refer_to(found), *deleted]
        return self[kind]


def _object(fields: Mapping[str, Any], required: list[str], others: Schema | None = None) -> Schema:
    unlisted = False if others is None else others
    return {"type": "object", "properties": fields, "required": required, "additionalProperties": unlisted}


@cache
def _hints(kind: Any) -> dict[str, Any]:
    module = sys.modules[kind.__module__]
    own = {name: hint for name, hint in inspect.get_annotations(kind).items() if not name.startswith("_")}
    holder = type(kind.__name__, (), {"__annotations__": own})
    hints = get_type_hints(holder, vars(module) | _imported_for_types(module.__name__))
    return {field: hint for field, hint in hints.items() if get_origin(hint) is not ClassVar}


@cache
def _imported_for_types(module_name: str) -> dict[str, Any]:
    """Return the names that a module imports only for type checkers."""
    tree = ast.parse(inspect.getsource(sys.modules[module_name]))
    blocks = [each for each in tree.body if isinstance(each, ast.If) and ast.unparse(each.test) == "TYPE_CHECKING"]
    imports = [each for block in blocks for each in block.body if isinstance(each, ast.ImportFrom)]
    return {
        alias.asname or alias.name: getattr(import_module(statement.module or ""), alias.name)
        for statement in imports
        for alias in statement.names
    }
