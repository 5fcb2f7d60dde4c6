"""Snapshot of an account, to which a request that fails as a whole returns."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stripe_simulator.account import Account


class Snapshot:
    """The objects, secrets and scheduled actions of an account. Stored objects never change, so they are shared."""

    def __init__(self, account: "Account") -> None:
        self._account = account
        self._collections = {name: each.copy() for name, each in account.collections.items()}
        self._includable, self._secrets = dict(account.includable), dict(account.secrets)
        self._scheduled = account.scheduler.scheduled()

    def restore(self) -> None:
        """Return the account to the snapshot. Ids that were given out since stay used."""
        self._account.collections.update(self._collections)
        self._account.includable = self._includable
        self._account.secrets = self._secrets
        self._account.scheduler.reschedule(self._scheduled)
