"""checkout-session and orders in memory, as their ports' contracts have them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Generic

from payments_gateway.checkout.customers import CustomerErased
from payments_gateway.domain.attempts import (
    Attempt,
    AttemptClosed,
    CheckoutContext,
    ClosedAttempt,
    CloseReason,
    Contact,
    DeleteReason,
    FoundAttempt,
    IntentRef,
    RequestHashMismatch,
    SavedAttempt,
    Tombstone,
    UnreadableAttempt,
)
from payments_gateway.domain.errors import VersionConflict
from payments_gateway.domain.money import Money
from payments_gateway.domain.purchases import (
    Order,
    OrderNotFound,
    OrderPage,
    OrderStatus,
    Payment,
    PaymentDecision,
    PaymentReport,
    Purchase,
    PurchaseRefused,
    QuarantinedPayment,
    QuarantineReason,
)
from payments_gateway.domain.refunds import MirroredT, PaymentNotFound
from payments_gateway.domain.stripe_errors import UnsupportedStripeObject
from servicekit.unavailable import ServiceUnavailable

from .fake_subscriptions import FakeSubscriptions, slice_of


class FakeAttempts:
    """checkout-session: the first close reason and the first delete reason stay."""

    def __init__(self) -> None:
        self._stored: dict[str, Attempt] = {}
        self._closed: dict[str, CloseReason] = {}
        self._tombstones: dict[str, Tombstone] = {}
        self._successors: dict[str, str] = {}
        self._unreadable: set[str] = set()

    async def save(
        self, attempt_id: str, request_hash: bytes, context: CheckoutContext, intent: IntentRef
    ) -> SavedAttempt:
        if attempt_id in self._closed or attempt_id in self._tombstones:
            raise AttemptClosed
        attempt = Attempt(attempt_id, request_hash, context, intent, close_reason=None)
        if attempt_id in self._unreadable:
            raise ServiceUnavailable("checkout-session")
        stored = self._stored.setdefault(attempt_id, attempt)
        if stored.request_hash != request_hash:
            raise RequestHashMismatch
        return SavedAttempt(stored, replayed=stored is not attempt)

    async def find(self, attempt_id: str) -> FoundAttempt | None:
        return self.at(attempt_id)

    async def close(self, attempt_id: str, reason: CloseReason, successor: str | None = None) -> ClosedAttempt:
        if attempt_id not in self._tombstones:
            self._closed.setdefault(attempt_id, reason)
        if successor is not None:
            self._successors.setdefault(attempt_id, successor)
        return ClosedAttempt(self.at(attempt_id), self._successors.get(attempt_id))

    async def delete(self, attempt_id: str, reason: DeleteReason) -> None:
        attempt = self._stored.pop(attempt_id, None)
        user_id = attempt.user_id if attempt else None
        self._tombstones.setdefault(attempt_id, Tombstone(attempt_id, reason, self._closed.get(attempt_id), user_id))

    async def delete_all(self, attempt_ids: Sequence[str], reason: DeleteReason) -> None:
        for attempt_id in attempt_ids:
            await self.delete(attempt_id, reason)

    def at(self, attempt_id: str) -> FoundAttempt | None:
        """Return what is stored for an id, without a call."""
        successor = self._successors.get(attempt_id)
        if attempt_id in self._tombstones:
            return replace(self._tombstones[attempt_id], successor=successor)
        if attempt_id not in self._stored:
            return None
        stored = replace(self._stored[attempt_id], close_reason=self._closed.get(attempt_id), successor=successor)
        return _unreadable(stored) if attempt_id in self._unreadable else stored

    def make_unreadable(self, attempt_id: str) -> None:
        """Let the content be encrypted with a key that is not configured."""
        self._unreadable.add(attempt_id)

    def make_readable(self, attempt_id: str) -> None:
        """Configure the key again."""
        self._unreadable.remove(attempt_id)

    def put(self, attempt: Attempt) -> None:
        """Store an attempt without a call."""
        self._stored[attempt.attempt_id] = attempt

    def lose(self, attempt_id: str) -> None:
        """Forget everything about an attempt, as a store that lost its data."""
        self._stored.pop(attempt_id, None)
        self._closed.pop(attempt_id, None)
        self._tombstones.pop(attempt_id, None)
        self._successors.pop(attempt_id, None)

    def stored(self) -> list[Attempt]:
        """Return every attempt whose content is stored."""
        return list(self._stored.values())


def _unreadable(stored: Attempt) -> UnreadableAttempt:
    return UnreadableAttempt(
        attempt_id=stored.attempt_id,
        user_id=stored.user_id,
        intent=stored.intent,
        encrypted_content=b"encrypted",
        key_id="another-key",
        close_reason=stored.close_reason,
        successor=stored.successor,
    )


class FakeOrders:
    """orders' decisions: one for each intent, and one purchase for each attempt."""

    def __init__(self, now: Callable[[], datetime], subscriptions: FakeSubscriptions) -> None:
        self._now = now
        self._subscriptions = subscriptions
        self._purchases: dict[str, Purchase] = {}
        self.refused_attempts: set[str] = set()
        """Ids of attempts whose purchase is refused."""
        self.refunded_intents: set[str] = set()
        """Ids of intents that were refunded in full, as far as orders knows."""
        self.decisions: dict[str, PaymentDecision] = {}
        """By intent id."""
        self.contents: dict[str, CheckoutContext] = {}
        """Recorded or quarantined content, by intent id."""
        self.encrypted_contents: dict[str, bytes] = {}
        """Quarantined content that could not be read, by intent id."""
        self.payments: dict[str, Payment] = {}
        """First report of each payment, by intent id."""
        self.reports: list[PaymentReport] = []

    async def record_purchase(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport
    ) -> PaymentDecision:
        received = payment.received or Money(0, context.total.currency)
        if payment.attempt_id in self.refused_attempts or received != context.total:
            raise PurchaseRefused
        existing = self.decisions.get(payment.intent.id)
        if existing is not None and not self._is_promotable(payment, existing):
            return self._standing(existing)
        if payment.intent.id in self.refunded_intents:
            return self._quarantine(payment, QuarantineReason.REFUNDED, context, report)
        if payment.attempt_id in self._purchases:
            return self._quarantine(payment, QuarantineReason.DUPLICATE_PAYMENT, context, report)
        has_order = any(item.recurring is None for item in context.items)
        purchase = Purchase(
            intent_id=payment.intent.id,
            order=self._order(payment, context) if has_order else None,
            subscriptions=self._subscriptions.record(payment, context),
        )
        self._purchases[payment.attempt_id] = purchase
        return self._decide(payment, purchase, context, report)

    async def quarantine(
        self,
        payment: Payment,
        reason: QuarantineReason,
        content: CheckoutContext | UnreadableAttempt | None,
        report: PaymentReport,
    ) -> PaymentDecision:
        existing = self.decisions.get(payment.intent.id)
        if existing is not None:
            return self._standing(existing)
        if reason is QuarantineReason.ATTEMPT_MISSING and payment.attempt_id in self._purchases:
            reason = QuarantineReason.DUPLICATE_PAYMENT
        if isinstance(content, UnreadableAttempt):
            self.encrypted_contents[payment.intent.id] = content.encrypted_content
        context = content if isinstance(content, CheckoutContext) else None
        return self._quarantine(payment, reason, context, report)

    async def find_purchase(self, attempt_id: str) -> Purchase | None:
        return self._current(self._purchases[attempt_id]) if attempt_id in self._purchases else None

    def _standing(self, decision: PaymentDecision) -> PaymentDecision:
        if isinstance(decision, Purchase):
            return self._current(decision)
        return replace(decision, already_recorded=True)

    def _current(self, purchase: Purchase) -> Purchase:
        current = tuple(self._subscriptions.by_id[each.id] for each in purchase.subscriptions)
        return replace(purchase, subscriptions=current, already_recorded=True)

    async def get_order(self, order_id: str) -> Order:
        for order in self._orders():
            if order.id == order_id:
                return order
        raise OrderNotFound

    async def list_orders(self, user_id: str, *, page_size: int, page_token: str | None) -> OrderPage:
        start, stop = slice_of(page_size, page_token)
        theirs = [order for order in self._orders() if order.user_id == user_id][::-1]
        return OrderPage(tuple(theirs[start:stop]), str(stop) if len(theirs) > stop else None)

    def _orders(self) -> list[Order]:
        return [purchase.order for purchase in self._purchases.values() if purchase.order is not None]

    def erase(self, attempt_id: str) -> None:
        """Erase the personal data of an attempt's purchase."""
        bought = self._purchases[attempt_id]
        assert bought.order is not None
        order = replace(bought.order, user_id=None, contact=Contact("", "", None), erased=True)
        self._purchases[attempt_id] = replace(bought, order=order)

    def purchases(self) -> list[Purchase]:
        """Return every purchase."""
        return list(self._purchases.values())

    def _decide(
        self, payment: Payment, decision: PaymentDecision, context: CheckoutContext | None, report: PaymentReport
    ) -> PaymentDecision:
        self.decisions[payment.intent.id] = decision
        self.payments.setdefault(payment.intent.id, payment)
        self.reports.append(report)
        if context is not None:
            self.contents[payment.intent.id] = context
        return decision

    def _quarantine(
        self, payment: Payment, reason: QuarantineReason, context: CheckoutContext | None, report: PaymentReport
    ) -> PaymentDecision:
        decision = QuarantinedPayment(reason, content_kept=context is not None, attempt_id=payment.attempt_id)
        return self._decide(payment, decision, context, report)

    def _is_promotable(self, payment: Payment, decision: PaymentDecision) -> bool:
        refund_failed = payment.intent.id not in self.refunded_intents
        return isinstance(decision, QuarantinedPayment) and (
            decision.reason in (QuarantineReason.ATTEMPT_MISSING, QuarantineReason.ATTEMPT_UNREADABLE)
            or (decision.reason is QuarantineReason.REFUNDED and refund_failed)
        )

    def _order(self, payment: Payment, context: CheckoutContext) -> Order:
        number = len(self._purchases) + 1
        return Order(
            id=f"00000000-0000-4000-8000-{number:012}",
            number=f"H-{number:04}",
            checkout_attempt_id=payment.attempt_id,
            user_id=context.user_id,
            status=OrderStatus.PAID,
            total=context.total,
            contact=context.contact,
            shipping_address=context.shipping_address,
            shipping_option=context.shipping_option,
            items=tuple(item for item in context.items if item.recurring is None),
            created_at=self._now(),
        )


