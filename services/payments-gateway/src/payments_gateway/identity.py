"""Who is asking: a signed-in user by a verified token, or a guest (P6)."""

from dataclasses import dataclass

import jwt

_ALGORITHM = "HS256"
_LEEWAY_SECONDS = 10
_MAX_TOKEN_CHARACTERS = 8192
_MAX_USER_ID_CHARACTERS = 255


class NotSignedIn(Exception):
    """The request needs a valid token and carries none."""


@dataclass(frozen=True)
class Caller:
    """Who sent a request."""

    user_id: str | None
    """The verified token's subject; None for a guest."""

    def owns(self, owner: str | None) -> bool:
        """Whether something that belongs to owner may answer this caller. What has no owner answers anyone."""
        return owner is None or owner == self.user_id


GUEST = Caller(user_id=None)


class TokenVerifier:
    """Reads the caller from an Authorization header."""

    def __init__(
        self, secret: str | None, *, audience: str | None = None, issuer: str | None = None, allow_guests: bool = True
    ) -> None:
        """Verify HS256 tokens of a shared secret; without a secret every token is refused."""
        self._secret = secret
        self._audience = audience
        self._issuer = issuer
        self._allow_guests = allow_guests

    def caller(self, authorization: str | None) -> Caller:
        """Return who sends this header. Raises NotSignedIn for a bad token, or for none where guests are refused."""
        if authorization is None:
            if not self._allow_guests:
                raise NotSignedIn
            return GUEST
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or self._secret is None or len(token) > _MAX_TOKEN_CHARACTERS:
            raise NotSignedIn
        return Caller(user_id=self._subject(token.strip(), self._secret))

    def _subject(self, token: str, secret: str) -> str:
        try:
            claims = jwt.decode(
                token,
                secret,
                algorithms=[_ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "sub"], "verify_aud": self._audience is not None},
            )
        except jwt.PyJWTError:
            raise NotSignedIn from None  # the library's message may quote the token
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_USER_ID_CHARACTERS or not subject.isprintable():
            raise NotSignedIn
        return subject
