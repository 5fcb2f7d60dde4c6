"""Reads everything that is known about one checkout, whatever an operator names it by."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeVar

from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.domain.attempts import (
    Attempt,
    AttemptsPort,
    FoundAttempt,
    IntentKind,
    IntentRef,
    UnreadableAttempt,
    is_attempt_id,
)
from payments_gateway.domain.history import (
    CheckoutHistory,
    DecisionsByAttemptPort,
    IntentHistoriesPort,
    IntentHistory,
)
from payments_gateway.domain.settlements import SettlementsPort, ShownPayment, StepRefused
from payments_gateway.domain.stripe_billing import StripeSubscription
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, StripeUnavailable, UnsupportedStripeObject
from payments_gateway.domain.subscriptions import Subscription, SubscriptionNotFound, SubscriptionStatus
from servicekit.unavailable import ServiceUnavailable
from servicekit.violations import InvalidRequest

T = TypeVar("T")

_STRIPE: Final = "Stripe"
_KINDS: Final = {"pi": IntentKind.PAYMENT, "seti": IntentKind.SETUP}


class SubjectNotFound(Exception):
    """Nothing has this id or number."""


class SubscriptionReader(Protocol):
    """Subscriptions of orders."""

    async def get_subscription(self, subscription_id: str) -> Subscription:
        """Return one subscription, by our id. Raises SubscriptionNotFound."""

    async def get_subscription_by_stripe_id(self, stripe_subscription_id: str) -> Subscription:
        """Return the subscription that is bound to a Stripe subscription. Raises SubscriptionNotFound."""


class StripeSubscriptionReader(Protocol):
    """Subscriptions at Stripe."""

    async def retrieve(self, stripe_subscription_id: str) -> StripeSubscription:
        """Return its present state. Raises NotFoundAtStripe, StripeUnavailable, UnsupportedStripeObject."""


@dataclass(slots=True)
class _Known:
    """Everything that is known so far."""

    attempt_id: str | None = None
    attempt: FoundAttempt | None = None
    refs: dict[str, IntentRef] = field(default_factory=dict)
    intents: list[IntentHistory] = field(default_factory=list)
    payments: list[ShownPayment] = field(default_factory=list)
    unavailable: dict[str, None] = field(default_factory=dict)

    @property
    def attempt_id_of_intents(self) -> str | None:
        """Attempt that a decision names, or else Stripe: metadata can be edited there."""
        named = [payment.state.attempt_id for payment in self.payments]
        named += [each.intent.attempt_id for each in self.intents if each.intent.attempt_id is not None]
        return next(iter(named), None)

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Return the result; None, and the dependency's name kept, if it does not answer."""
        try:
            return await call()
        except StripeUnavailable:
            self.unavailable[_STRIPE] = None
        except ServiceUnavailable as error:
            self.unavailable[error.service] = None
        return None


