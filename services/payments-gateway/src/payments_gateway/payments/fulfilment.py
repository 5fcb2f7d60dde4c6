"""Fulfils succeeded intents: each becomes exactly one purchase or one quarantined payment (P3).

All channels that report a payment call this use case. It may run concurrently or be killed after any line: orders'
database decides, and later calls obey the decision.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter

from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.domain.attempts import (
    Attempt,
    AttemptsPort,
    DeleteReason,
    FoundAttempt,
    IntentKind,
    Tombstone,
    UnreadableAttempt,
    is_attempt_id,
)
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
from payments_gateway.domain.refunds import PaymentRefunds
from payments_gateway.payments.deletions import AttemptDeletions
from payments_gateway.subscriptions.activation import Activation
from servicekit.deadline import seconds_left
from servicekit.json_logging import bind_attempt
from servicekit.unavailable import ServiceUnavailable

_log = logging.getLogger(__name__)

FULFILLED: Final = Counter("holdfast_fulfilments", "Succeeded intents, by channel and outcome.", ["channel", "outcome"])
FOREIGN_SECRETS: Final = Counter(
    "holdfast_attempt_ids_of_unknown_secret", "Reports of paid attempts whose id was made with a secret not configured."
)

_BROWSER_RETURN: Final = PaymentReport(ReportChannel.BROWSER_RETURN)
_KEY_WAIT: Final = timedelta(hours=1)
"""Age of an event up to which an unreadable attempt is waited for: its key may be on its way (ADR 28)."""
_ON_TIME: Final = timedelta(minutes=1)
"""Age of an event up to which it is taken for the first delivery, before which nobody refunds the payment."""
_BUYER_WAIT_SECONDS: Final = 10.0
"""Limit of the activation while a buyer waits; subscriptions that take longer are shown as pending."""
_RESPONSE_RESERVE_SECONDS: Final = 1.0
"""Part of the request's deadline that is kept for the response."""


