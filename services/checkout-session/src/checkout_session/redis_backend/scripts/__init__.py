"""Server-side scripts. Each is one atomic change of an attempt, or one consistent read."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

Command = tuple[str | bytes | int, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the SHA-1 under which Redis caches it."""

    text: str
    sha1: str

    durable: bool = True
    """False if its changes may be lost, so that nobody waits for the disk."""

    @property
    def writes(self) -> bool:
        """True for a script whose changes must not be lost. The first line of a script says if it only reads."""
        return self.durable and "no-writes" not in self.text.partition("\n")[0]

    def evalsha(self, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Command:
        """Return the command for a server that has the script in its cache."""
        return ("EVALSHA", self.sha1, len(keys), *keys, *arguments)

    def eval(self, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Command:
        """Return the command for any server. The server caches the script."""
        return ("EVAL", self.text, len(keys), *keys, *arguments)


def _load(name: str, *, durable: bool = True) -> Script:
    text = resources.files(__name__).joinpath(f"{name}.lua").read_text("utf-8")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), durable)


SAVE: Final = _load("save")
REPLAY: Final = _load("replay")
FIND: Final = _load("find")
CLOSE: Final = _load("close")
DELETE: Final = _load("delete")
# Check times and leases only save calls to Stripe: a lost one is set again.
CLAIM: Final = _load("claim", durable=False)
RENEW: Final = _load("renew", durable=False)
RESCHEDULE: Final = _load("reschedule", durable=False)
SHARD_COUNT_GET: Final = _load("shard_count_get")
SHARD_COUNT_SET: Final = _load("shard_count_set")
