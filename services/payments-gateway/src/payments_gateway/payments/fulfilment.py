"""Fulfils succeeded intents: each becomes exactly one purchase or one quarantined payment (P3).

All channels that report a payment call this use case. It may run concurrently or be killed after any line: orders'
database decides, and later calls obey the decision.
"""

import logging
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
    ReportChannel,
)
from payments_gateway.subscriptions.activation import Activation
from servicekit.deadline import seconds_left
from servicekit.json_logging import bind_attempt

_log = logging.getLogger(__name__)

FULFILLED: Final = Counter("holdfast_fulfilments", "Succeeded intents, by channel and outcome.", ["channel", "outcome"])

_BROWSER_RETURN: Final = PaymentReport(ReportChannel.BROWSER_RETURN)
_BUYER_WAIT_SECONDS: Final = 10.0
"""Limit of the activation while a buyer waits; subscriptions that take longer are shown as pending."""
_RESPONSE_RESERVE_SECONDS: Final = 1.0
"""Part of the request's deadline that is kept for the response."""


class Fulfilment:
    """Fulfils succeeded intents of one mode."""

    def __init__(self, attempts: AttemptsPort, orders: OrdersPort, activation: Activation, *, livemode: bool) -> None:
        self._attempts = attempts
        self._orders = orders
        self._activation = activation
        self._livemode = livemode

    async def fulfil(self, intent: StripeIntent, report: PaymentReport) -> PaymentDecision | None:
        """Decide a succeeded intent, delete its attempt once that is safe (P4), and activate its subscriptions.

        Returns None for an intent that is not ours. Raises ServiceUnavailable, StripeUnavailable or
        ConflictRetriesExhausted as long as anything is left to do; any channel may repeat the call.
        """
        payment = self._payment_of(intent)
        if payment is None:
            _count(report, "not_ours")
            return None
        bind_attempt(payment.attempt_id)
        decision = await self._decide(payment, await self._attempts.find(payment.attempt_id), report)
        if not isinstance(decision, Purchase):
            return decision
        activated = await self._activation.activate_all(decision)
        if activated.error is not None:
            raise activated.error
        return activated.purchase

    async def fulfil_for_buyer(self, intent: StripeIntent, found: Attempt | Tombstone | None) -> PaymentDecision:
        """Fulfil while a buyer waits, with the attempt or tombstone that the caller has just found.

        Subscriptions that cannot be activated now stay pending: the webhook, which Stripe repeats, activates them.
        Raises IntentMismatch if the intent does not name that attempt, ServiceUnavailable.
        """
        payment = self._payment_of(intent)
        if payment is None or (found is not None and payment.attempt_id != found.attempt_id):
            raise IntentMismatch
        decision = await self._decide(payment, found, _BROWSER_RETURN)
        return await self.activate_for_buyer(decision) if isinstance(decision, Purchase) else decision

    async def activate_for_buyer(self, purchase: Purchase) -> Purchase:
        """Activate pending subscriptions of a recorded purchase, as far as possible while a buyer waits."""
        seconds = max(0.0, min(_BUYER_WAIT_SECONDS, seconds_left() - _RESPONSE_RESERVE_SECONDS))
        activated = await self._activation.activate_all(purchase, within_seconds=seconds)
        if activated.error is not None:
            _log.warning("subscriptions stay pending", extra={"reason": type(activated.error).__name__})
        return activated.purchase

    def _payment_of(self, intent: StripeIntent) -> Payment | None:
        if intent.status is not IntentStatus.SUCCEEDED:
            raise ValueError("only a succeeded intent can be fulfilled")
        if intent.attempt_id is None or not is_attempt_id(intent.attempt_id) or intent.livemode != self._livemode:
            return None
        return Payment(intent.ref, intent.attempt_id, intent.received, intent.livemode, intent.payment_method_id)

    async def _decide(
        self, payment: Payment, found: Attempt | Tombstone | None, report: PaymentReport
    ) -> PaymentDecision:
        if isinstance(found, Attempt):
            decision = await self._decide_with_attempt(payment, found, report)
            await self._delete_attempt(found, payment, decision)
        else:
            decision = await self._decide_without_attempt(payment, report)
        _log_decision(decision, report)
        return decision

    async def _decide_with_attempt(self, payment: Payment, attempt: Attempt, report: PaymentReport) -> PaymentDecision:
        if reason := _mismatch(payment, attempt):
            return await self._orders.quarantine(payment, reason, attempt.context, report)
        try:
            return await self._orders.record_purchase(payment, attempt.context, report)
        except PurchaseRefused:
            # A repeat would be refused again until Stripe gives up, and the payment must not be lost (P3, ADR 7).
            _log.exception("purchase refused, payment goes to quarantine")
            return await self._orders.quarantine(payment, QuarantineReason.UNRECORDABLE, attempt.context, report)

    async def _decide_without_attempt(self, payment: Payment, report: PaymentReport) -> PaymentDecision:
        purchase = await self._orders.find_purchase(payment.attempt_id)
        if purchase is None:
            reason = QuarantineReason.ATTEMPT_MISSING
        elif purchase.intent_id == payment.intent.id:
            return purchase
        else:
            reason = QuarantineReason.DUPLICATE_PAYMENT
        return await self._orders.quarantine(payment, reason, None, report)

    async def _delete_attempt(self, attempt: Attempt, payment: Payment, decision: PaymentDecision) -> None:
        if payment.intent != attempt.intent:
            return  # The attempt's own intent may still be paid: its content stays (P4).
        if isinstance(decision, Purchase):
            await self._attempts.delete(attempt.attempt_id, DeleteReason.RECORDED)
        elif decision.content_kept:
            await self._attempts.delete(attempt.attempt_id, DeleteReason.QUARANTINED)


def _mismatch(payment: Payment, attempt: Attempt) -> QuarantineReason | None:
    if payment.intent != attempt.intent:
        return QuarantineReason.INTENT_MISMATCH
    total = attempt.context.total
    if (payment.received or Money(0, total.currency)) != total:  # a SetupIntent receives nothing
        return QuarantineReason.AMOUNT_MISMATCH
    return None


def _log_decision(decision: PaymentDecision, report: PaymentReport) -> None:
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
