"""State of a checkout, for the buyer's page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from payments_gateway.checkout.expiry import Expiry
from payments_gateway.domain.attempts import (
    AttemptsPort,
    CloseReason,
    DeleteReason,
    FoundAttempt,
    Tombstone,
    UnreadableAttempt,
)
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AttemptNotFound
from payments_gateway.domain.intents import PENDING_STATUSES, IntentReader, IntentStatus, StripeIntent
from payments_gateway.domain.purchases import OrdersPort, Purchase
from payments_gateway.subscriptions.open_payments import OpenPayments
from servicekit.unavailable import ServiceUnavailable


class CheckoutState(StrEnum):
    """State as the buyer sees it."""

    OPEN = "open"
    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    PAYMENT_FAILED = "payment_failed"
    COMPLETED = "completed"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    NEEDS_REVIEW = "needs_review"


@dataclass(frozen=True, slots=True)
class CheckoutStatus:
    """State of a checkout, with its purchase once it is completed."""

    state: CheckoutState
    purchase: Purchase | None = None
    open_payments: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Client secrets of payments that the buyer can make, by subscription id."""


class CheckoutStatusReader:
    """Reads the state of checkouts, and ends those that nobody may pay any more."""

    def __init__(
        self,
        attempts: AttemptsPort,
        orders: OrdersPort,
        intents: IntentReader,
        expiry: Expiry,
        open_payments: OpenPayments,
    ) -> None:
        self._attempts = attempts
        self._orders = orders
        self._intents = intents
        self._expiry = expiry
        self._open_payments = open_payments

    async def status(self, attempt_id: str, caller: Caller) -> CheckoutStatus:
        """Return the attempt's state.

        Raises AttemptNotFound, IntentNotFound, StripeUnavailable, ServiceUnavailable.
        """
        found = await self._attempts.find(attempt_id)
        if found is not None and not caller.owns(found.user_id):
            raise AttemptNotFound
        if isinstance(found, Tombstone) and found.reason is DeleteReason.CANCELLED:
            return CheckoutStatus(_state_after_cancel(found.close_reason))
        if found is None or isinstance(found, Tombstone):
            return await self._status_after_decision(attempt_id, found, caller)
        intent = await self._intents.retrieve(found.intent)
        reason = self._expiry.reason(found, intent)
        intent = await self._expiry.enforce(found, reason, intent)
        if isinstance(found, UnreadableAttempt):
            return await self._status_of_unreadable(found, intent, caller)
        if intent.is_refunded_in_full:  # Its content stays, because the refund may fail (ADR 27).
            return await self._status_after_decision(attempt_id, found, caller)
        if intent.status is IntentStatus.SUCCEEDED:  # Recorded ones are deleted a moment later (ADR 56).
            return await self._status_after_decision(attempt_id, found, caller, CheckoutState.PROCESSING)
        return CheckoutStatus(_state_of_intent(intent, reason))

    async def _status_of_unreadable(
        self, attempt: UnreadableAttempt, intent: StripeIntent, caller: Caller
    ) -> CheckoutStatus:
        if intent.status is IntentStatus.SUCCEEDED:
            return await self._status_after_decision(attempt.attempt_id, attempt, caller)
        if intent.is_payable and attempt.close_reason is None:
            # Its pay-by cannot be read, and initiate does not release its secret: it may not be called open.
            raise ServiceUnavailable("checkout-session")
        return CheckoutStatus(_state_of_intent(intent, attempt.close_reason))

    async def _status_after_decision(
        self,
        attempt_id: str,
        found: FoundAttempt | None,
        caller: Caller,
        undecided: CheckoutState = CheckoutState.NEEDS_REVIEW,
    ) -> CheckoutStatus:
        purchase = await self._orders.find_purchase(attempt_id)
        if purchase is not None and purchase.is_visible_to(caller):
            secrets = await self._open_payments.client_secrets(purchase.subscriptions)
            return CheckoutStatus(CheckoutState.COMPLETED, purchase, secrets)
        if found is None or purchase is not None:
            raise AttemptNotFound
        return CheckoutStatus(undecided)


def _state_after_cancel(close_reason: CloseReason | None) -> CheckoutState:
    return CheckoutState.SUPERSEDED if close_reason is CloseReason.SUPERSEDED else CheckoutState.EXPIRED


def _state_of_intent(intent: StripeIntent, close_reason: CloseReason | None) -> CheckoutState:
    match intent.status:
        case status if status in PENDING_STATUSES:
            return CheckoutState.PROCESSING  # at the bank: the buyer has nothing to do
        case IntentStatus.CANCELED:
            return _state_after_cancel(close_reason)
        case _ if close_reason is not None:
            return _state_after_cancel(close_reason)
        case IntentStatus.REQUIRES_ACTION:
            return CheckoutState.REQUIRES_ACTION
        case _ if intent.last_payment_failed:
            return CheckoutState.PAYMENT_FAILED
        case _:
            return CheckoutState.OPEN
