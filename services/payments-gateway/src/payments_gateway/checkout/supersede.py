"""Replaces an attempt when the buyer changed the cart: the old intent must become unpayable first."""

from payments_gateway.checkout.payment_guard import PaymentGuard
from payments_gateway.domain.attempts import AttemptsPort, CloseReason, DeleteReason, Tombstone
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AlreadyPaid, AttemptNotFound, PaymentProcessing
from payments_gateway.domain.intents import IntentStatus, StripeIntentsPort


class Supersede:
    """Cancels and deletes replaced attempts. Safe to repeat after a crash at any line."""

    def __init__(self, attempts: AttemptsPort, intents: StripeIntentsPort, payment_guard: PaymentGuard) -> None:
        self._attempts = attempts
        self._intents = intents
        self._payment_guard = payment_guard

    async def supersede(self, attempt_id: str, caller: Caller) -> None:
        """Make an attempt unpayable and delete it.

        Raises AttemptNotFound, AlreadyPaid, PaymentProcessing, StripeUnavailable, ServiceUnavailable.
        """
        old = await self._attempts.find(attempt_id)
        if old is None or not caller.owns(old.user_id):
            raise AttemptNotFound
        if isinstance(old, Tombstone):
            await self._ensure_not_paid(old, caller)
            return
        # Close before cancel: else a retry of the old request could save and release a new intent in between.
        await self._attempts.close(attempt_id, CloseReason.SUPERSEDED)
        intent = await self._intents.cancel(old.intent)
        await self._payment_guard.ensure_not_processing(old, intent)
        if intent.status is not IntentStatus.CANCELED:
            raise PaymentProcessing
        await self._attempts.delete(attempt_id, DeleteReason.CANCELLED)

    async def _ensure_not_paid(self, old: Tombstone, caller: Caller) -> None:
        """Show the purchase to its owner alone: the tombstone of a lost attempt names no owner, its purchase does."""
        try:
            await self._payment_guard.ensure_not_paid(old)
        except AlreadyPaid as paid:
            if paid.purchase is not None and not paid.purchase.is_visible_to(caller):
                raise AttemptNotFound from None
            raise
