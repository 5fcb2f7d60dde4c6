"""Alerts about decisions that a person has to look at."""

import logging

from orders.domain.purchases import DecisionResult, QuarantinedPayment
from orders.domain.subscriptions import PAYMENT_METHOD_MISSING

_log = logging.getLogger(__name__)


def alert(result: DecisionResult) -> None:
    """Log an error for a decision that leaves something to resolve. Call it after the commit that wrote the decision.

    Whoever writes the row alerts, so that each payment is one error line, however often and by whomever it is reported
    (ADR 2).
    """
    if result.already_recorded:
        return
    if isinstance(result.decision, QuarantinedPayment):
        if result.decision.resolved_at is None:
            extra = {"intent": result.decision.payment.intent.id, "reason": result.decision.reason.value}
            _log.error("payment quarantined", extra=extra)
        return
    for subscription in result.decision.subscriptions:
        if subscription.activation.failure == PAYMENT_METHOD_MISSING:
            _log.error("a bought subscription has no payment method", extra={"subscription": subscription.id})
