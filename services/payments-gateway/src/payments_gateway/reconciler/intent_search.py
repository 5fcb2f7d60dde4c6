"""Finds the intents of many attempts in Stripe's lists, which show a hundred with one request."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from payments_gateway.domain.attempts import IntentKind
from payments_gateway.domain.due_attempts import DueAttempt
from payments_gateway.domain.intent_lists import IntentListsPort, IntentPage, ListPosition
from payments_gateway.domain.intents import StripeIntent

_BEFORE: Final = timedelta(minutes=1)
"""Time within which an attempt is stored after its intent was created. One that took longer is not found."""
_AFTER: Final = timedelta(seconds=5)
"""Time by which Stripe's clock may be ahead of checkout-session's."""

Found = Sequence[tuple[DueAttempt, StripeIntent]]


class IntentSearch:
    """Searches the intents of attempts by the times at which they were stored."""

    def __init__(self, lists: IntentListsPort) -> None:
        self._lists = lists

    async def find(self, kind: IntentKind, attempts: Iterable[DueAttempt]) -> AsyncIterator[Found]:
        """Yield the attempts of one kind that lists show, with their intents, page by page and newest first.

        An attempt that is not yielded has to be retrieved by itself. There are no more requests than attempts: a page
        that shows none, because other software creates intents too, ends the search for the newest one.
        Raises StripeUnavailable.
        """
        wanted = _Wanted(attempts)
        end: ListPosition | None = None
        while (newest := wanted.newest()) is not None:
            page = await self._page(kind, wanted.oldest() - _BEFORE, newest.created_at + _AFTER, end)
            found = list(wanted.take(page))
            yield found
            if page.end is None:
                return
            end = page.end
            wanted.skip_newer_than(end.created_at + _BEFORE)
            if not found and wanted.newest() is newest:
                wanted.skip_newest()

    async def _page(
        self, kind: IntentKind, created_from: datetime, created_to: datetime, end: ListPosition | None
    ) -> IntentPage:
        # Intents created between the last page and the newest attempt are skipped.
        after = end if end is not None and end.created_at <= created_to else None
        return await self._lists.page(kind, created_from, created_to, after=after)


class _Wanted:
    """Attempts whose intents are not found yet, and may be on pages to come."""

    def __init__(self, attempts: Iterable[DueAttempt]) -> None:
        self._oldest_first = sorted(attempts, key=lambda each: each.created_at)
        self._by_intent = {each.intent.id: each for each in self._oldest_first}

    def newest(self) -> DueAttempt | None:
        """Return the newest one; None if there is none."""
        while self._oldest_first and self._oldest_first[-1].intent.id not in self._by_intent:
            self._oldest_first.pop()
        return self._oldest_first[-1] if self._oldest_first else None

    def oldest(self) -> datetime:
        """Return a time before which none was stored."""
        return self._oldest_first[0].created_at

    def take(self, page: IntentPage) -> Iterator[tuple[DueAttempt, StripeIntent]]:
        """Yield those whose intents a page shows; they are found."""
        for intent in page.intents:
            attempt = self._by_intent.pop(intent.ref.id, None)
            if attempt is not None:
                yield attempt, intent

    def skip_newer_than(self, time: datetime) -> None:
        """Give up those that were stored later: no page to come shows their intents."""
        while self._oldest_first and self._oldest_first[-1].created_at > time:
            self._oldest_first.pop()

    def skip_newest(self) -> None:
        """Give up the newest one: finding it in lists costs more than retrieving it."""
        self._oldest_first.pop()
