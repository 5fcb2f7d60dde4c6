"""Two streams in the order of the intents' creation, joined in constant memory."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Generic, TypeVar

from payments_gateway.domain.attempts import IntentRef
from payments_gateway.domain.audit import PaidIntent, RecordedPayment

T = TypeVar("T")

Pair = tuple[PaidIntent | None, RecordedPayment | None]


async def paired(intents: AsyncIterator[PaidIntent], payments: AsyncIterator[RecordedPayment]) -> AsyncIterator[Pair]:
    """Yield each intent with its decision, or either alone. Both streams begin with the last created intent.

    Stripe tells creation in seconds, and does not say how it orders intents of one second: all of one second are held.
    """
    at_stripe = _Seconds(intents, lambda intent: intent.created_at)
    in_orders = _Seconds(payments, lambda payment: payment.intent_created_at)
    while second := max(filter(None, (await at_stripe.next(), await in_orders.next())), default=None):
        decisions = {payment.intent.id: payment for payment in await in_orders.take(second)}
        for intent in await at_stripe.take(second):
            yield intent, decisions.pop(intent.ref.id, None)
        for payment in decisions.values():
            yield None, payment


def ref_of(pair: Pair) -> IntentRef:
    """Return the intent of a pair."""
    intent, payment = pair
    if intent is not None:
        return intent.ref
    if payment is None:
        raise ValueError("a pair has at least one side")
    return payment.intent


class _Seconds(Generic[T]):
    """A stream, taken in groups of one second."""

    def __init__(self, stream: AsyncIterator[T], second_of: Callable[[T], datetime]) -> None:
        self._stream = stream
        self._second_of = second_of
        self._head: T | None = None

    async def next(self) -> datetime | None:
        """Return the second of the stream's head; None at its end."""
        if self._head is None:
            self._head = await anext(self._stream, None)
        return None if self._head is None else self._second_of(self._head)

    async def take(self, second: datetime) -> list[T]:
        """Return the things of a second at the stream's head."""
        taken: list[T] = []
        while await self.next() == second and self._head is not None:
            taken.append(self._head)
            self._head = None
        return taken
