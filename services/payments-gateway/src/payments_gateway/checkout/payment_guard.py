"""Guards against a second payment of an attempt that is paid or whose payment is processing."""

from payments_gateway.domain.attempts import Attempt, DeleteReason, Tombstone, UnreadableAttempt
from payments_gateway.domain.errors import AlreadyPaid, PaymentProcessing
from payments_gateway.domain.intents import PENDING_STATUSES, IntentStatus, StripeIntent
from payments_gateway.domain.purchases import OrdersPort
from payments_gateway.payments.fulfilment import Fulfilment


class PaymentGuard:
    """Checks attempts that a client wants to begin again or to replace."""

    def __init__(self, fulfilment: Fulfilment, orders: OrdersPort) -> None:
        self._fulfilment = fulfilment
        self._orders = orders

    async def ensure_not_paid(self, tombstone: Tombstone) -> None:
        """Raise AlreadyPaid if the attempt was deleted because its payment was decided."""
        if tombstone.reason is not DeleteReason.CANCELLED:
            raise AlreadyPaid(await self._orders.find_purchase(tombstone.attempt_id))

    async def ensure_not_purchased(self, attempt_id: str) -> None:
        """Raise AlreadyPaid if orders has the attempt's purchase, even if checkout-session lost the attempt."""
        purchase = await self._orders.find_purchase(attempt_id)
        if purchase is not None:
            raise AlreadyPaid(purchase)

    async def ensure_not_processing(self, attempt: Attempt | UnreadableAttempt | None, intent: StripeIntent) -> None:
        """Fulfil a succeeded intent and raise AlreadyPaid; raise PaymentProcessing if it can still succeed."""
        if intent.status is IntentStatus.SUCCEEDED:
            raise AlreadyPaid(await self._fulfilment.fulfil_for_buyer(intent, attempt))
        if intent.status in PENDING_STATUSES:
            raise payment_processing(attempt)


def payment_processing(attempt: Attempt | UnreadableAttempt | None) -> PaymentProcessing:
    """Return the error that names the attempt, where it is stored."""
    return PaymentProcessing(attempt.attempt_id, attempt.user_id) if attempt else PaymentProcessing(None, None)
