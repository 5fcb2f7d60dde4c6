"""Settles quarantined payments as an operator decides, with the refund at Stripe and the attempt's end (ADR 42).

Safe to repeat after a kill at any line: orders answers what stands, Stripe refunds no more than the rest of a payment,
and the attempt is deleted only after the payment is settled (P4).
"""

from dataclasses import dataclass
from typing import Final

from payments_gateway.domain.attempts import (
    Attempt,
    AttemptsPort,
    CheckoutContext,
    CloseReason,
    DeleteReason,
    IntentKind,
    UnreadableAttempt,
)
from payments_gateway.domain.intents import IntentStatus, StripeIntentsPort
from payments_gateway.domain.purchases import Purchase
from payments_gateway.domain.refunds import PaymentRefunds, Refund, RefundLister, RefundOwner, RefundStatus
from payments_gateway.domain.settlements import (
    KeptContent,
    NotRefunded,
    OperatorStep,
    PaymentState,
    RefundCreator,
    RefundRefused,
    SettledPayment,
    Settlement,
    SettlementsPort,
)
from payments_gateway.domain.stripe_errors import IdempotencyKeyExhausted, StripeUnavailable
from payments_gateway.subscriptions.activation import Activation

_MAX_KEYS: Final = 3
"""Idempotency keys of one run: Stripe stores a failure under its key."""
_FAILED: Final = (RefundStatus.FAILED, RefundStatus.CANCELED)
_ALREADY_REFUNDED: Final = "charge_already_refunded"
"""Stripe's error code where nothing is left to refund."""


@dataclass(frozen=True, slots=True)
class SettleRequest:
    """Settlement that an operator asks for."""

    operator: str
    reason: str
    intent_id: str
    settlement: Settlement
    cart: CheckoutContext | None = None
    """Cart that the operator supplies for an order; None for the kept one."""
    with_refund: bool = False
    """True to ask Stripe for the refund, as far as it is not there."""

    def step(self) -> OperatorStep:
        """Return a new step of this operator."""
        return OperatorStep(self.operator, self.reason)


