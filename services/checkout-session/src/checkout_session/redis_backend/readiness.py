"""Whether these servers may be trusted with attempts. Needs INFO and the shard count's key, no admin rights."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from redis.exceptions import RedisError, ResponseError

from checkout_session.domain.durability import Durability
from checkout_session.redis_backend import scripts
from checkout_session.redis_backend.keys import SHARD_COUNT_KEY, SHARDS
from checkout_session.redis_backend.primaries import Master, Masters
from checkout_session.redis_backend.write_confirmation import NotOnDisk
from servicekit.health import NotReady

_LEAST_REDIS: Final = (7, 2)


class RedisReadiness:
    """A readiness check: masters answer, are recent, never evict, keep what is asked, and have our count of shards."""

    def __init__(
        self, masters: Masters, durability: Durability, *, timeout_seconds: float, shards: int = SHARDS
    ) -> None:
        """Check for a service that counts so many shards. timeout_seconds bounds the whole check."""
        self._masters = masters
        self._durability = durability
        self._timeout_seconds = timeout_seconds
        self._shards = shards

    async def check(self) -> None:
        """Raise NotReady with the reason if attempts would not be safe there."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                for master in await self._masters.inspect():
                    await self._require_trustworthy(master)
                stored = await self._stored_shards()
        except NotOnDisk as slow:
            raise NotReady(
                f"a change did not reach the disk in time ({slow}): see appendfsync and "
                "CHECKOUT_SESSION_REDIS_TIMEOUT_SECONDS"
            ) from slow
        except (RedisError, TimeoutError) as failure:
            raise NotReady(f"redis does not answer: {type(failure).__name__}") from failure
        if stored != str(self._shards).encode():
            raise NotReady(f"{SHARD_COUNT_KEY} holds {stored!r}, this version counts {self._shards} shards")

    async def _require_trustworthy(self, master: Master) -> None:
        told = await master.execute_command("INFO")
        await self._require_master(told)
        require_sound(told, told)
        require_durable(self._durability, told, told)
        if self._durability.waits_for_disk:
            await _require_every_change_synced(master)

    async def _require_master(self, replication: Mapping[str, Any]) -> None:
        """Leave a replica at once: where nobody saves because of this verdict, no refused save would do it."""
        role = replication.get("role")
        if role != "master":
            await self._masters.connect_anew()
            raise NotReady(f"redis is a {role}, not the master: it refuses every change")

    async def _stored_shards(self) -> bytes | None:
        """Read the shard count; write it where there is none, and again where each change must reach the disk.

        Only a change that is waited for shows that the disks are reached in time.
        """
        stored: bytes | None = await self._masters.run(scripts.SHARDS_FIND, (SHARD_COUNT_KEY,))
        if stored is None or self._durability.waits_for_disk:
            stored = await self._masters.run(scripts.SHARDS_KEEP, (SHARD_COUNT_KEY,), self._shards)
        return stored


def require_sound(server: Mapping[str, Any], memory: Mapping[str, Any]) -> None:
    """Raise NotReady if a server that describes itself so could lose attempts or lacks what the scripts need."""
    _require_version(server)
    policy = memory.get("maxmemory_policy")
    if policy != "noeviction":
        raise NotReady(f"maxmemory-policy is {policy}, not noeviction: an evicted attempt is a lost order")


def require_durable(durability: Durability, persistence: Mapping[str, Any], replication: Mapping[str, Any]) -> None:
    """Raise NotReady if a server that describes itself so cannot keep what it is asked to."""
    if not durability.needs_file:
        return
    if not persistence.get("aof_enabled"):
        raise NotReady(f"appendonly is no: durability {durability.level.value} needs an append-only file")
    status = persistence.get("aof_last_write_status")
    if status != "ok":
        raise NotReady(f"the last write to the append-only file ended with {status}")
    online = sum(_is_online(replica) for name, replica in replication.items() if name.startswith("slave"))
    if online < durability.replicas:
        raise NotReady(f"{online} replicas are online, changes must reach {durability.replicas}")


async def _require_every_change_synced(master: Master) -> None:
    """Raise NotReady if a server says that it does not sync every change. One that does not say is believed.

    With everysec, Valkey and Redis 7.4 tell that a change is on the disk before it is (ADR 9).
    """
    try:
        _, policy = await master.execute_command("CONFIG", "GET", "appendfsync")
    except ResponseError:  # no rights to ask, or a managed server without the command
        return
    if policy != b"always":
        raise NotReady(f"appendfsync is {policy.decode()}: durability fsync needs always")


def _is_online(replica: Any) -> bool:
    """Tell a replica's line of INFO (slave0:ip=…,state=online,…) from the counts that begin like it."""
    return isinstance(replica, Mapping) and replica.get("state") == "online"


def _require_version(server: Mapping[str, Any]) -> None:
    """Valkey is younger than the version it took over from Redis, 7.2, so every Valkey will do."""
    if "valkey_version" in server:
        return
    version = str(server.get("redis_version", "0.0"))
    if tuple(int(part) for part in version.split(".")[:2]) < _LEAST_REDIS:
        raise NotReady(f"redis {version} is too old: 7.2 or Valkey is needed")
