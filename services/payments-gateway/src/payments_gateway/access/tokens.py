"""Who is asking: a signed-in user by a verified token, or a guest (P6)."""

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import jwt

from checkout_rules.limits import MAX_ID_CHARACTERS
from payments_gateway.domain.callers import Caller

_HMAC: Final = "HS256"
_MAX_TOKEN_CHARACTERS: Final = 8192

_FAULTS: Final[Mapping[type[jwt.PyJWTError], str]] = {
    jwt.InvalidSignatureError: "signature",
    jwt.ExpiredSignatureError: "expired",
    jwt.ImmatureSignatureError: "not_yet_valid",
    jwt.InvalidAudienceError: "audience",
    jwt.InvalidIssuerError: "issuer",
    jwt.MissingRequiredClaimError: "missing_claim",
    jwt.exceptions.InvalidSubjectError: "subject",
    jwt.PyJWTError: "malformed",
}
"""Fault by the library's exception; what has no row takes its nearest ancestor's."""


class Unauthenticated(Exception):
    """The request needs a valid token and carries none. It never quotes the token."""

    def __init__(self, fault: str = "absent") -> None:
        """Say what is wrong with the token, in one lower_snake_case word that metrics may count by."""
        super().__init__()
        self.fault = fault


GUEST = Caller(user_id=None)


@dataclass(frozen=True)
class TokenValidation:
    """What a token's claims must say. An expiry and a subject are always required."""

    audience: str | None = None
    """Who the token must be made for; None for a shop whose tokens name nobody."""
    issuer: str | None = None
    leeway_seconds: float = 10.0
    """How far the issuer's clock and ours may differ."""


class TokenKeys(Protocol):
    """The keys that tokens are signed with. A key is bound to its one algorithm, whatever a token's header says."""

    @property
    def algorithms(self) -> Collection[str]:
        """Every algorithm that a token may name."""

    def has(self, key_id: str | None) -> bool:
        """Whether nothing new could be learnt about this key id by asking."""

    async def refresh(self) -> None:
        """Ask for keys that are not known. Returns also when there are none; raises when nobody can tell now."""

    def key(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the known key of this id for this algorithm."""


class SharedSecret:
    """One HS256 secret that the shop signs its tokens with."""

    algorithms = (_HMAC,)

    def __init__(self, secret: str) -> None:
        """Verify with this secret, whatever key id a token names."""
        encoded = base64.urlsafe_b64encode(secret.encode()).decode()
        self._key = jwt.PyJWK({"kty": "oct", "k": encoded}, _HMAC)

    def has(self, _key_id: str | None) -> bool:
        """Return True: there is only one key."""
        return True

    async def refresh(self) -> None:
        """Do nothing: there is nobody to ask."""

    def key(self, _key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the secret."""
        return self._key if algorithm == _HMAC else None


class TokenVerifier:
    """Reads the caller from an Authorization header."""

    def __init__(self, keys: TokenKeys | None, rules: TokenValidation, *, allow_guests: bool = True) -> None:
        """Verify tokens signed with these keys; without keys every token is refused."""
        self._keys = keys
        self._rules = rules
        self._allow_guests = allow_guests

    async def caller(self, authorization: str | None) -> Caller:
        """Return who sends this header. Raises Unauthenticated for a bad token, or for none where guests are refused.

        Raises what its keys raise when a token names a key that nobody can tell about now.
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
        subject = _claims(token, self._rules, key)["sub"]
        if not 0 < len(subject) <= MAX_ID_CHARACTERS or not subject.isprintable():
            raise Unauthenticated("subject")
        return str(subject)

    async def _key(self, token: str, keys: TokenKeys) -> jwt.PyJWK:
        header = _header(token)
        key_id, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in keys.algorithms:
            raise Unauthenticated("algorithm")
        if not keys.has(key_id):
            _claims(token, self._rules, None)  # a token that its own claims refute is not worth asking anybody about
            await keys.refresh()
        key = keys.key(key_id, algorithm)
        if key is None:
            raise Unauthenticated("unknown_key")
        return key


def _header(token: str) -> Mapping[str, Any]:
    try:
        header: dict[str, Any] = jwt.get_unverified_header(token)
    except jwt.PyJWTError as refused:
        raise _not_signed_in(refused) from None
    if "crit" in header or "b64" in header:  # extensions must be understood or refused, and we understand none
        raise Unauthenticated("extension")
    return header


def _claims(token: str, rules: TokenValidation, key: jwt.PyJWK | None) -> Mapping[str, Any]:
    """Return claims that obey the rules; verified if a key is given, and not to be believed if none is."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key or "",
            algorithms=[key.algorithm_name] if key else None,
            audience=rules.audience,
            issuer=rules.issuer,
            leeway=rules.leeway_seconds,
            options={
                "require": ["exp", "sub"],
                "verify_signature": key is not None,
                "verify_exp": True,
                "verify_nbf": True,
                "verify_iat": True,
                "verify_sub": True,
                "verify_iss": rules.issuer is not None,
                "verify_aud": rules.audience is not None,
            },
        )
    except jwt.PyJWTError as refused:
        raise _not_signed_in(refused) from None
    return claims


def _not_signed_in(refused: jwt.PyJWTError) -> Unauthenticated:
    """Keep the kind of a refusal and drop its message, which may quote the token (P7)."""
    return Unauthenticated(next(_FAULTS[kind] for kind in type(refused).__mro__ if kind in _FAULTS))
