"""Who is calling: API keys, and what each may do (https://docs.stripe.com/keys)."""

import base64
import binascii
import hmac
from enum import StrEnum

from stripe_simulator.api_errors import ApiError
from stripe_simulator.settings import SimulatorSettings

_HELP = "or we can help at https://support.stripe.com/."
_SHOWN_CHARACTERS = 4


class KeyKind(StrEnum):
    """The kind of key that a request came with."""

    SECRET = "secret key"  # noqa: S105 - the name of a kind
    PUBLISHABLE = "publishable key"


class ApiKeys:
    """Knows the account's two keys."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._keys = {KeyKind.SECRET: settings.secret_key, KeyKind.PUBLISHABLE: settings.publishable_key}

    def identify(self, authorization: str | None) -> KeyKind:
        """Answer whose key the Authorization header carries, or raise Stripe's 401."""
        key = _key_in(authorization)
        if not key:
            raise _no_key()
        for kind, known in self._keys.items():
            if hmac.compare_digest(known.encode(), key.encode()):
                return kind
        raise ApiError(401, f"Invalid API Key provided: {_redacted(key)}")


def secret_key_required() -> ApiError:
    """Make the answer for a browser that calls what only a server may."""
    return ApiError(
        401,
        "This API call cannot be made with a publishable API key. Please use a secret API key. "
        "You can find a list of your API keys at https://dashboard.stripe.com/account/apikeys.",
        code="secret_key_required",
    )


def _key_in(authorization: str | None) -> str:
    scheme, _, value = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _redacted(key: str) -> str:
    """Show where the key begins and ends, as Stripe does."""
    prefix = "_".join(key.split("_")[:2]) + "_" if key.count("_") > 1 else ""
    hidden = max(len(key) - len(prefix) - _SHOWN_CHARACTERS, 0)
    return f"{prefix}{'*' * hidden}{key[len(prefix) + hidden :]}"


def _no_key() -> ApiError:
    return ApiError(
        401,
        "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer "
        "auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for "
        f"details, {_HELP}",
    )
