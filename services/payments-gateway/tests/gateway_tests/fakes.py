"""The gateway's ports in memory: they keep the contracts, and fail where a test asks them to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from payments_gateway.domain.attempts import (
    Attempt,
    AttemptClosed,
    CheckoutContext,
    CloseReason,
    Contact,
    DeleteReason,
    IntentKind,
    IntentRef,
    RequestHashMismatch,
    SavedAttempt,
    Tombstone,
)
from payments_gateway.domain.catalogue import Catalogue
from payments_gateway.domain.intents import (
    PAYABLE_STATUSES,
    CustomerMissing,
    IntentNotFound,
    IntentParams,
    IntentStatus,
    StripeIntent,
)
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
from payments_gateway.domain.stripe_errors import IdempotencyKeyExhausted, IdempotencyKeyReused
from payments_gateway.domain.subscriptions import Subscription
from servicekit.violations import FieldViolation, InvalidRequest


class Crash(Exception):
    """The process is killed here."""


@dataclass(frozen=True)
class _Fault:
    call: str | int
    """A call's name, or its place among all calls."""
    failure: Exception
    after_effect: bool


class Wire:
    """Every call to a port passes here: it is noted, lets other tasks run, and fails if a test wants it to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._faults: list[_Fault] = []
        self._deeds: dict[str, Callable[[], Awaitable[object]]] = {}

    def meanwhile(self, call: str, deed: Callable[[], Awaitable[object]]) -> None:
        """Let something else happen just before the next call of that name has its effect."""
        self._deeds[call] = deed

    def fail(self, call: str | int, failure: Exception, *, after_effect: bool = False) -> None:
        """Fail a call, by name or by its place among all calls, before or after it has had its effect."""
        self._faults.append(_Fault(call, failure, after_effect))

    def heal(self) -> None:
        """Let every call succeed from now on."""
        self._faults.clear()

    @asynccontextmanager
    async def call(self, name: str) -> AsyncIterator[None]:
        """Stand around one call's effect."""
        place = len(self.calls)
        self.calls.append(name)
        await asyncio.sleep(0)
        if deed := self._deeds.pop(name, None):
            await deed()
        self._fail_if_asked(name, place, after_effect=False)
        yield
        await asyncio.sleep(0)
        self._fail_if_asked(name, place, after_effect=True)

    def _fail_if_asked(self, name: str, place: int, *, after_effect: bool) -> None:
        for fault in self._faults:
            if fault.call in {name, place} and fault.after_effect is after_effect:
                raise fault.failure


class FakeClock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self._now = datetime(2030, 1, 1, 12, tzinfo=UTC)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)

    def now(self) -> datetime:
        """Return the time of day."""
        return self._now

    def seconds(self) -> float:
        """Return the seconds since 1970."""
        return self._now.timestamp()


