"""The OIDC issuer's public signing keys in memory (ADR 12)."""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import jwt

from servicekit.health import NotReady
from servicekit.refreshing_cache import RefreshingCache

_PAUSE_SECONDS: Final = 2.0
"""Least time between two requests to the issuer, however many unknown key ids arrive (ADR 12)."""
_MAX_KEYS: Final = 100
_MAX_KEY_ID_CHARACTERS: Final = 255

_ALGORITHMS_BY_KIND: Final[Mapping[tuple[Any, Any], frozenset[str]]] = {
    ("RSA", None): frozenset({"RS256", "PS256"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
"""Algorithms by key type and curve: the key decides, never the token. Shared secrets (`oct`) are left out."""
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

JsonKey = Mapping[str, Any]
"""A JSON Web Key as the issuer publishes it (RFC 7517)."""
KeysByIdAndAlgorithm = Mapping[str, Mapping[str, jwt.PyJWK]]


class JwksUnavailable(Exception):
    """The issuer's keys cannot be read now, so a token can be neither accepted nor rejected."""


class JwksSource(Protocol):
    """Where the issuer publishes its keys."""

    async def read(self) -> Iterable[object]:
        """Return the published keys, usable or not. Raises JwksUnavailable."""


class JwksCache:
    """Holds the issuer's usable keys. A published or withdrawn key takes effect with the next refresh.

    The arguments are those of RefreshingCache; keys for other than these `algorithms` are dropped.
    """

    def __init__(
        self,
        source: JwksSource,
        *,
        algorithms: Collection[str],
        refresh_seconds: float,
        max_age_seconds: float,
        monotonic: Callable[[], float],
        pause_seconds: float = _PAUSE_SECONDS,
    ) -> None:
        self.algorithms = frozenset(algorithms)
        self._source = source
        self._cache = RefreshingCache(
            "jwks",
            self._load,
            refresh_seconds=refresh_seconds,
            max_age_seconds=max_age_seconds,
            pause_seconds=pause_seconds,
            retry_seconds=pause_seconds,
            expected=JwksUnavailable,
            monotonic=monotonic,
        )

    async def check_ready(self) -> None:
        """Raise NotReady until the keys were read once.

        Keys that are too old do not count: guests and webhooks need none, and all gateways would fail at the same time.
        """
        if not self._cache.ever_loaded:
            raise NotReady("the issuer's keys were never loaded")

    @property
    def key_ids(self) -> Collection[str]:
        """The ids of the keys held."""
        return self._keys().keys()

    def has(self, key_id: str | None) -> bool:
        """Return True if a refresh cannot help: the key is held, or the token names none, which a key id must."""
        return key_id is None or key_id in self.key_ids

    def key(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key of this id, bound to this algorithm; None if the issuer does not publish it for that."""
        return None if key_id is None else self._keys().get(key_id, {}).get(algorithm)

    async def refresh(self) -> None:
        """Wait for a read that starts after this call. Raises JwksUnavailable if it fails, or too many callers wait."""
        if not await self._cache.refresh():
            raise JwksUnavailable

    def refresh_in_background(self) -> AbstractAsyncContextManager[None]:
        """Read the keys now, and keep refreshing them while the context lasts."""
        return self._cache.refresh_in_background()

    def _keys(self) -> KeysByIdAndAlgorithm:
        return self._cache.current() or {}

    async def _load(self) -> KeysByIdAndAlgorithm:
        usable = _usable(await self._source.read(), self.algorithms)
        if not usable:  # a mistake of the issuer must not sign everybody out
            raise JwksUnavailable
        return usable


def _usable(published: Iterable[object], allowed: frozenset[str]) -> KeysByIdAndAlgorithm:
    """Return the keys that may verify signatures, by id and algorithm."""
    usable: dict[str, dict[str, jwt.PyJWK]] = {}
    for key, _ in zip(published, range(_MAX_KEYS), strict=False):
        if isinstance(key, dict) and _is_public_signing_key(key):
            for algorithm in _algorithms_of(key) & allowed:
                if (loaded := _loaded(key, algorithm)) is not None:
                    usable.setdefault(key["kid"], {}).setdefault(algorithm, loaded)
    return usable


def _is_public_signing_key(key: JsonKey) -> bool:
    named = isinstance(key.get("kid"), str) and 0 < len(key["kid"]) <= _MAX_KEY_ID_CHARACTERS
    operations = key.get("key_ops", ["verify"])
    for_signatures = key.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    return named and for_signatures and not _PRIVATE_MEMBERS & key.keys()


def _algorithms_of(key: JsonKey) -> frozenset[str]:
    """Return the algorithms of the key's type, narrowed to `alg` where the issuer names one."""
    try:
        possible = _ALGORITHMS_BY_KIND.get((key.get("kty"), key.get("crv")), frozenset())
    except TypeError:  # unhashable: not a type
        return frozenset()
    return possible if "alg" not in key else possible & {str(key["alg"])}


def _loaded(key: JsonKey, algorithm: str) -> jwt.PyJWK | None:
    """Return a key bound to an algorithm; None if it is malformed or too short to be safe."""
    try:
        loaded = jwt.PyJWK(dict(key), algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        return None
    return None if loaded.Algorithm.check_key_length(loaded.key) else loaded