class HistoryReader:
    """Reads the history of a checkout. It changes nothing."""

    def __init__(
        self,
        *,
        attempts: AttemptsPort,
        settlements: SettlementsPort,
        decisions: DecisionsByAttemptPort,
        subscriptions: SubscriptionReader,
        intents: IntentHistoriesPort,
        billing: StripeSubscriptionReader,
        ids: AttemptIds,
    ) -> None:
        self._attempts = attempts
        self._settlements = settlements
        self._decisions = decisions
        self._subscriptions = subscriptions
        self._intents = intents
        self._billing = billing
        self._ids = ids

    async def read(self, subject: str) -> CheckoutHistory:
        """Return the history of an attempt, intent, order or subscription. Raises SubjectNotFound."""
        known = _Known()
        await self._resolve(known, subject)
        await self._read_intents(known)
        known.attempt_id = known.attempt_id or known.attempt_id_of_intents
        if known.attempt_id is not None:
            await self._find_attempt(known, known.attempt_id)
            await self._read_intents(known)
        if not (known.attempt or known.intents or known.payments or known.unavailable):
            raise SubjectNotFound
        return CheckoutHistory(
            attempt_id=known.attempt_id,
            is_ours=known.attempt_id is not None and self._ids.is_ours(known.attempt_id),
            attempt=known.attempt,
            intents=tuple(known.intents),
            payments=tuple(known.payments),
            subscriptions_at_stripe=await self._subscriptions_at_stripe(known),
            unavailable=tuple(known.unavailable),
        )

    async def _resolve(self, known: _Known, subject: str) -> None:
        """Find the attempt, or an intent, that a subject names."""
        prefix = subject.partition("_")[0]
        if prefix in _KINDS:
            known.refs[subject] = IntentRef(subject, _KINDS[prefix])
        elif prefix == "sub":
            await self._resolve_subscription(known, self._subscriptions.get_subscription_by_stripe_id, subject)
        elif is_attempt_id(subject) and (self._ids.is_ours(subject) or await self._is_attempt(known, subject)):
            known.attempt_id = subject
        else:
            await self._resolve_order(known, subject)
            if not known.refs and is_attempt_id(subject):
                await self._resolve_subscription(known, self._subscriptions.get_subscription, subject)

    async def _is_attempt(self, known: _Known, subject: str) -> bool:
        """Return True for an attempt whose secret is not configured any more."""
        return bool(
            await known.ask(partial(self._attempts.find, subject))
            or await known.ask(partial(self._decisions.find_by_attempt, subject))
        )

    async def _resolve_order(self, known: _Known, key: str) -> None:
        try:
            found = await known.ask(partial(self._settlements.find_order, key))
        except (StepRefused, InvalidRequest):  # there is none, or no order has such a number
            return
        if found is not None:
            known.refs[found.intent_id] = IntentRef(found.intent_id, IntentKind.PAYMENT)

    async def _resolve_subscription(
        self, known: _Known, get: Callable[[str], Awaitable[Subscription]], subscription_id: str
    ) -> None:
        try:
            found = await known.ask(partial(get, subscription_id))
        except SubscriptionNotFound:
            return
        if found is not None:
            known.attempt_id = found.checkout_attempt_id

    async def _find_attempt(self, known: _Known, attempt_id: str) -> None:
        """Find the attempt, its intent, and every intent that was decided for it."""
        known.attempt = await known.ask(partial(self._attempts.find, attempt_id))
        if isinstance(known.attempt, Attempt | UnreadableAttempt):
            known.refs.setdefault(known.attempt.intent.id, known.attempt.intent)
        decided = await known.ask(partial(self._decisions.find_by_attempt, attempt_id)) or {}
        for payment in decided.values():
            known.refs.setdefault(payment.intent.id, payment.intent)

    async def _read_intents(self, known: _Known) -> None:
        """Read what Stripe and orders know of each intent that was not read yet."""
        read = {each.intent.ref.id for each in known.intents} | {each.state.intent.id for each in known.payments}
        for ref in [ref for ref in known.refs.values() if ref.id not in read]:
            history = await known.ask(partial(self._intents.read, ref))
            if history is not None:
                known.intents.append(history)
            payment = await known.ask(partial(self._payment, ref))
            if payment is not None:
                known.payments.append(payment)

    async def _payment(self, ref: IntentRef) -> ShownPayment | None:
        try:
            return await self._settlements.show(ref.id, None)
        except StepRefused:
            return None

    async def _subscriptions_at_stripe(self, known: _Known) -> Mapping[str, SubscriptionStatus]:
        bound = [
            subscription.stripe_subscription_id
            for payment in known.payments
            if payment.state.purchase is not None
            for subscription in payment.state.purchase.subscriptions
            if subscription.stripe_subscription_id is not None
        ]
        found: dict[str, SubscriptionStatus] = {}
        for stripe_id in bound:
            try:
                shown = await known.ask(partial(self._billing.retrieve, stripe_id))
            except (NotFoundAtStripe, UnsupportedStripeObject):
                continue
            if shown is not None:
                found[stripe_id] = shown.state.status
        return found
