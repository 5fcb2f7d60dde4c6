"""Generator of ids and secrets in Stripe's formats, reproducible from a seed."""

import random
import string

_ALPHABET = string.ascii_letters + string.digits
# The first digit of a long id: 3 for payments and their events, 1 for the rest, as at Stripe.
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
    "bps": "1",
    "bpc": "1",
}
_LONG_LENGTH = 23
_SHORT_LENGTH = 14


class Identifiers:
    """Generates ids. The same seed gives the same sequence."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - reproducible on purpose, in a simulator

    def new(self, prefix: str) -> str:
        """Return an id such as `pi_3…` (long) or `cus_…` (short)."""
        generation = _LONG_IDS.get(prefix)
        if generation is None:
            return f"{prefix}_{self._characters(_SHORT_LENGTH)}"
        return f"{prefix}_{generation}{self._characters(_LONG_LENGTH)}"

    def client_secret(self, object_id: str) -> str:
        """Return the secret by which a browser retrieves and confirms an intent."""
        return f"{object_id}_secret_{self._characters(25)}"

    def webhook_secret(self) -> str:
        """Return the signing secret of a webhook endpoint."""
        return f"whsec_{self._characters(32)}"

    def fingerprint(self) -> str:
        """Return the fingerprint of a card or bank account."""
        return self._characters(16)

    def _characters(self, length: int) -> str:
        return "".join(self._random.choices(_ALPHABET, k=length))