class FakeAttempts:
    """checkout-session in memory, as its contract has it: the first close reason and the first delete reason stay."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._stored: dict[str, Attempt] = {}
        self._closed: dict[str, CloseReason] = {}
        self._tombstones: dict[str, Tombstone] = {}

    async def save(
        self, attempt_id: str, request_hash: bytes, context: CheckoutContext, intent: IntentRef
    ) -> SavedAttempt:
        """Store an attempt, or answer the one stored."""
        async with self._wire.call("attempts.save"):
            return self._save(Attempt(attempt_id, request_hash, context, intent, close_reason=None))

    def _save(self, attempt: Attempt) -> SavedAttempt:
        if attempt.attempt_id in self._closed or attempt.attempt_id in self._tombstones:
            raise AttemptClosed
        stored = self._stored.setdefault(attempt.attempt_id, attempt)
        if stored.request_hash != attempt.request_hash:
            raise RequestHashMismatch
        return SavedAttempt(stored, replayed=stored is not attempt)

    async def find(self, attempt_id: str) -> Attempt | Tombstone | None:
        """Return the attempt or its tombstone."""
        async with self._wire.call("attempts.find"):
            return self.at(attempt_id)

    async def close(self, attempt_id: str, reason: CloseReason) -> None:
        """Bar further saves, whether the attempt was ever saved or not."""
        async with self._wire.call("attempts.close"):
            if attempt_id not in self._tombstones:
                self._closed.setdefault(attempt_id, reason)

    async def delete(self, attempt_id: str, reason: DeleteReason) -> None:
        """Remove the content and leave a tombstone."""
        async with self._wire.call("attempts.delete"):
            attempt = self._stored.pop(attempt_id, None)
            user_id = attempt.user_id if attempt else None
            tombstone = Tombstone(attempt_id, reason, self._closed.get(attempt_id), user_id)
            self._tombstones.setdefault(attempt_id, tombstone)

    def at(self, attempt_id: str) -> Attempt | Tombstone | None:
        """Show what is stored for an id, without a call."""
        if attempt_id in self._tombstones:
            return self._tombstones[attempt_id]
        if attempt_id not in self._stored:
            return None
        return replace(self._stored[attempt_id], close_reason=self._closed.get(attempt_id))

    def put(self, attempt: Attempt) -> None:
        """Store an attempt without a call."""
        self._stored[attempt.attempt_id] = attempt

    def lose(self, attempt_id: str) -> None:
        """Forget everything about an attempt, as a store that lost its data."""
        self._stored.pop(attempt_id, None)
        self._closed.pop(attempt_id, None)
        self._tombstones.pop(attempt_id, None)

    def stored(self) -> list[Attempt]:
        """Show every attempt whose content is stored."""
        return list(self._stored.values())


@dataclass
class _Charge:
    """An intent as Stripe keeps it."""

    intent: StripeIntent
    terms: IntentParams

    @property
    def received(self) -> Money | None:
        """What Stripe receives when it is paid."""
        return self.terms.amount if self.terms.kind is IntentKind.PAYMENT else None


class FakeIntents:
    """Stripe's intents in memory: one for each idempotency key, and a buyer whose deeds a test decides."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._charges: dict[str, _Charge] = {}
        self._by_key: dict[str, str] = {}
        self._spent: dict[str, bool] = {}
        self._terms_of_key: dict[str, IntentParams] = {}
        self._missing_customers: set[str] = set()

    def forget_keys(self) -> None:
        """Forget idempotency keys, as Stripe does after a day."""
        self._by_key.clear()
        self._terms_of_key.clear()

    async def create(self, attempt_id: str, terms: IntentParams, *, generation: int) -> StripeIntent:
        """Make an intent once per key; a key that was used answers its intent as it stands now."""
        async with self._wire.call("intents.create"):
            key = f"{attempt_id}:{generation}"
            if key in self._spent:
                raise IdempotencyKeyExhausted(just_now=self._spent[key])
            if self._terms_of_key.setdefault(key, terms) != terms:
                raise IdempotencyKeyReused
            if key not in self._by_key:
                if terms.customer_id in self._missing_customers:
                    raise CustomerMissing
                self._by_key[key] = self._make(attempt_id, terms)
            return self._charges[self._by_key[key]].intent

    def _make(self, attempt_id: str, terms: IntentParams) -> str:
        takes = terms.kind is IntentKind.PAYMENT
        intent_id = f"{'pi' if takes else 'seti'}_{len(self._charges) + 1}"
        self._charges[intent_id] = _Charge(
            StripeIntent(
                ref=IntentRef(intent_id, terms.kind),
                status=IntentStatus.REQUIRES_PAYMENT_METHOD,
                attempt_id=attempt_id,
                received=Money(0, terms.amount.currency) if takes else None,
                livemode=False,
                client_secret=f"{intent_id}_secret_hush",
            ),
            terms,
        )
        return intent_id

    async def retrieve(self, ref: IntentRef) -> StripeIntent:
        """Return an intent as it stands now."""
        async with self._wire.call("intents.retrieve"):
            return self._known(ref)

    async def cancel(self, ref: IntentRef) -> StripeIntent:
        """Cancel an intent unless it is paid or at the bank."""
        async with self._wire.call("intents.cancel"):
            if self._known(ref).status in PAYABLE_STATUSES | {IntentStatus.REQUIRES_CAPTURE}:
                self.turn(ref, IntentStatus.CANCELED)
            return self._known(ref)

    def _known(self, ref: IntentRef) -> StripeIntent:
        if ref.id not in self._charges or ref.kind is not self._charges[ref.id].terms.kind:
            raise IntentNotFound
        return self._charges[ref.id].intent

    def spend(self, attempt_id: str, generation: int, *, just_now: bool = False) -> None:
        """Make a key replay a failure for ever; it may happen only when the key is used."""
        self._spent[f"{attempt_id}:{generation}"] = just_now

    def turn(self, ref: IntentRef, status: IntentStatus) -> StripeIntent:
        """Put an intent into a status, and return it."""
        charge = self._charges[ref.id]
        charge.intent = replace(charge.intent, status=status)
        return charge.intent

    def pay(self, ref: IntentRef, received: Money | None = None) -> StripeIntent:
        """Let the buyer pay, the intent's amount unless told otherwise; returns the intent as the event shows it."""
        charge = self._charges[ref.id]
        charge.intent = replace(charge.intent, status=IntentStatus.SUCCEEDED, received=received or charge.received)
        return charge.intent

    def show(self, intent: StripeIntent) -> None:
        """Let Stripe have an intent as it is given."""
        self._charges[intent.ref.id] = _Charge(intent, IntentParams(intent.ref.kind, Money(0, "usd"), "cus_1"))

    def decline(self, ref: IntentRef) -> None:
        """Let the bank refuse the buyer's card."""
        charge = self._charges[ref.id]
        charge.intent = replace(charge.intent, last_payment_failed=True)

    def another(self, attempt_id: str, amount: Money) -> IntentRef:
        """Make an intent that names an attempt but was never stored with it."""
        return self._charges[self._make(attempt_id, IntentParams(IntentKind.PAYMENT, amount, None))].intent.ref

    def miss_customer(self, customer_id: str) -> None:
        """Know a customer no more."""
        self._missing_customers.add(customer_id)

    def terms_of(self, ref: IntentRef) -> IntentParams:
        """Show what an intent was made for."""
        return self._charges[ref.id].terms

    def all(self) -> list[StripeIntent]:
        """Show every intent there is, in the order they were made."""
        return [charge.intent for charge in self._charges.values()]


