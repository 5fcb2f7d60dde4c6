"""Refunds and disputes in memory, for tests of the use cases without I/O."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from orders.domain.checkout import Money
from orders.domain.orders import Order
from orders.domain.refunds import DISPUTED, REFUNDED, Dispute, Refund

Adjustment = TypeVar("Adjustment", Refund, Dispute)


class MemoryAdjustments:
    """Keeps the rule of the guarded write: one row for each of Stripe's ids, written where its version holds."""

    def __init__(self) -> None:
        self._refunds: dict[str, Refund] = {}
        self._disputes: dict[str, Dispute] = {}

    async def refund(self, refund_id: str) -> Refund | None:
        """Return the refund."""
        return self._refunds.get(refund_id)

    async def put_refund(self, refund: Refund) -> int | None:
        """Write the refund."""
        return _put(self._refunds, refund)

    async def dispute(self, dispute_id: str) -> Dispute | None:
        """Return the dispute."""
        return self._disputes.get(dispute_id)

    async def put_dispute(self, dispute: Dispute) -> int | None:
        """Write the dispute."""
        return _put(self._disputes, dispute)

    def show_on(self, order: Order) -> Order:
        """Return the order with its sums."""
        refunds = (refund for refund in self._refunds.values() if refund.status in REFUNDED)
        disputes = (dispute for dispute in self._disputes.values() if dispute.status in DISPUTED)
        return replace(order, refunded=_sum(order, refunds), disputed=_sum(order, disputes))


def _put(rows: dict[str, Adjustment], shown: Adjustment) -> int | None:
    standing = rows.get(shown.id)
    if shown.version != (standing.version if standing else 0):
        return None
    rows[shown.id] = replace(shown, version=shown.version + 1)
    return shown.version + 1


def _sum(order: Order, adjustments: Iterable[Refund | Dispute]) -> Money | None:
    same = [each.amount for each in adjustments if each.intent_id == order.payment_intent_id]
    minor_units = sum(amount.minor_units for amount in same if amount.currency == order.total.currency)
    return Money(minor_units, order.total.currency) if minor_units else None
