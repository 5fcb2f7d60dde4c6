"""Where scripts run: on the master that owns their keys, be it one server, one behind Sentinel, or one of a cluster."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.exceptions import NoScriptError

from checkout_session.domain.durability import IN_MEMORY
from checkout_session.redis_backend.connection import connect_anew
from checkout_session.redis_backend.scripts import Command, Script
from checkout_session.redis_backend.write_confirmation import AnsweredByReplica, Confirmation, Confirmations


class Master(Protocol):
    """A master to be inspected."""

    async def execute_command(self, *command: Any) -> Any:
        """Send one command and return its answer."""
        ...


class Masters(Protocol):
    """The servers that own the attempts. Every verb raises RedisError."""

    async def run(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """Run a script on the master of its keys; return its answer once it is confirmed.

        The script may run more than once: it is sent again when an answer is lost.
        """
        ...

    async def inspect(self) -> Sequence[Master]:
        """Return every master that scripts are sent to."""
        ...

    async def connect_anew(self) -> None:
        """Let go of every connection, because the server behind one is no master any more."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class OneMaster:
    """One server, reached by an address. Implements Masters."""

    def __init__(self, redis: Redis, confirmations: Confirmations | None = None) -> None:
        """Use a client, and close it in the end.

        Without confirmations of its own, a change is answered when it is in the server's memory.
        """
        self._redis = redis
        self._confirmations = confirmations or Confirmations(IN_MEMORY)

    async def run(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """See Masters.run. The text is sent only to a server that does not know it, as after a restart or failover."""
        async with self._confirmations.of(changes=script.changes) as confirmation:
            try:
                return await self._ask(script.by_digest(keys, arguments), confirmation)
            except NoScriptError:
                return await self._ask(script.by_text(keys, arguments), confirmation)
            except AnsweredByReplica:  # by now its address, or a Sentinel, may lead to the master
                await self.connect_anew()
                return await self._ask(script.by_text(keys, arguments), confirmation)

    async def inspect(self) -> Sequence[Master]:
        """See Masters.inspect."""
        return [self._redis]

    async def connect_anew(self) -> None:
        """See Masters.connect_anew."""
        await connect_anew(self._redis)

    async def aclose(self) -> None:
        """See Masters.aclose."""
        await self._redis.aclose()

    async def _ask(self, command: Command, confirmation: Confirmation | None) -> Any:
        """Send everything at once on one connection: only there does the confirmation speak of the script."""
        if confirmation is None:
            return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py left it untyped
        together = self._redis.pipeline(transaction=False)
        for each in (command, *confirmation.commands):
            together.execute_command(*each)
        return confirmed(confirmation, await together.execute(raise_on_error=False))


class WatchedMaster(OneMaster):
    """The master that Sentinels watch over, whichever it is. Implements Masters."""

    def __init__(self, redis: Redis, sentinel: Sentinel, confirmations: Confirmations | None = None) -> None:
        """Use a client whose pool asks the Sentinels, and theirs; close both in the end."""
        super().__init__(redis, confirmations)
        self._sentinel = sentinel

    async def inspect(self) -> Sequence[Master]:
        """See Masters.inspect. Leaves a master that was deposed: it learns of that seconds later, and takes writes."""
        pool = cast("SentinelConnectionPool", self._redis.connection_pool)
        left = pool.master_address
        named = await pool.get_master_address()  # type: ignore[no-untyped-call]  # redis-py left it untyped
        if left not in {None, named}:
            await self.connect_anew()
        return await super().inspect()

    async def aclose(self) -> None:
        """See Masters.aclose."""
        await super().aclose()
        await self._sentinel.aclose()


def confirmed(confirmation: Confirmation | None, answers: Sequence[Any]) -> Any:
    """Return a script's answer, the first; raise it if it is an error, or if what follows does not confirm it."""
    if isinstance(answers[0], Exception):
        raise answers[0]
    if confirmation is not None:
        confirmation.require(answers[-1])
    return answers[0]
