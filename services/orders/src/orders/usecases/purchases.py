"""Recording what was bought (P3), and reading it."""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from datetime import datetime
from uuid import UUID

from orders.domain.checkout import AttemptContent, CheckoutContext
from orders.domain.orders import Order, draw_order_number, place_order
from orders.domain.pagination import Cursor, Page, PageRequest, bytes_of, cut_page
from orders.domain.payments import Payment, PaymentReport
from orders.domain.purchases import Purchase, QuarantinedPayment, QuarantineReason, Recorded
from orders.domain.subscriptions import begin_subscriptions
from orders.usecases.quarantine import keep_decision, set_aside
from orders.usecases.unit_of_work import BeginUnit, Ledger

NUMBER_TRIES = 8
_ORDER_BYTES = 1024
_ITEM_BYTES = 128


class PurchaseNotFound(LookupError):
    """The attempt became no purchase."""


class OrderNotFound(LookupError):
    """There is no such order."""


class OrderNumbersExhausted(RuntimeError):
    """Every number drawn was taken: the numbers are nearly used up, or the randomness is none."""


@dataclass(frozen=True, slots=True)
class PaidAttempt:
    """A succeeded intent with the content of its attempt, checked: the sums agree (P5).

    `content` is the same content kept whole, for the case that the payment must be set aside.
    """

    payment: Payment
    context: CheckoutContext
    content: AttemptContent
    report: PaymentReport


class PurchaseRecorder:
    """KeyedLock a paid attempt into its purchase, once."""

    def __init__(
        self,
        begin: BeginUnit,
        now: Callable[[], datetime],
        new_id: Callable[[], UUID],
        random_below: Callable[[int], int],
    ) -> None:
        self._begin = begin
        self._now = now
        self._new_id = new_id
        self._random_below = random_below

    async def record(self, paid: PaidAttempt) -> Recorded:
        """Record the purchase, or answer the decision that the database holds for this intent (P3)."""
        async with self._begin() as ledger:
            recorded = await self._decide(ledger, paid, self._now())
            await ledger.commit()
        return recorded

    async def _decide(self, ledger: Ledger, paid: PaidAttempt, at: datetime) -> Recorded:
        # The decision row comes first: until it is ours, nothing else may be written (P3).
        if await ledger.decide_purchase(paid.payment, paid.context, paid.report, at):
            return await self._write_purchase(ledger, paid, at)
        standing = await ledger.decision_on(paid.payment.intent.id)
        if standing is None:  # It was another intent that stood in the way: it holds the attempt's purchase.
            return await set_aside(ledger, _duplicate(paid, at))
        aside = isinstance(standing, QuarantinedPayment)
        if aside and await ledger.promote(paid.payment, paid.context, paid.report, at):
            return await self._write_purchase(ledger, paid, at)
        return await keep_decision(ledger, _duplicate(paid, at), standing)

    async def _write_purchase(self, ledger: Ledger, paid: PaidAttempt, at: datetime) -> Recorded:
        order = await self._add_order(ledger, paid, at) if paid.context.one_time_items else None
        subscriptions = begin_subscriptions(paid.payment, paid.context, new_id=self._new_id, at=at)
        await ledger.add_subscriptions(subscriptions)
        purchase = Purchase(paid.payment.attempt_id, paid.payment.intent, order, subscriptions)
        await ledger.announce_purchase(purchase, at)
        return Recorded(purchase, already_recorded=False)

    async def _add_order(self, ledger: Ledger, paid: PaidAttempt, at: datetime) -> Order:
        for _ in range(NUMBER_TRIES):
            number = draw_order_number(self._random_below)
            order = place_order(paid.payment, paid.context, order_id=self._new_id(), number=number, at=at)
            if await ledger.add_order(order):
                return order
        raise OrderNumbersExhausted


class PurchaseReader:
    """Reads what was bought."""

    def __init__(self, begin: BeginUnit) -> None:
        self._begin = begin

    async def purchase_of(self, attempt_id: str) -> Purchase:
        """Return the purchase an attempt became."""
        async with self._begin() as ledger:
            purchase = await ledger.purchase_of(attempt_id)
        if purchase is None:
            raise PurchaseNotFound
        return purchase

    async def order(self, order_id: UUID) -> Order:
        """Return one order."""
        async with self._begin() as ledger:
            order = await ledger.order(order_id)
        if order is None:
            raise OrderNotFound
        return order

    async def orders_of(self, user_id: str, request: PageRequest) -> Page[Order]:
        """Return a user's orders, newest first."""
        async with self._begin() as ledger:
            rows = await ledger.orders_of(user_id, request.before, request.size + 1)
        return cut_page(rows, request.size, weigh=_weigh, cursor=_cursor)


def _duplicate(paid: PaidAttempt, at: datetime) -> QuarantinedPayment:
    return QuarantinedPayment(paid.payment, QuarantineReason.DUPLICATE_PAYMENT, paid.content, paid.report, at)


def _cursor(order: Order) -> Cursor:
    return Cursor(order.created_at, str(order.id))


def _weigh(order: Order) -> int:
    ids = bytes_of(order.checkout_attempt_id, order.payment_intent_id, order.user_id)
    items = sum(_ITEM_BYTES + bytes_of(item.price_id, item.product_id, item.name) for item in order.items)
    return _ORDER_BYTES + ids + _weigh_delivery(order) + items


def _weigh_delivery(order: Order) -> int:
    contact = bytes_of(*astuple(order.contact)) if order.contact else 0
    address = bytes_of(*astuple(order.shipping_address)) if order.shipping_address else 0
    option = order.shipping_option
    return contact + address + (bytes_of(option.shipping_rate_id, option.name) if option else 0)