class Fulfilment:
    """Fulfils succeeded intents of one mode."""

    def __init__(
        self,
        attempts: AttemptsPort,
        orders: OrdersPort,
        refunds: PaymentRefunds,
        activation: Activation,
        ids: AttemptIds,
        *,
        deletions: AttemptDeletions,
        livemode: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._attempts = attempts
        self._orders = orders
        self._refunds = refunds
        self._activation = activation
        self._ids = ids
        self._deletions = deletions
        self._livemode = livemode
        self._now = now

    async def fulfil(self, intent: StripeIntent, report: PaymentReport) -> PaymentDecision | None:
        """Decide a succeeded intent, delete its attempt once that is safe (P4), and activate its subscriptions.

        Returns None for an intent that is not ours. Raises ServiceUnavailable, StripeUnavailable or
        ConflictRetriesExhausted as long as anything is left to do; any channel may repeat the call.
        """
        _ensure_succeeded(intent)
        found = await self._find_named(intent)
        return await self._fulfil(self._payment_of(intent, found), found, intent, report)

    async def fulfil_attempt(
        self, attempt_id: str, intent: StripeIntent, report: PaymentReport
    ) -> PaymentDecision | None:
        """Fulfil the intent that an attempt was stored with, whatever its metadata says by now. See `fulfil`.

        The attempt's content may be gone: then its payment is quarantined as attempt_missing.
        """
        _ensure_succeeded(intent)
        bind_attempt(attempt_id)
        found = await self._attempts.find(attempt_id)
        return await self._fulfil(self._payment(intent, attempt_id), found, intent, report)

    async def _fulfil(
        self, payment: Payment | None, found: FoundAttempt | None, intent: StripeIntent, report: PaymentReport
    ) -> PaymentDecision | None:
        if payment is None:
            _count(report, "not_ours")
            return None
        if isinstance(found, UnreadableAttempt) and self._is_recent(report):
            _log.warning("attempt cannot be decrypted, its payment waits", extra={"key_id": found.key_id})
            raise ServiceUnavailable("checkout-session")
        await self._sync_earlier_refunds(intent, report)
        decision = await self._decide(payment, found, report)
        if not isinstance(decision, Purchase):
            return decision
        activated = await self._activation.activate_all(decision)
        if activated.error is not None:
            raise activated.error
        return activated.purchase

    async def fulfil_for_buyer(self, intent: StripeIntent, found: FoundAttempt | None) -> PaymentDecision:
        """Fulfil while a buyer waits, with the attempt or tombstone that the caller has just found.

        An unreadable attempt is left to the webhook, and shown as one that a person has to look at. Subscriptions that
        cannot be activated now stay pending: the webhook, which Stripe repeats, activates them.
        Raises IntentMismatch if the intent does not belong to that attempt, ServiceUnavailable, StripeUnavailable and
        ConflictRetriesExhausted.
        """
        _ensure_succeeded(intent)
        payment = self._payment_of(intent, found)
        if payment is None:
            raise IntentMismatch
        if isinstance(found, UnreadableAttempt):
            return QuarantinedPayment(QuarantineReason.ATTEMPT_UNREADABLE, content_kept=False)
        await self._sync_earlier_refunds(intent, _BROWSER_RETURN)
        decision = await self._decide(payment, found, _BROWSER_RETURN)
        return await self.activate_for_buyer(decision) if isinstance(decision, Purchase) else decision

    async def activate_for_buyer(self, purchase: Purchase) -> Purchase:
        """Activate pending subscriptions of a recorded purchase, as far as possible while a buyer waits."""
        seconds = max(0.0, min(_BUYER_WAIT_SECONDS, seconds_left() - _RESPONSE_RESERVE_SECONDS))
        activated = await self._activation.activate_all(purchase, within_seconds=seconds)
        if activated.error is not None:
            _log.warning("subscriptions stay pending", extra={"reason": type(activated.error).__name__})
        return activated.purchase

    async def _find_named(self, intent: StripeIntent) -> FoundAttempt | None:
        """Find the attempt that the intent's metadata names. Any UUID may name ours, whatever secret made it."""
        if intent.attempt_id is None or not is_attempt_id(intent.attempt_id) or intent.livemode != self._livemode:
            return None
        bind_attempt(intent.attempt_id)
        return await self._attempts.find(intent.attempt_id)

    def _payment_of(self, intent: StripeIntent, found: FoundAttempt | None) -> Payment | None:
        """Return None for an intent that is not ours, or not of the attempt that was found."""
        attempt_id = self._attempt_id_of(intent, found)
        return None if attempt_id is None else self._payment(intent, attempt_id)

    def _payment(self, intent: StripeIntent, attempt_id: str) -> Payment | None:
        if intent.livemode != self._livemode:
            return None
        return Payment(
            intent.ref,
            attempt_id,
            intent.received,
            intent.livemode,
            intent.created_at,
            intent.payment_method_id,
            intent.customer_id,
        )

    def _attempt_id_of(self, intent: StripeIntent, found: FoundAttempt | None) -> str | None:
        named = intent.attempt_id
        if found is None:
            # An id that proves to be ours was lost; any other belongs to another shop on this Stripe account.
            return named if named is not None and self._ids.is_ours(named) else None
        # The stored intent decides: metadata can be edited at Stripe.
        if named != found.attempt_id and (isinstance(found, Tombstone) or found.intent != intent.ref):
            return None
        if not self._ids.is_ours(found.attempt_id):
            _log.warning("attempt id was made with a secret that is no longer configured")
            FOREIGN_SECRETS.inc()
        return found.attempt_id

    async def _sync_earlier_refunds(self, intent: StripeIntent, report: PaymentReport) -> None:
        """Let orders know the refunds before it decides, so that nothing ships for money given back (ADR 27).

        Their events may come after a report that is late, and were acknowledged if the metadata was edited away. A
        retrieved intent says whether there are refunds; an event on time is no later than them.
        """
        refunded = intent.refunded
        may_be_refunded = self._is_late(report) if refunded is None else refunded.minor_units > 0
        if may_be_refunded and intent.ref.kind is IntentKind.PAYMENT:
            await self._refunds.sync_payment(intent.ref.id)

    def _is_late(self, report: PaymentReport) -> bool:
        return report.event_created_at is not None and self._now() - report.event_created_at > _ON_TIME

    def _is_recent(self, report: PaymentReport) -> bool:
        return report.event_created_at is not None and self._now() - report.event_created_at < _KEY_WAIT

    async def _decide(self, payment: Payment, found: FoundAttempt | None, report: PaymentReport) -> PaymentDecision:
        match found:
            case Attempt():
                decision = await self._decide_with_attempt(payment, found, report)
            case UnreadableAttempt():
                reason = QuarantineReason.ATTEMPT_UNREADABLE
                decision = await self._orders.quarantine(payment, reason, found, report)
            case _:
                reason = QuarantineReason.ATTEMPT_MISSING
                decision = await self._orders.quarantine(payment, reason, None, report)
        if isinstance(found, Attempt | UnreadableAttempt):
            await self._delete_attempt(found, payment, decision, report)
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

    async def _delete_attempt(
        self,
        attempt: Attempt | UnreadableAttempt,
        payment: Payment,
        decision: PaymentDecision,
        report: PaymentReport,
    ) -> None:
        if payment.intent != attempt.intent:
            return  # The attempt's own intent may still be paid: its content stays (P4).
        if isinstance(decision, Purchase) and report.channel is ReportChannel.WEBHOOK:
            await self._deletions.delete(attempt.attempt_id)
        elif isinstance(decision, Purchase):
            await self._attempts.delete(attempt.attempt_id, DeleteReason.RECORDED)
        elif _is_content_safe(attempt, decision):
            await self._attempts.delete(attempt.attempt_id, DeleteReason.QUARANTINED)


def _ensure_succeeded(intent: StripeIntent) -> None:
    if intent.status is not IntentStatus.SUCCEEDED:
        raise ValueError("only a succeeded intent can be fulfilled")


def _mismatch(payment: Payment, attempt: Attempt) -> QuarantineReason | None:
    if payment.intent != attempt.intent:
        return QuarantineReason.INTENT_MISMATCH
    total = attempt.context.total
    if (payment.received or Money(0, total.currency)) != total:  # a SetupIntent receives nothing
        return QuarantineReason.AMOUNT_MISMATCH
    return None


def _is_content_safe(attempt: Attempt | UnreadableAttempt, decision: QuarantinedPayment) -> bool:
    """Return True if the attempt is not needed any more: its own content is in quarantine, for good (P4).

    Content that cannot be read now stays, to become the purchase (ADR 28). So does that of a refunded payment, because
    the refund may fail (ADR 27). An earlier report of the intent may have named another attempt.
    """
    is_final = decision.reason is not QuarantineReason.REFUNDED
    return is_final and decision.content_kept and decision.attempt_id == attempt.attempt_id


def _log_decision(decision: PaymentDecision, report: PaymentReport) -> None:
    if isinstance(decision, QuarantinedPayment):
        # orders, which writes the decision, logs the error that alerts (ADR 2).
        _log.info("payment is quarantined", extra={"reason": decision.reason.value, "channel": report.channel.value})
        _count(report, _outcome_of_quarantined(decision))
    else:
        number = decision.order.number if decision.order else None
        _log.info(
            "purchase recorded",
            extra={"order": number, "subscriptions": len(decision.subscriptions), "channel": report.channel.value},
        )
        _count(report, "purchase")


def _outcome_of_quarantined(decision: QuarantinedPayment) -> str:
    # One payment counts once, however often it is reported; one that was refunded in full is resolved by that.
    if decision.already_recorded:
        return "quarantined_before"
    return "refunded" if decision.reason is QuarantineReason.REFUNDED else "quarantined"


def _count(report: PaymentReport, outcome: str) -> None:
    FULFILLED.labels(report.channel.value, outcome).inc()
