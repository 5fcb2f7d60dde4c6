"""The gateway's token verification against an issuer on loopback."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

from devstack.local_issuer import AUDIENCE, LocalIssuer, SigningKey
from payments_gateway.access.jwks_cache import JwksCache
from payments_gateway.access.jwks_client import JwksClient
from payments_gateway.access.tokens import TokenValidation, TokenVerifier

from .assembly import until

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
PAUSE_SECONDS: Final = 0.05


@cache
def rsa_key(key_id: str) -> SigningKey:
    """Return the tests' RSA key of an id: making one takes long."""
    return SigningKey.rsa(key_id)


@asynccontextmanager
async def kept_keys(
    issuer: LocalIssuer,
    *,
    discovered: bool = False,
    algorithms: tuple[str, ...] = ALGORITHMS,
    refresh_seconds: float = 3600,
    max_age_seconds: float = 7200,
    pause_seconds: float = PAUSE_SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
    loaded: bool = True,
) -> AsyncIterator[JwksCache]:
    """Give an issuer's keys, read again in the background; read once already if they must be loaded."""
    keys = JwksCache(
        JwksClient(issuer.url, None if discovered else issuer.keys_url, timeout_seconds=30, insecure_allowed=True),
        algorithms=algorithms,
        refresh_seconds=refresh_seconds,
        max_age_seconds=max_age_seconds,
        monotonic=monotonic,
        least_seconds_between_reads=pause_seconds,
    )
    async with keys.refresh_in_background():
        if loaded:
            await until(lambda: keys.ever_loaded)
        yield keys


def rules_of(issuer: LocalIssuer) -> TokenValidation:
    """Return what an issuer's tokens must say."""
    return TokenValidation(AUDIENCE, issuer.url)


async def user_of(token: str, keys: JwksCache, issuer: LocalIssuer) -> str | None:
    """Return the user that a token names."""
    return (await TokenVerifier(keys, rules_of(issuer)).caller(f"Bearer {token}")).user_id


def encoded(part: bytes | Mapping[str, object]) -> str:
    """Return a part of a token."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def by_hand(header: Mapping[str, object], claims: Mapping[str, object] | bytes, signature: bytes = b"") -> str:
    """Return a token that no library would make."""
    return ".".join([encoded(header), encoded(claims), encoded(signature)])


def signed_with_secret(header: Mapping[str, object], claims: Mapping[str, object], secret: bytes) -> str:
    """Return a token signed by HMAC, whatever its header says."""
    signing_input = f"{encoded(header)}.{encoded(claims)}"
    return f"{signing_input}.{encoded(hmac.digest(secret, signing_input.encode(), hashlib.sha256))}"