class SettlePayment:
    """Settles one payment."""

    def __init__(
        self,
        *,
        settlements: SettlementsPort,
        attempts: AttemptsPort,
        intents: StripeIntentsPort,
        refunds: RefundCreator,
        refund_lister: RefundLister,
        mirror: PaymentRefunds,
        activation: Activation,
    ) -> None:
        self._settlements = settlements
        self._attempts = attempts
        self._intents = intents
        self._refunds = refunds
        self._refund_lister = refund_lister
        self._mirror = mirror
        self._activation = activation

    async def settle(self, request: SettleRequest) -> SettledPayment:
        """Settle a payment, or return what stands. The attempt is deleted and the subscriptions are activated then.

        Raises StepRefused, InvalidRequest, StripeUnavailable, ServiceUnavailable; the call may be repeated.
        """
        if request.settlement is Settlement.REFUNDED:
            settled = await self._settle_refunded(request)
        else:
            settled = await self._settle_otherwise(request)
        if settled.state.stands_as is not None:
            await self._end_attempt(settled.state)
        if settled.state.purchase is not None:
            await self._activate(settled.state.purchase)
        return settled

    async def _settle_otherwise(self, request: SettleRequest) -> SettledPayment:
        """Settle without a refund, once orders knows those of the Dashboard: nothing ships for money given back."""
        state = (await self._settlements.show(request.intent_id, None)).state
        if state.stands_as is None and state.intent.kind is not IntentKind.SETUP:
            await self._mirror.sync_payment(request.intent_id)
        return await self._settlements.settle(request.step(), request.intent_id, request.settlement, request.cart)

    async def _settle_refunded(self, request: SettleRequest) -> SettledPayment:
        created = None
        if request.with_refund:
            created = await self._refund(request)
        else:
            await self._mirror.sync_payment(request.intent_id)
        try:
            return await self._settlements.settle(request.step(), request.intent_id, Settlement.REFUNDED, None)
        except NotRefunded:
            # It failed at once: the payment may be settled otherwise again. A refund that orders lacks is none that
            # failed, and the one of another operator is not this one's to give up.
            if created is not None and created.status in _FAILED:
                await self._settlements.abandon_refund(request.step(), request.intent_id)
            raise

    async def _refund(self, request: SettleRequest) -> Refund | None:
        """Ask Stripe for what is not refunded yet, unless the payment is settled otherwise. Return what it made.

        The step is recorded first, and bars every other settlement meanwhile.
        """
        begun = await self._settlements.begin_refund(request.step(), request.intent_id)
        for generation in range(_MAX_KEYS):
            if begun.stands_as is not None or await self._is_settled(request.intent_id):
                return None
            try:
                created = await self._create_refund(request.intent_id, generation)
            except RefundRefused as refused:
                await self._give_up(request, refused)
                return None
            except IdempotencyKeyExhausted:
                continue  # the failure that is replayed may have come after the refund
            await self._mirror.sync_payment(request.intent_id)
            return created
        raise StripeUnavailable

    async def _give_up(self, request: SettleRequest, refused: RefundRefused) -> None:
        """Let the payment be settled otherwise again, unless Stripe refuses because the money was given back.

        Raises the refusal, unless the payment stands for a settlement.
        """
        if await self._is_settled(request.intent_id):
            return
        if str(refused) != _ALREADY_REFUNDED:  # by a refund that orders lacks, such as one with an unknown status
            await self._settlements.abandon_refund(request.step(), request.intent_id)
        raise refused

    async def _create_refund(self, intent_id: str, generation: int) -> Refund:
        # The key counts the refunds that Stripe lists, so that one that failed is not replayed. A repeat after a kill
        # has the same key, or finds the refund.
        listed = await self._refund_lister.list_refund_ids(RefundOwner.PAYMENT_INTENT, intent_id)
        key = f"settle:{intent_id}:{len(listed)}" + (f":{generation}" if generation else "")
        return await self._refunds.create(intent_id, None, idempotency_key=key)

    async def _is_settled(self, intent_id: str) -> bool:
        """Return True if the payment stands for a settlement, with the refunds that Stripe has now."""
        await self._mirror.sync_payment(intent_id)
        return (await self._settlements.show(intent_id, None)).state.stands_as is not None

    async def _end_attempt(self, state: PaymentState) -> None:
        """End the attempt that was kept for the payment."""
        attempt = await self._attempts.find(state.attempt_id)
        if not isinstance(attempt, Attempt | UnreadableAttempt):
            return
        if attempt.intent != state.intent:
            if state.purchase is not None:
                await self._end_own_intent(attempt)
        elif state.purchase is not None:
            await self._attempts.delete(attempt.attempt_id, DeleteReason.RECORDED)
        elif state.content is KeptContent.READABLE:
            # One that cannot be read stays until its time is over: with its key, and if the refund fails or the
            # decision was wrong, it is the only cart.
            await self._attempts.delete(attempt.attempt_id, DeleteReason.QUARANTINED)

    async def _end_own_intent(self, attempt: Attempt | UnreadableAttempt) -> None:
        """Cancel what the buyer could still pay beside the order. Without an order, that is the buyer's to pay."""
        await self._attempts.close(attempt.attempt_id, CloseReason.PAY_BY_PASSED)
        intent = await self._intents.cancel(attempt.intent)
        if intent.status is IntentStatus.CANCELED:  # paid, or at the bank: its report quarantines it as a duplicate
            await self._attempts.delete(attempt.attempt_id, DeleteReason.RECORDED)

    async def _activate(self, purchase: Purchase) -> None:
        activated = await self._activation.activate_all(purchase)
        if activated.error is not None:
            raise activated.error
