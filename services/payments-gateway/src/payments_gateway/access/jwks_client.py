"""Reads an OIDC issuer's keys over HTTP, distrusting how much it sends and how long it takes."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any, Final

import aiohttp
from prometheus_client import Counter

from payments_gateway.access.jwks_cache import JwksUnavailable

_READS: Final = Counter("issuer_key_reads", "Reads of the OIDC issuer's keys, by outcome.", ["outcome"])

_MAX_DOCUMENT_BYTES: Final = 128 * 1024
_DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
_OK: Final = 200
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "holdfast"}


class JwksClient:
    """The key set of one issuer, at a given address or at the one that its discovery document names."""

    def __init__(
        self, issuer: str, jwks_url: str | None, *, timeout_seconds: float, insecure_allowed: bool = False
    ) -> None:
        """Read within timeout_seconds; without jwks_url by discovery. insecure_allowed lets keys come by HTTP."""
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._timeout_seconds = timeout_seconds
        self._insecure_allowed = insecure_allowed

    async def read(self) -> Iterable[object]:
        """Return the published keys, unjudged. Raises JwksUnavailable for whatever keeps them from being read."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                keys = await self._keys()
        except (JwksUnavailable, TimeoutError):
            _READS.labels("failed").inc()
            raise JwksUnavailable from None
        _READS.labels("read").inc()
        return keys

    async def _keys(self) -> Iterable[object]:
        # Opened anew each time: a read every few minutes gains nothing from a connection that is kept.
        async with aiohttp.ClientSession(
            headers=_HEADERS,
            auto_decompress=False,  # a small compressed answer can hold a very large document
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            document = await self._document(session, self._jwks_url or await self._discovered(session))
        keys = document.get("keys")
        if not isinstance(keys, list):
            raise JwksUnavailable
        return keys

    async def _discovered(self, session: aiohttp.ClientSession) -> str:
        document = await self._document(session, self._issuer.rstrip("/") + _DISCOVERY_PATH)
        found = document.get("jwks_uri")
        # OpenID Connect Discovery 1.0, section 4.3: a document of another issuer must not be used.
        if document.get("issuer") != self._issuer or not isinstance(found, str):
            raise JwksUnavailable
        return found

    async def _document(self, session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
        if not url.startswith(("https://", "http://") if self._insecure_allowed else "https://"):
            raise JwksUnavailable
        try:
            async with session.get(url, allow_redirects=False) as answer:
                if answer.status != _OK:
                    raise JwksUnavailable
                document = json.loads(await _bounded(answer.content))
        except (aiohttp.ClientError, OSError, ValueError, RecursionError):
            raise JwksUnavailable from None
        if not isinstance(document, dict):
            raise JwksUnavailable
        return document


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    """Return what is sent, whole; refuse it as soon as it is too large."""
    received = bytearray()
    async for chunk in content.iter_any():
        received += chunk
        if len(received) > _MAX_DOCUMENT_BYTES:
            raise JwksUnavailable
    return bytes(received)
