"""Ends attempts that nobody may pay any more: close, cancel at Stripe, and delete once Stripe says it is cancelled."""

from typing import Protocol

from payments_gateway.domain.attempts import AttemptsPort, CloseReason, DeleteReason, IntentRef
from payments_gateway.domain.intents import IntentStatus, StripeIntent, StripeIntentsPort


class Cancellable(Protocol):
    """An attempt and its intent. The content is not needed, and may be unreadable or gone."""

    @property
    def attempt_id(self) -> str:
        """Id of the attempt."""

    @property
    def intent(self) -> IntentRef:
        """Intent that is stored with it."""


class Cancellation:
    """Cancels attempts. Safe to repeat after a crash at any line."""

    def __init__(self, attempts: AttemptsPort, intents: StripeIntentsPort) -> None:
        self._attempts = attempts
        self._intents = intents

    async def close_and_cancel(self, attempt: Cancellable, reason: CloseReason) -> StripeIntent:
        """Close an attempt and cancel its intent. See `cancel_closed`."""
        # Close before cancel: else a retry of its request could save and release a new intent in between.
        await self._attempts.close(attempt.attempt_id, reason)
        return await self.cancel_closed(attempt)

    async def cancel_unbound(self, intent: IntentRef) -> StripeIntent:
        """Cancel an intent that no attempt was found with, and leave attempts as they are. Raises as `cancel_closed`.

        Its attempt is lost, is ended, or goes on with another intent because Stripe failed after it had created one.
        """
        return await self._intents.cancel(intent)

    async def cancel_closed(self, attempt: Cancellable) -> StripeIntent:
        """Cancel the intent of a closed attempt, and return it as Stripe shows it then: the caller judges by that.

        Only the content of a cancelled one is deleted (P4). It may have been paid, or be processing, instead.
        Raises IntentNotFound, StripeUnavailable, ServiceUnavailable.
        """
        intent = await self._intents.cancel(attempt.intent)
        if intent.status is IntentStatus.CANCELED:
            await self._attempts.delete(attempt.attempt_id, DeleteReason.CANCELLED)
        return intent
