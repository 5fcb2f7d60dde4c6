"""Whether this Redis may be trusted with attempts. Needs INFO and the shard count's key, no admin rights."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from checkout_session.redis_store import connect_anew
from checkout_session.shards import SHARD_COUNT_KEY, SHARDS
from servicekit.health import NotReady

_LEAST_REDIS: Final = (7, 2)


class RedisReadiness:
    """A readiness check: a master answers, is recent, never evicts, and was filled with our count of shards."""

    def __init__(self, redis: Redis, *, timeout_seconds: float, shards: int = SHARDS) -> None:
        """Check through a client, for a service that counts so many shards. timeout_seconds bounds the whole check."""
        self._redis = redis
        self._timeout_seconds = timeout_seconds
        self._shards = shards

    async def check(self) -> None:
        """Raise NotReady with the reason if attempts would not be safe there."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._require_master()
                server = await self._redis.info("server")
                memory = await self._redis.info("memory")
                stored = await self._stored_shards()
        except (RedisError, TimeoutError) as failure:
            raise NotReady(f"redis does not answer: {type(failure).__name__}") from failure
        require_sound(server, memory)
        if stored != str(self._shards).encode():
            raise NotReady(f"{SHARD_COUNT_KEY} holds {stored!r}, this version counts {self._shards} shards")

    async def _require_master(self) -> None:
        """Leave a replica at once: where nobody saves because of this verdict, no refused save would do it."""
        role = (await self._redis.info("replication")).get("role")
        if role != "master":
            await connect_anew(self._redis)
            raise NotReady(f"redis is a {role}, not the master: it refuses every change")

    async def _stored_shards(self) -> bytes | str | None:
        """Read the shard count; write it only where there is none, so that a full Redis can still be read."""
        stored = await self._redis.get(SHARD_COUNT_KEY)
        if stored is not None:
            return stored
        await self._redis.set(SHARD_COUNT_KEY, self._shards, nx=True)
        return await self._redis.get(SHARD_COUNT_KEY)


def require_sound(server: Mapping[str, Any], memory: Mapping[str, Any]) -> None:
    """Raise NotReady if a server that describes itself so could lose attempts or lacks what the scripts need."""
    _require_version(server)
    policy = memory.get("maxmemory_policy")
    if policy != "noeviction":
        raise NotReady(f"maxmemory-policy is {policy}, not noeviction: an evicted attempt is a lost order")


def _require_version(server: Mapping[str, Any]) -> None:
    """Valkey is younger than the version it took over from Redis, 7.2, so every Valkey will do."""
    if "valkey_version" in server:
        return
    version = str(server.get("redis_version", "0.0"))
    if tuple(int(part) for part in version.split(".")[:2]) < _LEAST_REDIS:
        raise NotReady(f"redis {version} is too old: 7.2 or Valkey is needed")
