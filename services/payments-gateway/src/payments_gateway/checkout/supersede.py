"""Replaces an attempt by that of a changed cart. Attempts that were replaced form a chain (ADR 26).

Of a chain at most one intent can be paid by somebody who has its secret: the new attempt's secret is released only
after each attempt before it was cancelled, and an attempt is appended only at the chain's end.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from payments_gateway.checkout.cancellation import Cancellation
from payments_gateway.checkout.payment_guard import PaymentGuard, payment_processing
from payments_gateway.domain.attempts import (
    Attempt,
    AttemptsPort,
    CloseReason,
    FoundAttempt,
    Tombstone,
    UnreadableAttempt,
)
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AlreadyPaid, AttemptNotFound, PaymentProcessing
from payments_gateway.domain.intents import IntentNotFound, IntentReader, IntentStatus
from payments_gateway.domain.stripe_errors import StripeUnavailable
from servicekit.unavailable import ServiceUnavailable

_log = logging.getLogger(__name__)

_MAX_LINKS: Final = 32
"""Attempts of a chain that one request follows. A longer way is that of a page left open while the cart changed on
another 32 times: to it the chain's end is unknown."""


class Supersede:
    """Ends the attempts that a new one replaces. Safe to repeat after a crash at any line."""

    def __init__(
        self,
        attempts: AttemptsPort,
        intents: IntentReader,
        cancellation: Cancellation,
        payment_guard: PaymentGuard,
    ) -> None:
        self._attempts = attempts
        self._intents = intents
        self._cancellation = cancellation
        self._payment_guard = payment_guard

    async def ensure_replaceable(self, attempt_id: str, caller: Caller) -> None:
        """Raise AttemptNotFound or AlreadyPaid if the caller cannot replace the attempt. Changes nothing."""
        old = await self._attempts.find(attempt_id)
        if old is None or not caller.owns(old.user_id):
            raise AttemptNotFound
        if not isinstance(old, Tombstone):
            return
        try:
            await self._payment_guard.ensure_not_paid(old)
        except AlreadyPaid as paid:
            # The tombstone of a lost attempt names no owner, its purchase does.
            if paid.purchase is not None and not paid.purchase.is_visible_to(caller):
                raise AttemptNotFound from None
            raise

    async def supersede(self, attempt_id: str, new: Attempt, caller: Caller) -> None:
        """Replace an attempt, and those that replaced it, by a stored one whose secret is not released yet.

        If a payment came first the new attempt is given up. Raises AlreadyPaid, PaymentProcessing, AttemptNotFound if
        the chain is too long or has an intent that Stripe does not know, StripeUnavailable, ServiceUnavailable.
        """
        async with self._given_up_beside_a_payment(new, caller):
            await self._end_chain(attempt_id, new)

    async def end_equal(self, other: FoundAttempt, new: Attempt, caller: Caller) -> None:
        """End another attempt of the same request. Raises the same as `supersede`.

        It gets no successor: of two that end each other at the same moment, each would be the other's.
        """
        async with self._given_up_beside_a_payment(new, caller):
            await self._ensure_not_under_way(other)
            await self._attempts.close(other.attempt_id, CloseReason.SUPERSEDED)
            await self._end(other.attempt_id, other)

    @asynccontextmanager
    async def _given_up_beside_a_payment(self, new: Attempt, caller: Caller) -> AsyncIterator[None]:
        try:
            with _named_to_owner(caller):
                yield
        except (AlreadyPaid, PaymentProcessing, AttemptNotFound):
            await self.give_up(new)
            raise

    async def ensure_not_paid(self, attempt_id: str, caller: Caller) -> None:
        """Raise AlreadyPaid or PaymentProcessing if an attempt of the chain is or may be paid. Changes nothing else.

        Raises AttemptNotFound if the caller may not replace it.
        """
        await self.ensure_replaceable(attempt_id, caller)
        link: str | None = attempt_id
        with _named_to_owner(caller):
            for _ in range(_MAX_LINKS):
                if link is None:
                    return
                found = await self._attempts.find(link)
                if isinstance(found, Attempt | UnreadableAttempt):
                    await self._ensure_not_under_way(found)
                else:
                    await self._ensure_not_paid(link, found)
                link = found.successor if found is not None else None

    async def give_up(self, new: Attempt) -> None:
        """Cancel and delete a new attempt. A failure is harmless: its secret was never released."""
        try:
            await self._cancellation.close_and_cancel(new, CloseReason.SUPERSEDED)
        except (ServiceUnavailable, StripeUnavailable, IntentNotFound):
            _log.warning("new checkout could not be cancelled", exc_info=True)

    async def _end_chain(self, attempt_id: str, new: Attempt) -> None:
        link = attempt_id
        for _ in range(_MAX_LINKS):
            # Before the close: a debit at the bank may fail, and then its checkout can be paid again (ADR 43).
            await self._ensure_not_under_way(await self._attempts.find(link))
            # Close before cancel: else a retry of its request could save and release a new intent in between.
            closed = await self._attempts.close(link, CloseReason.SUPERSEDED, successor=new.attempt_id)
            # Its own payment counts first: its successor may have been given up because of it.
            await self._end(link, closed.found)
            if closed.successor == new.attempt_id:
                return
            if closed.successor is None:
                raise ServiceUnavailable("checkout-session")  # it always answers one
            link = closed.successor
        _log.error("chain of superseded attempts is too long")
        raise AttemptNotFound

    async def _end(self, attempt_id: str, found: FoundAttempt | None) -> None:
        """Make a closed attempt unpayable and delete it."""
        if not isinstance(found, Attempt | UnreadableAttempt):
            await self._ensure_not_paid(attempt_id, found)
            return
        with _known_to_stripe():
            intent = await self._cancellation.cancel_closed(found)
        await self._payment_guard.ensure_not_processing(found, intent)
        if intent.status is not IntentStatus.CANCELED:
            raise payment_processing(found)

    async def _ensure_not_under_way(self, found: FoundAttempt | None) -> None:
        """Raise AlreadyPaid or PaymentProcessing if the intent of a stored attempt is paid or may be without the buyer.

        Asked before it is cancelled: in rare cases Stripe cancels a debit that is at the bank.
        Source: https://docs.stripe.com/api/payment_intents/cancel
        """
        if isinstance(found, Attempt | UnreadableAttempt):
            with _known_to_stripe():
                intent = await self._intents.retrieve(found.intent)
            await self._payment_guard.ensure_not_processing(found, intent)

    async def _ensure_not_paid(self, attempt_id: str, tombstone: Tombstone | None) -> None:
        """Raise AlreadyPaid if an attempt without content was paid. checkout-session may have lost it since."""
        if tombstone is None:
            await self._payment_guard.ensure_not_purchased(attempt_id)
        else:
            await self._payment_guard.ensure_not_paid(tombstone)


@contextmanager
def _known_to_stripe() -> Iterator[None]:
    """Raise AttemptNotFound for an intent that Stripe does not know.

    Nothing tells that it cannot be paid, for example at the account that the shop had before.
    """
    try:
        yield
    except IntentNotFound:
        _log.exception("intent of a superseded attempt is unknown to Stripe")
        raise AttemptNotFound from None


@contextmanager
def _named_to_owner(caller: Caller) -> Iterator[None]:
    """Show a purchase and an attempt to their owner alone: a guest's chain may be continued by a user."""
    try:
        yield
    except PaymentProcessing as processing:
        is_named = caller.owns(processing.owner)
        raise PaymentProcessing(processing.attempt_id if is_named else None, processing.owner) from None
    except AlreadyPaid as paid:
        is_shown = paid.purchase is not None and paid.purchase.is_visible_to(caller)
        raise AlreadyPaid(paid.purchase if is_shown else None) from None
