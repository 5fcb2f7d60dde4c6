"""A ledger in memory, for tests of the use cases without I/O. Its units of work run one after the other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from orders.domain.checkout import AttemptContent, CheckoutContext
from orders.domain.orders import Order
from orders.domain.pagination import Cursor
from orders.domain.payments import Payment, PaymentReport
from orders.domain.purchases import Decision, Purchase, QuarantinedPayment, QuarantineReason
from orders.usecases.unit_of_work import Ledger

from .memory_adjustments import MemoryAdjustments
from .memory_subscriptions import MemorySubscriptionLedger, SubscriptionBook


@dataclass
class Book:
    """What was committed."""

    quarantined: dict[str, QuarantinedPayment] = field(default_factory=dict)
    purchases: dict[str, Payment] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    announced: list[str] = field(default_factory=list)
    subscriptions: SubscriptionBook = field(default_factory=SubscriptionBook)

    def copy(self) -> "Book":
        """Return a copy to work on."""
        return Book(
            dict(self.quarantined),
            dict(self.purchases),
            dict(self.orders),
            list(self.announced),
            self.subscriptions.copy(),
        )


class MemoryUnits:
    """Begins units of work in memory."""

    def __init__(self) -> None:
        self.book = Book()
        self.adjustments = MemoryAdjustments()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Ledger]:
        """Work on a copy that replaces the book when it is committed."""
        yield MemoryLedger(self)


class MemoryLedger(MemorySubscriptionLedger):
    """One unit of work."""

    def __init__(self, units: MemoryUnits) -> None:
        self._units = units
        self._show = units.adjustments.show_on
        self._book = units.book.copy()
        super().__init__(self._book.subscriptions)

    async def decide_purchase(
        self,
        payment: Payment,
        context: CheckoutContext,  # noqa: ARG002 - the port's
        report: PaymentReport,  # noqa: ARG002 - the port's
        at: datetime,  # noqa: ARG002 - the port's
    ) -> bool:
        """Keep the rules of the table's constraints."""
        if self._decided(payment.intent.id) or self._paid(payment.attempt_id):
            return False
        self._book.purchases[payment.intent.id] = payment
        return True

    async def decide_quarantine(self, quarantined: QuarantinedPayment) -> bool:
        """Keep the rule of the table's primary key."""
        if self._decided(quarantined.payment.intent.id):
            return False
        self._book.quarantined[quarantined.payment.intent.id] = quarantined
        return True

    async def promote(self, payment: Payment, context: CheckoutContext, report: PaymentReport, at: datetime) -> bool:  # noqa: ARG002 - the port's
        """Turn the quarantine into the purchase, under the same guard."""
        standing = self._book.quarantined.get(payment.intent.id)
        if standing is None or not _awaits_its_attempt(standing) or self._paid(payment.attempt_id):
            return False
        del self._book.quarantined[payment.intent.id]
        self._book.purchases[payment.intent.id] = payment
        return True

    async def complete(self, intent_id: str, reason: QuarantineReason, content: AttemptContent) -> None:
        """Put the content in, under the same guard."""
        standing = self._book.quarantined.get(intent_id)
        if standing is not None and standing.content is None:
            kept = reason if _awaits_its_attempt(standing) else standing.reason
            self._book.quarantined[intent_id] = replace(standing, content=content, reason=kept)

    async def decision_on(self, intent_id: str) -> Decision | None:
        """Return what stands."""
        payment = self._book.purchases.get(intent_id)
        if payment is None:
            return self._book.quarantined.get(intent_id)
        return self._purchase(payment)

    async def add_order(self, order: Order) -> bool:
        """Keep the rule that numbers are unique."""
        if any(order.number == other.number for other in self._book.orders.values()):
            return False
        self._book.orders[order.payment_intent_id] = order
        return True

    async def announce_purchase(self, purchase: Purchase, at: datetime) -> None:  # noqa: ARG002 - the port's
        """Remember the topic and key."""
        self._book.announced.append(f"purchase.recorded {purchase.intent.id}")

    async def announce_quarantine(self, quarantined: QuarantinedPayment) -> None:
        """Remember the topic and key."""
        self._book.announced.append(f"payment.quarantined {quarantined.payment.intent.id}")

    async def purchase_of(self, attempt_id: str) -> Purchase | None:
        """Return the purchase."""
        for payment in self._book.purchases.values():
            if payment.attempt_id == attempt_id:
                return self._purchase(payment)
        return None

    async def order(self, order_id: UUID) -> Order | None:
        """Return the order."""
        return next((self._show(order) for order in self._book.orders.values() if order.id == order_id), None)

    async def orders_of(self, user_id: str, before: Cursor | None, limit: int) -> list[Order]:
        """Return the newest first."""
        rows = [self._show(order) for order in self._book.orders.values() if order.user_id == user_id]
        rows.sort(key=lambda order: (order.created_at, order.id), reverse=True)
        if before is not None:
            rows = [order for order in rows if (order.created_at, order.id) < (before.at, UUID(before.id))]
        return rows[:limit]

    async def quarantined_payments(self, before: Cursor | None, limit: int) -> list[QuarantinedPayment]:
        """Return the newest first."""
        rows = sorted(self._book.quarantined.values(), key=_place, reverse=True)
        if before is not None:
            rows = [row for row in rows if _place(row) < (before.at, before.id)]
        return rows[:limit]

    async def commit(self) -> None:
        """Replace the book."""
        self._units.book = self._book

    def _purchase(self, payment: Payment) -> Purchase:
        order = self._book.orders.get(payment.intent.id)
        subscriptions = self.of_attempt(payment.attempt_id)
        return Purchase(payment.attempt_id, payment.intent, self._show(order) if order else None, subscriptions)

    def _decided(self, intent_id: str) -> bool:
        return intent_id in self._book.purchases or intent_id in self._book.quarantined

    def _paid(self, attempt_id: str) -> bool:
        return any(payment.attempt_id == attempt_id for payment in self._book.purchases.values())


def _place(quarantined: QuarantinedPayment) -> tuple[datetime, str]:
    return quarantined.quarantined_at, quarantined.payment.intent.id


def _awaits_its_attempt(quarantined: QuarantinedPayment) -> bool:
    return quarantined.reason is QuarantineReason.ATTEMPT_MISSING and quarantined.resolved_at is None
