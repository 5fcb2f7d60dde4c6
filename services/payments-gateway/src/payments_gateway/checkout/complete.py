"""The browser comes back from paying: ask Stripe itself, then fulfil as the webhook would."""

from payments_gateway.domain.attempts import Attempt, AttemptsPort, IntentRef
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AttemptNotFound, IntentMismatch, PaymentNotSucceeded
from payments_gateway.domain.intents import PENDING_STATUSES, IntentStatus, StripeIntentsPort
from payments_gateway.domain.purchases import OrdersPort, PaymentDecision, PaymentReport, Purchase, ReportChannel
from payments_gateway.payments.fulfilment import Fulfilment

_REPORT = PaymentReport(ReportChannel.BROWSER_RETURN)


class CompleteCheckout:
    """Completes checkouts whose buyer is back before, while or after the webhook arrives."""

    def __init__(
        self, attempts: AttemptsPort, orders: OrdersPort, intents: StripeIntentsPort, fulfilment: Fulfilment
    ) -> None:
        """Complete checkouts of these attempts."""
        self._attempts = attempts
        self._orders = orders
        self._intents = intents
        self._fulfilment = fulfilment

    async def complete(self, attempt_id: str, ref: IntentRef, caller: Caller) -> PaymentDecision | None:
        """Return what the attempt became; None while the payment is under way at the bank.

        Raises AttemptNotFound, IntentNotFound, IntentMismatch, PaymentNotSucceeded, StripeUnavailable,
        ServiceUnavailable.
        """
        found = await self._attempts.find(attempt_id)
        purchase = None if isinstance(found, Attempt) else await self._orders.find_purchase(attempt_id)
        if found is not None and not caller.owns(found.user_id):
            raise AttemptNotFound
        if purchase is not None and not purchase.is_visible_to(caller):
            raise AttemptNotFound
        if purchase is not None and purchase.intent == ref:
            return await self._fulfilment.finish(purchase)
        # What the client says about the intent is not believed (P6): Stripe is asked, and must name this attempt.
        intent = await self._intents.retrieve(ref)
        if intent.attempt_id != attempt_id:
            raise IntentMismatch
        if intent.status in PENDING_STATUSES:
            return None
        if intent.status is not IntentStatus.SUCCEEDED:
            raise PaymentNotSucceeded
        decision = await self._fulfilment.fulfil_for_buyer(intent, found, _REPORT)
        # Recorded since we looked, of an attempt whose owner nobody but its purchase knows any more.
        if isinstance(decision, Purchase) and not decision.is_visible_to(caller):
            raise AttemptNotFound
        return decision
