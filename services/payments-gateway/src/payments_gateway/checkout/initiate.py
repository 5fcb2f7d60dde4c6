"""Begins a checkout: price the cart, create the intent, save the attempt, and only then release the secret (P2)."""

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

_KEYS_PER_ATTEMPT: Final = 5
"""Idempotency keys at Stripe for one attempt. Once all are exhausted the buyer needs a new checkout."""
_MAX_FRESH_FAILURES: Final = 2
"""Keys that one request may exhaust. Stripe is failing then, and the other keys are kept for later (ADR 8)."""
_MAX_MISSING_CUSTOMERS: Final = 2
"""Customers that one request may find deleted at Stripe."""


@dataclass(frozen=True, slots=True)
class CheckoutRequest:
    """Request of a client to begin a checkout."""

    cart: Cart
    contact: Contact
    shipping_address: Address | None
    supersedes: str | None
    """Id of the attempt that this checkout replaces, if the buyer changed the cart."""
    request_hash: bytes
    """SHA-256 over all of the above as the client sent it: distinguishes a retry from another request."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """Data that lets the buyer pay."""

    client_secret: str
    attempt_id: str
    kind: IntentKind
    amount: Money
    """Amount of the intent."""
    amount_due_today: Money
    """The intent's amount and the first charges of subscriptions without a trial."""
    recurring: tuple[RecurringSum, ...]
    """Recurring charges, by billing interval."""
    pay_by: datetime

    def __repr__(self) -> str:
        """Omit the client secret: a repr may end in a log."""
        return f"Checkout({self.amount})"


