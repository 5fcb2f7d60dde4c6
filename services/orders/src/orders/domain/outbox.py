"""Events for other systems: ids, statuses, a reason and amounts only, no personal data (P7)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from orders.domain.checkout import Money
from orders.domain.orders import Order
from orders.domain.purchases import Purchase, QuarantinedPayment
from orders.domain.refunds import Dispute, Refund
from orders.domain.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """Event about one aggregate: an order, a payment or a subscription."""

    topic: str
    aggregate_id: str
    payload: Mapping[str, Any]

    @classmethod
    def purchase_recorded(cls, purchase: Purchase) -> Self:
        """Build the event of a purchase. Its aggregate is the order, or the intent where there is no order."""
        order, intent_id = purchase.order, purchase.intent.id
        total = order.total if order else Money(0, purchase.subscriptions[0].currency)
        payload: dict[str, Any] = {
            "attempt_id": purchase.attempt_id,
            "intent_id": intent_id,
            "total_minor": total.minor_units,
            "currency": total.currency,
        }
        if order:
            payload |= _order_to_payload(order)
            payload["refunded_minor"] = order.refunded.minor_units if order.refunded else 0
            payload["disputed_minor"] = order.disputed.minor_units if order.disputed else 0
            if order.adjustment_minor:
                payload["adjustment_minor"] = order.adjustment_minor
        if purchase.subscriptions:
            payload["subscription_ids"] = [str(each.id) for each in purchase.subscriptions]
        return cls("purchase.recorded", str(order.id) if order else intent_id, payload)

    @classmethod
    def payment_quarantined(cls, quarantined: QuarantinedPayment) -> Self:
        """Build the event of a quarantined payment. A person has to act while it is unresolved."""
        payment = quarantined.payment
        payload = {
            "intent_id": payment.intent.id,
            "attempt_id": payment.attempt_id,
            "reason": quarantined.reason.value,
            "status": "resolved" if quarantined.resolved_at else "unresolved",
            "amount_minor": payment.received.minor_units if payment.received else None,
            "currency": payment.received.currency if payment.received else None,
        }
        return cls("payment.quarantined", payment.intent.id, payload)

    @classmethod
    def refund_changed(cls, refund: Refund, order: Order | None) -> Self:
        """Build the event of a refund. Its aggregate is the payment; `order` is the payment's, if there is one yet."""
        return cls("refund.changed", refund.intent_id, {"refund_id": refund.id, **_refund_to_payload(refund, order)})

    @classmethod
    def dispute_changed(cls, dispute: Dispute, order: Order | None) -> Self:
        """Build the event of a dispute, in the same way."""
        return cls(
            "dispute.changed", dispute.intent_id, {"dispute_id": dispute.id, **_refund_to_payload(dispute, order)}
        )

    @classmethod
    def subscription_changed(cls, subscription: Subscription) -> Self:
        """Build the event of a subscription that was bound, cancelled, failed, begun again or changed at Stripe."""
        subscription_id = str(subscription.id)
        payload = {"subscription_id": subscription_id, "status": subscription.status.value}
        return cls("subscription.changed", subscription_id, payload)

    @classmethod
    def order_erased(cls, order_id: str) -> Self:
        """Build the event of an order whose personal data was erased."""
        return cls("order.erased", order_id, {"order_id": order_id})

    @classmethod
    def payment_erased(cls, intent_id: str) -> Self:
        """Build the event of a quarantined payment whose personal data was erased."""
        return cls("payment.erased", intent_id, {"intent_id": intent_id})

    @classmethod
    def subscription_erased(cls, subscription_id: str) -> Self:
        """Build the event of a subscription whose personal data was erased."""
        return cls("subscription.erased", subscription_id, {"subscription_id": subscription_id})


def _order_to_payload(order: Order) -> dict[str, Any]:
    return {"order_id": str(order.id), "order_status": order.status.value}


def _refund_to_payload(changed: Refund | Dispute, order: Order | None) -> dict[str, Any]:
    return {
        "intent_id": changed.intent_id,
        "status": changed.status.value,
        "amount_minor": changed.amount.minor_units,
        "currency": changed.amount.currency,
        **(_order_to_payload(order) if order else {}),
    }
