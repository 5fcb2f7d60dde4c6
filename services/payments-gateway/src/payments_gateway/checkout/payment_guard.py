"""Whether an attempt's payment is made or under way, so that the buyer is not asked to pay a second time."""

from payments_gateway.domain.attempts import Attempt, DeleteReason, Tombstone
from payments_gateway.domain.errors import AlreadyPaid, PaymentProcessing
from payments_gateway.domain.intents import PENDING_STATUSES, IntentStatus, StripeIntent
from payments_gateway.domain.purchases import OrdersPort, PaymentReport, ReportChannel
from payments_gateway.payments.fulfilment import Fulfilment

_REPORT = PaymentReport(ReportChannel.BROWSER_RETURN)


class PaymentGuard:
    """Answers for attempts that a client wants to begin again or replace."""

    def __init__(self, fulfilment: Fulfilment, orders: OrdersPort) -> None:
        """Settle what turns out to be paid by fulfilling it, as every other channel does."""
        self._fulfilment = fulfilment
        self._orders = orders

    async def ensure_not_paid(self, tombstone: Tombstone) -> None:
        """Raise AlreadyPaid if the attempt was deleted because its payment was decided."""
        if tombstone.reason is not DeleteReason.CANCELLED:
            raise AlreadyPaid(await self._orders.find_purchase(tombstone.attempt_id))

    async def ensure_not_purchased(self, attempt_id: str) -> None:
        """Raise AlreadyPaid if orders has the attempt's purchase, whatever the attempt store remembers."""
        purchase = await self._orders.find_purchase(attempt_id)
        if purchase is not None:
            raise AlreadyPaid(purchase)

    async def ensure_not_processing(self, attempt: Attempt, intent: StripeIntent) -> None:
        """Raise AlreadyPaid, after fulfilling it, if the attempt's intent succeeded; PaymentProcessing if it may."""
        if intent.status is IntentStatus.SUCCEEDED:
            raise AlreadyPaid(await self._fulfilment.fulfil_for_buyer(intent, attempt, _REPORT))
        if intent.status in PENDING_STATUSES:
            raise PaymentProcessing