class Initiate:
    """Begins checkouts, and returns the same one to a retry."""

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
        """Let buyers pay within pay_by."""
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
        """Begin a checkout, or return the one that an equal request with this key began.

        Raises InvalidRequest, RequestHashMismatch, AttemptClosed, AlreadyPaid, PaymentProcessing, AttemptNotFound (of
        supersedes), IntentRefused, CatalogueUnavailable, StripeUnavailable, ServiceUnavailable.
        """
        attempt_id = self._ids.derive(caller, idempotency_key)
        bind_attempt(attempt_id)
        if idempotency_key is not None:
            if (found := await self._attempts.find(attempt_id)) is not None:
                return await self._resume(await self._save_again(found, request.request_hash), request.request_hash)
            # checkout-session may have lost the attempt after its payment.
            await self._payment_guard.ensure_not_purchased(attempt_id)
        catalogue = await self._catalogue.with_prices(line.price_id for line in request.cart.lines)
        cart = price_cart(request.cart, catalogue)
        if request.supersedes is not None:
            await self._supersede.supersede(request.supersedes, caller)
        context = self._context(request, caller, cart)
        if cart.has_subscriptions:
            customer_id = await self._customers.get_or_create(_payer(attempt_id, context))
            context = replace(context, stripe_customer_id=customer_id)
        intent, context = await self._create_intent(attempt_id, context)
        return await self._save_and_release(attempt_id, request.request_hash, context, intent)

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

    async def _create_intent(self, attempt_id: str, context: CheckoutContext) -> tuple[StripeIntent, CheckoutContext]:
        """Create an intent under the first usable key. The context returned names its customer."""
        fresh_failures = missing_customers = 0
        for generation in range(_KEYS_PER_ATTEMPT):
            try:
                intent = await self._intents.create(attempt_id, _intent_params(context), generation=generation)
            except IdempotencyKeyReused:
                # checkout-session lost the attempt of another request, whose secret may be released (ADR 8).
                raise RequestHashMismatch from None
            except IdempotencyKeyExhausted as exhausted:
                fresh_failures += exhausted.just_now
                if fresh_failures == _MAX_FRESH_FAILURES:
                    raise StripeUnavailable from None
                continue
            except CustomerMissing:
                missing_customers += 1
                if missing_customers == _MAX_MISSING_CUSTOMERS:
                    raise StripeUnavailable from None
                # The next key is used, because Stripe may have stored this refusal under the present one.
                context = await self._replace_customer(attempt_id, context)
                continue
            # A key that was used before may replay an intent that was cancelled since.
            if intent.status is not IntentStatus.CANCELED:
                return intent, context
        raise AttemptClosed  # every key of this attempt is exhausted

    async def _replace_customer(self, attempt_id: str, context: CheckoutContext) -> CheckoutContext:
        if context.stripe_customer_id is None:
            raise ValueError("Stripe misses a customer, but none was sent")
        customer_id = await self._customers.replace_deleted(context.stripe_customer_id, _payer(attempt_id, context))
        return replace(context, stripe_customer_id=customer_id)

    async def _save_and_release(
        self, attempt_id: str, request_hash: bytes, context: CheckoutContext, intent: StripeIntent
    ) -> Checkout:
        try:
            saved = await self._attempts.save(attempt_id, request_hash, context, intent.ref)
        except (AttemptClosed, RequestHashMismatch):
            found = await self._attempts.find(attempt_id)
            await self._cancel_if_unused(intent.ref, found)
            if found is None:
                raise
            return await self._resume(found, request_hash)  # raises the reason: it may be paid by now
        if saved.replayed:
            await self._cancel_if_unused(intent.ref, saved.attempt)
            return await self._resume(saved.attempt, request_hash)
        # If checkout-session lost the attempt, the key may replay an intent whose secret was released before.
        await self._payment_guard.ensure_not_processing(saved.attempt, intent)
        return _checkout(saved.attempt, intent)

    async def _cancel_if_unused(self, ref: IntentRef, found: Attempt | Tombstone | None) -> None:
        """Cancel an intent that lost to another request's. A failure is harmless: its secret was never released."""
        if isinstance(found, Attempt) and found.intent == ref:
            return
        try:
            await self._intents.cancel(ref)
        except (StripeUnavailable, IntentNotFound, IntentRefused):
            _log.warning("unused intent could not be cancelled")

    async def _save_again(self, found: Attempt | Tombstone, request_hash: bytes) -> Attempt | Tombstone:
        """Save an attempt that was found: its first save may not have reached the required durability (P2, ADR 9)."""
        if isinstance(found, Tombstone) or found.close_reason is not None or found.request_hash != request_hash:
            return found
        try:
            return (await self._attempts.save(found.attempt_id, request_hash, found.context, found.intent)).attempt
        except AttemptClosed:
            return await self._attempts.find(found.attempt_id) or found

    async def _resume(self, found: Attempt | Tombstone, request_hash: bytes) -> Checkout:
        """Release the stored attempt's secret again, if it is this request's and still payable."""
        if isinstance(found, Tombstone):
            await self._payment_guard.ensure_not_paid(found)
            raise AttemptClosed
        if found.request_hash != request_hash:
            raise RequestHashMismatch
        intent = await self._intents.retrieve(found.intent)
        await self._payment_guard.ensure_not_processing(found, intent)
        if found.close_reason is not None or not intent.is_payable or found.context.pay_by <= self._now():
            raise AttemptClosed
        return _checkout(found, intent)


def _payer(attempt_id: str, context: CheckoutContext) -> Payer:
    return Payer(context.user_id, attempt_id, context.contact.email)


def intent_kind(total: Money) -> IntentKind:
    """Return the kind of intent for a total: one of 0 can only keep a payment method."""
    return IntentKind.PAYMENT if total.minor_units else IntentKind.SETUP


def _intent_params(context: CheckoutContext) -> IntentParams:
    return IntentParams(intent_kind(context.total), context.total, context.stripe_customer_id)


def _checkout(attempt: Attempt, intent: StripeIntent) -> Checkout:
    if intent.client_secret is None:
        raise ValueError(f"{intent.ref.id} has no client secret")
    return Checkout(
        client_secret=intent.client_secret,
        attempt_id=attempt.attempt_id,
        kind=attempt.intent.kind,
        amount=attempt.context.total,
        amount_due_today=amount_due_today(attempt.context.total, attempt.context.items),
        recurring=recurring_sums(attempt.context.items),
        pay_by=attempt.context.pay_by,
    )
