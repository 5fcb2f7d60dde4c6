"""Differences between an intent at Stripe and its decision in orders."""

from dataclasses import dataclass
from enum import StrEnum

from payments_gateway.domain.attempts import IntentRef
from payments_gateway.domain.audit import PaidIntent, RecordedPayment
from payments_gateway.domain.money import Money


class DifferenceKind(StrEnum):
    """Kind of a difference. The values are part of the operator's interface."""

    NOT_DECIDED = "not_decided"
    """Succeeded at Stripe, and neither a purchase nor quarantined: lost (P3)."""
    NOT_PAID = "not_paid"
    """Decided here, and not succeeded at Stripe."""
    AMOUNT = "amount"
    """Stripe received another amount than the decision says (P5)."""
    REFUNDS = "refunds"
    """Stripe shows another sum of refunds than orders."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference of one intent."""

    kind: DifferenceKind
    intent: IntentRef
    attempt_id: str | None
    at_stripe: Money | None = None
    in_orders: Money | None = None


def differences_of(intent: PaidIntent | None, payment: RecordedPayment | None) -> list[Difference]:
    """Compare both sides of an intent, of which at least one must be given."""
    if payment is None:
        if intent is None:
            return []
        return [Difference(DifferenceKind.NOT_DECIDED, intent.ref, intent.attempt_id, intent.received)]
    if intent is None:
        return [Difference(DifferenceKind.NOT_PAID, payment.intent, payment.attempt_id, in_orders=payment.received)]
    found = []
    if not _same_amount(intent.received, payment.received):
        found.append((DifferenceKind.AMOUNT, intent.received, payment.received))
    if not _same_refunds(intent.refunded, payment.refunded):
        found.append((DifferenceKind.REFUNDS, intent.refunded, next(iter(payment.refunded), None)))
    return [Difference(kind, intent.ref, payment.attempt_id, *amounts) for kind, *amounts in found]


def _same_amount(at_stripe: Money | None, in_orders: Money | None) -> bool:
    if at_stripe is None:  # a SetupIntent takes no money
        return in_orders is None or in_orders.minor_units == 0
    return at_stripe == in_orders


def _same_refunds(at_stripe: Money | None, in_orders: tuple[Money, ...]) -> bool:
    made = () if at_stripe is None or at_stripe.minor_units == 0 else (at_stripe,)
    return made == tuple(amount for amount in in_orders if amount.minor_units)
