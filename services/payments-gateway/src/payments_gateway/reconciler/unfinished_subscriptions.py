"""Subscriptions that were bought but not created yet, or were cancelled meanwhile (ADR 15, 29)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter

from payments_gateway.domain.stripe_events import CursorsPort
from payments_gateway.domain.subscriptions import UnfinishedSubscriptionsPort
from payments_gateway.reconciler.handling import AT_ONCE, failure_of, for_each
from payments_gateway.subscriptions.activation import Activation

ACTIVATED: Final = Counter(
    "holdfast_reconcile_subscriptions", "Unfinished subscriptions that were activated again, by outcome.", ["outcome"]
)


_CURSOR: Final = "subscriptions"
_NO_LEASE: Final = timedelta()
_LONGEST_PAUSE: Final = 20
"""Longest pause of one that fails, in units of the first: 20 minutes by default."""


class UnfinishedSubscriptions:
    """Finishes what fulfilment and cancellation left undone."""

    def __init__(
        self,
        subscriptions: UnfinishedSubscriptionsPort,
        cursors: CursorsPort,
        activation: Activation,
        *,
        lease: timedelta,
        older_than: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        """Leave younger ones to whoever recorded them. One reconciler at a time handles a page, within the lease."""
        self._subscriptions = subscriptions
        self._cursors = cursors
        self._lease = lease
        self._older_than = older_than
        self._activation = activation
        self._now = now
        self._page_token: str | None = None
        self._failed = dict[str, tuple[int, datetime]]()
        """Number of failures and next try, by id. In memory: after a restart each is tried once too often."""

    async def run(self) -> bool:
        """Activate those of a page that are due; True if there are more. Raises ServiceUnavailable."""
        if await self._cursors.claim(_CURSOR, self._lease) is None:
            return False  # another reconciler is at work
        now = self._now()
        if self._page_token is None:
            self._forget_finished(now)
        page = await self._subscriptions.list_unfinished(
            now - self._older_than, page_size=AT_ONCE, page_token=self._page_token
        )
        self._page_token = page.next_page_token
        await for_each([each for each in page.subscription_ids if self._is_due(each, now)], self._finish)
        await self._cursors.advance(_CURSOR, now, _NO_LEASE)
        return page.next_page_token is not None

    async def _finish(self, subscription_id: str) -> None:
        failure = await failure_of(self._activation.activate(subscription_id), subscription=subscription_id)
        if failure is None:
            self._failed.pop(subscription_id, None)
        else:
            failures, _ = self._failed.get(subscription_id, (0, None))
            pause = self._older_than * min(2**failures, _LONGEST_PAUSE)
            self._failed[subscription_id] = (failures + 1, self._now() + pause)
        ACTIVATED.labels("finished" if failure is None else "failed").inc()

    def _is_due(self, subscription_id: str, now: datetime) -> bool:
        _, next_try = self._failed.get(subscription_id, (0, now))
        return next_try <= now

    def _forget_finished(self, now: datetime) -> None:
        """Forget those that were finished elsewhere: they came due long ago, and no list showed them."""
        long_ago = now - self._older_than * _LONGEST_PAUSE
        self._failed = {each: entry for each, entry in self._failed.items() if entry[1] > long_ago}
