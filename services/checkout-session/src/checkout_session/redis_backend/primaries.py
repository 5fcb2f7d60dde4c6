"""Primaries: the servers that own the attempts and run the scripts (ADR 10)."""

from collections.abc import Sequence
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from checkout_session.domain.durability import IN_MEMORY
from checkout_session.redis_backend.connection import reconnect
from checkout_session.redis_backend.scripts import Command, Script
from checkout_session.redis_backend.write_confirmation import AnsweredByReplica, Confirmation, Confirmations


class Primary(Protocol):
    """Client of one primary."""

    async def execute_command(self, *command: Any) -> Any:
        """Send one command and return its reply."""
        ...


class Primaries(Protocol):
    """The servers that own the attempts. Every method raises RedisError."""

    async def run(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """Run a script on the primary of its keys; return its result once it is confirmed.

        The script may run more than once: it is sent again when a reply is lost.
        """
        ...

    async def primaries(self) -> Sequence[Primary]:
        """Return every primary that scripts are sent to."""
        ...

    async def reconnect(self) -> None:
        """Close every connection, because a server is no longer a primary."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class StandalonePrimaries:
    """One server, found by its address. Implements Primaries; closes the client in `aclose`.

    By default a change is acknowledged when it is in the server's memory.
    """

    def __init__(self, redis: Redis, confirmations: Confirmations | None = None) -> None:
        self._redis = redis
        self._confirmations = confirmations or Confirmations(IN_MEMORY)

    async def run(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """See Primaries.run. A server without the script in its cache, as after a restart, is sent its text."""
        async with self._confirmations.acquire_slot(writes=script.writes) as confirmation:
            try:
                return await self._send(script.evalsha(keys, arguments), confirmation)
            except NoScriptError:
                return await self._send(script.eval(keys, arguments), confirmation)
            except AnsweredByReplica:  # the address, or a Sentinel, may lead to the primary by now
                await self.reconnect()
                return await self._send(script.eval(keys, arguments), confirmation)

    async def primaries(self) -> Sequence[Primary]:
        """See Primaries.primaries."""
        return [self._redis]

    async def reconnect(self) -> None:
        """See Primaries.reconnect."""
        await reconnect(self._redis)

    async def aclose(self) -> None:
        """See Primaries.aclose."""
        await self._redis.aclose()

    async def _send(self, command: Command, confirmation: Confirmation | None) -> Any:
        """Pipeline script and confirmation on one connection: the confirmation holds for that connection alone."""
        if confirmation is None:
            return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py left it untyped
        pipeline = self._redis.pipeline(transaction=False)
        for each in (command, *confirmation.commands):
            pipeline.execute_command(*each)
        return confirmed(confirmation, await pipeline.execute(raise_on_error=False))


def confirmed(confirmation: Confirmation | None, replies: Sequence[Any]) -> Any:
    """Return a script's result, the first reply. Raises it if it is an error, or if the last reply confirms nothing."""
    if isinstance(replies[0], Exception):
        raise replies[0]
    if confirmation is not None:
        confirmation.check(replies[-1])
    return replies[0]
