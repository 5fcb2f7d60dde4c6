"""Field types and base classes of bodies: camelCase JSON, strict types, unknown fields refused."""

import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr, validate_email
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from checkout_rules.limits import MAX_ADDRESS_CHARACTERS, MAX_ID_BYTES, MAX_NAME_CHARACTERS, MAX_TEXT_CHARACTERS
from payments_gateway.domain.attempts import is_attempt_id

_CONTROL_CATEGORIES: Final = frozenset({"Cc", "Cs"})


def _clean_text(text: str) -> str:
    """Refuse control characters: PostgreSQL stores no NUL, and no name or address needs one."""
    if any(unicodedata.category(character) in _CONTROL_CATEGORIES for character in text):
        raise ValueError("must not contain control characters")
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _email(text: str) -> str:
    try:
        return validate_email(text)[1]
    except PydanticCustomError:
        raise ValueError("must be an e-mail address") from None  # the library's message quotes the value (P7)


def _uuid(text: str) -> str:
    if not is_attempt_id(text):
        raise ValueError("must be a UUID in lower case")
    return text


Text = Annotated[StrictStr, AfterValidator(_clean_text)]
Name = Annotated[Text, Field(max_length=MAX_NAME_CHARACTERS)]
AddressLine = Annotated[Text, Field(max_length=MAX_ADDRESS_CHARACTERS)]
Email = Annotated[
    StrictStr, AfterValidator(_email), Field(max_length=MAX_TEXT_CHARACTERS, json_schema_extra={"format": "email"})
]
Uuid = Annotated[StrictStr, AfterValidator(_uuid)]
StripeId = Annotated[StrictStr, Field(pattern=rf"^[A-Za-z0-9_]{{1,{MAX_ID_BYTES}}}$")]


class Body(BaseModel):
    """Base of all bodies."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class RequestBody(Body):
    """Base of request bodies: only the camelCase names are accepted."""

    model_config = ConfigDict(populate_by_name=False)
