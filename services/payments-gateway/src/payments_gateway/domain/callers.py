"""The user or guest that a request is made for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Sender of a request."""

    user_id: str | None
    """The verified token's subject; None for a guest."""

    def owns(self, owner: str | None) -> bool:
        """Return True if the caller may access a thing of this owner. Things without an owner are open to everybody."""
        return owner is None or owner == self.user_id
