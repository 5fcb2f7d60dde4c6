"""Tokens that sign anybody in without a proof. For demos: they do not start outside development."""

from collections.abc import Callable
from typing import Final

import jwt

from payments_gateway.access.tokens import HMAC, TokenValidation

_LIFETIME_SECONDS: Final = 3600


class DemoTokens:
    """Signs tokens that the gateway's own verifier accepts."""

    def __init__(self, secret: str, validation: TokenValidation, *, now: Callable[[], float]) -> None:
        self._secret = secret
        self._validation = validation
        self._now = now
        """Seconds since the epoch."""

    def issue(self, user_id: str) -> str:
        """Return a token of this user, valid for an hour."""
        claims = {
            "sub": user_id,
            "exp": int(self._now()) + _LIFETIME_SECONDS,
            "aud": self._validation.audience,
            "iss": self._validation.issuer,
        }
        present = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(present, self._secret, algorithm=HMAC)
