"""Strict validators from the parameter types of the `stripe` library.

The library's TypedDicts describe every parameter, but loosely: an enum is `Literal[...] | str`, and pydantic coerces
values to numbers and booleans. The schema that pydantic derives is therefore rewritten when a validator is built.
"""

import re
from collections.abc import Container
from typing import Any, NotRequired

from pydantic import ConfigDict, TypeAdapter
from pydantic_core import PydanticCustomError, SchemaValidator, core_schema
from stripe._request_options import RequestOptions
from typing_extensions import TypedDict

MAX_STRING_LENGTH = 5000
MAX_METADATA_KEYS = 50
MAX_METADATA_KEY_LENGTH = 40
MAX_METADATA_VALUE_LENGTH = 500

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_METADATA = {
    "type": "dict",
    "keys_schema": {"type": "str", "min_length": 1, "max_length": MAX_METADATA_KEY_LENGTH},
    "values_schema": {"type": "str", "max_length": MAX_METADATA_VALUE_LENGTH},
    "max_length": MAX_METADATA_KEYS,
}


def strict_validator(shape: Any, checked: Container[str]) -> SchemaValidator:
    """Build the validator for a TypedDict of `stripe.params`. It takes milliseconds, so build it once per type.

    Parameters that are not in `checked` accept any value: resolving the types of all would take a second.
    """
    derived = TypeAdapter[Any](_of_parameters(shape, checked))
    return SchemaValidator(_strict(derived.core_schema))


def _of_parameters(shape: Any, checked: Container[str]) -> Any:
    """Leave out the request options such as `api_key`, which are headers and no parameters."""
    fields = {
        name: kind if name in checked else NotRequired[Any]
        for name, kind in shape.__annotations__.items()
        if name not in RequestOptions.__annotations__
    }
    make: Any = TypedDict  # type checkers reject a TypedDict built at run time
    derived = make(shape.__name__, fields)
    derived.__module__ = shape.__module__  # resolves its forward references
    derived.__pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    return derived


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    rewritten = {key: _strict(value) for key, value in schema.items()}
    rule = _RULES.get(str(schema.get("type")))
    return rule(rewritten) if rule else rewritten


def _strict_union(schema: dict[str, Any]) -> Any:
    choices = [choice for choice in schema["choices"] if choice["type"] != "is-instance"]
    if any(choice["type"] == "literal" and choice["expected"] != [""] for choice in choices):
        choices = [choice for choice in choices if choice["type"] != "str"]
    return choices[0] if len(choices) == 1 else schema | {"choices": choices}


def _strict_string(schema: dict[str, Any]) -> Any:
    return schema | {"min_length": 1, "max_length": MAX_STRING_LENGTH}


def _strict_dict(schema: dict[str, Any]) -> Any:
    return _METADATA if schema["values_schema"]["type"] == "str" else schema


def _strict_integer(schema: dict[str, Any]) -> Any:
    return core_schema.no_info_before_validator_function(_read_integer, core_schema.int_schema(**_bare(schema)))


def _strict_boolean(schema: dict[str, Any]) -> Any:
    return core_schema.no_info_before_validator_function(_read_boolean, core_schema.bool_schema(**_bare(schema)))


def _strict_list(schema: dict[str, Any]) -> Any:
    return core_schema.no_info_before_validator_function(_read_list, core_schema.list_schema(**_bare(schema)))


def _bare(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "type"}


def _read_integer(value: Any) -> Any:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    raise PydanticCustomError("int_parsing", "not an integer")


def _read_boolean(value: Any) -> Any:
    if value in ("true", "false"):
        return value == "true"
    raise PydanticCustomError("bool_parsing", "not a boolean")


def _read_list(value: Any) -> Any:
    """Convert `a[0]=x&a[1]=y`, which the form parser keeps as an object, to an array."""
    if isinstance(value, dict) and value and all(key.isdecimal() for key in value):
        return [value[key] for key in sorted(value, key=int)]
    return value


_RULES = {
    "union": _strict_union,
    "str": _strict_string,
    "dict": _strict_dict,
    "int": _strict_integer,
    "bool": _strict_boolean,
    "list": _strict_list,
}
