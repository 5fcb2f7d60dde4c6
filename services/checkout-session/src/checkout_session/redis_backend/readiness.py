"""Readiness of the Redis servers. Needs INFO and access to the shard count's key, no admin rights."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from redis.exceptions import RedisError, ResponseError

from checkout_session.domain.durability import DurabilityPolicy
from checkout_session.redis_backend import scripts
from checkout_session.redis_backend.keys import SHARD_COUNT_KEY, SHARDS
from checkout_session.redis_backend.primaries import Primaries, Primary
from checkout_session.redis_backend.write_confirmation import NotOnDisk
from servicekit.health import NotReady

_MIN_REDIS_VERSION: Final = (7, 2)


class RedisReadiness:
    """Readiness check: primaries answer, are recent, never evict, are durable, and have the number of shards.

    `timeout_seconds` bounds the whole check.
    """

    def __init__(
        self, primaries: Primaries, policy: DurabilityPolicy, *, timeout_seconds: float, shards: int = SHARDS
    ) -> None:
        self._primaries = primaries
        self._policy = policy
        self._timeout_seconds = timeout_seconds
        self._shards = shards

    async def check(self) -> None:
        """Raise NotReady with the reason if attempts could be lost."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                for primary in await self._primaries.primaries():
                    await self._check_primary(primary)
                stored = await self._shard_count()
        except NotOnDisk as missing:
            raise NotReady(
                f"a change did not reach the disk in time ({missing}): see appendfsync and "
                "CHECKOUT_SESSION_REDIS_TIMEOUT_SECONDS"
            ) from missing
        except (RedisError, TimeoutError) as failure:
            raise NotReady(f"redis does not answer: {type(failure).__name__}") from failure
        if stored != str(self._shards).encode():
            raise NotReady(f"{SHARD_COUNT_KEY} holds {stored!r}, this version counts {self._shards} shards")

    async def _check_primary(self, primary: Primary) -> None:
        info = await primary.execute_command("INFO")
        await self._require_primary(info)
        require_safe(info)
        require_durable(self._policy, info)
        if self._policy.waits_for_disk:
            await _require_appendfsync_always(primary)

    async def _require_primary(self, info: Mapping[str, Any]) -> None:
        """Reconnect away from a replica: a service that is not ready gets no save that would do so."""
        role = info.get("role")
        if role != "master":
            await self._primaries.reconnect()
            raise NotReady(f"redis is a {role}, not the primary: it refuses every change")

    async def _shard_count(self) -> bytes | None:
        """Read the shard count; write it if it is unset, or if each change must reach the disk.

        Only a confirmed write shows that the disks are reached in time.
        """
        stored: bytes | None = await self._primaries.run(scripts.SHARD_COUNT_GET, (SHARD_COUNT_KEY,))
        if stored is None or self._policy.waits_for_disk:
            stored = await self._primaries.run(scripts.SHARD_COUNT_SET, (SHARD_COUNT_KEY,), self._shards)
        return stored


def require_safe(info: Mapping[str, Any]) -> None:
    """Raise NotReady if a server with this INFO could evict attempts, or is too old for the scripts."""
    _require_version(info)
    policy = info.get("maxmemory_policy")
    if policy != "noeviction":
        raise NotReady(f"maxmemory-policy is {policy}, not noeviction: an evicted attempt is a lost order")


def require_durable(policy: DurabilityPolicy, info: Mapping[str, Any]) -> None:
    """Raise NotReady if a server with this INFO cannot give the durability."""
    if not policy.requires_aof:
        return
    if not info.get("aof_enabled"):
        raise NotReady(f"appendonly is no: durability {policy.level.value} needs an append-only file")
    status = info.get("aof_last_write_status")
    if status != "ok":
        raise NotReady(f"the last write to the append-only file ended with {status}")
    online = sum(_is_online(value) for name, value in info.items() if name.startswith("slave"))
    if online < policy.replicas:
        raise NotReady(f"{online} replicas are online, changes must reach {policy.replicas}")


async def _require_appendfsync_always(primary: Primary) -> None:
    """Raise NotReady if the server reports another policy. A server that reports none is trusted.

    With everysec, Valkey and Redis 7.4 report a change as synced before it is on disk (ADR 9).
    """
    try:
        _, policy = await primary.execute_command("CONFIG", "GET", "appendfsync")
    except ResponseError:  # no rights, or a managed server without the command
        return
    if policy != b"always":
        raise NotReady(f"appendfsync is {policy.decode()}: durability fsync needs always")


def _is_online(value: Any) -> bool:
    """Return True for an online replica in INFO (slave0:ip=…,state=online,…). Some counts have such names as well."""
    return isinstance(value, Mapping) and value.get("state") == "online"


def _require_version(info: Mapping[str, Any]) -> None:
    """Raise NotReady for a Redis before 7.2. Every Valkey is newer."""
    if "valkey_version" in info:
        return
    version = str(info.get("redis_version", "0.0"))
    if tuple(int(part) for part in version.split(".")[:2]) < _MIN_REDIS_VERSION:
        raise NotReady(f"redis {version} is too old: 7.2 or Valkey is needed")
