"""The server-side scripts: each is one change of an attempt, carried out whole or not at all."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

Command = tuple[str | bytes | int, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the digest under which Redis caches it."""

    text: str
    digest: str

    @property
    def changes(self) -> bool:
        """Whether it may change something; one that only reads says so in its first line."""
        return "no-writes" not in self.text.partition("\n")[0]

    def by_digest(self, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Command:
        """Return the command for a server that knows the script."""
        return ("EVALSHA", self.digest, len(keys), *keys, *arguments)

    def by_text(self, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Command:
        """Return the command for any server. From then on it knows the script."""
        return ("EVAL", self.text, len(keys), *keys, *arguments)


def _load(name: str) -> Script:
    text = resources.files(__name__).joinpath(f"{name}.lua").read_text("utf-8")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


SAVE: Final = _load("save")
FIND: Final = _load("find")
CLOSE: Final = _load("close")
DELETE: Final = _load("delete")
SHARDS_FIND: Final = _load("shards_find")
SHARDS_KEEP: Final = _load("shards_keep")