class SubscriptionRows(Protocol):
    """Where orders keeps subscriptions."""

    rows: dict[str, Subscription]

    def begin_all(self, payment: Payment, context: CheckoutContext) -> tuple[str, ...]:
        """Record what a purchase began; return the ids."""


class FakeOrders:
    """orders in memory: one decision for each intent, one purchase for each attempt, as its contract has it."""

    def __init__(self, wire: Wire, clock: FakeClock, subscriptions: SubscriptionRows) -> None:
        self._wire = wire
        self._clock = clock
        self._subscriptions = subscriptions
        self._purchases: dict[str, Purchase] = {}
        self._refused: set[str] = set()
        self.decisions: dict[str, PaymentDecision] = {}
        """What each intent became, by its id."""
        self.contents: dict[str, CheckoutContext] = {}
        """What was bought or set aside, by intent id."""
        self.payments: dict[str, Payment] = {}
        """What was reported first, by intent id."""
        self.reports: list[PaymentReport] = []

    async def record_purchase(
        self, payment: Payment, context: CheckoutContext, report: PaymentReport
    ) -> PaymentDecision:
        """Record what the payment bought, or answer what was decided before."""
        async with self._wire.call("orders.record_purchase"):
            received = payment.received or Money(0, context.total.currency)
            if payment.attempt_id in self._refused or received != context.total:
                raise PurchaseRefused
            standing = self.decisions.get(payment.intent.id)
            if standing is not None and not _is_promotable(standing):
                return self._as_it_stands(standing) if isinstance(standing, Purchase) else standing
            if payment.attempt_id in self._purchases:
                return self._set_aside(payment, QuarantineReason.DUPLICATE_PAYMENT, context, report)
            begun = self._subscriptions.begin_all(payment, context)
            purchase = Purchase(
                attempt_id=payment.attempt_id,
                intent_id=payment.intent.id,
                order=self._order(payment, context) if any(item.recurring is None for item in context.items) else None,
                subscriptions=tuple(self._subscriptions.rows[each] for each in begun),
            )
            self._purchases[payment.attempt_id] = purchase
            return self._decide(payment, purchase, context, report)

    async def quarantine(
        self, payment: Payment, reason: QuarantineReason, context: CheckoutContext | None, report: PaymentReport
    ) -> PaymentDecision:
        """Set the payment aside, or answer what was decided before."""
        async with self._wire.call("orders.quarantine"):
            standing = self.decisions.get(payment.intent.id)
            return standing or self._set_aside(payment, reason, context, report)

    async def find_purchase(self, attempt_id: str) -> Purchase | None:
        """Return what the attempt became."""
        async with self._wire.call("orders.find_purchase"):
            return self._as_it_stands(self._purchases[attempt_id]) if attempt_id in self._purchases else None

    def _as_it_stands(self, purchase: Purchase) -> Purchase:
        rows = tuple(self._subscriptions.rows[one.id] for one in purchase.subscriptions)
        return replace(purchase, subscriptions=rows)

    async def get_order(self, order_id: str) -> Order:
        """Return one order."""
        async with self._wire.call("orders.get_order"):
            for purchase in self._purchases.values():
                if purchase.order is not None and purchase.order.id == order_id:
                    return purchase.order
            raise OrderNotFound

    async def list_orders(self, user_id: str, *, page_size: int, page_token: str | None) -> OrderPage:
        """Return a page of a user's orders; its token is the place of the next one."""
        async with self._wire.call("orders.list_orders"):
            if page_token is not None and not page_token.isdecimal():
                raise InvalidRequest([FieldViolation("page_token", "is not one that was given out")])
            orders = [purchase.order for purchase in self._purchases.values() if purchase.order is not None]
            theirs = [order for order in orders if order.user_id == user_id][::-1]
            start = int(page_token or 0)
            stop = start + page_size
            return OrderPage(tuple(theirs[start:stop]), str(stop) if len(theirs) > stop else None)

    def refuse(self, attempt_id: str) -> None:
        """Refuse an attempt's content whenever it is to be recorded."""
        self._refused.add(attempt_id)

    def erase(self, attempt_id: str) -> None:
        """Erase who bought from an attempt's purchase."""
        bought = self._purchases[attempt_id]
        assert bought.order is not None
        order = replace(bought.order, user_id=None, contact=Contact("", "", None), erased=True)
        self._purchases[attempt_id] = replace(bought, order=order)

    def purchases(self) -> list[Purchase]:
        """Show every purchase."""
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

    def _set_aside(
        self, payment: Payment, reason: QuarantineReason, context: CheckoutContext | None, report: PaymentReport
    ) -> PaymentDecision:
        set_aside = QuarantinedPayment(reason, content_kept=context is not None)
        return self._decide(payment, set_aside, context, report)

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
            created_at=self._clock.now(),
        )


def _is_promotable(decision: PaymentDecision) -> bool:
    return isinstance(decision, QuarantinedPayment) and decision.reason is QuarantineReason.ATTEMPT_MISSING


class FakeCatalogueSource:
    """Stripe's catalogue in memory. While it is held, reads wait."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.reads = 0
        self.failure: Exception | None = None
        self.released = asyncio.Event()
        self.released.set()

    async def read(self) -> Catalogue:
        """Read everything that is on sale."""
        self.reads += 1
        await self.released.wait()
        if self.failure is not None:
            raise self.failure
        return self.catalogue
