"""The OIDC issuer's signing keys in memory: read again in the background, never on the way of a known key."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol

import jwt

from servicekit.cancellation import cancel_until_ended

_log = logging.getLogger(__name__)

_LEAST_SECONDS_BETWEEN_READS: Final = 2.0
"""The issuer is asked not more often than this, however many unknown key ids arrive (ADR 0012)."""
_MOST_WAITING: Final = 1000
"""How many requests with an unknown key id may wait for the next read."""
_MOST_KEYS: Final = 100
_MAX_KEY_ID_CHARACTERS: Final = 255

_ALGORITHMS_BY_KIND: Final[Mapping[tuple[Any, Any], frozenset[str]]] = {
    ("RSA", None): frozenset({"RS256", "PS256"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
"""What a key of a type and curve may verify: the key decides, never the token. Secrets (`oct`) are not in it."""
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

JsonKey = Mapping[str, Any]
"""A JSON Web Key as the issuer publishes it (RFC 7517)."""


class JwksUnavailable(Exception):
    """The issuer's keys cannot be read now, so nobody can tell whether a token is valid."""


class JwksSource(Protocol):
    """Where the issuer publishes its keys."""

    async def read(self) -> Iterable[object]:
        """Return the published keys, usable or not. Raises JwksUnavailable."""


class _Read:
    """One read of the key set, for those who wait for it."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.failed = False


class JwksCache:
    """Holds the issuer's keys. A key is gone, or known, one read after the issuer withdrew or published it."""

    def __init__(
        self,
        source: JwksSource,
        *,
        algorithms: Collection[str],
        refresh_seconds: float,
        max_age_seconds: float,
        monotonic: Callable[[], float],
        least_seconds_between_reads: float = _LEAST_SECONDS_BETWEEN_READS,
    ) -> None:
        """Keep source's keys, for as long as max_age_seconds while it is away; monotonic is a clock in seconds."""
        self.algorithms = frozenset(algorithms)
        self._source = source
        self._refresh_seconds = refresh_seconds
        self._max_age_seconds = max_age_seconds
        self._monotonic = monotonic
        self._least_seconds_between_reads = least_seconds_between_reads
        self._keys: Mapping[str, Mapping[str, jwt.PyJWK]] = {}
        self._read_at = float("-inf")
        self._wanted = asyncio.Event()
        self._next = _Read()
        self._waiting = 0

    @property
    def ever_loaded(self) -> bool:
        """Whether the issuer's keys have been read at least once."""
        return bool(self._keys)

    def has(self, key_id: str | None) -> bool:
        """Whether this key is held. A token that names no key is not worth asking about: a key id is required."""
        return key_id is None or key_id in self._current()

    def key(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key of this id, bound to this algorithm, if the issuer publishes it for that."""
        return None if key_id is None else self._current().get(key_id, {}).get(algorithm)

    async def refresh(self) -> None:
        """Wait for a read that began after now, in which a key published before now is found.

        Raises JwksUnavailable if that read fails, or if too many wait already.
        """
        if self._waiting >= _MOST_WAITING:
            raise JwksUnavailable
        reading = self._next
        self._wanted.set()
        self._waiting += 1
        try:
            await reading.ended.wait()
        finally:
            self._waiting -= 1
        if reading.failed:
            raise JwksUnavailable

    @asynccontextmanager
    async def refresh_in_background(self) -> AsyncIterator[None]:
        """Read the keys now and again in the background while the context lasts."""
        reading = asyncio.create_task(self._read_for_ever())
        try:
            yield
        finally:
            await cancel_until_ended(reading, every_seconds=0.2, within_seconds=2.0)

    def _current(self) -> Mapping[str, Mapping[str, jwt.PyJWK]]:
        fresh = self._monotonic() - self._read_at <= self._max_age_seconds
        return self._keys if fresh else {}

    async def _read_for_ever(self) -> None:
        """Read one at a time and with a pause in between that nobody can shorten."""
        while True:
            failed = await self._read()
            await asyncio.sleep(self._least_seconds_between_reads)
            if not failed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._refresh_seconds - self._least_seconds_between_reads):
                        await self._wanted.wait()

    async def _read(self) -> bool:
        """Read once and tell those who wait; return whether it failed, in which case the keys held are kept."""
        reading, self._next = self._next, _Read()
        self._wanted.clear()
        began = self._monotonic()
        try:
            self._keys = _usable(await self._source.read(), self.algorithms)
            self._read_at = began
        except JwksUnavailable:
            _log.warning("the issuer's keys could not be read")
            reading.failed = True
        except Exception:  # noqa: BLE001 — whatever it was, keys must go on being read
            _log.exception("the issuer's keys could not be read")
            reading.failed = True
        finally:
            reading.ended.set()
        return reading.failed


def _usable(published: Iterable[object], allowed: frozenset[str]) -> Mapping[str, Mapping[str, jwt.PyJWK]]:
    """Return the keys that may verify, by id and algorithm. Raises JwksUnavailable if there are none."""
    usable: dict[str, dict[str, jwt.PyJWK]] = {}
    for key, _ in zip(published, range(_MOST_KEYS), strict=False):
        if isinstance(key, dict) and _is_public_signing_key(key):
            for algorithm in _algorithms_of(key) & allowed:
                if (loaded := _loaded(key, algorithm)) is not None:
                    usable.setdefault(key["kid"], {}).setdefault(algorithm, loaded)
    if not usable:
        raise JwksUnavailable
    return usable


def _is_public_signing_key(key: JsonKey) -> bool:
    named = isinstance(key.get("kid"), str) and 0 < len(key["kid"]) <= _MAX_KEY_ID_CHARACTERS
    operations = key.get("key_ops", ["verify"])
    for_signatures = key.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    return named and for_signatures and not _PRIVATE_MEMBERS & key.keys()


def _algorithms_of(key: JsonKey) -> frozenset[str]:
    """Return what a key may verify: what its type can do, narrowed to what the issuer says it is for."""
    try:
        possible = _ALGORITHMS_BY_KIND.get((key.get("kty"), key.get("crv")), frozenset())
    except TypeError:  # a type that is a list is no type
        return frozenset()
    return possible if "alg" not in key else possible & {str(key["alg"])}


def _loaded(key: JsonKey, algorithm: str) -> jwt.PyJWK | None:
    """Return a key bound to an algorithm; None if it is malformed or shorter than is safe."""
    try:
        loaded = jwt.PyJWK(dict(key), algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        return None
    return None if loaded.Algorithm.check_key_length(loaded.key) else loaded
