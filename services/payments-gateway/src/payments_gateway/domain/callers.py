"""The user, or guest, on whose behalf a request is made."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """Who sent a request."""

    user_id: str | None
    """The verified token's subject; None for a guest."""

    def owns(self, owner: str | None) -> bool:
        """Whether something that belongs to owner may answer this caller. What has no owner answers anyone."""
        return owner is None or owner == self.user_id