class FakePaymentRefunds:
    """Refunds in full at Stripe, which orders does not know yet."""

    def __init__(self, orders: FakeOrders) -> None:
        self._orders = orders
        self.intents: set[str] = set()
        """Ids of refunded intents."""

    async def sync_payment(self, intent_id: str) -> None:
        self._orders.refunded_intents |= self.intents & {intent_id}


class FakeCustomerRepository:
    """orders' customers: the first writer wins."""

    def __init__(self) -> None:
        self.customers: dict[tuple[str, str], str] = {}
        """By user and currency."""
        self.erased: set[str] = set()

    async def find(self, user_id: str, currency: str) -> str | None:
        return self.customers.get((user_id, currency))

    async def put(self, user_id: str, currency: str, customer_id: str, *, replaces: str | None = None) -> str:
        if self.customers.get((user_id, currency)) in {None, replaces}:
            if customer_id in self.erased:
                raise CustomerErased
            self.customers[user_id, currency] = customer_id
        return self.customers[user_id, currency]

    def erase(self) -> None:
        """Take their customers from all users, as `orders erase` does."""
        self.erased.update(self.customers.values())
        self.customers.clear()


class FakeMirrorRepository(Generic[MirroredT]):
    """orders' copies of refunds or of disputes, with their versions."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self.copies: dict[str, MirroredT] = {}
        """By id."""
        self.intents: dict[str, str] = {}
        """Intent id of each copy, by its id."""
        self.refused: set[str] = set()
        """Ids that orders refuses to store."""
        self.decided: set[str] = set()
        """Intents that orders has decided."""

    async def version_of(self, object_id: str) -> int:
        return self._versions.get(object_id, 0)

    async def write(self, snapshot: MirroredT, *, intent_id: str, expected_version: int, only_if_decided: bool) -> None:
        if snapshot.id in self.refused:
            raise UnsupportedStripeObject
        if only_if_decided and intent_id not in self.decided:
            raise PaymentNotFound
        if expected_version != self._versions.get(snapshot.id, 0):
            raise VersionConflict
        self._versions[snapshot.id] = expected_version + 1
        self.copies[snapshot.id] = snapshot
        self.intents[snapshot.id] = intent_id
