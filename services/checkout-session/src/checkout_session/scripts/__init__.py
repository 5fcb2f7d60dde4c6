"""The server-side scripts: each is one change of an attempt, carried out whole or not at all."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the digest under which Redis caches it."""

    text: str
    digest: str

    async def run(self, redis: Redis, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """Run by digest; send the text only to a server that does not know it, as after a restart or a failover."""
        try:
            return await redis.evalsha(self.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await redis.eval(self.text, len(keys), *keys, *arguments)


def _load(name: str) -> Script:
    text = resources.files(__name__).joinpath(f"{name}.lua").read_text("utf-8")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


SAVE: Final = _load("save")
FIND: Final = _load("find")
CLOSE: Final = _load("close")
DELETE: Final = _load("delete")
