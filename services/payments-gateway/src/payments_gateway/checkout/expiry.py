"""Expiry on touch: whoever meets an attempt that nobody may pay any more makes it unpayable there and then."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from payments_gateway.checkout.cancellation import Cancellation
from payments_gateway.domain.attempts import Attempt, CloseReason, UnreadableAttempt
from payments_gateway.domain.intents import PAYABLE_STATUSES, IntentStatus, StripeIntent

_TO_CANCEL: Final = PAYABLE_STATUSES | {IntentStatus.CANCELED}
"""Cancelled ones too: after a crash between the cancel and the delete, the content is still there."""


class Expiry:
    """Ends attempts that are closed or past their pay-by. Safe to repeat, and beside a superseding of the attempt."""

    def __init__(self, cancellation: Cancellation, now: Callable[[], datetime]) -> None:
        self._cancellation = cancellation
        self._now = now

    def reason(self, attempt: Attempt | UnreadableAttempt, intent: StripeIntent) -> CloseReason | None:
        """Return the reason for which nobody may pay the attempt any more; None if there is none.

        The pay-by of an unreadable attempt is not known: it is part of the content. A buyer who awaits a deposit to
        verify a bank account has chosen to pay, and cannot do more before it arrives (ADR 43).
        """
        if attempt.close_reason is not None or isinstance(attempt, UnreadableAttempt) or intent.awaits_microdeposits:
            return attempt.close_reason
        return CloseReason.PAY_BY_PASSED if attempt.context.pay_by <= self._now() else None

    async def enforce(
        self, attempt: Attempt | UnreadableAttempt, reason: CloseReason | None, intent: StripeIntent
    ) -> StripeIntent:
        """Cancel the intent of an attempt that nobody may pay, and return it as Stripe shows it then.

        The caller judges by that: the buyer may have paid at the last moment. An open attempt, and an intent that is
        paid or processing, cost no call. Raises IntentNotFound, StripeUnavailable, ServiceUnavailable.
        """
        if reason is None or intent.status not in _TO_CANCEL:
            return intent
        if attempt.close_reason is None:
            return await self._cancellation.close_and_cancel(attempt, reason)
        return await self._cancellation.cancel_closed(attempt)
