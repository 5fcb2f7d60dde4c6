"""Begins a checkout: price the cart, create the intent, save the attempt, and only then release the secret (P2).

The attempt that it replaces is touched after the new one is saved, and ended before the new secret is released. What
stands under the id is asked for only where something is off: the id may have been used before.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.checkout.carts import Cart, PricedCart, RecurringSum, amount_due_today, price_cart, recurring_sums
from payments_gateway.checkout.catalogue_cache import CatalogueCache, CatalogueUnavailable
from payments_gateway.checkout.customers import Customers, Payer
from payments_gateway.checkout.expiry import Expiry
from payments_gateway.checkout.payment_guard import PaymentGuard
from payments_gateway.checkout.supersede import Supersede
from payments_gateway.domain.attempts import (
    Address,
    Attempt,
    AttemptClosed,
    AttemptsPort,
    CheckoutContext,
    CloseReason,
    Contact,
    FoundAttempt,
    IntentKind,
    RequestHashMismatch,
    Tombstone,
    UnreadableAttempt,
)
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.errors import AlreadyPaid, AttemptNotFound
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
from servicekit.unavailable import ServiceUnavailable
from servicekit.violations import InvalidRequest

_log = logging.getLogger(__name__)

_KEYS_PER_ATTEMPT: Final = 5
"""Idempotency keys at Stripe for one attempt. Once all are exhausted the buyer needs a new checkout."""
_MAX_FRESH_FAILURES: Final = 2
"""Keys that one request may exhaust. Stripe is failing then, and the other keys are kept for later (ADR 8)."""
_MAX_MISSING_CUSTOMERS: Final = 2
"""Customers that one request may find deleted at Stripe."""
_NOT_CREATED: Final = (
    AttemptClosed,
    AttemptNotFound,
    CatalogueUnavailable,
    IntentRefused,
    InvalidRequest,
    RequestHashMismatch,
    ServiceUnavailable,
    StripeUnavailable,
)
"""Failures to create an intent that an attempt stored by an earlier request outweighs: prices may have changed since,
the superseded attempt may be forgotten, or a dependency is away that a retry does not need."""


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


@dataclass(frozen=True, slots=True)
class _Created:
    """An intent, and the content to be stored with it."""

    intent: StripeIntent
    context: CheckoutContext
    key_was_used: bool
    """True if Stripe knew the attempt's first idempotency key: an earlier request may have stored the attempt."""


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
        expiry: Expiry,
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
        self._expiry = expiry
        self._payment_guard = payment_guard
        self._pay_by = pay_by
        self._now = now

    async def begin(self, request: CheckoutRequest, caller: Caller, idempotency_key: str | None) -> Checkout:
        """Begin a checkout, or return the one that an equal request with this key began.

        Raises InvalidRequest, RequestHashMismatch, AttemptClosed, AlreadyPaid, PaymentProcessing, AttemptNotFound (of
        supersedes), IntentRefused, CatalogueUnavailable, StripeUnavailable, ServiceUnavailable.
        """
        attempt_id = self._ids.derive(caller, idempotency_key)
        if idempotency_key is None:
            attempt, intent = await self._begin(attempt_id, request, caller, is_keyed=False)
            return await self._release(attempt, intent, (), caller)
        ids = {attempt_id, *self._ids.derive_with_other_secrets(caller, idempotency_key)}
        attempt_id = await self._stored_id(attempt_id, ids - {attempt_id})
        attempt, intent = await self._begin(attempt_id, request, caller, is_keyed=True)
        return await self._release(attempt, intent, ids - {attempt_id}, caller)

    async def _begin(
        self, attempt_id: str, request: CheckoutRequest, caller: Caller, *, is_keyed: bool
    ) -> tuple[Attempt, StripeIntent]:
        """Return a stored attempt and its intent, which the caller may pay once nothing else can be paid."""
        bind_attempt(attempt_id)
        try:
            created = await self._create(attempt_id, request, caller)
        except AlreadyPaid:
            if is_keyed:
                await self._give_up_stored(attempt_id, request)
            raise
        except _NOT_CREATED:
            if not is_keyed or (found := await self._find_standing(attempt_id, request)) is None:
                raise
            return await self._resume(found, request, caller)
        if is_keyed and created.key_was_used:
            found = await self._find_standing(attempt_id, request)
            if found is not None:
                return await self._resume(found, request, caller, created.intent)
        return await self._save(attempt_id, request, caller, created)

    async def _stored_id(self, own_id: str, other_ids: Collection[str]) -> str:
        """Return the id under which an earlier try stored its attempt, during a rotation of secrets maybe another one.

        An attempt goes before a tombstone, which may be that of the equal one that it replaced.
        """
        deleted_id = None
        for other_id in other_ids:
            found = await self._attempts.find(other_id)
            if isinstance(found, Attempt | UnreadableAttempt):
                return other_id
            deleted_id = other_id if found is not None else deleted_id
        if deleted_id is None or isinstance(await self._attempts.find(own_id), Attempt | UnreadableAttempt):
            return own_id
        return deleted_id

    async def _create(self, attempt_id: str, request: CheckoutRequest, caller: Caller) -> _Created:
        catalogue = await self._catalogue.with_prices(line.price_id for line in request.cart.lines)
        cart = price_cart(request.cart, catalogue)
        if request.supersedes is not None:
            await self._supersede.ensure_replaceable(request.supersedes, caller)
        context = self._context(request, caller, cart)
        if cart.has_subscriptions:
            customer_id = await self._customers.get_or_create(_payer(attempt_id, context))
            context = replace(context, stripe_customer_id=customer_id)
        return await self._create_intent(attempt_id, context)

    async def _find_standing(self, attempt_id: str, request: CheckoutRequest) -> FoundAttempt | None:
        """Return what stands under an id that may have been used before.

        Raises AlreadyPaid if only orders knows it: checkout-session may have lost the attempt after its payment.
        """
        found = await self._attempts.find(attempt_id)
        if found is None:
            await self._payment_guard.ensure_not_purchased(attempt_id)
            return None
        return await self._save_again(found, request.request_hash)

    async def _give_up_stored(self, attempt_id: str, request: CheckoutRequest) -> None:
        """Give up this request's attempt if an earlier try stored it and was killed before it found the payment."""
        found = await self._attempts.find(attempt_id)
        if isinstance(found, Attempt) and found.request_hash == request.request_hash:
            await self._supersede.give_up(found)

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

    async def _create_intent(self, attempt_id: str, context: CheckoutContext) -> _Created:
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
                return _Created(intent, context, key_was_used=intent.replayed or generation > 0)
        raise AttemptClosed  # every key of this attempt is exhausted

    async def _replace_customer(self, attempt_id: str, context: CheckoutContext) -> CheckoutContext:
        if context.stripe_customer_id is None:
            raise ValueError("Stripe misses a customer, but none was sent")
        customer_id = await self._customers.replace_deleted(context.stripe_customer_id, _payer(attempt_id, context))
        return replace(context, stripe_customer_id=customer_id)

    async def _save(
        self, attempt_id: str, request: CheckoutRequest, caller: Caller, created: _Created
    ) -> tuple[Attempt, StripeIntent]:
        intent = created.intent
        try:
            saved = await self._attempts.save(attempt_id, request.request_hash, created.context, intent.ref)
        except (AttemptClosed, RequestHashMismatch):
            found = await self._attempts.find(attempt_id)
            if found is None:
                await self._cancel_unless_used(intent, None)
                await self._payment_guard.ensure_not_processing(None, intent)
                raise
            return await self._resume(found, request, caller, intent)  # raises the reason: it may be paid by now
        if saved.replayed:
            return await self._resume(saved.attempt, request, caller, intent)
        # If checkout-session lost the attempt, the key may replay an intent whose secret was released before.
        await self._payment_guard.ensure_not_processing(saved.attempt, intent)
        return saved.attempt, intent

    async def _release(
        self, attempt: Attempt, intent: StripeIntent, other_ids: Collection[str], caller: Caller
    ) -> Checkout:
        """Return what the buyer pays with, once nobody can pay what the attempt supersedes.

        `other_ids` are those of the same request under other secrets. A gateway that has them in another order may have
        stored such an attempt at the same moment: each looks after its own save, so at least one of the two sees it.
        """
        for other_id in other_ids:
            await self._end_equal(other_id, attempt, caller)
        if attempt.context.supersedes is not None:
            await self._supersede.supersede(attempt.context.supersedes, attempt, caller)
        return _checkout(attempt, intent)

    async def _end_equal(self, other_id: str, attempt: Attempt, caller: Caller) -> None:
        """End the other attempt of the same request. The smaller id stays, so that two do not end each other."""
        other = await self._attempts.find(other_id)
        if isinstance(other, Attempt | UnreadableAttempt) and other_id < attempt.attempt_id:
            await self._supersede.give_up(attempt)
            raise ServiceUnavailable("checkout-session")  # the retry finds the other one
        if other is not None:
            await self._supersede.end_equal(other, attempt, caller)

    async def _cancel_unless_used(self, intent: StripeIntent, found: FoundAttempt | None) -> None:
        """Cancel an intent that lost to another request's. A failure is harmless: its secret was never released."""
        if not intent.is_payable or (isinstance(found, Attempt | UnreadableAttempt) and found.intent == intent.ref):
            return
        try:
            await self._intents.cancel(intent.ref)
        except (StripeUnavailable, IntentNotFound):
            _log.warning("unused intent could not be cancelled")

    async def _save_again(self, found: FoundAttempt, request_hash: bytes) -> FoundAttempt:
        """Save an attempt that was found: its first save may not have reached the required durability (P2, ADR 9)."""
        if not isinstance(found, Attempt) or found.close_reason is not None or found.request_hash != request_hash:
            return found
        try:
            return (await self._attempts.save(found.attempt_id, request_hash, found.context, found.intent)).attempt
        except AttemptClosed:
            return await self._attempts.find(found.attempt_id) or found

    async def _resume(
        self, found: FoundAttempt, request: CheckoutRequest, caller: Caller, created: StripeIntent | None = None
    ) -> tuple[Attempt, StripeIntent]:
        """Return the stored attempt and its intent, if it is this request's and still payable.

        `created` is the intent that this request created, or that Stripe replayed as it is now.
        """
        if created is not None:
            await self._cancel_unless_used(created, found)
        if isinstance(found, Tombstone):
            await self._payment_guard.ensure_not_paid(found)
            if request.supersedes is not None:  # it may have been given up beside a payment
                await self._supersede.ensure_not_paid(request.supersedes, caller)
            raise AttemptClosed
        if isinstance(found, Attempt) and found.request_hash != request.request_hash:
            raise RequestHashMismatch
        if created is not None and created.ref == found.intent:
            intent = created
        else:
            has_customer = isinstance(found, Attempt) and found.context.stripe_customer_id is not None
            intent = await self._intents.retrieve(found.intent, with_customer=has_customer)
        over = self._expiry.reason(found, intent)
        if over is None and intent.customer_deleted:  # Stripe refuses each payment
            over = CloseReason.PAY_BY_PASSED
        intent = await self._expiry.enforce(found, over, intent)
        await self._payment_guard.ensure_not_processing(found, intent)
        if over is not None or not intent.is_payable:
            raise AttemptClosed
        if isinstance(found, UnreadableAttempt):
            raise ServiceUnavailable("checkout-session")
        return found, intent


def _payer(attempt_id: str, context: CheckoutContext) -> Payer:
    return Payer(context.user_id, attempt_id, context.total.currency, context.contact.email)


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
