"""KeyedLock a succeeded intent into exactly one purchase or one quarantined payment (P3), and begins its subscriptions.

One function for every channel by which the news may arrive. It may run twice at once, or be killed after any line:
orders' database decides, and whoever comes later obeys what was decided.
"""

import logging
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter

from payments_gateway.domain.attempts import Attempt, AttemptsPort, DeleteReason, Tombstone, is_attempt_id
from payments_gateway.domain.errors import IntentMismatch
from payments_gateway.domain.intents import IntentStatus, StripeIntent
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import (
    OrdersPort,
    Payment,
    PaymentDecision,
    PaymentReport,
    Purchase,
    PurchaseRefused,
    QuarantinedPayment,
    QuarantineReason,
)
from payments_gateway.subscriptions.activation import Activation
from servicekit.deadline import seconds_left
from servicekit.json_logging import bind_attempt

_log = logging.getLogger(__name__)

FULFILLED: Final = Counter(
    "holdfast_fulfilments", "Succeeded intents by channel and what they became.", ["channel", "outcome"]
)

_BUYER_WAITS_SECONDS: Final = 10.0
"""A buyer who came back is shown what is recorded after this long, with subscriptions as far as they are then."""
_TO_ANSWER_SECONDS: Final = 1.0
"""Kept back of the buyer's own request."""


@dataclass(frozen=True)
class NotOurs:
    """The intent was not made by this Holdfast: nothing is to be done."""


NOT_OURS: Final = NotOurs()


class Fulfilment:
    """Fulfils succeeded intents."""

    def __init__(self, attempts: AttemptsPort, orders: OrdersPort, activation: Activation, *, livemode: bool) -> None:
        """Fulfil intents of the mode that our Stripe key works in."""
        self._attempts = attempts
        self._orders = orders
        self._activation = activation
        self._livemode = livemode

    async def fulfil(self, intent: StripeIntent, report: PaymentReport) -> PaymentDecision | NotOurs:
        """Bring a succeeded intent to its decision, forget the attempt once that is safe (P4), begin its subscriptions.

        Raises ServiceUnavailable, StripeUnavailable or ConflictRetriesExhausted as long as anything is left to do; any
        channel may repeat the call.
        """
        payment = self._our_payment(intent)
        if payment is None:
            _count(report, "not_ours")
            return NOT_OURS
        bind_attempt(payment.attempt_id)
        decision = await self._settle(payment, await self._attempts.find(payment.attempt_id), report)
        if not isinstance(decision, Purchase):
            return decision
        activated = await self._activation.activate_all(decision)
        if activated.error is not None:
            raise activated.error
        return activated.purchase

    async def fulfil_for_buyer(
        self, intent: StripeIntent, found: Attempt | Tombstone | None, report: PaymentReport
    ) -> PaymentDecision:
        """Do what fulfil does for a buyer who waits, and whose intent's attempt was just looked up.

        Subscriptions that cannot be begun now stay pending: the webhook is still owed its answer, and begins them.
        Raises IntentMismatch if the intent does not name that attempt, ServiceUnavailable.
        """
        payment = self._our_payment(intent)
        if payment is None or (found is not None and payment.attempt_id != found.attempt_id):
            raise IntentMismatch
        decision = await self._settle(payment, found, report)
        return await self.finish(decision) if isinstance(decision, Purchase) else decision

    async def finish(self, purchase: Purchase) -> Purchase:
        """Begin what is still pending of a recorded purchase, as far as that can be done while a buyer waits.

        What keeps a subscription pending is no failure of the buyer's: the webhook meets it too, and answers with it.
        """
        seconds = max(0.0, min(_BUYER_WAITS_SECONDS, seconds_left() - _TO_ANSWER_SECONDS))
        activated = await self._activation.activate_all(purchase, within_seconds=seconds)
        if activated.error is not None:
            _log.warning("subscriptions stay pending", extra={"reason": type(activated.error).__name__})
        return activated.purchase

    async def _settle(
        self, payment: Payment, found: Attempt | Tombstone | None, report: PaymentReport
    ) -> PaymentDecision:
        if isinstance(found, Attempt):
            decision = await self._decide(payment, found, report)
            await self._forget(found, payment, decision)
        else:
            decision = await self._decide_without_content(payment, report)
        _report(decision, report)
        return decision

    def _our_payment(self, intent: StripeIntent) -> Payment | None:
        if intent.status is not IntentStatus.SUCCEEDED:
            raise ValueError("only a succeeded intent can be fulfilled")
        if intent.attempt_id is None or not is_attempt_id(intent.attempt_id) or intent.livemode != self._livemode:
            return None
        return Payment(intent.ref, intent.attempt_id, intent.received, intent.livemode, intent.payment_method_id)

    async def _decide(self, payment: Payment, attempt: Attempt, report: PaymentReport) -> PaymentDecision:
        if objection := _disagreement(payment, attempt):
            return await self._orders.quarantine(payment, objection, attempt.context, report)
        try:
            return await self._orders.record_purchase(payment, attempt.context, report)
        except PurchaseRefused:
            # Trying again would never help, and Stripe would give up in the end: the payment must not be lost (P3).
            _log.exception("purchase refused, payment goes to quarantine")
            return await self._orders.quarantine(payment, QuarantineReason.UNRECORDABLE, attempt.context, report)

    async def _decide_without_content(self, payment: Payment, report: PaymentReport) -> PaymentDecision:
        purchase = await self._orders.find_purchase(payment.attempt_id)
        if purchase is None:
            reason = QuarantineReason.ATTEMPT_MISSING
        elif purchase.intent == payment.intent:
            return purchase
        else:
            reason = QuarantineReason.DUPLICATE_PAYMENT
        return await self._orders.quarantine(payment, reason, None, report)

    async def _forget(self, attempt: Attempt, payment: Payment, decision: PaymentDecision) -> None:
        if payment.intent != attempt.intent:
            return  # The attempt's own intent may still be paid: its content stays (P4).
        if isinstance(decision, Purchase):
            await self._attempts.delete(attempt.attempt_id, DeleteReason.RECORDED)
        elif decision.content_kept:
            await self._attempts.delete(attempt.attempt_id, DeleteReason.QUARANTINED)


def _disagreement(payment: Payment, attempt: Attempt) -> QuarantineReason | None:
    if payment.intent != attempt.intent:
        return QuarantineReason.INTENT_MISMATCH
    total = attempt.context.total
    if (payment.received or Money(0, total.currency)) != total:  # a SetupIntent receives nothing
        return QuarantineReason.AMOUNT_MISMATCH
    return None


def _report(decision: PaymentDecision, report: PaymentReport) -> None:
    if isinstance(decision, QuarantinedPayment):
        _log.error("payment quarantined", extra={"reason": decision.reason.value, "channel": report.channel.value})
        _count(report, "quarantined")
    else:
        number = decision.order.number if decision.order else None
        _log.info(
            "purchase recorded",
            extra={"order": number, "subscriptions": len(decision.subscriptions), "channel": report.channel.value},
        )
        _count(report, "purchase")


def _count(report: PaymentReport, outcome: str) -> None:
    FULFILLED.labels(report.channel.value, outcome).inc()
