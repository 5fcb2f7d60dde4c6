"""Every way in which Stripe tells of refunds and disputes, and the outgoing calls that it takes."""

from enum import StrEnum
from typing import ClassVar, Final

from .situations import ORDERS, Calls, Situation


class AdjustmentRoad(StrEnum):
    """Every kind of call that keeping refunds and disputes makes."""

    GET_REFUND = f"{ORDERS}/GetRefund"
    APPLY_REFUND = f"{ORDERS}/ApplyRefund"
    GET_DISPUTE = f"{ORDERS}/GetDispute"
    APPLY_DISPUTE = f"{ORDERS}/ApplyDispute"
    RETRIEVE_REFUND = "GET /v1/refunds/{id}"
    LIST_REFUNDS = "GET /v1/refunds"
    RETRIEVE_DISPUTE = "GET /v1/disputes/{id}"


class RefundReported(Situation):
    """Stripe reports a refund."""

    calls: ClassVar[Calls] = (AdjustmentRoad.GET_REFUND, AdjustmentRoad.RETRIEVE_REFUND, AdjustmentRoad.APPLY_REFUND)
    taken_back: ClassVar[tuple[int | None, int | None]] = (100, None)
    reported = "refund.created"
    unreported = "charge.refunded"

    async def arrange(self) -> None:
        """Pay the checkout and come back; let Stripe keep the news of what is taken back."""
        self.checkout = await self.checked_out()
        await self.paid(self.checkout)
        (await self.shop.come_back(self.checkout)).ok()
        await self.knobs.idle()
        await self.knobs.deliver(types=[self.unreported], drop=True, count=1)
        await self.knobs.deliver(types=[self.reported], hold=True, count=1)
        subject = await self.take_back()
        (self.delivery,) = await self.knobs.deliveries(object_id=subject, event_type=self.reported)

    async def take_back(self) -> str:
        """Refund a part; return the id of what Stripe reports."""
        refund = await self.system.stripe.v1.refunds.create_async(
            {"payment_intent": self.checkout.intent_id, "amount": 100}
        )
        return refund.id

    async def act(self) -> int | None:
        """Let Stripe report it."""
        event_id = str(self.delivery["event_id"])
        await self.knobs.release_deliveries(event_id)
        return await self.first_answer(event_id=event_id)


class ChargeRefundReported(RefundReported):
    """Stripe reports that a charge was refunded, but not by which refund."""

    calls: ClassVar[Calls] = (
        AdjustmentRoad.LIST_REFUNDS,
        AdjustmentRoad.GET_REFUND,
        AdjustmentRoad.RETRIEVE_REFUND,
        AdjustmentRoad.APPLY_REFUND,
    )
    reported = "charge.refunded"
    unreported = "refund.created"

    async def take_back(self) -> str:
        """Refund a part; return the id of the charge."""
        await super().take_back()
        intent = await self.system.stripe.v1.payment_intents.retrieve_async(self.checkout.intent_id)
        return str(intent.latest_charge)


class DisputeReported(RefundReported):
    """Stripe reports a dispute."""

    calls: ClassVar[Calls] = (AdjustmentRoad.GET_DISPUTE, AdjustmentRoad.RETRIEVE_DISPUTE, AdjustmentRoad.APPLY_DISPUTE)
    taken_back = (None, 100)
    reported = "charge.dispute.created"
    unreported = "charge.dispute.funds_withdrawn"

    async def take_back(self) -> str:
        """Dispute a part; return the dispute's id."""
        return await self.knobs.dispute(self.checkout.intent_id, amount=100)


ADJUSTED: Final[tuple[type[Situation], ...]] = (
    RefundReported,
    ChargeRefundReported,
    DisputeReported,
)
