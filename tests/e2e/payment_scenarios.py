"""Scenarios after the payment: the browser returns, Stripe reports it, and a page reads the order."""

from collections.abc import Mapping
from typing import Any, ClassVar

from .harness.outgoing_calls import OutgoingCall as Call
from .harness.shop import Checkout, Reply, Shop
from .scenario import MEMBER, Calls, ExpectedState, Scenario


class Return(Scenario):
    """The browser returns from Stripe before the payment is reported."""

    calls: ClassVar[Calls] = (Call.GET_ATTEMPT, Call.RETRIEVE_INTENT, Call.RECORD_PURCHASE, Call.DELETE_ATTEMPT)

    async def arrange(self) -> None:
        """Pay the checkout."""
        await self.begin()
        await self.pay()

    async def act(self, door: Shop) -> Reply:
        """Complete the checkout."""
        return await self.complete(door)

    async def recover(self) -> None:
        """Let Stripe report the payment; the browser returns again."""
        await self.report_payment()


class ReturnWithoutAttempt(Return):
    """The browser returns from Stripe, and the attempt was lost."""

    calls: ClassVar[Calls] = (
        Call.GET_ATTEMPT,
        Call.GET_PURCHASE,
        Call.RETRIEVE_INTENT,
        Call.QUARANTINE_PAYMENT,
    )
    leaves = ExpectedState(quarantined=1)
    quarantine_reason = "attempt_missing"

    async def arrange(self) -> None:
        """Lose the attempt after the payment."""
        await super().arrange()
        await self.system.attempt_store.lose(self.checkout.attempt_id)


class Report(Return):
    """Stripe reports the payment."""

    calls: ClassVar[Calls] = (Call.GET_ATTEMPT, Call.RECORD_PURCHASE)
    paid_intent: Mapping[str, Any]

    async def arrange(self) -> None:
        """Pay the checkout."""
        await super().arrange()
        self.paid_intent = await self.intent()

    async def act(self, door: Shop) -> Reply:
        """Deliver the event."""
        return await self.deliver(door, "payment_intent.succeeded", self.paid_intent)


class ReportLate(Report):
    """Stripe reports the payment an hour later: its refunds, of which there are none, are read first."""

    calls: ClassVar[Calls] = (Call.GET_ATTEMPT, Call.LIST_REFUNDS, Call.RECORD_PURCHASE)
    event_age_seconds = 3600

    def stripe_filter(self, call: Call) -> dict[str, Any]:
        """Tell the list of refunds by its intent."""
        return super().stripe_filter(call) | {"params": {"payment_intent": self.checkout.intent_id}}


class ReportWithoutAttempt(Report):
    """Stripe reports a payment whose attempt was lost."""

    calls: ClassVar[Calls] = (Call.GET_ATTEMPT, Call.QUARANTINE_PAYMENT)
    leaves = ExpectedState(quarantined=1)
    quarantine_reason = "attempt_missing"

    async def arrange(self) -> None:
        """Lose the attempt after the payment."""
        await super().arrange()
        await self.system.attempt_store.lose(self.checkout.attempt_id)


class ReportOfAnotherSum(Report):
    """Stripe reports a payment of one cent too much."""

    calls: ClassVar[Calls] = (Call.GET_ATTEMPT, Call.QUARANTINE_PAYMENT, Call.DELETE_ATTEMPT)
    leaves = ExpectedState(quarantined=1)
    quarantine_reason = "amount_mismatch"
    quarantined_content = True

    async def begin(self) -> Checkout:
        """Begin the checkout, and change the intent's amount at Stripe."""
        checkout = await super().begin()
        await self.stripe.payment_intents.update_async(checkout.intent_id, {"amount": checkout.amount + 1})
        return checkout


class ReportAfterReturn(Report):
    """Stripe reports the payment of a completed checkout."""

    calls: ClassVar[Calls] = (Call.GET_ATTEMPT, Call.QUARANTINE_PAYMENT)

    async def arrange(self) -> None:
        """Complete the checkout."""
        await super().arrange()
        (await self.complete(self.shop)).ok()


class ReadCompleted(Return):
    """A page reads the status of a completed checkout."""

    calls: ClassVar[Calls] = (Call.GET_ATTEMPT, Call.GET_PURCHASE)

    async def arrange(self) -> None:
        """Complete the checkout."""
        await super().arrange()
        (await self.complete(self.shop)).ok()

    async def act(self, door: Shop) -> Reply:
        """Read the status."""
        return await self.read_status(door)

    async def recover(self) -> None:
        """Read the status again."""
        (await self.act(self.shop)).ok()


class ListOrders(ReadCompleted):
    """A user lists their orders."""

    calls: ClassVar[Calls] = (Call.LIST_ORDERS,)
    user_id = MEMBER

    async def act(self, door: Shop) -> Reply:
        """List the orders."""
        return await self.request(door, "GET", "/api/orders")


class ReadOrder(ListOrders):
    """A user reads one order."""

    calls: ClassVar[Calls] = (Call.GET_ORDER,)

    async def act(self, door: Shop) -> Reply:
        """Read the order."""
        (order,) = await self.system.orders_db.orders_of(self.checkout.attempt_id)
        return await self.request(door, "GET", f"/api/orders/{order['id']}")
