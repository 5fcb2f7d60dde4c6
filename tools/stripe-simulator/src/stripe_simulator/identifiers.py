"""Ids and secrets in the shapes that Stripe gives them, reproducible from a seed."""

import random
import string

_ALPHABET = string.ascii_letters + string.digits
# Long ids start with the digit of Stripe's id generation: 3 for payments and their events, 1 for the rest.
_LONG_IDS = {
    "pi": "3",
    "ch": "3",
    "evt": "3",
    "price": "1",
    "pm": "1",
    "we": "1",
    "shr": "1",
    "payatt": "1",
    "seti": "1",
    "sub": "1",
    "in": "1",
    "il": "1",
    "re": "3",
    "du": "1",
}
_LONG_LENGTH = 23
_SHORT_LENGTH = 14


class Identifiers:
    """Makes ids; the same seed gives the same sequence."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - reproducible on purpose; nothing real hangs on it

    def new(self, prefix: str) -> str:
        """Make an id such as `pi_3…` (long) or `cus_…` (short)."""
        generation = _LONG_IDS.get(prefix)
        if generation is None:
            return f"{prefix}_{self._characters(_SHORT_LENGTH)}"
        return f"{prefix}_{generation}{self._characters(_LONG_LENGTH)}"

    def client_secret(self, object_id: str) -> str:
        """Make the secret that lets a browser see and confirm one intent."""
        return f"{object_id}_secret_{self._characters(25)}"

    def webhook_secret(self) -> str:
        """Make the secret that an endpoint's deliveries are signed with."""
        return f"whsec_{self._characters(32)}"

    def fingerprint(self) -> str:
        """Make the value by which Stripe recognises the same card or account again."""
        return self._characters(16)

    def _characters(self, length: int) -> str:
        return "".join(self._random.choices(_ALPHABET, k=length))
