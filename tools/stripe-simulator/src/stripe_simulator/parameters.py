"""Validation of request parameters against the types of the `stripe` library.

An invalid parameter gets Stripe's error, with its code and name (https://docs.stripe.com/error-codes). A valid one that
the simulator does not model is refused too: ignoring it would let a test pass that proves nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from pydantic_core import ErrorDetails, SchemaValidator, ValidationError

from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.forms import Form
from stripe_simulator.strict_schema import MAX_METADATA_KEYS, MAX_STRING_LENGTH, strict_validator

Params = dict[str, Any]

NOT_MODELLED = "simulator_not_modelled"
_cached_validator = cache(strict_validator)


class Parameters:
    """The parameters of one endpoint."""

    def __init__(self, shape: Any, modelled: Iterable[str]) -> None:
        self._shape = shape
        self._modelled = frozenset(modelled) | {"expand"}
        unknown = self._modelled - {"expand"} - set(shape.__annotations__)
        if unknown:
            raise ValueError(f"{shape.__name__} has no {', '.join(sorted(unknown))}")

    @property
    def modelled(self) -> frozenset[str]:
        """Names of the parameters that the simulator models."""
        return self._modelled

    def build(self) -> None:
        """Build the validator ahead of the first request."""
        _cached_validator(self._shape, self._modelled)

    def check(self, form: Form) -> Params:
        """Return the typed parameters. Raises Stripe's error."""
        params = self._validated(form)
        for name in params:
            if name not in self._modelled:
                raise invalid(f"The simulator does not model the parameter '{name}'.", param=name, code=NOT_MODELLED)
        return params

    def _validated(self, form: Form) -> Params:
        validator: SchemaValidator = _cached_validator(self._shape, self._modelled)
        try:
            params: Params = validator.validate_python(form)
        except ValidationError as refusal:
            raise _to_error(refusal.errors(include_url=False, include_context=True), form) from None
        return params


def refuse_unmodelled(given: Params, modelled: Iterable[str], param: str) -> None:
    """Refuse a nested parameter that the simulator does not model."""
    for name in sorted(set(given) - set(modelled)):
        message = f"The simulator does not model the parameter '{param}[{name}]'."
        raise invalid(message, param=f"{param}[{name}]", code=NOT_MODELLED)


def merge_metadata(stored: Mapping[str, str], given: Any) -> dict[str, str]:
    """Return the metadata after an update: an empty value unsets a key, `metadata=""` unsets all.

    See https://docs.stripe.com/metadata. Raises ApiError when more than 50 keys would remain.
    """
    if given is None:
        return dict(stored)
    if given == "":
        return {}
    merged = {key: value for key, value in {**stored, **given}.items() if value != ""}
    if len(merged) > MAX_METADATA_KEYS:
        raise _too_many_keys()
    return merged


def _too_many_keys() -> ApiError:
    return invalid(f"You cannot have more than {MAX_METADATA_KEYS} metadata keys.", param="metadata")


def _to_error(errors: list[ErrorDetails], form: Form) -> ApiError:
    unknown = [_named(error, form) for error in errors if error["type"] == "extra_forbidden"]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        return invalid(
            f"Received unknown parameter{plural}: {', '.join(unknown)}", param=unknown[0], code="parameter_unknown"
        )
    error = errors[0]
    describe = _DESCRIPTIONS.get(error["type"], _wrong_kind)
    return describe(error, _named(error, form))


def _named(error: ErrorDetails, form: Form) -> str:
    """Format a location as `a[b][0]`, without the union members that pydantic inserts."""
    path: list[str] = []
    place: Any = form
    for step in error["loc"]:
        key = str(step)
        if isinstance(place, dict) and key in place:
            place = place[key]
        elif isinstance(place, list) and isinstance(step, int):
            place = place[step]
        elif not (error["type"] == "missing" and step == error["loc"][-1]):
            continue
        path.append(key)
    return "".join([*path[:1], *(f"[{step}]" for step in path[1:])])


def _missing(_: ErrorDetails, param: str) -> ApiError:
    return invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")


def _invalid_integer(error: ErrorDetails, param: str) -> ApiError:
    if error["input"] == "":
        return _empty(error, param)
    return invalid(f"Invalid integer: {_abbreviated(error['input'])}", param=param, code="parameter_invalid_integer")


def _invalid_boolean(error: ErrorDetails, param: str) -> ApiError:
    if error["input"] == "":
        return _empty(error, param)
    return invalid(f"Invalid boolean: {_abbreviated(error['input'])}", param=param)


def _empty(_: ErrorDetails, param: str) -> ApiError:
    return invalid(
        f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a parameter; "
        f"however '{param}' cannot be unset. You should remove '{param}' from your request or supply a non-empty "
        "value.",
        param=param,
        code="parameter_invalid_empty",
    )


def _not_listed(error: ErrorDetails, param: str) -> ApiError:
    return invalid(f"Invalid {param}: must be one of {error['ctx']['expected']}", param=param)


def _too_long(error: ErrorDetails, param: str) -> ApiError:
    if param.startswith("metadata"):
        limit = error["ctx"]["max_length"]
        subject = "keys" if "[key]" in error["loc"] else "values"
        length = len(error["input"])
        return invalid(
            f"Metadata {subject} can have up to {limit} characters, but you passed in one of {length} characters.",
            param=param,
        )
    return invalid(
        f"Invalid string: {_abbreviated(error['input'])}; must be at most {MAX_STRING_LENGTH} characters", param=param
    )


def _too_many(error: ErrorDetails, param: str) -> ApiError:
    return _too_many_keys() if param == "metadata" else _wrong_kind(error, param)


def _not_an_array(error: ErrorDetails, param: str) -> ApiError:
    return _empty(error, param) if error["input"] == "" else invalid("Invalid array", param=param)


def _not_an_object(error: ErrorDetails, param: str) -> ApiError:
    return _empty(error, param) if error["input"] == "" else invalid("Invalid object", param=param)


def _wrong_kind(error: ErrorDetails, param: str) -> ApiError:
    return _empty(error, param) if error["input"] == "" else invalid(f"Invalid value for {param}", param=param)


def _abbreviated(value: Any) -> str:
    text = value if isinstance(value, str) else "an object"
    return text if len(text) <= 40 else f"{text[:20]}...{text[-10:]}"  # noqa: PLR2004 - lengths of an excerpt


_DESCRIPTIONS: dict[str, Callable[[ErrorDetails, str], ApiError]] = {
    "missing": _missing,
    "int_parsing": _invalid_integer,
    "bool_parsing": _invalid_boolean,
    "literal_error": _not_listed,
    "string_too_long": _too_long,
    "string_too_short": _empty,
    "too_long": _too_many,
    "list_type": _not_an_array,
    "dict_type": _not_an_object,
}
