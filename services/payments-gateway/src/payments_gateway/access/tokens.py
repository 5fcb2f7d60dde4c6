"""Verification of bearer tokens: a signed-in user, or a guest (P6)."""

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import jwt

from checkout_rules.fields import is_storable_id
from payments_gateway.domain.callers import Caller

HMAC: Final = "HS256"
_MAX_TOKEN_CHARACTERS: Final = 8192

_REASONS: Final[Mapping[type[jwt.PyJWTError], str]] = {
    jwt.InvalidSignatureError: "signature",
    jwt.ExpiredSignatureError: "expired",
    jwt.ImmatureSignatureError: "not_yet_valid",
    jwt.InvalidAudienceError: "audience",
    jwt.InvalidIssuerError: "issuer",
    jwt.MissingRequiredClaimError: "missing_claim",
    jwt.exceptions.InvalidSubjectError: "subject",
    jwt.PyJWTError: "malformed",
}
"""Reason by the library's exception. A subclass without a row takes its nearest ancestor's."""


class Unauthenticated(Exception):
    """The request has no valid token. The exception never quotes the token (P7)."""

    def __init__(self, reason: str = "absent") -> None:
        super().__init__()
        self.reason = reason
        """A lower_snake_case word, used as a metric label."""


GUEST = Caller(user_id=None)


@dataclass(frozen=True, slots=True)
class TokenValidation:
    """Claims that a token must have. An expiry and a subject are always required."""

    audience: str | None = None
    """None accepts tokens for any audience."""
    issuer: str | None = None
    leeway_seconds: float = 10.0
    """Tolerated difference between the issuer's clock and ours."""


class TokenKeys(Protocol):
    """Keys that verify tokens. Each key is bound to one algorithm, whatever a token's header names."""

    @property
    def algorithms(self) -> Collection[str]:
        """Every algorithm that a token may name."""

    def has(self, key_id: str | None) -> bool:
        """Return True if a refresh cannot help to find this key."""

    async def refresh(self) -> None:
        """Fetch the keys again. Raises an error if they cannot be fetched now."""

    def key(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key of this id for this algorithm, if it is known."""


class SharedSecret:
    """One HS256 secret, whatever key id a token names."""

    algorithms = (HMAC,)

    def __init__(self, secret: str) -> None:
        encoded = base64.urlsafe_b64encode(secret.encode()).decode()
        self._key = jwt.PyJWK({"kty": "oct", "k": encoded}, HMAC)

    def has(self, _key_id: str | None) -> bool:
        """Return True: there is only one key."""
        return True

    async def refresh(self) -> None:
        """Do nothing."""

    def key(self, _key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the secret."""
        return self._key if algorithm == HMAC else None


class TokenVerifier:
    """Reads the caller from an Authorization header. Without `keys` every token is rejected."""

    def __init__(self, keys: TokenKeys | None, validation: TokenValidation, *, allow_guests: bool = True) -> None:
        self._keys = keys
        self._validation = validation
        self._allow_guests = allow_guests

    async def caller(self, authorization: str | None) -> Caller:
        """Return the caller. Raises Unauthenticated for an invalid token, or for none where guests are not allowed.

        Raises the error of `keys.refresh` if a token names an unknown key and the keys cannot be fetched.
        """
        if authorization is None:
            if not self._allow_guests:
                raise Unauthenticated
            return GUEST
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or self._keys is None:
            raise Unauthenticated("scheme")
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise Unauthenticated("too_long")
        return Caller(user_id=await self._subject(token.strip(), self._keys))

    async def _subject(self, token: str, keys: TokenKeys) -> str:
        key = await self._key(token, keys)
        subject = _claims(token, self._validation, key)["sub"]
        if not subject or not subject.isprintable() or not is_storable_id(subject):
            raise Unauthenticated("subject")
        return str(subject)

    async def _key(self, token: str, keys: TokenKeys) -> jwt.PyJWK:
        header = _header(token)
        key_id, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in keys.algorithms:
            raise Unauthenticated("algorithm")
        if not keys.has(key_id):
            _claims(token, self._validation, None)  # invalid claims make the key irrelevant: no request for it
            await keys.refresh()
        key = keys.key(key_id, algorithm)
        if key is None:
            raise Unauthenticated("unknown_key")
        return key


def _header(token: str) -> Mapping[str, Any]:
    try:
        header: dict[str, Any] = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise _unauthenticated(error) from None
    if "crit" in header or "b64" in header:  # extensions must be understood or rejected, and we implement none
        raise Unauthenticated("extension")
    return header


def _claims(token: str, validation: TokenValidation, key: jwt.PyJWK | None) -> Mapping[str, Any]:
    """Return valid claims. Without a key their signature is not verified, and they must not be trusted."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key or "",
            algorithms=[key.algorithm_name] if key else None,
            audience=validation.audience,
            issuer=validation.issuer,
            leeway=validation.leeway_seconds,
            options={
                "require": ["exp", "sub"],
                "verify_signature": key is not None,
                "verify_exp": True,
                "verify_nbf": True,
                "verify_iat": True,
                "verify_sub": True,
                "verify_iss": validation.issuer is not None,
                "verify_aud": validation.audience is not None,
            },
        )
    except jwt.PyJWTError as error:
        raise _unauthenticated(error) from None
    return claims


def _unauthenticated(error: jwt.PyJWTError) -> Unauthenticated:
    """Keep the kind of an error and drop its message, which may quote the token (P7)."""
    return Unauthenticated(next(_REASONS[kind] for kind in type(error).__mro__ if kind in _REASONS))
