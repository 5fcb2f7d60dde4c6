"""API keys and the access that each gives (https://docs.stripe.com/keys)."""

import hmac
from dataclasses import dataclass
from enum import StrEnum

from stripe_simulator.api_errors import ApiError
from stripe_simulator.restricted_keys import Permissions, require_permission
from stripe_simulator.settings import SimulatorSettings

_VISIBLE_CHARACTERS = 4


class KeyKind(StrEnum):
    """Kind of API key that a request was made with."""

    SECRET = "secret key"  # noqa: S105 - the name of a kind
    PUBLISHABLE = "publishable key"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The key of a request. A restricted one is a secret key with permissions."""

    kind: KeyKind
    shown: str = ""
    permissions: Permissions | None = None

    def require_permission(self, method: str, kind: str) -> None:
        """Raise Stripe's 403 if the key is restricted and may not use this method on objects of this kind."""
        if self.permissions is not None:
            require_permission(self.shown, self.permissions, method, kind)


class ApiKeys:
    """The account's secret and publishable key, and its restricted ones."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._keys = {KeyKind.SECRET: settings.secret_key, KeyKind.PUBLISHABLE: settings.publishable_key}
        self._restricted: dict[str, Permissions] = {}

    def restrict(self, key: str, permissions: Permissions) -> None:
        """Create a restricted key, or replace its permissions."""
        self._restricted[key] = permissions

    def revoke(self, key: str) -> None:
        """Revoke a restricted key. Raises KeyError."""
        del self._restricted[key]

    def identify(self, authorization: str | None, publishable_key: str | None = None) -> ApiKey:
        """Return the key in an Authorization header, or in a form of Stripe.js. Raises Stripe's 401."""
        if authorization is None and publishable_key is not None:
            if hmac.compare_digest(self._keys[KeyKind.PUBLISHABLE].encode(), publishable_key.encode()):
                return ApiKey(KeyKind.PUBLISHABLE)
            raise ApiError(401, f"Invalid API Key provided: {_redacted(publishable_key)}")
        scheme, _, key = (authorization or "").strip().partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise _missing_key()
        for kind, known in self._keys.items():
            if hmac.compare_digest(known.encode(), key.encode()):
                return ApiKey(kind)
        if key in self._restricted:
            return ApiKey(KeyKind.SECRET, _redacted(key), self._restricted[key])
        raise ApiError(401, f"Invalid API Key provided: {_redacted(key)}")


def secret_key_required() -> ApiError:
    """Build the 401 for a publishable key on an endpoint that needs a secret key."""
    return ApiError(
        401,
        "This API call cannot be made with a publishable API key. Please use a secret API key. "
        "You can find a list of your API keys at https://dashboard.stripe.com/account/apikeys.",
        code="secret_key_required",
    )


def _redacted(key: str) -> str:
    """Keep the prefix and the last characters of a key, as Stripe does."""
    prefix = "_".join(key.split("_")[:2]) + "_" if key.count("_") > 1 else ""
    hidden = max(len(key) - len(prefix) - _VISIBLE_CHARACTERS, 0)
    return f"{prefix}{'*' * hidden}{key[len(prefix) + hidden :]}"


def _missing_key() -> ApiError:
    return ApiError(
        401,
        "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer "
        "auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for "
        "details, or we can help at https://support.stripe.com/.",
    )
