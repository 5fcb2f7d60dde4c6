"""Completes a checkout when the browser returns from paying: retrieves the intent, then fulfils as the webhook does."""

from payments_gateway.checkout.expiry import Expiry
from payments_gateway.domain.attempts import Attempt, AttemptsPort, IntentRef, UnreadableAttempt
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AttemptNotFound, IntentMismatch, PaymentNotSucceeded
from payments_gateway.domain.intents import PENDING_STATUSES, IntentReader, IntentStatus
from payments_gateway.domain.purchases import OrdersPort, PaymentDecision, Purchase
from payments_gateway.payments.fulfilment import Fulfilment


class CompleteCheckout:
    """Completes checkouts before, while or after the webhook does (ADR 4)."""

    def __init__(
        self,
        attempts: AttemptsPort,
        orders: OrdersPort,
        intents: IntentReader,
        expiry: Expiry,
        fulfilment: Fulfilment,
    ) -> None:
        self._attempts = attempts
        self._orders = orders
        self._intents = intents
        self._expiry = expiry
        self._fulfilment = fulfilment

    async def complete(self, attempt_id: str, ref: IntentRef, caller: Caller) -> PaymentDecision | None:
        """Return the decision about the payment; None while it is processing at the bank.

        Raises AttemptNotFound, IntentNotFound, IntentMismatch, PaymentNotSucceeded, StripeUnavailable,
        ServiceUnavailable.
        """
        found = await self._attempts.find(attempt_id)
        purchase = None if isinstance(found, Attempt) else await self._orders.find_purchase(attempt_id)
        if found is not None and not caller.owns(found.user_id):
            raise AttemptNotFound
        if purchase is not None and not purchase.is_visible_to(caller):
            raise AttemptNotFound
        if purchase is not None and purchase.intent_id == ref.id:
            return await self._fulfilment.activate_for_buyer(purchase)
        intent = await self._intents.retrieve(ref)
        # The client is not believed about the intent (P6): the attempt or Stripe's metadata must say that they belong
        # together. Metadata is only a hint, because it can be edited at Stripe (ADR 4).
        if isinstance(found, Attempt | UnreadableAttempt) and found.intent == intent.ref:
            intent = await self._expiry.enforce(found, self._expiry.reason(found, intent), intent)
        elif intent.attempt_id != attempt_id:
            raise IntentMismatch
        if intent.status in PENDING_STATUSES:
            return None
        if intent.status is not IntentStatus.SUCCEEDED:
            raise PaymentNotSucceeded
        decision = await self._fulfilment.fulfil_for_buyer(intent, found)
        # The purchase may have been recorded meanwhile, and only it names the owner of a lost attempt.
        if isinstance(decision, Purchase) and not decision.is_visible_to(caller):
            raise AttemptNotFound
        return decision
