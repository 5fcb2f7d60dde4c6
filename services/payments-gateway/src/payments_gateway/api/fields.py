"""Field types and base classes of bodies: camelCase JSON, strict types, unknown fields refused."""

import re
import unicodedata
from typing import Annotated, Final

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictStr
from pydantic.alias_generators import to_camel

from checkout_rules.fields import is_storable_id
from checkout_rules.limits import MAX_ADDRESS_CHARACTERS, MAX_ID_BYTES, MAX_NAME_CHARACTERS, MAX_TEXT_CHARACTERS
from payments_gateway.domain.attempts import is_attempt_id

_CONTROL_CATEGORIES: Final = frozenset({"Cc", "Cs"})
_CONTROL: Final = r"\x00-\x1f\x7f-\x9f"
_CONTROL_IN_LINES: Final = r"\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f"
_TEXT_PATTERN: Final = rf"^[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$"
_OPTIONAL_TEXT_PATTERN: Final = rf"^[^{_CONTROL}]*$"
_STREET_PATTERN: Final = rf"^[^{_CONTROL_IN_LINES}]*[^\s{_CONTROL}][^{_CONTROL_IN_LINES}]*$"
_OPTIONAL_STREET_PATTERN: Final = rf"^[^{_CONTROL_IN_LINES}]*$"
"""Patterns of what is accepted, but for lone surrogates, which no pattern can name, and texts that show nothing."""
_LINE_BREAK: Final = re.compile(r"\s*[\r\n]\s*")
_FILLERS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(selector) for selectors in (range(0x180B, 0x1810), range(0xFE00, 0xFE10)) for selector in selectors
}
"""Letters, symbols and variation selectors that show nothing by themselves."""
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_MAX_PHONE_CHARACTERS: Final = 40
_UUID_PATTERN: Final = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
UUID4_PATTERN: Final = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-4[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}$"


def _without_control(text: str) -> str:
    """Refuse control characters: PostgreSQL stores no NUL, and no name or address needs one."""
    if any(unicodedata.category(character) in _CONTROL_CATEGORIES for character in text):
        raise ValueError("must not contain control characters")
    return text


def _is_blank(text: str) -> bool:
    """Return True if a text shows nothing: white space, formats such as U+200B, and fillers."""
    return all(each in _FILLERS or each.isspace() or unicodedata.category(each) == "Cf" for each in text)


def _not_blank(text: str) -> str:
    if _is_blank(text):
        raise ValueError("must not be blank")
    return text


def _blank_is_absent(text: str | None) -> str | None:
    """Take a blank text for none: Stripe's Address Element and wallets hand over "" for what the buyer has not."""
    return None if text is None or _is_blank(text) else text


def _on_one_line(value: object) -> object:
    """Join the lines of a street, which Apple Pay hands over as one text.

    Source: https://github.com/stripe/stripe-react-native/issues/531
    """
    if not isinstance(value, str) or not _LINE_BREAK.search(value):
        return value
    return ", ".join(line for line in _LINE_BREAK.split(value) if not _is_blank(line))


def _country(text: str) -> str:
    """Return an ISO 3166-1 code in upper case. Some wallets spell it in lower case."""
    if not _COUNTRY.fullmatch(text):
        raise ValueError("must be a country's two letters")
    return text.upper()


def _email(text: str) -> str:
    """Normalize an address. One under .test, which never gets mail, is for tests (RFC 6761)."""
    try:
        return validate_email(text, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError:
        raise ValueError("must be an e-mail address") from None  # the library's message may quote the value (P7)


def _whole(number: object) -> object:
    """Take 2.0 for 2, as JSON Schema does."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _storable(text: str) -> str:
    if not is_storable_id(text):
        raise ValueError(f"must have at most {MAX_ID_BYTES} bytes")
    return text


def _uuid(text: str) -> str:
    if not is_attempt_id(text):
        raise ValueError("must be a UUID in lower case")
    return text


_Clean = Annotated[StrictStr, AfterValidator(_without_control)]
Text = Annotated[_Clean, AfterValidator(_not_blank), Field(json_schema_extra={"pattern": _TEXT_PATTERN})]
Name = Annotated[Text, Field(max_length=MAX_NAME_CHARACTERS)]
AddressLine = Annotated[Text, Field(max_length=MAX_ADDRESS_CHARACTERS)]
_OptionalClean = Annotated[_Clean, Field(json_schema_extra={"pattern": _OPTIONAL_TEXT_PATTERN})]
OptionalAddressLine = Annotated[
    Annotated[_OptionalClean, Field(max_length=MAX_ADDRESS_CHARACTERS)] | None, AfterValidator(_blank_is_absent)
]
Street = Annotated[AddressLine, BeforeValidator(_on_one_line), Field(json_schema_extra={"pattern": _STREET_PATTERN})]
OptionalStreet = Annotated[
    Annotated[
        _Clean,
        BeforeValidator(_on_one_line),
        Field(max_length=MAX_ADDRESS_CHARACTERS, json_schema_extra={"pattern": _OPTIONAL_STREET_PATTERN}),
    ]
    | None,
    AfterValidator(_blank_is_absent),
]
OptionalPhone = Annotated[
    Annotated[_OptionalClean, Field(max_length=_MAX_PHONE_CHARACTERS)] | None, AfterValidator(_blank_is_absent)
]
Country = Annotated[StrictStr, AfterValidator(_country), Field(json_schema_extra={"pattern": rf"^{_COUNTRY.pattern}$"})]
Email = Annotated[
    StrictStr, AfterValidator(_email), Field(max_length=MAX_TEXT_CHARACTERS, json_schema_extra={"format": "email"})
]
WHOLE_NUMBER: Final = BeforeValidator(_whole)
Uuid = Annotated[
    StrictStr, AfterValidator(_uuid), Field(json_schema_extra={"format": "uuid", "pattern": _UUID_PATTERN})
]
CatalogueId = Annotated[
    _Clean,
    AfterValidator(_storable),
    Field(min_length=1, max_length=MAX_ID_BYTES, json_schema_extra={"pattern": _OPTIONAL_TEXT_PATTERN}),
]
"""Id of a price or shipping rate. That of an old price may be any text: https://github.com/stripe/stripe-java/issues/736"""


class Body(BaseModel):
    """Base of all bodies."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class RequestBody(Body):
    """Base of request bodies: only the camelCase names are accepted."""

    model_config = ConfigDict(populate_by_name=False)
