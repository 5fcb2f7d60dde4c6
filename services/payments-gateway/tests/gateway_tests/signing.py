"""Tokens, good and forged, and the key set that verifies them."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

from devstack.local_issuer import AUDIENCE, SigningKey
from payments_gateway.access.jwks_cache import JwksCache, JwksUnavailable
from payments_gateway.access.tokens import TokenValidation

from .fakes import until

ISSUER: Final = "https://id.shop.example"
VALIDATION: Final = TokenValidation(AUDIENCE, ISSUER)
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")


@cache
def rsa_key(key_id: str) -> SigningKey:
    """Return the tests' RSA key of an id: generating one takes long."""
    return SigningKey.rsa(key_id)


class KeySet:
    """A JWKS source whose keys the test changes."""

    def __init__(self, *keys: SigningKey) -> None:
        self.keys: list[object] = []
        self.publish(*keys)
        self.reads = 0
        self.down = False

    def publish(self, *keys: SigningKey) -> None:
        """Publish these keys and no others."""
        self.keys = [key.to_jwk() for key in keys]

    async def read(self) -> Iterable[object]:
        """Return the published keys."""
        self.reads += 1
        if self.down:
            raise JwksUnavailable
        return self.keys


def jwks_cache(source: KeySet, *, algorithms: tuple[str, ...] = ALGORITHMS) -> JwksCache:
    """Return a cache of a key set."""
    return JwksCache(
        source,
        algorithms=algorithms,
        refresh_seconds=3600,
        max_age_seconds=7200,
        pause_seconds=0.01,
        monotonic=time.monotonic,
    )


@asynccontextmanager
async def cached(source: KeySet, *, algorithms: tuple[str, ...] = ALGORITHMS) -> AsyncIterator[JwksCache]:
    """Give a cache of a key set that was read once."""
    keys = jwks_cache(source, algorithms=algorithms)
    async with keys.refresh_in_background():
        await until(lambda: bool(keys.key_ids))
        yield keys


def claims(user_id: object = "user_ada", **changes: object) -> dict[str, object]:
    """Return the claims of a valid token; a change to None leaves a claim out."""
    now = int(time.time())
    given = {"iss": ISSUER, "aud": AUDIENCE, "sub": user_id, "iat": now, "exp": now + 86_400, **changes}
    return {name: value for name, value in given.items() if value is not None}


def by_hand(header: Mapping[str, object], payload: bytes, signature: bytes = b"") -> str:
    """Return a token that no library would make."""
    parts = (json.dumps(header).encode(), payload, signature)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def signed_with_secret(header: Mapping[str, object], secret: bytes) -> str:
    """Return a token of valid claims, signed by HMAC, whatever its header says."""
    payload = json.dumps(claims()).encode()
    signing_input = by_hand(header, payload).removesuffix(".")
    return by_hand(header, payload, hmac.digest(secret, signing_input.encode(), hashlib.sha256))
