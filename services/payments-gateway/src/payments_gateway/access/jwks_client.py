"""Reads an OIDC issuer's keys over HTTP, with bounds on size and time."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any, Final

import aiohttp
from prometheus_client import Counter

from payments_gateway.access.jwks_cache import JwksUnavailable

_REQUESTS: Final = Counter("holdfast_jwks_requests", "Reads of the OIDC issuer's keys, by outcome.", ["outcome"])

_MAX_DOCUMENT_BYTES: Final = 128 * 1024
_DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
_OK: Final = 200
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "holdfast"}


class JwksClient:
    """Reads the key set of one issuer from `jwks_url`, or from the address that its discovery document names.

    `insecure_allowed` accepts keys over plain HTTP, for development.
    """

    def __init__(
        self, issuer: str, jwks_url: str | None, *, timeout_seconds: float, insecure_allowed: bool = False
    ) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._timeout_seconds = timeout_seconds
        self._insecure_allowed = insecure_allowed

    async def read(self) -> Iterable[object]:
        """Return the published keys, usable or not. Raises JwksUnavailable."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                keys = await self._keys()
        except (JwksUnavailable, TimeoutError):
            _REQUESTS.labels("failed").inc()
            raise JwksUnavailable from None
        _REQUESTS.labels("ok").inc()
        return keys

    async def _keys(self) -> Iterable[object]:
        # A new session each time: reads are minutes apart, so a kept connection gains nothing.
        async with aiohttp.ClientSession(
            headers=_HEADERS,
            auto_decompress=False,  # a small compressed response can hold a very large document
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            document = await self._document(session, self._jwks_url or await self._discovered_url(session))
        keys = document.get("keys")
        if not isinstance(keys, list):
            raise JwksUnavailable
        return keys

    async def _discovered_url(self, session: aiohttp.ClientSession) -> str:
        document = await self._document(session, self._issuer.rstrip("/") + _DISCOVERY_PATH)
        jwks_url = document.get("jwks_uri")
        # OpenID Connect Discovery 1.0, section 4.3: a document of another issuer must not be used.
        if document.get("issuer") != self._issuer or not isinstance(jwks_url, str):
            raise JwksUnavailable
        return jwks_url

    async def _document(self, session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
        if not url.startswith(("https://", "http://") if self._insecure_allowed else "https://"):
            raise JwksUnavailable
        try:
            async with session.get(url, allow_redirects=False) as response:
                if response.status != _OK:
                    raise JwksUnavailable
                document = json.loads(await _read_bounded(response.content))
        except (aiohttp.ClientError, OSError, ValueError, RecursionError):
            raise JwksUnavailable from None
        if not isinstance(document, dict):
            raise JwksUnavailable
        return document


async def _read_bounded(content: aiohttp.StreamReader) -> bytes:
    """Return the whole body. Raises JwksUnavailable as soon as it is too large."""
    received = bytearray()
    async for chunk in content.iter_any():
        received += chunk
        if len(received) > _MAX_DOCUMENT_BYTES:
            raise JwksUnavailable
    return bytes(received)
