"""Subscriptions that were bought but not created yet, or were cancelled meanwhile (ADR 15, 29)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter

from payments_gateway.domain.subscriptions import UnfinishedSubscriptionsPort
from payments_gateway.reconciler.handling import failure_of, for_each
from payments_gateway.subscriptions.activation import Activation

ACTIVATED: Final = Counter(
    "holdfast_reconcile_subscriptions", "Unfinished subscriptions that were activated again, by outcome.", ["outcome"]
)


class UnfinishedSubscriptions:
    """Finishes what fulfilment and cancellation left undone."""

    def __init__(
        self,
        subscriptions: UnfinishedSubscriptionsPort,
        activation: Activation,
        *,
        older_than: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        """Leave younger ones to whoever recorded them."""
        self._subscriptions = subscriptions
        self._older_than = older_than
        self._activation = activation
        self._now = now
        self._page_token: str | None = None

    async def run(self) -> bool:
        """Activate a page of them; True if there are more. Raises ServiceUnavailable."""
        page = await self._subscriptions.list_unfinished(self._now() - self._older_than, page_token=self._page_token)
        self._page_token = page.next_page_token
        await for_each(page.subscription_ids, self._finish)
        return page.next_page_token is not None

    async def _finish(self, subscription_id: str) -> None:
        failure = await failure_of(self._activation.activate(subscription_id), subscription=subscription_id)
        ACTIVATED.labels("finished" if failure is None else "failed").inc()
