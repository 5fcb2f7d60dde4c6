"""Begins a checkout: price the cart, make the intent, store the attempt, and only then release the secret (P2)."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.checkout.carts import Cart, PricedCart, RecurringSum, amount_due_today, price_cart, recurring_sums
from payments_gateway.checkout.catalogue_cache import CatalogueCache
from payments_gateway.checkout.customers import Customers, Payer
from payments_gateway.checkout.payment_guard import PaymentGuard
from payments_gateway.checkout.supersede import Supersede
from payments_gateway.domain.attempts import (
    Address,
    Attempt,
    AttemptClosed,
    AttemptsPort,
    CheckoutContext,
    Contact,
    IntentKind,
    IntentRef,
    RequestHashMismatch,
    Tombstone,
)
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.intents import (
    CustomerMissing,
    IntentNotFound,
    IntentParams,
    IntentRefused,
    IntentStatus,
    StripeIntent,
    StripeIntentsPort,
)
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import IdempotencyKeyExhausted, IdempotencyKeyReused, StripeUnavailable
from servicekit.json_logging import bind_attempt

_log = logging.getLogger(__name__)

_KEY_GENERATIONS: Final = 5
"""How many idempotency keys there are at Stripe for one attempt. Once all are spent only a new checkout can go on."""
_SPENT_AT_ONCE: Final = 2
"""So many keys may be spent by one request. Then Stripe is failing, and keys are left for when it is not (ADR 8)."""
_CUSTOMERS_AT_ONCE: Final = 2
"""So many customers are tried by one request: whoever deletes them faster has to stop first."""


@dataclass(frozen=True)
class CheckoutRequest:
    """What the client asked for."""

    cart: Cart
    contact: Contact
    shipping_address: Address | None
    supersedes: str | None
    """The attempt that this checkout replaces, when the buyer changed the cart."""
    digest: bytes
    """SHA-256 over all of the above as the client sent it: tells a retry from another request."""


@dataclass(frozen=True)
class Checkout:
    """What the client needs to let the buyer pay."""

    client_secret: str
    attempt_id: str
    kind: IntentKind
    amount: Money
    """What the intent takes."""
    amount_due_today: Money
    """With the first charges of subscriptions."""
    recurring: tuple[RecurringSum, ...]
    """What is charged again and again, by billing interval."""
    pay_by: datetime

    def __repr__(self) -> str:
        """Leave the client secret out: a repr may end in a log."""
        return f"Checkout({self.amount})"


class Initiate:
    """Begins checkouts, and hands the same one out again to a retry."""

    def __init__(
        self,
        *,
        ids: AttemptIds,
        catalogue: CatalogueCache,
        intents: StripeIntentsPort,
        customers: Customers,
        attempts: AttemptsPort,
        supersede: Supersede,
        payment_guard: PaymentGuard,
        pay_by: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        """Begin checkouts that may be paid for as long as pay_by; now is a clock that answers aware UTC times."""
        self._ids = ids
        self._catalogue = catalogue
        self._intents = intents
        self._customers = customers
        self._attempts = attempts
        self._supersede = supersede
        self._payment_guard = payment_guard
        self._pay_by = pay_by
        self._now = now

    async def begin(self, request: CheckoutRequest, caller: Caller, idempotency_key: str | None) -> Checkout:
        """Begin a checkout, or answer the one that an equal request with this key began.

        Raises InvalidRequest, RequestHashMismatch, AttemptClosed, AlreadyPaid, PaymentProcessing, AttemptNotFound (of
        supersedes), IntentRefused, CatalogueUnavailable, StripeUnavailable, ServiceUnavailable.
        """
        attempt_id = self._ids.derive(caller, idempotency_key)
        bind_attempt(attempt_id)
        if idempotency_key is not None and (found := await self._attempts.find(attempt_id)) is not None:
            return await self._resume(await self._kept(found, request.digest), request.digest)
        if idempotency_key is not None:  # we know no attempt, but our store may have lost it after the payment
            await self._payment_guard.ensure_not_purchased(attempt_id)
        catalogue = await self._catalogue.with_prices(line.price_id for line in request.cart.lines)
        cart = price_cart(request.cart, catalogue)
        if request.supersedes is not None:
            await self._supersede.supersede(request.supersedes, caller)
        context = self._context(request, caller, cart)
        if cart.has_subscriptions:
            customer_id = await self._customers.get_or_create(_payer(attempt_id, context))
            context = replace(context, stripe_customer_id=customer_id)
        return await self._open(attempt_id, request, context)

    def _context(self, request: CheckoutRequest, caller: Caller, cart: PricedCart) -> CheckoutContext:
        return CheckoutContext(
            user_id=caller.user_id,
            contact=request.contact,
            shipping_address=request.shipping_address,
            shipping_option=cart.shipping_option,
            items=cart.items,
            total=cart.total,
            pay_by=self._now() + self._pay_by,
            supersedes=request.supersedes,
        )

    async def _open(self, attempt_id: str, request: CheckoutRequest, context: CheckoutContext) -> Checkout:
        spent_now = customers_missing = 0
        for generation in range(_KEY_GENERATIONS):
            try:
                intent = await self._intents.create(attempt_id, _terms(context), generation=generation)
            except IdempotencyKeyReused:
                # Our store lost the attempt of another request, whose secret may be in the buyer's hands (ADR 8).
                raise RequestHashMismatch from None
            except IdempotencyKeyExhausted as spent:
                spent_now += spent.just_now
                if spent_now == _SPENT_AT_ONCE:
                    raise StripeUnavailable from None
                continue
            except CustomerMissing:
                customers_missing += 1
                if customers_missing == _CUSTOMERS_AT_ONCE:
                    raise StripeUnavailable from None
                # Under the next key: Stripe may have stored the refusal, and the missing customer, under this one.
                context = await self._with_another_customer(attempt_id, context)
                continue
            # A key that was used before may answer an intent that has been cancelled since.
            if intent.status is not IntentStatus.CANCELED:
                return await self._store(attempt_id, request.digest, context, intent)
        raise AttemptClosed  # every key of this attempt is spent: only a new checkout can go on

    async def _with_another_customer(self, attempt_id: str, context: CheckoutContext) -> CheckoutContext:
        if context.stripe_customer_id is None:
            raise ValueError("Stripe misses a customer that it was not told of")
        customer_id = await self._customers.replace_deleted(context.stripe_customer_id, _payer(attempt_id, context))
        return replace(context, stripe_customer_id=customer_id)

    async def _store(self, attempt_id: str, digest: bytes, context: CheckoutContext, intent: StripeIntent) -> Checkout:
        try:
            saved = await self._attempts.save(attempt_id, digest, context, intent.ref)
        except (AttemptClosed, RequestHashMismatch):
            found = await self._attempts.find(attempt_id)
            await self._cancel_if_unused(intent.ref, found)
            if found is None:
                raise
            return await self._resume(found, digest)  # says why: it may have been paid by now
        if saved.replayed:
            await self._cancel_if_unused(intent.ref, saved.attempt)
            return await self._resume(saved.attempt, digest)
        # After the store lost its data, the key answers an intent whose secret was released before.
        await self._payment_guard.ensure_not_processing(saved.attempt, intent)
        return _checkout(saved.attempt, intent)

    async def _cancel_if_unused(self, ref: IntentRef, found: Attempt | Tombstone | None) -> None:
        """Cancel an intent that lost to another request's. Its secret was given to nobody, so failing to is no harm."""
        if isinstance(found, Attempt) and found.intent == ref:
            return
        try:
            await self._intents.cancel(ref)
        except (StripeUnavailable, IntentNotFound, IntentRefused):
            _log.warning("an intent that nobody can pay was left uncancelled")

    async def _kept(self, found: Attempt | Tombstone, digest: bytes) -> Attempt | Tombstone:
        """Save an attempt that was found once more: the save that stored it may have failed to keep it (P2, ADR 9)."""
        if isinstance(found, Tombstone) or found.close_reason is not None or found.request_hash != digest:
            return found
        try:
            return (await self._attempts.save(found.attempt_id, digest, found.context, found.intent)).attempt
        except AttemptClosed:
            return await self._attempts.find(found.attempt_id) or found

    async def _resume(self, found: Attempt | Tombstone, digest: bytes) -> Checkout:
        """Release the stored attempt's secret once more, if it is this request's and still to be paid."""
        if isinstance(found, Tombstone):
            await self._payment_guard.ensure_not_paid(found)
            raise AttemptClosed
        if found.request_hash != digest:
            raise RequestHashMismatch
        intent = await self._intents.retrieve(found.intent)
        await self._payment_guard.ensure_not_processing(found, intent)
        if found.close_reason is not None or not intent.is_payable or found.context.pay_by <= self._now():
            raise AttemptClosed
        return _checkout(found, intent)


def _payer(attempt_id: str, context: CheckoutContext) -> Payer:
    return Payer(context.user_id, attempt_id, context.contact.email)


def intent_kind(total: Money) -> IntentKind:
    """Return which intent a checkout is paid with: one that takes nothing can only keep a payment method."""
    return IntentKind.PAYMENT if total.minor_units else IntentKind.SETUP


def _terms(context: CheckoutContext) -> IntentParams:
    return IntentParams(intent_kind(context.total), context.total, context.stripe_customer_id)


def _checkout(attempt: Attempt, intent: StripeIntent) -> Checkout:
    if intent.client_secret is None:
        raise ValueError(f"{intent.ref.id} came without a client secret")
    return Checkout(
        client_secret=intent.client_secret,
        attempt_id=attempt.attempt_id,
        kind=attempt.intent.kind,
        amount=attempt.context.total,
        amount_due_today=amount_due_today(attempt.context.total, attempt.context.items),
        recurring=recurring_sums(attempt.context.items),
        pay_by=attempt.context.pay_by,
    )
